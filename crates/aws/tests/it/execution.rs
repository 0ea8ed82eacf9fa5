//! Carrying plans out against the model of EC2: without sockets and on paused time, so that what is waited for is exact.

mod again;
mod capacity;
mod cases;
mod isolation;
mod memory;
mod time;
mod trouble;
mod world;
