//! Tests of transitions between two observations, and of events with and without an observation.

use std::collections::BTreeMap;

use super::*;
use crate::schedule::Enforcement;
use crate::state_tags::OVERRIDE_TAG;
use crate::test_support;

const NOW: &str = "2026-11-23T19:00:10Z";

fn no_schedules() -> ScheduleSet {
    ScheduleSet {
        tag: "Schedule".into(),
        schedules: BTreeMap::new(),
    }
}

/// This schedule alone, of 08:00 to 20:00 in Paris.
fn managed_by(name: &str, enforcement: Enforcement) -> ScheduleSet {
    let timetable = crate::timetable::Timetable::parse_inline("08:00-20:00 Europe/Paris");
    let mut schedule = crate::schedule::Schedule::new(name.parse().unwrap(), timetable.unwrap());
    schedule.enforcement = enforcement;
    ScheduleSet {
        schedules: BTreeMap::from([(schedule.name.clone(), schedule)]),
        ..no_schedules()
    }
}

fn running_with(last: &str) -> KnownState {
    let mut instance = test_support::instance("web");
    instance.tags.insert(LAST_TAG.into(), last.into());
    KnownState::of(&instance, None)
}

fn stopped_with(last: &str) -> Instance {
    let mut instance = test_support::instance("web");
    instance.state = InstanceState::Stopped;
    instance.tags.insert(LAST_TAG.into(), last.into());
    instance
}

fn observed(before: &KnownState, after: &Instance) -> Transition {
    transition(before, after, &no_schedules(), NOW.parse().unwrap()).unwrap()
}

#[test]
fn no_change_is_no_transition() {
    let instance = test_support::instance("web");
    assert_eq!(
        transition(
            &KnownState::of(&instance, None),
            &instance,
            &no_schedules(),
            NOW.parse().unwrap()
        ),
        None
    );
}

#[test]
fn a_record_of_adoption_explains_no_change_and_the_edge_after_it_does() {
    let adopted = "2026-11-23T18:59:59Z stop adopted";
    let mut before = running_with(adopted);
    for last in [Some(adopted.to_owned()), None] {
        before.last = last;
        let change = observed(&before, &stopped_with(adopted));
        assert_eq!((change.cause, change.edge), (Cause::External, None));

        let applied = stopped_with("2026-11-23T19:00:00Z stop schedule office");
        let found = observed(&before, &applied);
        assert_eq!(found.cause.to_string(), "schedule office");
    }
}

#[test]
fn a_new_last_tag_names_the_cause_and_the_edge() {
    let before = running_with("2026-11-23T07:00:00Z start schedule office");
    let found = observed(
        &before,
        &stopped_with("2026-11-23T19:00:00Z stop schedule office"),
    );
    assert_eq!(found.cause.to_string(), "schedule office");
    assert_eq!(found.edge, Some("2026-11-23T19:00:00Z".parse().unwrap()));
    assert_eq!(
        found.at,
        NOW.parse().unwrap(),
        "an emulator reports no instant: that of the observation is used"
    );
}

#[test]
fn an_old_last_tag_explains_nothing() {
    let last = "2026-11-22T19:00:00Z stop schedule office";
    assert_eq!(
        observed(&running_with(last), &stopped_with(last)).cause,
        Cause::External
    );
}

#[test]
fn a_retried_start_has_the_cause_of_its_edge() {
    let last = "2026-11-23T18:30:00Z start schedule office pending";
    let before = KnownState::of(&stopped_with(last), None);
    let mut after = stopped_with(last);
    after.state = InstanceState::Pending;
    let found = observed(&before, &after);
    assert_eq!(found.cause.to_string(), "schedule office");
    assert_eq!(found.edge, Some("2026-11-23T18:30:00Z".parse().unwrap()));

    let settled = "2026-11-23T18:30:00Z start schedule office";
    after.tags.insert(LAST_TAG.into(), settled.into());
    let before = KnownState::of(&stopped_with(settled), None);
    assert_eq!(
        observed(&before, &after).cause,
        Cause::External,
        "after it was observed running, another start is external"
    );
}

