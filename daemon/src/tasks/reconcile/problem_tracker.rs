//! Which problems and overrides of an observation or a pass to report: each problem once while it lasts, and overrides as
//! they come and go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use curfew_aws::execute::{Outcome, StepResult};
use curfew_aws::pass::Pass;
use curfew_config::Driver;
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::schedule::Enforcement;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::skip::SkipReason;
use curfew_core::state_tags::{Cause, LAST_TAG, LastApplied};
use curfew_core::step::{RetryChange, Step, StepAction};
use jiff::{SignedDuration, Timestamp};

use crate::active_configuration::schedule_of;
use crate::notify::Notification;

/// Problems that persist over several observations: each is reported once, after it has lasted for long enough.
#[derive(Debug)]
pub(crate) struct ProblemTracker {
    grace: SignedDuration,
    known: BTreeMap<ProblemKey, OngoingProblem>,
}

type ProblemKey = (InstanceId, ProblemKind);

/// An instance has at most one problem of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ProblemKind {
    Missed,
    Failed,
    Unreadable,
    Drift,
}

#[derive(Debug)]
struct OngoingProblem {
    since: Timestamp,
    reported: bool,
}

impl ProblemTracker {
    /// Reports drift that has lasted for `grace`, so that an override that was just placed, or drift that is corrected within
    /// seconds, is not reported.
    pub(crate) fn with_grace(grace: Duration) -> Self {
        Self {
            grace: SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX),
            known: BTreeMap::new(),
        }
    }

    /// Whether a step corrects drift that has outlasted the cloud's grace period.
    pub(crate) fn has_outlasted(
        &self,
        step: &Step,
        pass: &Pass,
        schedule_set: &ScheduleSet,
    ) -> bool {
        let key = (step.instance.clone(), ProblemKind::Drift);
        let lasts = self.known.get(&key);
        let lasts = lasts.is_some_and(|problem| self.grace_ends_at(problem) <= pass.at);
        let mut instances = pass.instances.iter();
        lasts
            && instances
                .find(|instance| instance.id == step.instance)
                .is_some_and(|instance| is_drift(instance, step, schedule_set))
    }

    /// Returns when the next drift will outlast the grace period.
    pub(crate) fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let drift = self.known.iter();
        let drift = drift.filter(|((_, kind), _)| *kind == ProblemKind::Drift);
        let judged = drift.map(|(_, problem)| self.grace_ends_at(problem));
        judged.filter(|at| *at > now).min()
    }

    fn grace_ends_at(&self, problem: &OngoingProblem) -> Timestamp {
        let at = problem.since.checked_add(self.grace);
        at.unwrap_or(Timestamp::MAX)
    }

    /// Replaces the grace period.
    pub(crate) fn set_grace(&mut self, grace: Duration) {
        self.grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    }

    /// Returns the new problems of an observation or a pass; `late` are the steps that the cloud should have executed.
    pub(crate) fn new_notifications(
        &mut self,
        pass: &Pass,
        late: &[Step],
        schedule_set: &ScheduleSet,
    ) -> Vec<Notification> {
        let now = pass.at;
        let by_id: HashMap<&InstanceId, &Instance> = pass
            .instances
            .iter()
            .map(|instance| (&instance.id, instance))
            .collect();
        let mut found: BTreeMap<ProblemKey, Notification> = BTreeMap::new();
        let mut add =
            |id: &InstanceId, kind, notification: &dyn Fn(&Instance) -> Option<Notification>| {
                if let Some((instance, notification)) = by_id
                    .get(id)
                    .and_then(|instance| Some((*instance, notification(instance)?)))
                {
                    let key = (id.clone(), kind);
                    found.insert(
                        key,
                        notification.of_schedule(schedule_of(schedule_set, instance)),
                    );
                }
            };
        for step in late {
            add(&step.instance, ProblemKind::Missed, &|instance| {
                Some(Notification::missed(instance, step, now))
            });
        }
        for step in &pass.plan.steps {
            add(&step.instance, ProblemKind::Failed, &|instance| {
                let why = fell_back(instance, step)?;
                Some(Notification::fell_back(instance, step, why, now))
            });
            add(&step.instance, ProblemKind::Drift, &|instance| {
                is_drift(instance, step, schedule_set)
                    .then(|| Notification::drift(instance, step, now))
            });
        }
        for skip in &pass.plan.skipped {
            let kind = match skip.reason {
                SkipReason::MalformedOverride { .. }
                | SkipReason::MalformedRequest { .. }
                | SkipReason::MalformedSchedule { .. } => ProblemKind::Unreadable,
                SkipReason::WaitingToRetry { .. } => ProblemKind::Failed,
                _ => continue,
            };
            add(&skip.instance, kind, &|instance| {
                Some(Notification::unmanageable(instance, skip, now))
            });
        }
        for Outcome { step, result, .. } in &pass.outcomes {
            if let StepResult::Failed(error) | StepResult::TagsNotWritten { error, .. } = result {
                add(&step.instance, ProblemKind::Failed, &|instance| {
                    Some(Notification::failed(instance, step, error, now))
                });
            }
        }
        let undecided = pass.plan.skipped.iter();
        let undecided = undecided.filter(|skip| skip.reason == SkipReason::Transitioning);
        let undecided: BTreeSet<&InstanceId> = undecided.map(|skip| &skip.instance).collect();
        self.new_among(found, &undecided, now)
    }

    /// Forgets problems that are not found any more, except those of an instance in transition: its outcome is not
    /// known yet.
    fn new_among(
        &mut self,
        found: BTreeMap<ProblemKey, Notification>,
        undecided: &BTreeSet<&InstanceId>,
        now: Timestamp,
    ) -> Vec<Notification> {
        self.known
            .retain(|key, _| found.contains_key(key) || undecided.contains(&key.0));
        let mut new_notifications = Vec::new();
        for (key, notification) in found {
            // Only drift may be corrected without a notification; the others have already happened.
            let grace = match key.1 {
                ProblemKind::Drift => self.grace,
                ProblemKind::Missed | ProblemKind::Failed | ProblemKind::Unreadable => {
                    SignedDuration::ZERO
                }
            };
            let problem = self.known.entry(key).or_insert(OngoingProblem {
                since: now,
                reported: false,
            });
            if !problem.reported && now.duration_since(problem.since) >= grace {
                problem.reported = true;
                new_notifications.push(notification);
            }
        }
        new_notifications
    }
}

