//! Single decisions at their bounds: one pass over one instance, with given tags, state and EC2 dates.

use curfew_core::instance::{InstanceState, InstanceState::*, StateReason};
use curfew_core::state_tags::{LAST_TAG, OVERRIDE_TAG, REQUEST_TAG, RETRY_TAG};
use curfew_core::step::RetryChange;
use curfew_core::timetable::Desired;

use crate::support::{CONFIGURATION, Cloud, StateDetails, note, outcome, paris, schedule_set};

/// One instance on Monday 23 November 2026, or another day; Paris is an hour ahead of the tags.
#[derive(Clone, Copy)]
struct Case<'a> {
    schedule: &'a str,
    state: InstanceState,
    /// EC2's launch time.
    launched: &'a str,
    /// The instant of a stop by a user, as EC2 reports it.
    stopped: Option<&'a str>,
    /// EC2's code for the latest stop, if it was not by a user.
    reason: Option<&'a str>,
    last: Option<&'a str>,
    request: Option<&'a str>,
    override_: Option<&'a str>,
    retry: Option<&'a str>,
}

const RUNNING: Case<'_> = Case {
    schedule: "office",
    state: Running,
    launched: "2026-11-20 12:00:00",
    stopped: None,
    reason: None,
    last: None,
    request: None,
    override_: None,
    retry: None,
};

const STOPPED: Case<'_> = Case {
    state: Stopped,
    ..RUNNING
};

impl Case<'_> {
    fn cloud(&self, now: &str) -> Cloud {
        let mut cloud = Cloud::new(
            schedule_set(CONFIGURATION),
            paris(now),
            StateDetails::Reported,
        );
        let web = cloud.add("web", self.state, &[("Schedule", self.schedule)]);
        let machine = cloud.machine(&web);
        for (key, value) in [
            (LAST_TAG, self.last),
            (REQUEST_TAG, self.request),
            (OVERRIDE_TAG, self.override_),
            (RETRY_TAG, self.retry),
        ] {
            if let Some(value) = value {
                machine.tag(key, value);
            }
        }
        machine.instance.launched_at = Some(
            format!("{}Z", self.launched.replace(' ', "T"))
                .parse()
                .unwrap(),
        );
        machine.instance.transition_reason = self
            .stopped
            .map(|stopped| format!("User initiated ({stopped} GMT)"));
        machine.instance.state_reason = self.reason.map(|code| StateReason {
            code: code.into(),
            message: "as EC2 says".into(),
        });
        cloud
    }

    /// The decision, and the `curfew:last` that it writes: `stop: schedule office [2026-11-23T19:00:00Z stop schedule office pending]`.
    fn at(&self, now: &str) -> String {
        let plan = self.cloud(now).planned();
        let last = plan
            .steps
            .first()
            .and_then(|step| step.tag_changes.last.as_ref());
        match last {
            Some(last) => format!("{} [{last}]", outcome(&plan)),
            None => outcome(&plan),
        }
    }

    /// The action, and the change to `curfew:retry`.
    fn retry_at(&self, now: &str) -> String {
        let plan = self.cloud(now).planned();
        let Some(step) = plan.steps.first() else {
            return outcome(&plan);
        };
        let retry = match &step.tag_changes.retry {
            RetryChange::Keep => "keeps it".to_owned(),
            RetryChange::Clear => "clears it".to_owned(),
            RetryChange::Set(retry) => retry.to_string(),
        };
        format!("{}: {retry}", step.action)
    }

    fn note_at(&self, now: &str) -> String {
        note(&self.cloud(now).planned()).to_owned()
    }
}

