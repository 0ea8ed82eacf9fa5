//! The settings that the tasks go by at the moment. Each looks at them anew for every pass, look or write.

use std::sync::Arc;
use std::time::Duration;

use curfew_aws::organisation::Organisation;
use curfew_config::DaemonSettings;
use curfew_core::govern::Governance;
use jiff::SignedDuration;
use tokio::sync::watch;

use super::{RuleKeeper, Tempo};

/// What the settings say now.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Counts up from 1, with every change.
    pub generation: u64,
    /// The schedules, and how instances are bound to them.
    pub governance: Arc<Governance>,
    /// The instances of every governed account and region.
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

/// The settings at the start, and where they can be read and replaced.
pub(super) fn begin(
    settings: &DaemonSettings,
    governance: Arc<Governance>,
    organisation: Organisation,
    rules: Option<RuleKeeper>,
) -> (watch::Sender<Arc<InForce>>, Current) {
    watch::channel(Arc::new(InForce {
        generation: 1,
        governance,
        organisation,
        tempo: Tempo::of(settings),
        retention: settings.retention,
        grace: settings.grace,
        rules,
    }))
}
