//! The fault table of `docs/operate/faults.md`: one test for each row, which shows Curfew's handling of the fault and the exact
//! messages for the operator.
//!
//! The model of EC2 is called without sockets and on paused time, where waiting costs nothing and every timeout is exact,
//! except for faults of a connection, which need one.

mod identity;
mod instances;
mod responses;
mod setup;
mod table;