#[test]
fn an_enforced_schedule_explains_its_desired_state_without_a_new_last_tag() {
    let last = "2026-11-22T19:00:00Z stop schedule strict";
    let schedule_set = managed_by("strict", Enforcement::Enforced);
    let mut before = running_with(last);
    let mut after = stopped_with(last);
    after.tags.insert("Schedule".into(), "strict".into());
    let seen_at = |before: &KnownState, after: &Instance, now: &str| {
        let found = transition(before, after, &schedule_set, now.parse().unwrap());
        found.unwrap().cause.to_string()
    };
    assert_eq!(
        seen_at(&before, &after, "2026-11-23T19:00:10Z"),
        "schedule strict"
    );
    assert_eq!(
        seen_at(&before, &after, "2026-11-23T12:00:00Z"),
        "external",
        "it wants it running then"
    );
    before.state = InstanceState::Stopped;
    after.state = InstanceState::Pending;
    assert_eq!(
        seen_at(&before, &after, "2026-11-23T12:00:00Z"),
        "schedule strict"
    );
}

#[test]
fn a_start_that_falls_back_is_not_a_stop_by_the_schedule() {
    let last = "2026-11-23T19:00:00Z start schedule office pending";
    let mut pending = stopped_with(last);
    pending.state = InstanceState::Pending;
    let before = KnownState::of(&pending, Some("schedule office".parse().unwrap()));
    assert_eq!(
        observed(&before, &stopped_with(last)).cause,
        Cause::External
    );
}

#[test]
fn a_stop_dated_before_the_edge_is_not_caused_by_it() {
    let before = running_with("2026-11-23T07:00:00Z start schedule office");
    let mut after = stopped_with("2026-11-23T19:00:00Z stop schedule office");
    after.transition_reason = Some("User initiated (2026-11-23 18:40:00 GMT)".into());
    let found = observed(&before, &after);
    assert_eq!(found.cause, Cause::External);
    assert_eq!(found.at, "2026-11-23T18:40:00Z".parse().unwrap());
}

#[test]
fn a_completed_transition_has_the_cause_of_its_start() {
    let last = "2026-11-23T19:00:00Z stop schedule office";
    let mut stopping = stopped_with(last);
    stopping.state = InstanceState::Stopping;
    let before = KnownState::of(&stopping, Some("request by alice".parse().unwrap()));
    assert_eq!(
        observed(&before, &stopped_with(last)).cause.to_string(),
        "request by alice"
    );
}

#[test]
fn an_override_in_force_explains_its_desired_state() {
    let last = "2026-11-23T07:00:00Z start schedule office";
    let mut after = stopped_with(last);
    after.tags.insert(
        OVERRIDE_TAG.into(),
        "stopped since 2026-11-23T12:00:00Z until 2026-11-23T22:00:00Z by bob".into(),
    );
    assert_eq!(
        observed(&running_with(last), &after).cause.to_string(),
        "override by bob"
    );
    after.tags.insert(
        OVERRIDE_TAG.into(),
        "stopped since 2026-11-23T12:00:00Z until 2026-11-23T18:00:00Z by bob".into(),
    );
    assert_eq!(
        observed(&running_with(last), &after).cause,
        Cause::External,
        "that override is over"
    );
}

#[test]
fn an_event_dates_the_transition_and_the_tag_explains_it() {
    let before = running_with("2026-11-23T07:00:00Z start schedule office");
    let after = stopped_with("2026-11-23T19:00:00Z stop schedule office");
    let at = "2026-11-23T19:00:01Z".parse().unwrap();
    let to = InstanceState::Stopping;
    let observed = transition_from_event(&after.id, &before, to, at, Some(&after), &no_schedules());
    assert_eq!((observed.to, observed.at), (to, at));
    assert_eq!(observed.cause.to_string(), "schedule office");
    assert_eq!(observed.source, TransitionSource::Event);
    let unobserved = transition_from_event(&after.id, &before, to, at, None, &no_schedules());
    assert_eq!(
        unobserved.cause,
        Cause::External,
        "the cause is unknown without an observation"
    );
    assert_eq!(
        with_current_cause(unobserved, &before, &after, &no_schedules())
            .cause
            .to_string(),
        "schedule office"
    );
}

