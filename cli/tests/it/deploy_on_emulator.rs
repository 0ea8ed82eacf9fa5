//! The embedded emulator and everything that is deployed into it, for real: each test runs an emulator of its own, on a port and
//! with a state of its own, and leaves no process behind.

mod asked;
mod contention;
mod converge;
mod dropping;
mod dry_run;
mod emulator;
mod killed;
mod lab;
mod profile;
mod recover;
mod removal;