#[test]
fn a_pending_directive_without_its_source_is_applied() {
    let recorded = Case {
        last: Some("2026-11-23T19:30:00Z stop request by alice pending"),
        ..RUNNING
    };
    assert_eq!(recorded.at("2026-11-23 21:00"), "stop: request by alice");
    let done = Case {
        last: Some("2026-11-23T19:30:00Z stop request by alice"),
        ..RUNNING
    };
    assert_eq!(done.at("2026-11-23 21:00"), "manual_override");
    // The end of an older override does not clear it if the schedule has no desired state.
    let after_an_override = Case {
        schedule: "night-stop",
        last: Some("2026-11-23T14:00:01Z stop request by alice pending"),
        override_: Some("running since 2026-11-23T10:00:00Z until 2026-11-23T14:00:00Z by bob"),
        ..RUNNING
    };
    assert_eq!(
        after_an_override.at("2026-11-23 16:00"),
        "stop: request by alice"
    );
}

#[test]
fn an_enforced_schedule_applies_its_edge_although_the_last_tag_is_newer() {
    let newer = Case {
        schedule: "strict",
        last: Some("2026-11-23T19:30:00Z start request by alice"),
        ..RUNNING
    };
    assert_eq!(newer.at("2026-11-23 21:00"), "stop: schedule strict");
}

#[test]
fn a_request_is_in_force_only_on_an_enforced_schedule() {
    for (schedule, stands) in [("strict", true), ("office", false)] {
        let request = Case {
            schedule,
            last: Some("2026-11-23T19:30:00Z start request by alice"),
            request: Some("2026-11-23T19:30:00Z start by alice"),
            ..RUNNING
        };
        let cloud = request.cloud("2026-11-23 21:00");
        let web = cloud.machines.keys().next().unwrap();
        let seen = cloud.assess(web);
        assert_eq!(seen.request.is_some(), stands, "{schedule}");
        let desired = if stands {
            Desired::Running
        } else {
            Desired::Stopped
        };
        assert_eq!(seen.desired, desired, "{schedule}");
    }
}

#[test]
fn a_directive_settles_15_seconds_after_its_instant_and_its_state() {
    let stopped = Case {
        last: Some("2026-11-23T19:00:00Z stop schedule office pending"),
        stopped: Some("2026-11-23 18:00:00"),
        ..STOPPED
    };
    let done = "record: schedule office [2026-11-23T19:00:00Z stop schedule office]";
    assert_eq!(stopped.at("2026-11-23 20:00:14"), "as_desired");
    assert_eq!(stopped.at("2026-11-23 20:00:15"), done);
    let later = Case {
        stopped: Some("2026-11-23 19:00:10"),
        ..stopped
    };
    assert_eq!(later.at("2026-11-23 20:00:24"), "as_desired");
    assert_eq!(later.at("2026-11-23 20:00:25"), done);

    let started = Case {
        last: Some("2026-11-23T07:00:00Z start schedule office pending"),
        launched: "2026-11-23 07:00:10",
        ..RUNNING
    };
    assert_eq!(started.at("2026-11-23 08:00:24"), "as_desired");
    assert_eq!(
        started.at("2026-11-23 08:00:25"),
        "record: schedule office [2026-11-23T07:00:00Z start schedule office]"
    );
}

#[test]
fn an_override_end_without_an_action_settles_at_once() {
    let over = Case {
        schedule: "night-stop",
        last: Some("2026-11-23T10:00:00Z start override by alice"),
        override_: Some("running since 2026-11-23T10:00:00Z until 2026-11-23T14:00:00Z by alice"),
        ..RUNNING
    };
    assert_eq!(
        over.at("2026-11-23 15:00:05"),
        "record: schedule night-stop [2026-11-23T14:00:00Z start schedule night-stop]"
    );
}

#[test]
fn only_the_same_directive_is_a_repeat() {
    let superseded = Case {
        last: Some("2026-11-23T07:00:00Z start schedule office pending"),
        ..RUNNING
    };
    assert_eq!(
        superseded.at("2026-11-23 20:00:05"),
        "stop: schedule office [2026-11-23T19:00:00Z stop schedule office pending]"
    );
    assert_eq!(superseded.note_at("2026-11-23 20:00:05"), "");
    let held_to = Case {
        schedule: "strict",
        last: Some("2026-11-23T19:00:00Z stop schedule strict"),
        ..RUNNING
    };
    assert_eq!(held_to.at("2026-11-23 21:00"), "stop: schedule strict");
    assert_eq!(held_to.note_at("2026-11-23 21:00"), "");
    let again = Case {
        last: Some("2026-11-23T19:00:00Z stop schedule office pending"),
        ..RUNNING
    };
    assert_eq!(again.at("2026-11-23 20:00:30"), "stop: schedule office");
    assert_eq!(
        again.note_at("2026-11-23 20:00:30"),
        "an earlier stop was undone by a call that crossed it"
    );
}

