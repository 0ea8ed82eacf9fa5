//! The daemon, whole.

mod daemon;
mod publishing;
mod queue;
