//! What `curfew run` is: one process that keeps the rules, makes or checks the passes, and journals every change of state.

mod active_configuration;
mod backoff;
pub mod health;
mod journal_writer;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod run;
mod supervisor;
pub mod systemd;
mod tasks;
#[cfg(test)]
mod test_support;
mod transitions;
