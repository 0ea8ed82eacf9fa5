//! Curfew at work for a long time, and in bad times: real passes, through the real SDK, on the model of EC2 in virtual time.
//!
//! `core`'s scenarios show what is decided. These show what becomes of the decisions: calls, tags, states, and what happens when
//! they go wrong.

mod event;
mod guarantees;
mod history;
mod world;
mod year;
