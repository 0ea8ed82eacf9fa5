//! Tests of the complete daemon.

mod daemon;
mod publishing;
mod queue;
