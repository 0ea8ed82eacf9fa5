//! The fault table of `docs/operations.md`: one test for each row, which shows what Curfew does about the fault and what the
//! operator sees of it, word for word.
//!
//! The model of EC2 is asked without sockets and on paused time, where waiting costs nothing and every time-out is exact; but for
//! the faults of a connection itself, which need one.

mod identity;
mod instances;
mod responses;
mod setup;
mod table;
