//! What a person has to mend about an instance. This is the only rule: the page, `status --problems` and all counts use it.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::assess::Assessment;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState};
use crate::request::LONGEST_OVERRIDE;
use crate::schedule_set::ScheduleSet;
use crate::skip::SkipCode;
use crate::state_tags::{OVERRIDE_TAG, REQUEST_TAG};
use crate::step::{Step, StepAction};
use crate::tag_problem::{TagMistake, TagMistakeCode, TagProblem};
use crate::timetable::Action;

/// A problem of one instance that does not resolve itself at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InstanceProblem {
    /// The kind of the problem, as a stable code.
    pub code: ProblemCode,
    /// The problem: one sentence.
    pub message: String,
    /// How to resolve it; null if it can only be awaited.
    pub hint: Option<String>,
    /// The key of the tag to correct; null if no tag is wrong.
    pub tag: Option<String>,
}

/// The kinds of problems of an instance, in the order in which they are listed: mistakes in tags first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// A tag with another key names the schedule, such as `schedule` for `Schedule`.
    WrongKey,
    /// The tag names a schedule that does not exist.
    UnknownSchedule,
    /// The tag is neither the name of a schedule nor a schedule.
    MalformedSchedule,
    /// Several schedules match.
    Ambiguous,
    /// The tag `curfew:override` can't be read.
    MalformedOverride,
    /// The tag `curfew:request` can't be read.
    MalformedRequest,
    /// There is no room for the tag that records an action.
    NoMemory,
    /// A stop would lose the root volume.
    InstanceStore,
    /// A one-time Spot instance can't be stopped.
    OneTimeSpot,
    /// It is unknown whether the Spot instance can be stopped.
    UnknownSpot,
    /// Curfew does not know the state.
    UnknownState,
    /// An action failed, and is tried again.
    Retrying,
    /// A start that EC2 accepted did not lead to a running instance.
    StartFailed,
    /// An action was missed by more than the catch-up limit, or given up.
    TooLate,
    /// An action is due for a while, and no pass has made it.
    Overdue,
    /// An override ends later than any request may ask for.
    EndlessOverride,
}

impl InstanceProblem {
    /// How long after its edge an action counts as overdue. A pass follows its trigger within seconds, and the heartbeat repeats a
    /// missed trigger after five minutes; a shorter time would report fleets that are being started.
    const OVERDUE: SignedDuration = SignedDuration::from_mins(10);

    /// Returns the problem of an instance at `now`, the most important one if there are several.
    pub fn of(
        instance: &Instance,
        assessment: &Assessment<'_>,
        schedule_set: &ScheduleSet,
        now: Timestamp,
    ) -> Option<Self> {
        if let Some(problem) = TagProblem::of_assessed(instance, assessment, schedule_set) {
            return Some(Self::of_tags(&problem, &schedule_set.tag));
        }
        match &assessment.decision {
            Decision::Skip(skip) => Self::of_skip(skip.reason.code(), &skip.detail, schedule_set),
            Decision::Step(step) => Self::of_step(step, instance, assessment, now),
        }
        .or_else(|| {
            let retry = assessment.retry.as_ref()?;
            let message = format!("its {} failed: {}", retry.action, retry.code);
            Some(Self::new(ProblemCode::Retrying, message))
        })
        .or_else(|| {
            let override_ = assessment.override_.as_ref()?;
            let left = override_.until.duration_since(now);
            (left > LONGEST_OVERRIDE + SignedDuration::from_mins(1)).then(|| {
                let message = format!(
                    "an override by {} is in force until {}",
                    override_.actor, override_.until
                );
                let hint = "end the override, or place one that ends within 31 days";
                Self::new(ProblemCode::EndlessOverride, message).hint(hint)
            })
        })
    }

    fn of_tags(problem: &TagProblem, key: &str) -> Self {
        let code = match problem.mistake.code() {
            TagMistakeCode::UnknownSchedule => ProblemCode::UnknownSchedule,
            TagMistakeCode::MalformedSchedule => ProblemCode::MalformedSchedule,
            TagMistakeCode::Ambiguous => ProblemCode::Ambiguous,
            TagMistakeCode::WrongKey => ProblemCode::WrongKey,
        };
        let hint = match (&problem.mistake, &problem.suggestion) {
            (TagMistake::Ambiguous { .. }, _) => format!("set the tag `{key}` to one of them"),
            (_, Some(value)) => format!("set the tag `{key}` to `{}`", value.escape_debug()),
            (TagMistake::UnknownSchedule { .. }, None) => {
                format!("correct the tag `{key}`, or add the schedule to the configuration")
            }
            (_, None) => format!("correct the tag `{key}`"),
        };
        let tag = match &problem.mistake {
            TagMistake::WrongKey { key, .. } => key,
            _ => key,
        };
        Self::new(code, problem.mistake.to_string())
            .hint(hint)
            .in_tag(tag)
    }

