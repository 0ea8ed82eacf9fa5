//! Polling: often while an instance is changing its state or an edge was recent, rarely otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionFleet, Organisation, RegionResults};
use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::Instance;
use curfew_core::schedule_set::ScheduleSet;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::observation_bus::{NewestObservations, ObservationBus};
use super::observation_source::{ObservationSource, SourceError, forward};
use crate::active_configuration::{ActiveConfiguration, ConfigurationReceiver, PollIntervals};
use crate::backoff::Backoff;
use crate::supervisor::{Task, TaskContext, TaskError};
use crate::transitions::{InstanceObservation, RegionObservation};

/// How long polls are frequent after an edge or an action of this process. EC2 completes most starts and stops within two
/// minutes, and a longer one is visible as in flight.
const ACTIVE_WINDOW: Duration = Duration::from_mins(2);

/// The poll interval while events arrive: polls only verify them, twelve times an hour.
const INTERVAL_WITH_EVENTS: Duration = Duration::from_mins(5);

/// After an observation by a pass, the next poll is delayed by this much longer, so that the next pass can make it: passes
/// are a minute apart.
const POLL_OFFSET: Duration = Duration::from_secs(5);

/// The time limit for an account-region after a failed poll, so that the others don't wait for it. Passes observe it too,
/// without this limit, and publish what they observe.
const RETRY_TIMEOUT: Duration = Duration::from_secs(3);

/// Polls every account-region with the active configuration.
pub(crate) struct PollingTask {
    pub(crate) configuration: ConfigurationReceiver,
    pub(crate) bus: ObservationBus,
    pub(crate) hint: watch::Receiver<PollHint>,
    pub(crate) observations: mpsc::Sender<InstanceObservation>,
}

impl Task for PollingTask {
    const NAME: &'static str = "polling";

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        while !ctx.shutdown.is_cancelled() {
            let now = Arc::clone(&self.configuration.borrow_and_update());
            let (clock, bus, hint) = (ctx.clock.clone(), self.bus.clone(), self.hint.clone());
            let mut polling = Polling::new(&now, clock, bus, hint);
            tokio::select! {
                () = forward(&mut polling, &self.observations, ctx) => break,
                // An interrupted poll is repeated at once.
                Ok(()) = self.configuration.changed() => {}
            }
        }
        Ok(())
    }
}

/// What the watch task knows that determines the poll interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PollHint {
    /// An instance is changing its state, or a transition waits for its cause.
    pub(crate) in_flight: bool,
    /// Events report every change.
    pub(crate) events_flowing: bool,
}

/// Polls at intervals, unless a pass has just observed the fleet, and at once on request.
#[derive(Debug)]
struct Polling {
    organisation: Organisation,
    schedule_set: Arc<ScheduleSet>,
    clock: Clock,
    intervals: PollIntervals,
    bus: ObservationBus,
    /// When the newest observation of each account-region began.
    newest: watch::Receiver<NewestObservations>,
    hint: watch::Receiver<PollHint>,
    /// When this task's last poll began.
    last: Option<Instant>,
    active_until: Option<Instant>,
    /// The account-regions with a failed last poll, which is logged once, and when each is polled again.
    unresponsive: HashMap<AccountRegion, UnresponsiveRegion>,
}

/// An account-region that does not respond.
#[derive(Debug)]
struct UnresponsiveRegion {
    backoff: Backoff,
    /// When its last poll failed.
    failed: Instant,
    /// When it is polled next.
    next_poll: Instant,
}

impl Polling {
    /// Polls every account-region; the first poll is immediate.
    fn new(
        now: &ActiveConfiguration,
        clock: Clock,
        bus: ObservationBus,
        hint: watch::Receiver<PollHint>,
    ) -> Self {
        Self {
            organisation: now.organisation.clone(),
            schedule_set: Arc::clone(&now.schedule_set),
            clock,
            intervals: now.intervals,
            newest: bus.newest(),
            bus,
            hint,
            last: None,
            active_until: None,
            unresponsive: HashMap::new(),
        }
    }

    /// Returns when to poll next, after a poll of this task that began at `own`.
    fn due(&mut self, own: Instant) -> Instant {
        let newest = self.newest.borrow_and_update().clone();
        let account_regions = self.organisation.account_regions().iter();
        let newest: Vec<Option<Instant>> = account_regions
            .filter(|one| !self.unresponsive.contains_key(&one.account_region))
            .map(|one| {
                newest
                    .get(&one.account_region)
                    .filter(|newest| **newest > own)
                    .copied()
            })
            .collect();
        // Every account-region was observed by passes.
        match newest.into_iter().min() {
            Some(Some(newest)) => newest + self.interval(POLL_OFFSET),
            _ => own + self.interval(Duration::ZERO),
        }
    }