#[test]
fn a_user_change_counts_from_15_seconds_after_the_directive() {
    let start = "start: schedule office [2026-11-23T07:00:00Z start schedule office pending]";
    let record = "record: schedule office [2026-11-23T07:00:00Z start schedule office]";
    for (stopped, expected) in [
        ("2026-11-23 07:00:15", start),
        ("2026-11-23 07:00:16", record),
    ] {
        let case = Case {
            stopped: Some(stopped),
            last: Some("2026-11-20T19:00:00Z stop schedule office"),
            ..STOPPED
        };
        assert_eq!(case.at("2026-11-23 09:00"), expected, "{stopped}");
    }
    let stop = "stop: schedule office [2026-11-23T19:00:00Z stop schedule office pending]";
    let record = "record: schedule office [2026-11-23T19:00:00Z stop schedule office]";
    for (launched, expected) in [
        ("2026-11-23 19:00:15", stop),
        ("2026-11-23 19:00:16", record),
    ] {
        let case = Case {
            launched,
            last: Some("2026-11-23T07:00:00Z start schedule office"),
            ..RUNNING
        };
        assert_eq!(case.at("2026-11-23 21:00"), expected, "{launched}");
    }
}

#[test]
fn a_user_change_after_an_unobserved_request_does_not_count() {
    let request = Case {
        last: Some("2026-11-23T19:00:00Z stop schedule office"),
        request: Some("2026-11-23T19:30:00Z start by alice"),
        stopped: Some("2026-11-23 19:40:00"),
        ..STOPPED
    };
    assert_eq!(
        request.at("2026-11-23 21:00"),
        "start: request by alice [2026-11-23T19:30:00Z start request by alice pending]"
    );
    // It counts once the request was applied and its state was not observed yet.
    let applied = Case {
        last: Some("2026-11-23T19:30:00Z start request by alice pending"),
        ..request
    };
    assert_eq!(
        applied.at("2026-11-23 21:00"),
        "record: request by alice [2026-11-23T19:30:00Z start request by alice]"
    );
}

#[test]
fn an_os_shutdown_after_curfews_start_counts_as_started() {
    let inside = Case {
        last: Some("2026-11-23T07:00:00Z start schedule office pending"),
        launched: "2026-11-23 07:00:05",
        reason: Some(StateReason::SHUT_DOWN_FROM_INSIDE),
        ..STOPPED
    };
    let did_run = "record: schedule office [2026-11-23T07:00:00Z start schedule office]";
    let again = "start: schedule office";
    assert_eq!(inside.at("2026-11-23 09:00"), did_run);
    for (launched, expected) in [
        ("2026-11-23 06:59:00", did_run),
        ("2026-11-23 06:58:59", again),
    ] {
        let case = Case { launched, ..inside };
        assert_eq!(case.at("2026-11-23 09:00"), expected, "{launched}");
    }
    let failed = Case {
        reason: Some("Server.InternalError"),
        ..inside
    };
    assert_eq!(failed.at("2026-11-23 09:00"), again);
    // An edge that no pass applied did not start it.
    let missed = Case {
        last: Some("2026-11-20T19:00:00Z stop schedule office"),
        ..inside
    };
    assert_eq!(
        missed.at("2026-11-23 09:00"),
        "start: schedule office [2026-11-23T07:00:00Z start schedule office pending]"
    );
}

