//! Polling: often while something is under way, seldom when it is quiet.

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

/// How long after an edge, or after this process has changed something, it is looked often: EC2 takes up to two minutes for most
/// starts and stops, and what takes longer is seen to be under way.
const ACTIVE_WINDOW: Duration = Duration::from_mins(2);

/// Where events come, looks only check them: twelve an hour.
const INTERVAL_WITH_EVENTS: Duration = Duration::from_mins(5);

/// After an observation by a pass, the next poll is delayed by so much longer, so that the next pass can make it: a pass
/// comes a minute after the end of the last one.
const POLL_OFFSET: Duration = Duration::from_secs(5);

/// How long an account-region that did not answer last time may take now, so that the others are not waited for: passes look at it too,
/// with all their patience, and show what they see.
const DOUBTFUL: Duration = Duration::from_secs(3);

/// Polls every account-region, with the configuration that is active.
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
                // A poll that is interrupted is made again at once.
                Ok(()) = self.configuration.changed() => {}
            }
        }
        Ok(())
    }
}

/// What the watch task knows that polling goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PollHint {
    /// Something is under way.
    pub(crate) in_flight: bool,
    /// Events tell of everything.
    pub(crate) events_flowing: bool,
}

/// Looks everything up again and again, unless a pass has just done so, and at once when nudged.
#[derive(Debug)]
struct Polling {
    organisation: Organisation,
    schedule_set: Arc<ScheduleSet>,
    clock: Clock,
    intervals: PollIntervals,
    bus: ObservationBus,
    /// When the newest look at each account-region was begun.
    newest: watch::Receiver<NewestObservations>,
    hint: watch::Receiver<PollHint>,
    /// When the last look of ours was begun.
    last: Option<Instant>,
    lively_until: Option<Instant>,
    /// Those that did not answer last time, which is said once, and when each is looked at again.
    silent: HashMap<AccountRegion, UnresponsiveRegion>,
}

/// An account-region that does not answer.
#[derive(Debug)]
struct UnresponsiveRegion {
    backoff: Backoff,
    /// When it last failed to.
    failed: Instant,
    /// When it is looked at again.
    again: Instant,
}

impl Polling {
    /// Polls every member; the first look is at once.
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
            lively_until: None,
            silent: HashMap::new(),
        }
    }

    /// When to look, after a look of ours that was begun at `own`.
    fn due(&mut self, own: Instant) -> Instant {
        let newest = self.newest.borrow_and_update().clone();
        let account_regions = self.organisation.account_regions().iter();
        let newest: Vec<Option<Instant>> = account_regions
            .filter(|one| !self.silent.contains_key(&one.account_region))
            .map(|one| {
                newest
                    .get(&one.account_region)
                    .filter(|newest| **newest > own)
                    .copied()
            })
            .collect();
        // Shown by others, all of them.
        match newest.into_iter().min() {
            Some(Some(newest)) => newest + self.interval(POLL_OFFSET),
            _ => own + self.interval(Duration::ZERO),
        }
    }

    /// How long to wait after the last look; `longer`, when it is quiet.
    fn interval(&mut self, longer: Duration) -> Duration {
        let PollIntervals {
            active: busy,
            idle: quiet,
        } = self.intervals;
        let quiet = quiet + longer;
        let hint = *self.hint.borrow_and_update();
        let lively = self
            .lively_until
            .is_some_and(|until| Instant::now() < until);
        if hint.in_flight || lively {
            return busy;
        }
        // Events tell of one region only.
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

    /// Logs account-regions that stop responding, and those that respond again, once each; those that don't are polled less
    /// and less often.
    fn tell(&mut self, survey: &RegionResults<Vec<Instance>>) {
        for (one, _) in &survey.answers {
            self.answers(&one.account_region);
        }
        for error in &survey.failures {
            let now = Instant::now();
            let silence = self.silent.entry(error.account_region.clone());
            let silence = silence.or_insert_with(|| {
                warn!(%error, hint = error.hint(), "instances can't be watched");
                UnresponsiveRegion {
                    backoff: Backoff::default(),
                    failed: now,
                    again: now,
                }
            });
            silence.failed = now;
            silence.again = now + silence.backoff.after_failure();
        }
    }

    fn answers(&mut self, account_region: &AccountRegion) {
        if self.silent.remove(account_region).is_some() {
            info!(%account_region, "instances can be watched again");
        }
    }

    /// Looks at everything but what is silent, and beside that at what is silent and has its turn again.
    async fn look(&mut self) -> RegionResults<Vec<Instance>> {
        let now = Instant::now();
        let newest = self.newest.borrow().clone();
        let shown: Vec<AccountRegion> = self
            .silent
            .iter()
            .filter(|(account_region, silence)| newest.get(*account_region) > Some(&silence.failed))
            .map(|(account_region, _)| account_region.clone())
            .collect();
        for account_region in shown {
            self.answers(&account_region);
        }
        let silent = &self.silent;
        let has_turn = |silence: &UnresponsiveRegion| silence.again <= now;
        let sound = self.organisation.only(|one| !silent.contains_key(one));
        let doubtful = self
            .organisation
            .only(|one| silent.get(one).is_some_and(has_turn));
        let soon = Deadline::at(now + DOUBTFUL);
        let (mut survey, more) = tokio::join!(
            sound.observe(&Scope::All, Deadline::NONE),
            doubtful.observe(&Scope::All, soon),
        );
        survey.answers.extend(more.answers);
        survey.failures.extend(more.failures);
        survey
    }
}