    /// Returns the problem for which an instance is skipped, with the sentence of the skip.
    fn of_skip(code: SkipCode, detail: &str, schedule_set: &ScheduleSet) -> Option<Self> {
        let opt_out = || format!("set the tag `{}` to `none`", schedule_set.tag);
        let problem = |code| Self::new(code, detail);
        Some(match code {
            SkipCode::MalformedOverride => problem(ProblemCode::MalformedOverride)
                .hint(format!("correct or remove the tag `{OVERRIDE_TAG}`"))
                .in_tag(OVERRIDE_TAG),
            SkipCode::MalformedRequest => problem(ProblemCode::MalformedRequest)
                .hint(format!("correct or remove the tag `{REQUEST_TAG}`"))
                .in_tag(REQUEST_TAG),
            SkipCode::TagLimitReached => {
                problem(ProblemCode::NoMemory).hint("remove a tag that is not needed")
            }
            SkipCode::InstanceStore => problem(ProblemCode::InstanceStore).hint(opt_out()),
            SkipCode::OneTimeSpot => problem(ProblemCode::OneTimeSpot).hint(opt_out()),
            SkipCode::UnknownSpot => problem(ProblemCode::UnknownSpot),
            SkipCode::UnknownState => problem(ProblemCode::UnknownState),
            SkipCode::WaitingToRetry => problem(ProblemCode::Retrying),
            SkipCode::TooLate => problem(ProblemCode::TooLate),
            SkipCode::UnknownSchedule
            | SkipCode::MalformedSchedule
            | SkipCode::Ambiguous
            | SkipCode::Unmanaged
            | SkipCode::OptedOut
            | SkipCode::Operator
            | SkipCode::EmrCluster
            | SkipCode::EksNodeGroup
            | SkipCode::Karpenter
            | SkipCode::Batch
            | SkipCode::ElasticBeanstalk
            | SkipCode::AutoScalingGroup
            | SkipCode::SpotFleet
            | SkipCode::Ec2Fleet
            | SkipCode::Transitioning
            | SkipCode::Terminated
            | SkipCode::OverrideIgnored
            | SkipCode::Overridden
            | SkipCode::AsDesired
            | SkipCode::ChangedByUser
            | SkipCode::NothingDue => return None,
        })
    }

    /// Returns the problem of a step that should have been made before `now`.
    fn of_step(
        step: &Step,
        instance: &Instance,
        assessment: &Assessment<'_>,
        now: Timestamp,
    ) -> Option<Self> {
        let last = assessment.last.as_ref();
        let pending = last.filter(|last| last.pending);
        if pending.is_some_and(|last| last.action == Action::Start)
            && instance.state == InstanceState::Stopped
        {
            let message = "its start was accepted, and it is stopped";
            return Some(Self::new(ProblemCode::StartFailed, message));
        }
        let edge = step.edge.filter(|_| step.action != StepAction::Record)?;
        // What was applied already and no longer holds is drift, which the next pass corrects.
        let is_applied = last.is_some_and(|last| !last.pending && last.at >= edge.at);
        let is_overdue = !is_applied && now.duration_since(edge.at) > Self::OVERDUE;
        is_overdue.then(|| {
            let message = format!("its {} of {} has not been made yet", edge.action, edge.at);
            let hint = "`curfew doctor` finds why no pass has made it";
            Self::new(ProblemCode::Overdue, message).hint(hint)
        })
    }

