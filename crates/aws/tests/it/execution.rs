//! Carrying plans out against the model of EC2: without sockets and on paused time, so that what is waited for is exact.

mod capacity;
mod cases;
mod circuit_breaker;
mod isolation;
mod replan;
mod tag_writes;
mod time;
mod world;