#[test]
fn an_edge_explains_a_transition_whose_last_tag_was_overwritten() {
    let schedule_set = managed_by("office", Enforcement::OncePerEdge);
    let before = running_with("2026-11-20T07:00:00Z start schedule office");
    let mut after = stopped_with("2026-11-23T07:00:00Z start schedule office");
    after.tags.insert("Schedule".into(), "office".into());
    let cause_at = |at: &str| {
        let to = InstanceState::Stopping;
        let at = at.parse().unwrap();
        transition_from_event(&after.id, &before, to, at, Some(&after), &schedule_set).cause
    };
    assert_eq!(
        cause_at("2026-11-20T19:00:02Z").to_string(),
        "schedule office"
    );
    assert_eq!(
        cause_at("2026-11-20T19:15:00Z").to_string(),
        "schedule office"
    );
    assert_eq!(cause_at("2026-11-20T19:15:01Z"), Cause::External);
    assert_eq!(
        cause_at("2026-11-20T07:01:00Z"),
        Cause::External,
        "that edge is a start"
    );

    // A `curfew:last` of the same instant has overwritten nothing.
    let request = "2026-11-23T19:00:02Z start request by alice";
    after.tags.insert(LAST_TAG.into(), request.into());
    let at = "2026-11-23T19:00:02Z".parse().unwrap();
    let stopping = transition_from_event(
        &after.id,
        &before,
        InstanceState::Stopping,
        at,
        Some(&after),
        &schedule_set,
    );
    assert_eq!(stopping.cause, Cause::External);
}

#[test]
fn ec2s_reason_is_recorded_for_external_changes_only() {
    let last = "2026-11-22T19:00:00Z stop schedule office";
    let mut after = stopped_with(last);
    after.state_reason = Some(crate::instance::StateReason {
        code: "Server.SpotInstanceShutdown".into(),
        message: "Spot capacity is gone".into(),
    });
    let by = |after: &Instance| observed(&running_with(last), after).actor;
    assert_eq!(by(&after).as_deref(), Some("Server.SpotInstanceShutdown"));
    let ours = "2026-11-23T19:00:00Z stop schedule office";
    after.tags.insert(LAST_TAG.into(), ours.into());
    assert_eq!(by(&after), None);
}

#[test]
fn a_cause_applies_only_to_later_changes() {
    // Launched at 18:52, an override at 18:56, and first observed running after that.
    let override_ = "running since 2026-11-23T18:56:00Z until 2026-11-23T22:00:00Z by alice";
    let mut launched = test_support::instance("web");
    launched.launched_at = Some("2026-11-23T18:52:00Z".parse().unwrap());
    let mut before = KnownState::of(&launched, None);
    before.state = InstanceState::Pending;
    launched.tags.insert(OVERRIDE_TAG.into(), override_.into());
    let found = observed(&before, &launched);
    assert_eq!(
        (found.cause, found.at),
        (Cause::External, launched.launched_at.unwrap())
    );
    let recorded = "2026-11-23T18:56:00Z start override by alice";
    launched.tags.insert(LAST_TAG.into(), recorded.into());
    assert_eq!(observed(&before, &launched).cause, Cause::External);

    // Stopped at 18:40 in the console, and then a stop requested with nothing to do, before the next observation.
    let earlier = "2026-11-23T07:00:00Z start schedule office";
    let mut after = stopped_with("2026-11-23T18:40:30Z stop request by alice");
    after.transition_reason = Some("User initiated (2026-11-23 18:40:00 GMT)".into());
    assert_eq!(
        observed(&running_with(earlier), &after).cause,
        Cause::External
    );
}

