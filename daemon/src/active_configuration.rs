//! The configuration that the tasks use at the moment. Each task reads it again for every pass, poll or write.

use std::sync::Arc;
use std::time::Duration;

use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_config::{Configuration, DaemonConfiguration};
use curfew_core::instance::Instance;
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use jiff::SignedDuration;
use tokio::sync::watch;

/// The parts of the configuration that the tasks use.
#[derive(Clone, Debug)]
pub(crate) struct ActiveConfiguration {
    /// Counts up from 1, with every change.
    pub generation: u64,
    /// The schedules, and how instances are bound to them.
    pub schedule_set: Arc<ScheduleSet>,
    /// The instances of every managed account and region.
    pub organisation: Organisation,
    /// The intervals at which the states of instances are polled.
    pub intervals: PollIntervals,
    /// How long transitions are kept in the journal.
    pub retention: SignedDuration,
    /// How late the cloud may apply an edge before the daemon applies it.
    pub grace: Duration,
    /// The rules that trigger the cloud; `None` where the daemon runs the passes.
    pub rules: Option<RulePublication>,
}

/// The intervals between polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollIntervals {
    /// The interval while an instance is changing its state, or an edge was recent.
    pub active: Duration,
    /// The interval at other times.
    pub idle: Duration,
}

impl PollIntervals {
    pub(crate) fn of(configuration: &DaemonConfiguration) -> Self {
        Self {
            active: configuration.poll,
            idle: configuration.poll_quiet,
        }
    }
}

/// The EventBridge rules and the Lambda's configuration that the daemon publishes.
#[derive(Clone, Debug)]
pub struct RulePublication {
    /// The account and region of the stack.
    pub connection: Connection,
    /// The schedules, the heartbeat and the stack's name.
    pub configuration: Configuration,
}

/// The receiver by which a task reads the configuration and waits for its change.
pub(crate) type ConfigurationReceiver = watch::Receiver<Arc<ActiveConfiguration>>;

/// Creates the channel of the configuration, with its first value.
pub(crate) fn channel(
    configuration: &DaemonConfiguration,
    schedule_set: Arc<ScheduleSet>,
    organisation: Organisation,
    rules: Option<RulePublication>,
) -> (
    watch::Sender<Arc<ActiveConfiguration>>,
    ConfigurationReceiver,
) {
    watch::channel(Arc::new(ActiveConfiguration {
        generation: 1,
        schedule_set,
        organisation,
        intervals: PollIntervals::of(configuration),
        retention: configuration.retention,
        grace: configuration.grace,
        rules,
    }))
}

/// Returns the name of the schedule that applies to `instance`, if one does.
pub(crate) fn schedule_of(schedule_set: &ScheduleSet, instance: &Instance) -> Option<ScheduleName> {
    let schedule = schedule_set.schedule_for(instance).ok()?;
    Some(schedule.name.clone())
}