#[test]
fn only_instances_never_acted_on_converge() {
    let eager = Case {
        schedule: "eager",
        stopped: Some("2026-11-23 08:00:00"),
        ..STOPPED
    };
    let start = "start: schedule eager [2026-11-23T07:00:00Z start schedule eager pending]";
    assert_eq!(eager.at("2026-11-23 12:00"), start, "first sight");
    let adopted = Case {
        last: Some("2026-11-23T06:59:59Z stop adopted"),
        ..eager
    };
    assert_eq!(adopted.at("2026-11-23 12:00"), start);
    let applied = Case {
        last: Some("2026-11-23T07:00:00Z start schedule eager"),
        ..eager
    };
    assert_eq!(applied.at("2026-11-23 12:00"), "manual_override");
    let unreadable = Case {
        last: Some("soon"),
        ..eager
    };
    assert_eq!(
        unreadable.at("2026-11-23 12:00"),
        "record: adopted [2026-11-23T07:00:00Z start adopted]"
    );
}

#[test]
fn convergence_makes_no_old_request_due() {
    // Early on Monday the newest edge is Friday's, and the request Saturday's.
    let request = Case {
        schedule: "eager",
        last: Some("2026-11-20T18:59:59Z start adopted"),
        request: Some("2026-11-21T10:00:00Z start by alice"),
        ..STOPPED
    };
    assert_eq!(request.at("2026-11-23 06:00"), "too_late");
    let without_request = Case {
        request: None,
        state: Running,
        ..request
    };
    assert_eq!(
        without_request.at("2026-11-23 06:00"),
        "stop: schedule eager [2026-11-20T19:00:00Z stop schedule eager pending]"
    );
}

#[test]
fn at_adoption_an_edge_of_the_last_minute_is_due_if_after_the_launch() {
    let stop = "stop: schedule office [2026-11-23T19:00:00Z stop schedule office pending]";
    let past = "record: adopted [2026-11-23T19:00:00Z stop adopted]";
    for (launched, now, expected) in [
        ("2026-11-23 18:59:59", "2026-11-23 20:01:00", stop),
        ("2026-11-23 18:59:59", "2026-11-23 20:01:01", past),
        ("2026-11-23 19:00:00", "2026-11-23 20:00:30", past),
        ("2026-11-23 19:00:01", "2026-11-23 20:00:30", past),
    ] {
        let case = Case {
            launched,
            ..RUNNING
        };
        assert_eq!(case.at(now), expected, "{launched}, {now}");
    }
}

#[test]
fn an_edge_at_the_start_of_an_override_is_not_due_at_its_end() {
    for (since, expected) in [
        (
            "2026-11-23T19:00:00Z",
            "record: schedule night-stop [2026-11-23T21:00:00Z start schedule night-stop]",
        ),
        (
            "2026-11-23T18:59:59Z",
            "stop: schedule night-stop [2026-11-23T21:00:00Z stop schedule night-stop pending]",
        ),
    ] {
        let last = format!("{since} start override by alice");
        let override_ = format!("running since {since} until 2026-11-23T21:00:00Z by alice");
        let over = Case {
            schedule: "night-stop",
            last: Some(&last),
            override_: Some(&override_),
            ..RUNNING
        };
        assert_eq!(over.at("2026-11-23 22:00:30"), expected, "{since}");
    }
}

#[test]
fn only_a_newer_request_ends_an_override() {
    let override_ = "running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by alice";
    for (request, expected) in [
        ("2026-11-23T17:59:59Z stop by bob", "overridden"),
        ("2026-11-23T18:00:00Z stop by bob", "overridden"),
        (
            "2026-11-23T18:00:01Z stop by bob",
            "stop: schedule office [2026-11-23T19:00:00Z stop schedule office pending]",
        ),
    ] {
        let case = Case {
            last: Some("2026-11-23T18:00:00Z start override by alice"),
            override_: Some(override_),
            request: Some(request),
            ..RUNNING
        };
        assert_eq!(case.at("2026-11-23 21:00"), expected, "{request}");
    }
}

