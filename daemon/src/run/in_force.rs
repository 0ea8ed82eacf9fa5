//! The configuration that the tasks go by at the moment. Each looks at them anew for every pass, look or write.

use std::sync::Arc;
use std::time::Duration;

use curfew_aws::organisation::Organisation;
use curfew_config::DaemonConfiguration;
use curfew_core::schedule_set::ScheduleSet;
use jiff::SignedDuration;
use tokio::sync::watch;

use super::{RuleKeeper, Tempo};

/// What the configuration says now.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Counts up from 1, with every change.
    pub generation: u64,
    /// The schedules, and how instances are bound to them.
    pub schedule_set: Arc<ScheduleSet>,
    /// The instances of every managed account and region.
    pub organisation: Organisation,
    /// How often states are looked up.
    pub tempo: Tempo,
    /// How long transitions are kept in the journal.
    pub retention: SignedDuration,
    /// How late the cloud may be before the daemon does it itself.
    pub grace: Duration,
    /// Who registers the rules that wake the cloud; nobody, where the daemon makes the passes itself.
    pub rules: Option<RuleKeeper>,
}

/// Where a task reads them, and hears that they have changed.
pub(super) type Current = watch::Receiver<Arc<InForce>>;

/// The configuration at the start, and where they can be read and replaced.
pub(super) fn begin(
    configuration: &DaemonConfiguration,
    schedule_set: Arc<ScheduleSet>,
    organisation: Organisation,
    rules: Option<RuleKeeper>,
) -> (watch::Sender<Arc<InForce>>, Current) {
    watch::channel(Arc::new(InForce {
        generation: 1,
        schedule_set,
        organisation,
        tempo: Tempo::of(configuration),
        retention: configuration.retention,
        grace: configuration.grace,
        rules,
    }))
}
