//! Deployments on the embedded emulator: each test runs an emulator with a separate port and state directory, and leaves no process
//! behind.

mod concurrency;
mod destroy_confirmation;
mod drop_confirmation;
mod dry_run;
mod emulator;
mod kill_and_resume;
mod lab;
mod profile_endpoints;
mod recovery;
mod removal;
mod update;