#[test]
fn a_request_in_force_on_an_enforced_schedule_explains_its_action() {
    let schedule_set = managed_by("strict", Enforcement::Enforced);
    let last = "2026-11-23T10:00:00Z stop request by alice";
    let mut after = stopped_with(last);
    after.tags.insert("Schedule".into(), "strict".into());
    let request = "2026-11-23T10:00:00Z stop by alice";
    after
        .tags
        .insert(crate::state_tags::REQUEST_TAG.into(), request.into());
    let cause_at = |now: &str| {
        let found = transition(
            &running_with(last),
            &after,
            &schedule_set,
            now.parse().unwrap(),
        );
        found.unwrap().cause.to_string()
    };
    assert_eq!(cause_at("2026-11-23T12:00:00Z"), "request by alice");
    assert_eq!(cause_at("2026-11-23T09:00:00Z"), "external", "before it");
    assert_eq!(
        cause_at("2026-11-23T19:30:00Z"),
        "schedule strict",
        "its edge has come"
    );

    let mut asked_for = |request: &str| {
        after
            .tags
            .insert(crate::state_tags::REQUEST_TAG.into(), request.into());
        let now = "2026-11-23T19:30:00Z".parse().unwrap();
        let found = transition(&running_with(last), &after, &schedule_set, now);
        found.unwrap().cause.to_string()
    };
    assert_eq!(
        asked_for("2026-11-23T18:59:59Z stop by alice"),
        "schedule strict"
    );
    assert_eq!(
        asked_for("2026-11-23T19:00:00Z stop by alice"),
        "request by alice",
        "at one instant a request is newer than an edge"
    );
    assert_eq!(
        asked_for("2026-11-23T19:00:01Z start by alice"),
        "external",
        "neither the request nor the schedule behind it stopped it"
    );
}

/// The last known state of a running instance, and the instance as observed after EC2 reported its stop: by then it has another name and
/// type, a schedule manages it, and it is starting again.
fn renamed_since() -> (KnownState, Instance, ScheduleSet) {
    let mut before = running_with("2026-11-23T07:00:00Z start schedule office");
    before.name = Some("old".into());
    before.instance_type = Some("t3.nano".into());
    before.schedule = Some("day".parse().unwrap());
    let schedule_set = managed_by("office", Enforcement::OncePerEdge);
    let mut after = stopped_with("2026-11-23T19:00:00Z stop schedule office");
    after.state = InstanceState::Pending;
    after.instance_type = "t3.large".into();
    after.tags.insert("Schedule".into(), "office".into());
    after.state_reason = Some(crate::instance::StateReason {
        code: "Server.InternalError".into(),
        message: "a host failed".into(),
    });
    (before, after, schedule_set)
}

#[test]
fn an_event_without_an_observation_uses_the_last_known_facts() {
    let (mut before, after, schedule_set) = renamed_since();
    let at: Timestamp = "2026-11-23T19:00:01Z".parse().unwrap();
    let expected = Transition {
        kind: ResourceKind::Instance,
        instance: after.id.clone(),
        name: Some("old".into()),
        from: InstanceState::Running,
        to: InstanceState::Stopping,
        at,
        cause: Cause::External,
        schedule: Some("day".parse().unwrap()),
        region: after.region.clone(),
        account: after.account.clone(),
        edge: None,
        source: TransitionSource::Event,
        actor: None,
        instance_type: Some("t3.nano".into()),
    };
    let of = |before: &KnownState, to| {
        transition_from_event(&after.id, before, to, at, None, &schedule_set)
    };
    assert_eq!(of(&before, InstanceState::Stopping), expected);

    // The cause of a change that is under way is that of its end as well, and of nothing else.
    let cause: Cause = "request by alice".parse().unwrap();
    before.cause = Some(cause.clone());
    assert_eq!(of(&before, InstanceState::Stopping).cause, Cause::External);
    before.state = InstanceState::Stopping;
    assert_eq!(
        of(&before, InstanceState::Stopped),
        Transition {
            from: InstanceState::Stopping,
            to: InstanceState::Stopped,
            cause,
            ..expected
        }
    );
}

