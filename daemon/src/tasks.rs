//! The tasks of the daemon: one file each, started in [`crate::run`].

pub(crate) mod acknowledge;
pub(crate) mod channels;
pub(crate) mod dead_letters;
mod deliveries;
pub(crate) mod metrics_server;
pub(crate) mod observation_bus;
mod observation_source;
pub(crate) mod polling;
pub(crate) mod queue;
pub(crate) mod queue_counter;
pub(crate) mod reconcile;
pub(crate) mod reload;
pub(crate) mod rules;
mod sqs;
pub(crate) mod systemd_notifier;
pub(crate) mod watch;
