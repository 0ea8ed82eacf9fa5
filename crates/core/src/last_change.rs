//! The last state change of an instance, derived from EC2's fields and the state tags alone. The journal is not used.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::assess::Assessment;
use crate::instance::Instance;
use crate::schedule::Enforcement;
use crate::state_tags::Cause;
use crate::timetable::Action;
use crate::transition::{direction, wants};

/// The last state change of an instance, and its cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastChange {
    /// The instant of the change: EC2's date if EC2 has a recent one, else the instant of the edge or request.
    pub at: Timestamp,
    /// Whether it was started or stopped.
    pub action: Action,
    /// The cause, if the tags or EC2 determine it.
    pub cause: Option<Cause>,
}

/// A change within this time after an edge is attributed to the edge. A pass follows its trigger within seconds, and the
/// heartbeat catches up a missed edge within minutes; a longer time would attribute a person's later change to the schedule.
const ATTRIBUTION_LIMIT: SignedDuration = SignedDuration::from_mins(15);

impl LastChange {
    /// Derives the last change from an instance and its assessment. Returns `None` for an instance that is being terminated, and
    /// where neither EC2 nor the tags have a date.
    ///
    /// A cause is assigned only to a change after it, because an edge or request that required no action is recorded too. An edge
    /// may have been applied up to a minute early.
    pub fn of(instance: &Instance, assessment: &Assessment<'_>) -> Option<Self> {
        let action = direction(instance.state)?;
        let dated = match action {
            Action::Start => instance.launched_at,
            // EC2 keeps the reason of an older stop: ignore a date before the latest launch.
            Action::Stop => instance.user_stopped_at().filter(|stopped| {
                instance
                    .launched_at
                    .is_none_or(|launched| *stopped >= launched)
            }),
        };
        let last = assessment.last.as_ref();
        let last = last.filter(|last| last.action == action);
        let (at, cause) = match (dated, last) {
            (None, None) => return None,
            (None, Some(last)) => (last.at, Some(last.cause.clone())),
            (Some(at), Some(last)) if at < last.at && !last.may_explain(at) => (at, None),
            (Some(at), Some(last)) if at.duration_since(last.at) <= ATTRIBUTION_LIMIT => {
                (at, Some(last.cause.clone()))
            }
            (Some(at), Some(_)) => (at, cause_in_effect(assessment, action, at)),
            (Some(at), None) => {
                let cause = cause_in_effect(assessment, action, at);
                (at, cause.or(Some(Cause::External)))
            }
        };
        Some(Self { at, action, cause })
    }
}

