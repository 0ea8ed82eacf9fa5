//! Long runs and faults: real passes, through the real SDK, on the model of EC2 in virtual time.
//!
//! `core`'s scenarios test the decisions. These test their execution: calls, tags, states, and the handling of failures.

mod event;
mod guarantees;
mod history;
mod world;
mod year;