#[test]
fn an_event_with_an_observation_uses_the_current_facts() {
    let (before, mut after, schedule_set) = renamed_since();
    let at: Timestamp = "2026-11-23T19:00:01Z".parse().unwrap();
    let to = InstanceState::Stopping;
    let expected = Transition {
        kind: ResourceKind::Instance,
        instance: after.id.clone(),
        name: Some("web".into()),
        from: InstanceState::Running,
        to,
        at,
        cause: "schedule office".parse().unwrap(),
        schedule: Some("office".parse().unwrap()),
        region: after.region.clone(),
        account: after.account.clone(),
        edge: Some("2026-11-23T19:00:00Z".parse().unwrap()),
        source: TransitionSource::Event,
        actor: None,
        instance_type: Some("t3.large".into()),
    };
    assert_eq!(
        transition_from_event(&after.id, &before, to, at, Some(&after), &schedule_set),
        expected
    );
    assert_eq!(
        inferred(&after.id, &before, to, at, &after, &schedule_set),
        Transition {
            source: TransitionSource::Inferred,
            ..expected.clone()
        }
    );

    // External transitions have `by`: from the event itself, else from EC2's reason, which an inferred transition does not have.
    after.tags.remove(LAST_TAG);
    let external = Transition {
        cause: Cause::External,
        edge: None,
        actor: Some("Server.InternalError".into()),
        ..expected
    };
    assert_eq!(
        transition_from_event(&after.id, &before, to, at, Some(&after), &schedule_set),
        external
    );
    let principal = Some("arn:aws:iam::123456789012:user/bob".to_owned());
    let named = Transition {
        actor: principal.clone(),
        ..external.clone()
    };
    assert_eq!(
        with_current_cause(named, &before, &after, &schedule_set).actor,
        principal
    );
    assert_eq!(
        inferred(&after.id, &before, to, at, &after, &schedule_set),
        Transition {
            source: TransitionSource::Inferred,
            actor: None,
            ..external
        }
    );
}

/// The cause of a stop, if `curfew:last` was `before` and the instance has these tags when it is observed stopped at [`NOW`].
fn stopped_by(before: &str, tags: &[(&str, &str)]) -> String {
    let mut after = stopped_with(before);
    for (key, value) in tags {
        after.tags.insert((*key).into(), (*value).into());
    }
    observed(&running_with(before), &after).cause.to_string()
}

#[test]
fn a_last_tag_is_new_if_its_instant_or_action_is() {
    let last = "2026-11-23T19:00:00Z stop request by bob";
    for (before, cause) in [
        (
            "2026-11-22T19:00:00Z stop request by alice",
            "request by bob",
        ),
        (
            "2026-11-23T19:00:00Z start request by alice",
            "request by bob",
        ),
        (
            "2026-11-23T19:00:00Z stop request by bob pending",
            "request by bob",
        ),
        ("2026-11-23T19:00:00Z stop request by bob", "external"),
        ("unreadable", "request by bob"),
    ] {
        assert_eq!(stopped_by(before, &[(LAST_TAG, last)]), cause, "{before}");
    }
    let other = "2026-11-23T19:00:00Z start request by bob";
    assert_eq!(
        stopped_by(last, &[(LAST_TAG, other)]),
        "external",
        "a `curfew:last` of a start explains no stop"
    );
}

#[test]
fn an_override_explains_its_state_from_its_start_until_a_newer_request() {
    let before = "2026-11-23T07:00:00Z start schedule office";
    let by_override = |override_: &str, request: &str| {
        let tags = [
            (OVERRIDE_TAG, override_),
            (crate::state_tags::REQUEST_TAG, request),
        ];
        stopped_by(before, &tags)
    };
    let override_ = "stopped since 2026-11-23T12:00:00Z until 2026-11-23T22:00:00Z by bob";
    for (request, cause) in [
        ("2026-11-23T11:59:59Z start by alice", "override by bob"),
        ("2026-11-23T12:00:00Z start by alice", "override by bob"),
        ("2026-11-23T12:00:01Z start by alice", "external"),
        // A request that is yet to come has ended nothing.
        ("2026-11-23T19:00:11Z start by alice", "override by bob"),
        ("2026-11-23T19:00:10Z start by alice", "external"),
    ] {
        assert_eq!(by_override(override_, request), cause, "{request}");
    }
    let since = |since: &str| {
        by_override(
            &format!("stopped since {since} until 2026-11-23T22:00:00Z by bob"),
            "",
        )
    };
    assert_eq!(since("2026-11-23T19:00:10Z"), "override by bob");
    assert_eq!(since("2026-11-23T19:00:11Z"), "external");
    for state in ["running", "ignored"] {
        let override_ =
            format!("{state} since 2026-11-23T12:00:00Z until 2026-11-23T22:00:00Z by bob");
        assert_eq!(by_override(&override_, ""), "external", "{state}");
    }
}

