//! Where sightings come from, and how they are handed on: a source that does not answer is asked again, later and later.

use std::time::Duration;

use curfew_aws::error::CloudError;
use curfew_aws::organisation::AccountRegionError;
use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::Instance;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::event::{Call, Event};
use crate::backoff::Backoff;
use crate::health::Pulse;

/// A look, or what is written of it, is over by then, or hangs: a hundred thousand instances take a few minutes when EC2 is slow.
pub(super) const HANGS: Duration = Duration::from_mins(15);

/// What a source has seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Every instance of these members: one of theirs that is missing is gone. Of a member that did not answer nothing is said.
    Everything(Vec<Look>),
    /// What events told: nothing is said of other instances.
    Told(Told),
}

/// All instances of one account and region.
#[derive(Clone, Debug)]
pub struct Look {
    /// Which.
    pub account_region: AccountRegion,
    /// When it was begun: what it found is no older.
    pub begun: Timestamp,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// What the queue of state changes told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What happened.
    pub events: Vec<Event>,
    /// Who made it happen.
    pub calls: Vec<Call>,
    /// The instances of the events as they were looked up since, as far as EC2 answered.
    pub instances: Vec<Instance>,
    /// Whether there was nothing more to receive.
    pub drained: bool,
}

/// A source of sightings: polling here, the queue of state changes beside it.
pub trait Sightings: Send {
    /// Waits until it is time to look.
    fn rest(&mut self) -> impl Future<Output = ()> + Send;

    /// Waits for the next sighting. Must be safe to drop half-way.
    fn next(&mut self) -> impl Future<Output = Result<Seen, SourceError>> + Send;
}

/// A source that does not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// EC2, in some account and region.
    #[error(transparent)]
    AccountRegion(#[from] AccountRegionError),
    /// The queue of state changes.
    #[error("the queue of state changes: {0}")]
    Queue(CloudError),
}

impl SourceError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::AccountRegion(error) => error.hint(),
            Self::Queue(error) => error.hint().to_owned(),
        }
    }
}

/// Hands what `source` sees to the watch task until the shutdown.
pub(in crate::run) async fn forward(
    mut source: impl Sightings,
    seen: mpsc::Sender<Seen>,
    pulse: &Pulse,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::default();
    loop {
        pulse.idle();
        if shutdown.run_until_cancelled(source.rest()).await.is_none() {
            return;
        }
        pulse.within(HANGS);
        let Some(next) = shutdown.run_until_cancelled(source.next()).await else {
            return;
        };
        match next {
            Ok(sighting) => {
                if backoff.after_success() {
                    info!("instances can be watched again");
                }
                if seen.send(sighting).await.is_err() {
                    return;
                }
                pulse.well();
            }
            Err(error) => {
                let wait = backoff.after_failure();
                let (failures, retry_seconds) = (backoff.failures(), wait.as_secs());
                warn!(%error, hint = error.hint(), failures, retry_seconds, "instances can't be watched");
                let waited = shutdown.run_until_cancelled(tokio::time::sleep(wait));
                if waited.await.is_none() {
                    return;
                }
            }
        }
    }
}