    /// Returns the interval after the last poll; `longer` while nothing changes.
    fn interval(&mut self, longer: Duration) -> Duration {
        let PollIntervals {
            active: busy,
            idle: quiet,
        } = self.intervals;
        let quiet = quiet + longer;
        let hint = *self.hint.borrow_and_update();
        let active = self
            .active_until
            .is_some_and(|until| Instant::now() < until);
        if hint.in_flight || active {
            return busy;
        }
        // Events report one region only.
        let quiet = if hint.events_flowing && !self.organisation.spans_several() {
            quiet.max(INTERVAL_WITH_EVENTS)
        } else {
            quiet
        };
        around_edges(
            &self.schedule_set,
            self.clock.now(),
            PollIntervals {
                active: busy,
                idle: quiet,
            },
        )
    }

    /// Logs account-regions that stop responding, and those that respond again, once each; the polls of those that don't
    /// become less frequent.
    fn log_responsiveness(&mut self, survey: &RegionResults<Vec<Instance>>) {
        for (one, _) in &survey.answers {
            self.responded(&one.account_region);
        }
        for error in &survey.failures {
            let now = Instant::now();
            let region = self.unresponsive.entry(error.account_region.clone());
            let region = region.or_insert_with(|| {
                warn!(%error, hint = error.hint(), "polling failed");
                UnresponsiveRegion {
                    backoff: Backoff::default(),
                    failed: now,
                    next_poll: now,
                }
            });
            region.failed = now;
            region.next_poll = now + region.backoff.after_failure();
        }
    }

    fn responded(&mut self, account_region: &AccountRegion) {
        if self.unresponsive.remove(account_region).is_some() {
            info!(%account_region, "polling recovered");
        }
    }

    /// Polls the responding account-regions, and concurrently those of the others with a due retry.
    async fn poll(&mut self) -> RegionResults<Vec<Instance>> {
        let now = Instant::now();
        let newest = self.newest.borrow().clone();
        let observed: Vec<AccountRegion> = self
            .unresponsive
            .iter()
            .filter(|(account_region, region)| newest.get(*account_region) > Some(&region.failed))
            .map(|(account_region, _)| account_region.clone())
            .collect();
        for account_region in observed {
            self.responded(&account_region);
        }
        let unresponsive = &self.unresponsive;
        let has_turn = |region: &UnresponsiveRegion| region.next_poll <= now;
        let responsive = self
            .organisation
            .only(|one| !unresponsive.contains_key(one));
        let retried = self
            .organisation
            .only(|one| unresponsive.get(one).is_some_and(has_turn));
        let soon = Deadline::at(now + RETRY_TIMEOUT);
        let (mut survey, more) = tokio::join!(
            responsive.observe(&Scope::All, Deadline::NONE),
            retried.observe(&Scope::All, soon),
        );
        survey.answers.extend(more.answers);
        survey.failures.extend(more.failures);
        survey
    }
}

