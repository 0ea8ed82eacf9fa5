//! Integration tests of the function: a single environment, and many environments behind the work queue.

mod function;
mod queue;