#[test]
fn ec2s_dates_apply_only_to_their_own_change() {
    let launch: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
    let later: Timestamp = "2026-11-23T18:30:00Z".parse().unwrap();
    let now: Timestamp = NOW.parse().unwrap();

    let started =
        |from: InstanceState, known: Option<Timestamp>, cause: Option<Cause>, launched| {
            let mut after = test_support::instance("web");
            after.launched_at = Some(launched);
            let before = KnownState {
                state: from,
                launched_at: known,
                ..KnownState::of(&after, cause)
            };
            observed(&before, &after).at
        };
    let cause: Cause = "request by alice".parse().unwrap();
    let (pending, stopped) = (InstanceState::Pending, InstanceState::Stopped);
    assert_eq!(started(stopped, Some(launch), None, later), later);
    assert_eq!(
        started(stopped, Some(launch), None, launch),
        now,
        "an emulator's"
    );
    assert_eq!(started(stopped, Some(later), None, launch), now);
    assert_eq!(started(stopped, None, None, launch), now);
    assert_eq!(
        started(pending, Some(launch), None, launch),
        launch,
        "a launch"
    );
    assert_eq!(started(pending, Some(later), None, launch), now);
    assert_eq!(started(pending, Some(launch), Some(cause), launch), now);

    let stopped_at = |from: InstanceState, launched: Option<Timestamp>| {
        let mut after = stopped_with("");
        after.launched_at = launched;
        after.transition_reason = Some("User initiated (2026-11-23 18:30:00 GMT)".into());
        let before = KnownState {
            state: from,
            ..KnownState::of(&after, None)
        };
        observed(&before, &after).at
    };
    let second = jiff::SignedDuration::from_secs(1);
    assert_eq!(stopped_at(InstanceState::Running, Some(launch)), later);
    assert_eq!(stopped_at(InstanceState::Running, None), later);
    assert_eq!(stopped_at(InstanceState::Running, Some(later)), later);
    assert_eq!(
        stopped_at(InstanceState::Running, Some(later + second)),
        now
    );
    assert_eq!(stopped_at(InstanceState::Stopping, Some(launch)), now);
}

#[test]
fn a_transition_in_progress_completes_in_one_direction() {
    let cause: Cause = "request by alice".parse().unwrap();
    for (from, to, goes_on) in [
        (InstanceState::Pending, InstanceState::Running, true),
        (InstanceState::Pending, InstanceState::Stopped, false),
        (InstanceState::Stopping, InstanceState::Stopped, true),
        (InstanceState::Stopping, InstanceState::Running, false),
        (InstanceState::Running, InstanceState::Stopped, false),
        (InstanceState::Stopped, InstanceState::Running, false),
        (InstanceState::Stopping, InstanceState::Terminated, false),
    ] {
        let mut after = test_support::instance("web");
        after.state = to;
        let before = KnownState {
            state: from,
            ..KnownState::of(&after, Some(cause.clone()))
        };
        let expected = if goes_on { &cause } else { &Cause::External };
        assert_eq!(
            &observed(&before, &after).cause,
            expected,
            "{from:?} → {to:?}"
        );
    }
}

#[test]
fn an_unlisted_instance_was_terminated_with_the_last_known_facts() {
    let (before, after, _) = renamed_since();
    let now: Timestamp = NOW.parse().unwrap();
    assert_eq!(
        disappearance(&after.id, &before, now),
        Transition {
            kind: ResourceKind::Instance,
            instance: after.id.clone(),
            name: Some("old".into()),
            from: InstanceState::Running,
            to: InstanceState::Terminated,
            at: now,
            cause: Cause::External,
            schedule: None,
            region: after.region.clone(),
            account: after.account.clone(),
            edge: None,
            source: TransitionSource::Poll,
            actor: None,
            instance_type: Some("t3.nano".into()),
        }
    );
}

#[test]
fn the_text_of_a_source_parses_to_the_same_value() {
    for (source, word) in [
        (TransitionSource::Event, "event"),
        (TransitionSource::Poll, "poll"),
        (TransitionSource::Inferred, "inferred"),
    ] {
        assert_eq!(source.to_string(), word);
        assert_eq!(word.parse::<TransitionSource>().unwrap(), source);
    }
    let unknown = "rumour".parse::<TransitionSource>().unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "`rumour` is not a source of transitions"
    );
}
