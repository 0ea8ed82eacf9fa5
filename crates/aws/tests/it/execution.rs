//! Executes plans against the model of EC2, without sockets and on paused time, so that waits are exact.

mod capacity;
mod cases;
mod circuit_breaker;
mod isolation;
mod replan;
mod tag_writes;
mod time;
mod world;