#[test]
fn an_instance_of_another_tool_is_acted_on_only_for_an_open_request() {
    let decided = |schedule: &str, last: &str, request: &str| {
        let case = Case {
            schedule,
            last: Some(last),
            request: Some(request),
            ..RUNNING
        };
        let mut cloud = case.cloud("2026-11-23 19:45");
        let web = cloud.machines.keys().next().unwrap().clone();
        cloud
            .machine(&web)
            .tag("aws:autoscaling:groupName", "workers");
        outcome(&cloud.planned())
    };
    let request = "2026-11-23T18:30:00Z stop by alice";
    for (last, expected) in [
        (
            "2026-11-23T07:00:00Z start schedule office",
            "stop: request by alice",
        ),
        (
            "2026-11-23T18:30:00Z stop request by alice pending",
            "stop: request by alice",
        ),
        (
            "2026-11-23T18:30:00Z stop request by alice",
            "auto_scaling_group",
        ),
        (
            "2026-11-23T18:30:01Z stop schedule office pending",
            "auto_scaling_group",
        ),
    ] {
        assert_eq!(decided("office", last, request), expected, "{last}");
    }
    // An enforced schedule applies a request at every pass, except where the group may have undone it.
    let done = "2026-11-23T18:30:00Z stop request by alice";
    assert_eq!(decided("strict", done, request), "auto_scaling_group");
}

#[test]
fn fifty_tags_without_those_of_aws_leave_no_room_for_a_state_tag() {
    let decided = |own: usize, aws: usize, last: Option<&str>| {
        let case = Case { last, ..RUNNING };
        let mut cloud = case.cloud("2026-11-23 20:00:30");
        let web = cloud.machines.keys().next().unwrap().clone();
        let machine = cloud.machine(&web);
        let present = machine.instance.tags.len();
        for number in present..own {
            machine.tag(&format!("t{number}"), "x");
        }
        for number in 0..aws {
            machine.tag(&format!("aws:t{number}"), "x");
        }
        outcome(&cloud.planned())
    };
    let known = Some("2026-11-23T07:00:00Z start schedule office");
    assert_eq!(decided(49, 5, None), "stop: schedule office");
    assert_eq!(decided(50, 0, None), "no_memory");
    assert_eq!(decided(51, 0, None), "no_memory");
    assert_eq!(decided(50, 0, known), "stop: schedule office");
}

#[test]
fn a_next_attempt_is_accepted_up_to_the_longest_wait_and_clock_difference() {
    for (next, expected) in [
        ("2026-11-23T12:30:00Z", "waiting_to_retry"),
        (
            "2026-11-23T12:30:01Z",
            "start: schedule office [2026-11-23T07:00:00Z start schedule office pending]",
        ),
    ] {
        let retry =
            format!("2026-11-23T07:00:00Z start 1x Code first 2026-11-23T07:00:00Z next {next}");
        let case = Case {
            last: Some("2026-11-20T19:00:00Z stop schedule office"),
            retry: Some(&retry),
            ..STOPPED
        };
        assert_eq!(case.at("2026-11-23 12:00"), expected, "{next}");
    }
}

#[test]
fn attempts_are_counted_if_an_accepted_call_may_fail() {
    let stop =
        "2026-11-23T19:00:00Z stop 1x Code first 2026-11-23T19:00:00Z next 2026-11-23T19:01:00Z";
    let refused = Case {
        last: Some("2026-11-23T07:00:00Z start schedule office"),
        retry: Some(stop),
        ..RUNNING
    };
    assert_eq!(refused.retry_at("2026-11-23 20:00:59"), "waiting_to_retry");
    assert_eq!(
        refused.retry_at("2026-11-23 20:01:00"),
        "stop: clears it",
        "a stop that is accepted is done"
    );
    let undone = Case {
        last: Some("2026-11-23T19:00:00Z stop schedule office pending"),
        ..refused
    };
    assert_eq!(
        undone.retry_at("2026-11-23 20:02"),
        "stop: 2026-11-23T19:00:00Z stop 2x Code first 2026-11-23T19:00:00Z next 2026-11-23T19:04:00Z"
    );
    let undone_once = Case {
        retry: None,
        ..undone
    };
    assert_eq!(undone_once.retry_at("2026-11-23 20:02"), "stop: keeps it");

    let start =
        "2026-11-23T07:00:00Z start 1x Code first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z";
    let start = Case {
        last: Some("2026-11-20T19:00:00Z stop schedule office"),
        retry: Some(start),
        ..STOPPED
    };
    assert_eq!(
        start.retry_at("2026-11-23 08:02"),
        "start: 2026-11-23T07:00:00Z start 2x Code first 2026-11-23T07:00:00Z next 2026-11-23T07:04:00Z"
    );
}