impl ObservationSource for Polling {
    // The due time may change meanwhile.
    async fn wait(&mut self) {
        let Some(own) = self.last else { return };
        loop {
            let due = self.due(own);
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.bus.poll_requested() => {
                    self.active_until = Some(Instant::now() + ACTIVE_WINDOW);
                    return;
                }
                // Never an error: this task holds a sender too.
                Ok(()) = self.newest.changed() => {}
                changed = self.hint.changed() => if changed.is_err() {
                    // The watch task has ended, and the daemon is about to.
                    return tokio::time::sleep_until(due).await;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<InstanceObservation, SourceError> {
        let instant = Instant::now();
        self.last = Some(instant);
        let begun = self.clock.now();
        let mut survey = self.poll().await;
        let all_failed = survey.failures.len() == self.organisation.account_regions().len();
        if all_failed && survey.answers.is_empty() && !survey.failures.is_empty() {
            return Err(survey.failures.swap_remove(0).into());
        }
        self.log_responsiveness(&survey);
        let is_newest =
            |one: &AccountRegionFleet| self.bus.mark_newest(&one.account_region, instant);
        let observations = survey.answers.into_iter().filter(|(one, _)| is_newest(one));
        let observations = observations.map(|(one, instances)| RegionObservation {
            account_region: one.account_region,
            begun,
            instances,
        });
        Ok(InstanceObservation::Fleet(observations.collect()))
    }
}

/// Returns the interval at `now` while no change is in flight: short for a while after an edge, and never past the next edge.
fn around_edges(schedule_set: &ScheduleSet, now: Timestamp, intervals: PollIntervals) -> Duration {
    let timetables = || {
        schedule_set
            .schedules
            .values()
            .map(|schedule| &schedule.timetable)
    };
    let active = SignedDuration::try_from(ACTIVE_WINDOW).unwrap_or(SignedDuration::ZERO);
    let past = timetables().filter_map(|timetable| timetable.last_edge(now));
    if past
        .into_iter()
        .any(|edge| now.duration_since(edge.at) < active)
    {
        return intervals.active;
    }
    let coming = timetables().filter_map(|timetable| timetable.next_edge(now));
    let until_next = coming.map(|edge| edge.at.duration_since(now)).min();
    let until_next = until_next.and_then(|left| Duration::try_from(left).ok());
    // A little after the edge, when the changes that it causes have begun.
    let until_next = until_next.map(|left| left + intervals.active.min(Duration::from_secs(5)));
    until_next.map_or(intervals.idle, |left| left.min(intervals.idle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_aws::connect::{ConnectOptions, Connection};
    use curfew_core::account_regions::Targets;
    use curfew_core::configuration::RawScheduleSet;
    use curfew_core::instance::Region;
    use tokio::sync::mpsc;

    const QUIET: PollIntervals = PollIntervals {
        active: Duration::from_secs(10),
        idle: Duration::from_mins(1),
    };

    /// Polling that has just polled once, with the other ends of its channels.
    struct PollingWorld {
        polling: Polling,
        bus: ObservationBus,
        observed: mpsc::Receiver<InstanceObservation>,
        _in_charge: watch::Sender<PollHint>,
    }

    fn observation() -> RegionObservation {
        RegionObservation {
            account_region: AccountRegion {
                account: None,
                region: Region::new("us-east-1"),
            },
            begun: Timestamp::UNIX_EPOCH,
            instances: Vec::new(),
        }
    }

    async fn just_polled() -> PollingWorld {
        let options = ConnectOptions {
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            region: Some("us-east-1".to_owned()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(options).await.unwrap();
        let (sender, observed) = mpsc::channel(1);
        let bus = ObservationBus::new(sender);
        let (in_charge, hint) = watch::channel(PollHint::default());
        let polling = Polling {
            organisation: Organisation::open(&connection, &Targets::default()),
            schedule_set: Arc::new(RawScheduleSet::default().resolve().unwrap()),
            clock: Clock::system(),
            intervals: QUIET,
            newest: bus.newest(),
            bus: bus.clone(),
            hint,
            last: Some(Instant::now()),
            active_until: None,
            unresponsive: HashMap::new(),
        };
        PollingWorld {
            polling,
            bus,
            observed,
            _in_charge: in_charge,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn polling_pauses_while_passes_publish_observations() {
        let mut world = just_polled().await;
        let begun = Instant::now();
        let passes = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(59)).await;
                world.bus.publish(Instant::now(), observation());
                world.observed.recv().await.unwrap();
            }
        });
        world.polling.wait().await;
        assert!(passes.is_finished());
        let last = Duration::from_secs(590);
        assert_eq!(begun.elapsed(), last + QUIET.idle + POLL_OFFSET);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outdated_observation_or_one_that_would_wait_is_not_published() {
        let PollingWorld {
            bus, mut observed, ..
        } = just_polled().await;
        let earlier = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = Instant::now();
        bus.publish(later, observation());
        bus.publish(Instant::now() + Duration::from_secs(1), observation());
        assert!(observed.recv().await.is_some());
        assert!(observed.try_recv().is_err(), "there was no room");
        bus.publish(earlier, observation());
        assert!(observed.try_recv().is_err(), "it is outdated");
        assert!(!bus.mark_newest(&observation().account_region, earlier));
    }

    #[test]
    fn polls_are_frequent_after_an_edge_and_never_skip_the_next_one() {
        let document =
            r#"{"schedules": {"office": {"timezone": "UTC", "running": "Mon-Fri 08:00-20:00"}}}"#;
        let schedule_set = RawScheduleSet::from_json(document)
            .unwrap()
            .resolve()
            .unwrap();
        let intervals = PollIntervals {
            active: Duration::from_secs(10),
            idle: Duration::from_mins(1),
        };
        let wait = |at: &str| {
            let now = format!("2026-11-23T{at}Z").parse().unwrap();
            around_edges(&schedule_set, now, intervals).as_secs()
        };
        assert_eq!(wait("12:00:00"), 60);
        assert_eq!(wait("19:59:30"), 35, "five seconds after the edge");
        assert_eq!(wait("20:00:00"), 10);
        assert_eq!(wait("20:01:59"), 10);
        assert_eq!(wait("20:02:00"), 60);
    }
}
