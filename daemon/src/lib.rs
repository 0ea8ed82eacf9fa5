//! `curfew`: the command line and the daemon.

pub mod cli;
pub mod doctor;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod printable;
pub mod progress;
pub mod run;
pub mod systemd;
