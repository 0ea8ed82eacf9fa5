//! Carrying plans out against the model of EC2: without sockets and on paused time, so that what is waited for is exact.

mod replan;
mod capacity;
mod cases;
mod isolation;
mod tag_writes;
mod time;
mod circuit_breaker;
mod world;
