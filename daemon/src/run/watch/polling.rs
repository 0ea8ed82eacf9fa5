//! Polling: often while something is under way, seldom when it is quiet.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{MemberError, Organisation};
use curfew_core::govern::Governance;
use curfew_core::membership::Member;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Look, Seen, Sightings, SourceError};
use crate::run::InForce;
use crate::settings::DaemonSettings;

/// How long after an edge, or after this process has changed something, it is looked often: EC2 takes up to two minutes for most
/// starts and stops, and what takes longer is seen to be under way.
const LIVELY: Duration = Duration::from_mins(2);

/// Where events come, looks only check them: twelve an hour.
const BESIDE_EVENTS: Duration = Duration::from_mins(5);

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// While something is under way.
    pub busy: Duration,
    /// While nothing is.
    pub quiet: Duration,
}

impl Tempo {
    /// As the settings say.
    pub(in crate::run) fn of(settings: &DaemonSettings) -> Self {
        Self {
            busy: settings.poll,
            quiet: settings.poll_quiet,
        }
    }
}

/// What the watch task knows that polling goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::run) struct Mood {
    /// Something is under way.
    pub(in crate::run) busy: bool,
    /// Events tell of everything.
    pub(in crate::run) told: bool,
}

/// Looks everything up again and again, and at once when nudged.
#[derive(Debug)]
pub struct Polling {
    organisation: Organisation,
    governance: Arc<Governance>,
    clock: Clock,
    tempo: Tempo,
    nudge: Arc<Notify>,
    mood: watch::Receiver<Mood>,
    /// When the last look was begun.
    last: Option<Instant>,
    lively_until: Option<Instant>,
    /// Who did not answer last time: it is said once.
    silent: HashSet<Member>,
}

impl Polling {
    /// Polls every member; the first look is at once.
    pub(in crate::run) fn new(
        now: &InForce,
        clock: Clock,
        nudge: Arc<Notify>,
        mood: watch::Receiver<Mood>,
    ) -> Self {
        Self {
            organisation: now.organisation.clone(),
            governance: Arc::clone(&now.governance),
            clock,
            tempo: now.tempo,
            nudge,
            mood,
            last: None,
            lively_until: None,
            silent: HashSet::new(),
        }
    }

    fn interval(&mut self) -> Duration {
        let Tempo { busy, quiet } = self.tempo;
        let mood = *self.mood.borrow_and_update();
        let lively = self
            .lively_until
            .is_some_and(|until| Instant::now() < until);
        if mood.busy || lively {
            return busy;
        }
        // Events tell of one region only.
        let quiet = if mood.told && !self.organisation.spans_several() {
            quiet.max(BESIDE_EVENTS)
        } else {
            quiet
        };
        around_edges(&self.governance, self.clock.now(), Tempo { busy, quiet })
    }

    fn tell(&mut self, failures: &[MemberError]) {
        for error in failures {
            if self.silent.insert(error.member.clone()) {
                warn!(%error, hint = error.hint(), "instances can't be watched");
            }
        }
        self.silent.retain(|member| {
            let still = failures.iter().any(|error| error.member == *member);
            if !still {
                info!(%member, "instances can be watched again");
            }
            still
        });
    }
}

impl Sightings for Polling {
    // When it is time for a look may change meanwhile.
    async fn rest(&mut self) {
        let Some(last) = self.last else { return };
        loop {
            let due = last + self.interval();
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.nudge.notified() => {
                    self.lively_until = Some(Instant::now() + LIVELY);
                    return;
                }
                changed = self.mood.changed() => if changed.is_err() {
                    // The watch task is gone, and with it the daemon.
                    return tokio::time::sleep_until(due).await;
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Seen, SourceError> {
        self.last = Some(Instant::now());
        let begun = self.clock.now();
        let mut survey = self.organisation.observe(&Scope::All, Deadline::NONE).await;
        if survey.answers.is_empty() && !survey.failures.is_empty() {
            return Err(survey.failures.swap_remove(0).into());
        }
        self.tell(&survey.failures);
        let looks = survey.answers.into_iter().map(|(one, instances)| Look {
            member: one.member,
            begun,
            instances,
        });
        Ok(Seen::Everything(looks.collect()))
    }
}

/// How long to wait at `now` where nothing else is under way: often for a while after an edge, and never past the next one.
fn around_edges(governance: &Governance, now: Timestamp, tempo: Tempo) -> Duration {
    let timetables = || {
        governance
            .schedules
            .values()
            .map(|schedule| &schedule.timetable)
    };
    let lively = SignedDuration::try_from(LIVELY).unwrap_or(SignedDuration::ZERO);
    let past = timetables().filter_map(|timetable| timetable.last_edge(now));
    if past
        .into_iter()
        .any(|edge| now.duration_since(edge.at) < lively)
    {
        return tempo.busy;
    }
    let coming = timetables().filter_map(|timetable| timetable.next_edge(now));
    let until_next = coming.map(|edge| edge.at.duration_since(now)).min();
    let until_next = until_next.and_then(|left| Duration::try_from(left).ok());
    // A little after it, when what it changes has begun to.
    let until_next = until_next.map(|left| left + tempo.busy.min(Duration::from_secs(5)));
    until_next.map_or(tempo.quiet, |left| left.min(tempo.quiet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_core::settings::RawGovernance;

    #[test]
    fn it_is_looked_often_after_an_edge_and_never_past_the_next_one() {
        let document =
            r#"{"schedules": {"office": {"timezone": "UTC", "running": "Mon-Fri 08:00-20:00"}}}"#;
        let governance = RawGovernance::from_json(document)
            .unwrap()
            .resolve()
            .unwrap();
        let tempo = Tempo {
            busy: Duration::from_secs(10),
            quiet: Duration::from_mins(1),
        };
        let wait = |at: &str| {
            let now = format!("2026-11-23T{at}Z").parse().unwrap();
            around_edges(&governance, now, tempo).as_secs()
        };
        assert_eq!(wait("12:00:00"), 60);
        assert_eq!(wait("19:59:30"), 35, "five seconds after the edge");
        assert_eq!(wait("20:00:00"), 10);
        assert_eq!(wait("20:01:59"), 10);
        assert_eq!(wait("20:02:00"), 60);
    }
}
