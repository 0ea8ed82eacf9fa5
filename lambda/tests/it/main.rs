//! The function: one environment of it, and many behind the work queue.

mod function;
mod queue;
