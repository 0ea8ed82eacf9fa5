//! What there is to tell of a look or a pass: problems, once each while they last, and overrides that come and go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use curfew_aws::execute::{Outcome, StepResult};
use curfew_aws::pass::Pass;
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
    patience: SignedDuration,
    known: BTreeMap<ProblemKey, OngoingProblem>,
}

type ProblemKey = (InstanceId, ProblemKind);

/// One instance has at most one problem of each sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ProblemKind {
    Missed,
    Failed,
    Unreadable,
    Contradicts,
}

#[derive(Debug)]
struct OngoingProblem {
    since: Timestamp,
    told: bool,
}

impl ProblemTracker {
    /// Reports drift that has lasted for `patience`: an override that was just placed, or drift that is corrected within
    /// seconds, is none.
    pub(crate) fn lasting(patience: Duration) -> Self {
        Self {
            patience: SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX),
            known: BTreeMap::new(),
        }
    }

    /// Whether a step mends a contradiction that the cloud has had all the patience for.
    pub(crate) fn has_outlasted(
        &self,
        step: &Step,
        pass: &Pass,
        schedule_set: &ScheduleSet,
    ) -> bool {
        let key = (step.instance.clone(), ProblemKind::Contradicts);
        let lasts = self.known.get(&key);
        let lasts = lasts.is_some_and(|problem| self.judged_at(problem) <= pass.at);
        let mut instances = pass.instances.iter();
        lasts
            && instances
                .find(|one| one.id == step.instance)
                .is_some_and(|instance| contradicts(instance, step, schedule_set))
    }

    /// When the next contradiction will have lasted for too long.
    pub(crate) fn next_outlasted(&self, now: Timestamp) -> Option<Timestamp> {
        let contradictions = self.known.iter();
        let contradictions =
            contradictions.filter(|((_, sort), _)| *sort == ProblemKind::Contradicts);
        let judged = contradictions.map(|(_, problem)| self.judged_at(problem));
        judged.filter(|at| *at > now).min()
    }

    fn judged_at(&self, problem: &OngoingProblem) -> Timestamp {
        let at = problem.since.checked_add(self.patience);
        at.unwrap_or(Timestamp::MAX)
    }

    /// Has another patience from now on.
    pub(crate) fn wait(&mut self, patience: Duration) {
        self.patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
    }

    /// What is new among the problems of one look or pass over everything; `late` are the steps that the cloud should have made.
    pub(crate) fn news(
        &mut self,
        pass: &Pass,
        late: &[Step],
        schedule_set: &ScheduleSet,
    ) -> Vec<Notification> {
        let now = pass.at;
        let by_id: HashMap<&InstanceId, &Instance> =
            pass.instances.iter().map(|one| (&one.id, one)).collect();
        let mut found: BTreeMap<ProblemKey, Notification> = BTreeMap::new();
        let mut add =
            |id: &InstanceId, sort, notification: &dyn Fn(&Instance) -> Option<Notification>| {
                if let Some((instance, notification)) = by_id
                    .get(id)
                    .and_then(|instance| Some((*instance, notification(instance)?)))
                {
                    let key = (id.clone(), sort);
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
            add(&step.instance, ProblemKind::Contradicts, &|instance| {
                contradicts(instance, step, schedule_set)
                    .then(|| Notification::contradicts(instance, step, now))
            });
        }
        for skip in &pass.plan.skipped {
            let sort = match skip.reason {
                SkipReason::MalformedOverride { .. }
                | SkipReason::MalformedRequest { .. }
                | SkipReason::MalformedSchedule { .. } => ProblemKind::Unreadable,
                SkipReason::WaitingToRetry { .. } => ProblemKind::Failed,
                _ => continue,
            };
            add(&skip.instance, sort, &|instance| {
                Some(Notification::left_alone(instance, skip, now))
            });
        }
        for Outcome { step, result, .. } in &pass.outcomes {
            if let StepResult::Failed(error) | StepResult::NotRemembered { error, .. } = result {
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

    /// A problem that is not found any more is over; of an instance in transition, that is not known yet.
    fn new_among(
        &mut self,
        found: BTreeMap<ProblemKey, Notification>,
        undecided: &BTreeSet<&InstanceId>,
        now: Timestamp,
    ) -> Vec<Notification> {
        self.known
            .retain(|key, _| found.contains_key(key) || undecided.contains(&key.0));
        let mut news = Vec::new();
        for (key, notification) in found {
            // Only a contradiction mends by itself; what was missed or failed has.
            let patience = match key.1 {
                ProblemKind::Contradicts => self.patience,
                ProblemKind::Missed | ProblemKind::Failed | ProblemKind::Unreadable => {
                    SignedDuration::ZERO
                }
            };
            let problem = self.known.entry(key).or_insert(OngoingProblem {
                since: now,
                told: false,
            });
            if !problem.told && now.duration_since(problem.since) >= patience {
                problem.told = true;
                news.push(notification);
            }
        }
        news
    }
}

/// Why a start that EC2 accepted has to be made again, if this step is one.
fn fell_back<'a>(instance: &Instance, step: &'a Step) -> Option<&'a str> {
    let last: LastApplied = instance.tags.get(LAST_TAG)?.parse().ok()?;
    let again = step.action == StepAction::Start
        && last.pending
        && step.edge.is_some_and(|edge| edge.at == last.at)
        // Where it did not come to nothing, a call that crossed it has undone it.
        && matches!(step.tag_changes.retry, RetryChange::Set(_));
    step.note.as_deref().filter(|_| again)
}

/// Whether a step corrects drift: a state against an override, or against an enforced schedule with an applied edge.
fn contradicts(instance: &Instance, step: &Step, schedule_set: &ScheduleSet) -> bool {
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

    fn look(instance: &Instance, now: &str) -> Pass {
        let instances = vec![instance.clone()];
        let schedule_set = schedule_set();
        let plan = plan(&World::unasked(&schedule_set, &instances), at(now));
        Pass {
            at: at(now),
            instances,
            begun: Vec::new(),
            next_page: None,
            plan,
            outcomes: Vec::new(),
        }
    }

    fn told(standing: &mut ProblemTracker, pass: &Pass) -> Vec<String> {
        let news = standing.news(pass, &[], &schedule_set());
        news.iter()
            .map(|notification| notification.what.clone())
            .collect()
    }

    #[test]
    fn a_contradiction_is_told_once_when_it_has_lasted() {
        let mut standing = ProblemTracker::lasting(Duration::from_mins(2));
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
        assert_eq!(told(&mut standing, &look(&held, "12:00:00")), nothing);
        assert_eq!(told(&mut standing, &look(&held, "12:01:00")), nothing);
        let said = ["found running, which contradicts the override by alice"];
        assert_eq!(told(&mut standing, &look(&held, "12:02:00")), said);
        assert_eq!(
            told(&mut standing, &look(&held, "12:03:00")),
            nothing,
            "once"
        );
        let mut mended = held.clone();
        mended.state = InstanceState::Stopped;
        assert_eq!(told(&mut standing, &look(&mended, "12:04:00")), nothing);
        assert_eq!(
            told(&mut standing, &look(&held, "12:05:00")),
            nothing,
            "it begins anew"
        );
        assert_eq!(told(&mut standing, &look(&held, "12:07:00")), said);
    }

    #[test]
    fn an_enforced_schedule_is_contradicted_only_once_its_edge_was_applied() {
        let mut standing = ProblemTracker::lasting(Duration::ZERO);
        let strict = |last: &str| {
            instance(
                InstanceState::Stopped,
                &[("Schedule", "strict"), (LAST_TAG, last)],
            )
        };
        let due = strict("2026-11-22T19:00:00Z start schedule strict pending");
        let said = told(&mut standing, &look(&due, "12:00:00"));
        assert!(
            !said.iter().any(|what| what.contains("contradicts")),
            "{said:?}"
        );
        let applied = strict("2026-11-23T07:00:00Z start schedule strict");
        let said = told(&mut standing, &look(&applied, "12:00:00"));
        assert_eq!(
            said,
            ["found stopped, which contradicts the schedule strict"]
        );
    }

    #[test]
    fn what_ec2_refuses_is_told_once_however_often_it_is_tried() {
        let mut standing = ProblemTracker::lasting(Duration::ZERO);
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
        let said = told(&mut standing, &look(&waiting, "08:04:00"));
        assert!(
            said.len() == 1 && said[0].contains("InsufficientInstanceCapacity"),
            "{said:?}"
        );
        let mut trying = waiting.clone();
        trying.state = InstanceState::Pending;
        assert_eq!(told(&mut standing, &look(&trying, "08:05:10")).len(), 0);
        assert_eq!(
            told(&mut standing, &look(&waiting, "08:04:30")).len(),
            0,
            "it is the same"
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let mut standing = ProblemTracker::lasting(Duration::ZERO);
        let broken = instance(
            InstanceState::Running,
            &[("Schedule", "office"), (OVERRIDE_TAG, "soon")],
        );
        let said = told(&mut standing, &look(&broken, "12:00:00"));
        assert!(
            said.len() == 1
                && said[0].starts_with("left alone: the tag `curfew:override` is `soon`"),
            "{said:?}"
        );
    }
}