/// Returns how long drift may last before it is reported. The cloud corrects most drift within the grace period; a daemon that
/// runs the passes corrects it at once, so drift that remains is reported at once.
pub(crate) fn drift_grace(driver: Driver, grace: Duration) -> Duration {
    match driver {
        Driver::Cloud => grace,
        Driver::Daemon => Duration::ZERO,
    }
}

/// Returns why a start that EC2 accepted has to be repeated; `None` if the step is not such a start.
fn fell_back<'a>(instance: &Instance, step: &'a Step) -> Option<&'a str> {
    let last: LastApplied = instance.tags.get(LAST_TAG)?.parse().ok()?;
    let again = step.action == StepAction::Start
        && last.pending
        && step.edge.is_some_and(|edge| edge.at == last.at)
        // Without a retry tag, the start succeeded and a concurrent call has undone it.
        && matches!(step.tag_changes.retry, RetryChange::Set(_));
    step.note.as_deref().filter(|_| again)
}

/// Whether a step corrects drift: a state against an override, or against an enforced schedule with an applied edge.
fn is_drift(instance: &Instance, step: &Step, schedule_set: &ScheduleSet) -> bool {
    if step.action == StepAction::Record {
        return false;
    }
    if let Cause::Override(_) = &step.cause {
        return true;
    }
    let last: Option<LastApplied> = instance.tags.get(LAST_TAG).and_then(|tag| tag.parse().ok());
    let Some(done) = last.filter(|last| !last.pending) else {
        return false;
    };
    match &step.cause {
        Cause::Schedule(_) | Cause::Request(_) => {
            let enforced = schedule_set
                .schedule_for(instance)
                .is_ok_and(|schedule| schedule.enforcement == Enforcement::Enforced);
            enforced && step.edge.is_none_or(|edge| done.at >= edge.at)
        }
        Cause::Override(_) | Cause::External | Cause::Adopted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{self, at};
    use curfew_core::instance::InstanceState;
    use curfew_core::plan::plan;
    use curfew_core::state_tags::OVERRIDE_TAG;
    use curfew_core::world::World;

    fn schedule_set() -> ScheduleSet {
        let document = r#"{"schedules": {
            "office": {"timezone": "UTC", "running": "Mon-Fri 08:00-20:00"},
            "strict": {"timezone": "UTC", "running": "Mon-Sun 00:00-24:00", "enforce": true}
        }}"#;
        test_support::schedule_set(document)
    }

    fn instance(state: InstanceState, tags: &[(&str, &str)]) -> Instance {
        let tags = [tags, &[("Name", "web")]].concat();
        test_support::instance("i-0abc1234def567890", state, &tags)
    }

    fn observed_pass(instance: &Instance, now: &str) -> Pass {
        let instances = vec![instance.clone()];
        let schedule_set = schedule_set();
        let plan = plan(&World::without_request(&schedule_set, &instances), at(now));
        Pass {
            at: at(now),
            instances,
            begun: Vec::new(),
            next_page: None,
            plan,
            outcomes: Vec::new(),
        }
    }

    fn reported(tracker: &mut ProblemTracker, pass: &Pass) -> Vec<String> {
        let new_notifications = tracker.new_notifications(pass, &[], &schedule_set());
        new_notifications
            .iter()
            .map(|notification| notification.what.clone())
            .collect()
    }

    #[test]
    fn drift_is_reported_once_after_its_grace() {
        let mut tracker = ProblemTracker::with_grace(Duration::from_mins(2));
        let held = instance(
            InstanceState::Running,
            &[
                ("Schedule", "office"),
                (
                    OVERRIDE_TAG,
                    "stopped since 2026-11-23T11:00:00Z until 2026-11-23T22:00:00Z by alice",
                ),
                (LAST_TAG, "2026-11-23T11:00:00Z stop override by alice"),
            ],
        );
        let nothing: [&str; 0] = [];
        assert_eq!(
            reported(&mut tracker, &observed_pass(&held, "12:00:00")),
            nothing
        );
        assert_eq!(
            reported(&mut tracker, &observed_pass(&held, "12:01:00")),
            nothing
        );
        let texts = ["found running, which contradicts the override by alice"];
        assert_eq!(
            reported(&mut tracker, &observed_pass(&held, "12:02:00")),
            texts
        );
        assert_eq!(
            reported(&mut tracker, &observed_pass(&held, "12:03:00")),
            nothing,
            "once"
        );
        let mut corrected = held.clone();
        corrected.state = InstanceState::Stopped;
        assert_eq!(
            reported(&mut tracker, &observed_pass(&corrected, "12:04:00")),
            nothing
        );
        assert_eq!(
            reported(&mut tracker, &observed_pass(&held, "12:05:00")),
            nothing,
            "it begins anew"
        );
        assert_eq!(
            reported(&mut tracker, &observed_pass(&held, "12:07:00")),
            texts
        );
    }

    #[test]
    fn an_enforced_schedule_has_drift_only_after_its_edge_was_applied() {
        let mut tracker = ProblemTracker::with_grace(Duration::ZERO);
        let strict = |last: &str| {
            instance(
                InstanceState::Stopped,
                &[("Schedule", "strict"), (LAST_TAG, last)],
            )
        };
        let due = strict("2026-11-22T19:00:00Z start schedule strict pending");
        let texts = reported(&mut tracker, &observed_pass(&due, "12:00:00"));
        assert!(
            !texts.iter().any(|what| what.contains("contradicts")),
            "{texts:?}"
        );
        let applied = strict("2026-11-23T07:00:00Z start schedule strict");
        let texts = reported(&mut tracker, &observed_pass(&applied, "12:00:00"));
        assert_eq!(
            texts,
            ["found stopped, which contradicts the schedule strict"]
        );
    }

    #[test]
    fn a_refused_step_is_reported_once_however_often_it_is_retried() {
        let mut tracker = ProblemTracker::with_grace(Duration::ZERO);
        let waiting = instance(
            InstanceState::Stopped,
            &[
                ("Schedule", "office"),
                (LAST_TAG, "2026-11-20T20:00:00Z stop schedule office"),
                (
                    "curfew:retry",
                    "2026-11-23T08:00:00Z start 2x InsufficientInstanceCapacity first 2026-11-23T08:00:05Z next 2026-11-23T08:05:00Z",
                ),
            ],
        );
        let texts = reported(&mut tracker, &observed_pass(&waiting, "08:04:00"));
        assert!(
            texts.len() == 1 && texts[0].contains("InsufficientInstanceCapacity"),
            "{texts:?}"
        );
        let mut trying = waiting.clone();
        trying.state = InstanceState::Pending;
        assert_eq!(
            reported(&mut tracker, &observed_pass(&trying, "08:05:10")).len(),
            0
        );
        assert_eq!(
            reported(&mut tracker, &observed_pass(&waiting, "08:04:30")).len(),
            0,
            "it is the same"
        );
    }

    #[test]
    fn an_unreadable_override_is_reported() {
        let mut tracker = ProblemTracker::with_grace(Duration::ZERO);
        let broken = instance(
            InstanceState::Running,
            &[("Schedule", "office"), (OVERRIDE_TAG, "soon")],
        );
        let texts = reported(&mut tracker, &observed_pass(&broken, "12:00:00"));
        assert!(
            texts.len() == 1
                && texts[0].starts_with("skipped: the tag `curfew:override` is `soon`"),
            "{texts:?}"
        );
    }
}