impl ObservationSource for Polling {
    // When it is time for a look may change meanwhile.
    async fn rest(&mut self) {
        let Some(own) = self.last else { return };
        loop {
            let due = self.due(own);
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.bus.poll_requested() => {
                    self.lively_until = Some(Instant::now() + ACTIVE_WINDOW);
                    return;
                }
                // Never an error: this task holds a sender, too.
                Ok(()) = self.newest.changed() => {}
                changed = self.hint.changed() => if changed.is_err() {
                    // The watch task is gone, and with it the daemon.
                    return tokio::time::sleep_until(due).await;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<InstanceObservation, SourceError> {
        let instant = Instant::now();
        self.last = Some(instant);
        let begun = self.clock.now();
        let mut survey = self.look().await;
        let everything = survey.failures.len() == self.organisation.account_regions().len();
        if everything && survey.answers.is_empty() && !survey.failures.is_empty() {
            return Err(survey.failures.swap_remove(0).into());
        }
        self.tell(&survey);
        let news = |one: &AccountRegionFleet| self.bus.has_news(&one.account_region, instant);
        let looks = survey.answers.into_iter().filter(|(one, _)| news(one));
        let looks = looks.map(|(one, instances)| RegionObservation {
            account_region: one.account_region,
            begun,
            instances,
        });
        Ok(InstanceObservation::Fleet(looks.collect()))
    }
}

/// How long to wait at `now` where nothing else is under way: often for a while after an edge, and never past the next one.
fn around_edges(schedule_set: &ScheduleSet, now: Timestamp, intervals: PollIntervals) -> Duration {
    let timetables = || {
        schedule_set
            .schedules
            .values()
            .map(|schedule| &schedule.timetable)
    };
    let lively = SignedDuration::try_from(ACTIVE_WINDOW).unwrap_or(SignedDuration::ZERO);
    let past = timetables().filter_map(|timetable| timetable.last_edge(now));
    if past
        .into_iter()
        .any(|edge| now.duration_since(edge.at) < lively)
    {
        return intervals.active;
    }
    let coming = timetables().filter_map(|timetable| timetable.next_edge(now));
    let until_next = coming.map(|edge| edge.at.duration_since(now)).min();
    let until_next = until_next.and_then(|left| Duration::try_from(left).ok());
    // A little after it, when what it changes has begun to.
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

    /// Polling that has just looked, and what it is told and shown.
    struct PollingWorld {
        polling: Polling,
        bus: ObservationBus,
        shown: mpsc::Receiver<InstanceObservation>,
        _in_charge: watch::Sender<PollHint>,
    }

    fn look() -> RegionObservation {
        RegionObservation {
            account_region: AccountRegion {
                account: None,
                region: Region::new("us-east-1"),
            },
            begun: Timestamp::UNIX_EPOCH,
            instances: Vec::new(),
        }
    }

    async fn just_looked() -> PollingWorld {
        let options = ConnectOptions {
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            region: Some("us-east-1".to_owned()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(options).await.unwrap();
        let (seen, shown) = mpsc::channel(1);
        let bus = ObservationBus::new(seen);
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
            lively_until: None,
            silent: HashMap::new(),
        };
        PollingWorld {
            polling,
            bus,
            shown,
            _in_charge: in_charge,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_passes_look_polling_need_not() {
        let mut world = just_looked().await;
        let begun = Instant::now();
        let passes = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(59)).await;
                world.bus.publish(Instant::now(), look());
                world.shown.recv().await.unwrap();
            }
        });
        world.polling.rest().await;
        assert!(passes.is_finished());
        let last = Duration::from_secs(590);
        assert_eq!(begun.elapsed(), last + QUIET.idle + POLL_OFFSET);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_was_overtaken_or_would_wait_is_not_shown() {
        let PollingWorld { bus, mut shown, .. } = just_looked().await;
        let earlier = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = Instant::now();
        bus.publish(later, look());
        bus.publish(Instant::now() + Duration::from_secs(1), look());
        assert!(shown.recv().await.is_some());
        assert!(shown.try_recv().is_err(), "there was no room");
        bus.publish(earlier, look());
        assert!(shown.try_recv().is_err(), "it is outdated");
        assert!(!bus.has_news(&look().account_region, earlier));
    }

    #[test]
    fn it_is_looked_often_after_an_edge_and_never_past_the_next_one() {
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