    fn new(code: ProblemCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            tag: None,
        }
    }

    fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    fn in_tag(mut self, key: &str) -> Self {
        self.tag = Some(key.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::assess;
    use crate::test_support;
    use crate::world::World;

    /// The problem of an instance that runs with these tags on a Monday.
    fn problem(state: InstanceState, tags: &[(&str, &str)], now: &str) -> String {
        let document = r#"{"schedules": {
            "office": {"timezone": "UTC", "running": "Mon-Fri 08:00-20:00"},
            "strict": {"timezone": "UTC", "running": "Mon-Fri 08:00-20:00", "enforce": true}
        }}"#;
        let schedule_set = test_support::schedule_set(document);
        let mut instance = test_support::instance("web");
        instance.state = state;
        for (key, value) in tags {
            instance.tags.insert((*key).into(), (*value).into());
        }
        let instances = [instance];
        let (world, now) = (
            World::without_request(&schedule_set, &instances),
            now.parse().unwrap(),
        );
        let assessment = assess(&instances[0], &world, now);
        match InstanceProblem::of(&instances[0], &assessment, &schedule_set, now) {
            None => "none".to_owned(),
            Some(problem) => serde_json::to_string(&problem).unwrap(),
        }
    }

    const RUNNING: InstanceState = InstanceState::Running;
    const STOPPED: InstanceState = InstanceState::Stopped;

    #[test]
    fn an_instance_that_follows_its_schedule_has_no_problem() {
        let last = ("curfew:last", "2026-11-23T08:00:00Z start schedule office");
        let office = ("Schedule", "office");
        let at_noon = "2026-11-23T12:00:00Z";
        assert_eq!(problem(RUNNING, &[office, last], at_noon), "none");
        // It is stopped by hand, opted out, or not managed at all.
        assert_eq!(problem(STOPPED, &[office, last], at_noon), "none");
        assert_eq!(problem(RUNNING, &[("Schedule", "none")], at_noon), "none");
        assert_eq!(problem(RUNNING, &[], at_noon), "none");
        // A tag of a terminated instance needs no correction.
        let ended = problem(InstanceState::Terminated, &[("Schedule", "?")], at_noon);
        assert_eq!(ended, "none");
    }

    #[test]
    fn mistakes_in_tags_name_the_tag_and_the_correction() {
        let mistake = |key, value| problem(RUNNING, &[(key, value)], "2026-11-23T12:00:00Z");
        insta::assert_snapshot!([
            mistake("schedule", "office"),
            mistake("Schedule", "ofice"),
            mistake("Schedule", "weekend"),
        ].join("\n"), @r#"
        {"code":"wrong_key","message":"the tag `schedule` has the value `office`, but only the tag `Schedule` counts","hint":"set the tag `Schedule` to `office`","tag":"schedule"}
        {"code":"unknown_schedule","message":"the tag `Schedule` names the schedule `ofice`, which does not exist: there is `office`, `strict`","hint":"set the tag `Schedule` to `office`","tag":"Schedule"}
        {"code":"unknown_schedule","message":"the tag `Schedule` names the schedule `weekend`, which does not exist: there is `office`, `strict`","hint":"correct the tag `Schedule`, or add the schedule to the configuration","tag":"Schedule"}
        "#);
        let with = |tag| {
            problem(
                RUNNING,
                &[("Schedule", "office"), tag],
                "2026-11-23T12:00:00Z",
            )
        };
        insta::assert_snapshot!([
            with(("curfew:override", "for ever")),
            with(("curfew:request", "now")),
        ].join("\n"), @r#"
        {"code":"malformed_override","message":"the tag `curfew:override` is `for ever`, which Curfew can't read; it should look like `running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by WHO`; correct or remove it","hint":"correct or remove the tag `curfew:override`","tag":"curfew:override"}
        {"code":"malformed_request","message":"the tag `curfew:request` is `now`, which Curfew can't read; it should look like `2026-11-23T20:15:00Z start by WHO`; correct or remove it, or send a new request","hint":"correct or remove the tag `curfew:request`","tag":"curfew:request"}
        "#);
    }

    #[test]
    fn an_action_is_overdue_ten_minutes_after_its_edge_unless_it_was_applied() {
        let last = ("curfew:last", "2026-11-23T08:00:00Z start schedule office");
        let office = ("Schedule", "office");
        let at = |now| problem(RUNNING, &[office, last], now);
        assert_eq!(at("2026-11-23T20:10:00Z"), "none");
        insta::assert_snapshot!(at("2026-11-23T20:10:01Z"), @r#"{"code":"overdue","message":"its stop of 2026-11-23T20:00:00Z has not been made yet","hint":"`curfew doctor` finds why no pass has made it","tag":null}"#);
        // An enforced schedule's stop was applied, and someone started the instance since: the next pass stops it.
        let last = ("curfew:last", "2026-11-23T20:00:00Z stop schedule strict");
        let strict = ("Schedule", "strict");
        let drifted = problem(RUNNING, &[strict, last], "2026-11-23T22:00:00Z");
        assert_eq!(drifted, "none");
    }

    #[test]
    fn failed_starts_and_overrides_without_end_are_problems() {
        let office = ("Schedule", "office");
        let now = "2026-11-23T08:02:00Z";
        let pending = (
            "curfew:last",
            "2026-11-23T08:00:00Z start schedule office pending",
        );
        let retry = (
            "curfew:retry",
            "2026-11-23T08:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T08:00:00Z next 2026-11-23T08:03:00Z",
        );
        let last = ("curfew:last", "2026-11-22T20:00:00Z stop schedule office");
        let endless = (
            "curfew:override",
            "running since 2026-11-23T08:00:00Z until 2030-01-01T00:00:00Z by alice",
        );
        insta::assert_snapshot!([
            problem(STOPPED, &[office, pending], now),
            problem(STOPPED, &[office, last, retry], now),
            problem(RUNNING, &[office, endless], now),
        ].join("\n"), @r#"
        {"code":"start_failed","message":"its start was accepted, and it is stopped","hint":null,"tag":null}
        {"code":"retrying","message":"its start failed once (InsufficientInstanceCapacity); the next attempt is at 2026-11-23T08:03:00Z","hint":null,"tag":null}
        {"code":"endless_override","message":"an override by alice is in force until 2030-01-01T00:00:00Z","hint":"end the override, or place one that ends within 31 days","tag":null}
        "#);
    }
}