/// Returns the cause that was in effect at `at` without a new record in the tags: an override, a request, or an enforced
/// schedule. Returns `None` if it does not want this action.
fn cause_in_effect(assessment: &Assessment<'_>, action: Action, at: Timestamp) -> Option<Cause> {
    if let Some(override_) = assessment
        .override_
        .as_ref()
        .filter(|override_| override_.since <= at)
    {
        return wants(override_.state.desired(), action)
            .then(|| Cause::Override(override_.actor.clone()));
    }
    if let Some(request) = assessment.request.as_ref().filter(|one| one.at <= at) {
        return (request.action == action).then(|| Cause::Request(request.actor.clone()));
    }
    let schedule = assessment.schedule.as_deref()?;
    let enforces = schedule.enforcement == Enforcement::Enforced
        && wants(schedule.timetable.desired(at), action);
    enforces.then(|| Cause::Schedule(schedule.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    use crate::assess::assess;
    use crate::instance::InstanceState;
    use crate::schedule_set::ScheduleSet;
    use crate::state_tags::{LAST_TAG, OVERRIDE_TAG};
    use crate::test_support;
    use crate::world::World;

    const NOW: &str = "2026-11-23T20:00:00Z";

    fn describe(instance: &Instance) -> String {
        let schedule_set = ScheduleSet {
            tag: ScheduleSet::DEFAULT_TAG.to_owned(),
            schedules: BTreeMap::new(),
        };
        let instances = std::slice::from_ref(instance);
        let now = NOW.parse().unwrap();
        let assessment = assess(
            instance,
            &World::without_request(&schedule_set, instances),
            now,
        );
        match LastChange::of(instance, &assessment) {
            None => "nothing".to_owned(),
            Some(LastChange { at, action, cause }) => {
                let cause = cause.map_or("unknown cause".to_owned(), |cause| cause.to_string());
                format!("{at} {action}: {cause}")
            }
        }
    }

    fn running(launched: &str, last: &str) -> Instance {
        let mut instance = test_support::instance("web");
        instance.launched_at = Some(launched.parse().unwrap());
        instance.tags.insert(LAST_TAG.into(), last.into());
        instance
    }

    fn stopped(reason: &str, last: &str) -> Instance {
        let mut instance = running("2026-11-23T07:00:05Z", last);
        instance.state = InstanceState::Stopped;
        instance.transition_reason = Some(format!("User initiated ({reason})"));
        instance
    }

    #[test]
    fn a_change_soon_after_an_edge_is_attributed_to_the_edge() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            describe(&running("2026-11-23T07:00:05Z", start)),
            "2026-11-23T07:00:05Z start: schedule office"
        );
        let stop = "2026-11-23T19:00:00Z stop request by alice";
        assert_eq!(
            describe(&stopped("2026-11-23 19:00:02 GMT", stop)),
            "2026-11-23T19:00:02Z stop: request by alice"
        );
    }

    #[test]
    fn a_change_long_after_an_edge_has_no_known_cause() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            describe(&running("2026-11-23T15:00:00Z", start)),
            "2026-11-23T15:00:00Z start: unknown cause"
        );
    }

    #[test]
    fn a_change_that_no_edge_caused_is_external() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            describe(&stopped("2026-11-23 16:00:00 GMT", start)),
            "2026-11-23T16:00:00Z stop: external"
        );
    }

    #[test]
    fn a_change_during_an_override_is_attributed_to_the_override() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        let mut instance = stopped("2026-11-23 16:00:00 GMT", start);
        let override_ = "stopped since 2026-11-23T15:59:58Z until 2026-11-23T22:00:00Z by bob";
        instance.tags.insert(OVERRIDE_TAG.into(), override_.into());
        assert_eq!(
            describe(&instance),
            "2026-11-23T16:00:00Z stop: override by bob"
        );
    }

    #[test]
    fn a_change_without_a_date_of_ec2_has_the_date_of_the_edge() {
        let stop = "2026-11-23T19:00:00Z stop schedule office";
        let mut instance = stopped("", stop);
        instance.transition_reason = None;
        assert_eq!(
            describe(&instance),
            "2026-11-23T19:00:00Z stop: schedule office"
        );
    }

    #[test]
    fn an_override_or_request_after_the_change_is_not_its_cause() {
        let last = "2026-11-23T18:56:00Z start override by alice";
        assert_eq!(
            describe(&running("2026-11-23T18:52:00Z", last)),
            "2026-11-23T18:52:00Z start: unknown cause"
        );
        let mut instance = running(
            "2026-11-23T18:52:00Z",
            "2026-11-23T07:00:00Z start schedule office",
        );
        let override_ = "running since 2026-11-23T18:56:00Z until 2026-11-23T22:00:00Z by alice";
        instance.tags.insert(OVERRIDE_TAG.into(), override_.into());
        assert_eq!(
            describe(&instance),
            "2026-11-23T18:52:00Z start: unknown cause"
        );
        let request = "2026-11-23T18:52:01Z start request by alice";
        assert_eq!(
            describe(&running("2026-11-23T18:52:00Z", request)),
            "2026-11-23T18:52:00Z start: unknown cause",
            "one second after the change"
        );
        // LocalStack fires up to a minute early.
        let early = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            describe(&running("2026-11-23T06:59:10Z", early)),
            "2026-11-23T06:59:10Z start: schedule office"
        );
    }

    #[test]
    fn without_a_date_there_is_no_last_change() {
        let mut instance = test_support::instance("web");
        instance.launched_at = None;
        assert_eq!(describe(&instance), "nothing");
        instance.state = InstanceState::Terminated;
        assert_eq!(describe(&instance), "nothing");
    }
}