#[test]
fn an_early_attempt_is_kept_for_the_minute_before_its_edge() {
    let stop =
        "2026-11-23T19:00:00Z stop 1x Code first 2026-11-23T18:59:30Z next 2026-11-23T19:00:30Z";
    let early = Case {
        last: Some("2026-11-23T07:00:00Z start schedule office"),
        retry: Some(stop),
        ..RUNNING
    };
    assert_eq!(early.retry_at("2026-11-23 19:58:59"), "record: clears it");
    assert_eq!(early.retry_at("2026-11-23 19:59:00"), "as_desired");
    let done = Case {
        last: Some("2026-11-23T19:00:00Z stop schedule office"),
        ..early
    };
    let done = Case {
        state: Stopped,
        ..done
    };
    assert_eq!(done.retry_at("2026-11-23 20:00:00"), "record: clears it");
}

#[test]
fn stale_attempts_are_cleared_with_the_cause_in_force() {
    let stale =
        "2026-11-20T19:00:00Z stop 1x Code first 2026-11-20T19:00:00Z next 2026-11-20T19:01:00Z";
    let held = Case {
        last: Some("2026-11-23T10:00:00Z start override by alice"),
        override_: Some("running since 2026-11-23T10:00:00Z until 2026-11-23T22:00:00Z by alice"),
        retry: Some(stale),
        ..RUNNING
    };
    assert_eq!(held.at("2026-11-23 12:00"), "record: override by alice");
    assert_eq!(held.retry_at("2026-11-23 12:00"), "record: clears it");
    let scheduled = Case {
        override_: None,
        ..held
    };
    assert_eq!(scheduled.at("2026-11-23 12:00"), "record: schedule office");
}

#[test]
fn a_directive_without_an_edge_is_dated_by_its_first_attempt() {
    let configuration = r#"
        [schedules.party]
        timezone = "Europe/Paris"
        running = "18:00-23:00"
        only = ["2027-03-01"]
        enforce = true
    "#;
    let dated = |edge: &str, action: &str| {
        let mut cloud = Cloud::new(
            schedule_set(configuration),
            paris("2026-11-23 12:00"),
            StateDetails::Reported,
        );
        let web = cloud.add("web", Running, &[("Schedule", "party")]);
        let retry = format!("{edge} {action} 1x Code first {edge} next 2026-11-23T10:01:00Z");
        cloud.machine(&web).tag(RETRY_TAG, &retry);
        let plan = cloud.planned();
        plan.steps[0]
            .tag_changes
            .last
            .as_ref()
            .unwrap()
            .at
            .to_string()
    };
    let now = "2026-11-23T11:00:00Z";
    let earlier = "2026-11-23T10:00:00Z";
    assert_eq!(dated(earlier, "stop"), earlier);
    assert_eq!(dated(earlier, "start"), now);
    assert_eq!(dated("2026-11-23T11:00:01Z", "stop"), now);
}

#[test]
fn of_two_requests_in_one_second_the_one_in_the_tag_is_applied_while_the_other_is_pending() {
    let both = Case {
        last: Some("2026-11-23T19:30:00Z stop request by alice pending"),
        request: Some("2026-11-23T19:30:00Z start by bob"),
        ..STOPPED
    };
    assert_eq!(both.at("2026-11-23 20:31"), "start: request by bob");
    let reached = Case {
        state: Running,
        ..both
    };
    assert_eq!(
        reached.at("2026-11-23 20:31"),
        "record: request by bob [2026-11-23T19:30:00Z start request by bob]"
    );
}
