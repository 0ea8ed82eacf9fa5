//! The latest change of an instance's state, as far as the instance itself still tells. The journal knows more; nobody here asks it.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::assess::Assessment;
use crate::instance::Instance;
use crate::schedule::Enforcement;
use crate::state_tags::Cause;
use crate::timetable::Action;
use crate::transition::{direction, wants};

/// How an instance came to its present state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Latest {
    /// When: EC2's own word where it has a recent one, else the instant of the edge or request.
    pub at: Timestamp,
    /// Whether it was started or stopped.
    pub action: Action,
    /// Why; nothing where neither the tags nor EC2 tell it.
    pub cause: Option<Cause>,
}

/// A change that EC2 dates within this of an edge is that edge's. A pass follows its trigger within seconds, and a heartbeat
/// that catches it up within minutes; a longer time would take what a person did later for the schedule's doing.
const PROMPT: SignedDuration = SignedDuration::from_mins(15);

impl Latest {
    /// Of an instance as it was judged; nothing where it is going away, or nothing is known.
    ///
    /// A cause is claimed only for a change that came after it: a word that found nothing to do is remembered too, and has
    /// changed nothing. An edge may have been applied up to a minute early.
    pub fn of(instance: &Instance, assessment: &Assessment<'_>) -> Option<Self> {
        let action = direction(instance.state)?;
        let dated = match action {
            Action::Start => instance.launched_at,
            // A stop that EC2 dates before the latest start is an older one's reason, still on show.
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
            (Some(at), Some(last)) if at.duration_since(last.at) <= PROMPT => {
                (at, Some(last.cause.clone()))
            }
            (Some(at), Some(_)) => (at, standing_cause(assessment, action, at)),
            (Some(at), None) => {
                let cause = standing_cause(assessment, action, at);
                (at, cause.or(Some(Cause::External)))
            }
        };
        Some(Self { at, action, cause })
    }
}

/// What wanted this at every moment when it happened, and needs no new memory for it.
fn standing_cause(assessment: &Assessment<'_>, action: Action, at: Timestamp) -> Option<Cause> {
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
    use crate::example;
    use crate::instance::InstanceState;
    use crate::schedule_set::ScheduleSet;
    use crate::state_tags::{LAST_TAG, OVERRIDE_TAG};
    use crate::world::World;

    const NOW: &str = "2026-11-23T20:00:00Z";

    fn told(instance: &Instance) -> String {
        let schedule_set = ScheduleSet {
            tag: ScheduleSet::DEFAULT_TAG.to_owned(),
            schedules: BTreeMap::new(),
        };
        let instances = std::slice::from_ref(instance);
        let now = NOW.parse().unwrap();
        let assessment = assess(instance, &World::unasked(&schedule_set, instances), now);
        match Latest::of(instance, &assessment) {
            None => "nothing".to_owned(),
            Some(Latest { at, action, cause }) => {
                let cause = cause.map_or("nobody knows".to_owned(), |cause| cause.to_string());
                format!("{at} {action}: {cause}")
            }
        }
    }

    fn running(launched: &str, last: &str) -> Instance {
        let mut instance = example::instance("web");
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
    fn a_change_soon_after_an_edge_is_the_edges() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            told(&running("2026-11-23T07:00:05Z", start)),
            "2026-11-23T07:00:05Z start: schedule office"
        );
        let stop = "2026-11-23T19:00:00Z stop request by alice";
        assert_eq!(
            told(&stopped("2026-11-23 19:00:02 GMT", stop)),
            "2026-11-23T19:00:02Z stop: request by alice"
        );
    }

    #[test]
    fn a_change_long_after_an_edge_is_nobodys_for_certain() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            told(&running("2026-11-23T15:00:00Z", start)),
            "2026-11-23T15:00:00Z start: nobody knows"
        );
    }

    #[test]
    fn a_change_that_no_edge_asked_for_came_from_outside() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            told(&stopped("2026-11-23 16:00:00 GMT", start)),
            "2026-11-23T16:00:00Z stop: external"
        );
    }

    #[test]
    fn what_is_held_is_the_holds() {
        let start = "2026-11-23T07:00:00Z start schedule office";
        let mut instance = stopped("2026-11-23 16:00:00 GMT", start);
        let override_ = "stopped since 2026-11-23T15:59:58Z until 2026-11-23T22:00:00Z by bob";
        instance.tags.insert(OVERRIDE_TAG.into(), override_.into());
        assert_eq!(
            told(&instance),
            "2026-11-23T16:00:00Z stop: override by bob"
        );
    }

    #[test]
    fn without_ec2s_word_the_edge_dates_the_change() {
        let stop = "2026-11-23T19:00:00Z stop schedule office";
        let mut instance = stopped("", stop);
        instance.transition_reason = None;
        assert_eq!(
            told(&instance),
            "2026-11-23T19:00:00Z stop: schedule office"
        );
    }

    #[test]
    fn a_word_that_came_after_the_change_did_not_cause_it() {
        let last = "2026-11-23T18:56:00Z start override by alice";
        assert_eq!(
            told(&running("2026-11-23T18:52:00Z", last)),
            "2026-11-23T18:52:00Z start: nobody knows"
        );
        let mut instance = running(
            "2026-11-23T18:52:00Z",
            "2026-11-23T07:00:00Z start schedule office",
        );
        let override_ = "running since 2026-11-23T18:56:00Z until 2026-11-23T22:00:00Z by alice";
        instance.tags.insert(OVERRIDE_TAG.into(), override_.into());
        assert_eq!(told(&instance), "2026-11-23T18:52:00Z start: nobody knows");
        let request = "2026-11-23T18:52:01Z start request by alice";
        assert_eq!(
            told(&running("2026-11-23T18:52:00Z", request)),
            "2026-11-23T18:52:00Z start: nobody knows",
            "not by a second"
        );
        // LocalStack fires up to a minute early.
        let early = "2026-11-23T07:00:00Z start schedule office";
        assert_eq!(
            told(&running("2026-11-23T06:59:10Z", early)),
            "2026-11-23T06:59:10Z start: schedule office"
        );
    }

    #[test]
    fn nothing_is_made_up() {
        let mut instance = example::instance("web");
        instance.launched_at = None;
        assert_eq!(told(&instance), "nothing");
        instance.state = InstanceState::Terminated;
        assert_eq!(told(&instance), "nothing");
    }
}
