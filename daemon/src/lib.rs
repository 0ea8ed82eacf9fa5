//! What `curfew run` is: one process that keeps the rules, makes or checks the passes, and journals every change of state.

mod backoff;
pub mod health;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod run;
pub mod systemd;
