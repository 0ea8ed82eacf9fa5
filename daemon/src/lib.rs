//! `curfew run`: one process that registers the trigger rules, makes or audits the passes, and journals every transition.

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
