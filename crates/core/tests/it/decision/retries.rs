//! Retries: a refused action is retried with growing waits, reported meanwhile, and cleared when it is no longer due.

use curfew_core::instance::InstanceState::*;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::state_tags::{OVERRIDE_TAG, RETRY_TAG};
use jiff::SignedDuration;

use crate::support::{
    CONFIGURATION, Cloud, SETTLING, StateDetails, detail, note, outcome, paris, scenario,
    scenario_on,
};

const TYPE: &str = "t3.micro";

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// Runs a pass every minute, and returns the minutes with an attempt.
fn attempts_within(cloud: &mut Cloud, span: i64) -> Vec<i64> {
    let mut tries = Vec::new();
    for minute in 0..span {
        if !cloud.pass().steps.is_empty() {
            tries.push(minute);
        }
        cloud.wait(minutes(1));
    }
    tries
}

#[test]
fn a_start_without_capacity_is_recorded_and_retried() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 08:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T07:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z"
        );
        assert!(
            cloud.last(&web).ends_with(" adopted"),
            "the edge is still due"
        );
        let plan = cloud.wait(SignedDuration::from_secs(30)).pass();
        assert_eq!(outcome(&plan), "waiting_to_retry");
        assert_eq!(
            detail(&plan),
            "its start failed once (InsufficientInstanceCapacity); \
             the next attempt is at 2026-11-23T07:01:00Z"
        );
        assert_eq!(
            plan.next.map(|next| next.at),
            Some(paris("2026-11-23 08:01")),
            "the next attempt is due then"
        );

        cloud.full.clear();
        cloud.until("2026-11-23 08:01");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.retry(&web), "", "it was a success");
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(cloud.calls.len(), 1);
    });
}

#[test]
fn attempts_back_off_until_the_catch_up_limit() {
    let configuration = r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        catch_up = "2h"
    "#;
    scenario(configuration, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 08:00");
        assert_eq!(attempts_within(cloud, 121), [0, 1, 3, 8, 18, 38, 68, 98]);
        assert!(cloud.retry(&web).contains(" 8x "), "{}", cloud.retry(&web));
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "too_late");
        assert_eq!(
            detail(&plan),
            "its start of 2026-11-23T07:00:00Z is given up, after 8x InsufficientInstanceCapacity"
        );
        assert!(cloud.calls.is_empty());
        // The next edge clears the retry.
        cloud.until("2026-11-23 20:00").pass();
        assert_eq!(cloud.retry(&web), "");
    });
}

#[test]
fn an_instance_with_a_broken_volume_is_not_started_every_minute() {
    for state_details in [StateDetails::Reported, StateDetails::Missing] {
        scenario_on(state_details, CONFIGURATION, "2026-11-23 07:30", |cloud| {
            let web = cloud.stopped("office");
            cloud.until("2026-11-23 08:00");
            let mut starts = Vec::new();
            for second in (0..7200).step_by(61) {
                cloud.machine(&web).next_start_falls_back();
                if !cloud.pass().steps.is_empty() {
                    starts.push(second / 60);
                }
                cloud.wait(SETTLING);
            }
            assert_eq!(starts, [0, 1, 2, 4, 9, 19, 39, 70, 100]);
            let plan = cloud.planned();
            assert_eq!(outcome(&plan), "waiting_to_retry");
            let why = match state_details {
                StateDetails::Reported => {
                    "Client error on launch: the key of its volume is disabled"
                }
                StateDetails::Missing => "Unexplained",
            };
            assert!(detail(&plan).contains(why), "{}", detail(&plan));
        });
    }
}

#[test]
fn a_newer_edge_supersedes_a_refused_action() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 19:59").pass();
        assert!(cloud.retry(&web).contains("start 1x"));
        cloud.until("2026-11-23 20:00:10");
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.retry(&web), "");
        cloud.full.clear();
        cloud.until("2026-11-24 08:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office", "afresh");
    });
}

#[test]
fn an_action_whose_state_was_reached_outside_curfew_is_not_retried() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 08:00").pass();
        cloud.start_by_hand(&web).wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.retry(&web), "");
        cloud.full.clear();
        cloud.stop_by_hand(&web).wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Stopped);
        assert!(cloud.calls.is_empty());
    });
}

#[test]
fn a_refused_stop_is_retried_after_a_wait() {
    scenario(CONFIGURATION, "2026-11-23 19:30", |cloud| {
        let web = cloud.running("office");
        cloud.protected.insert(web.clone());
        cloud.until("2026-11-23 20:00");
        assert_eq!(attempts_within(cloud, 10), [0, 1, 3, 8]);
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T19:00:00Z stop 4x OperationNotPermitted first 2026-11-23T19:00:00Z next 2026-11-23T19:18:00Z"
        );
        cloud.protected.clear();
        assert_eq!(
            outcome(&cloud.request_stop(&web)),
            "stop: request by alice",
            "a request does not wait"
        );
        assert_eq!(cloud.retry(&web), "");
    });
}

#[test]
fn a_refused_requested_stop_is_retried() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.protected.insert(web.clone());
        cloud.request_stop(&web);
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T11:00:00Z stop 1x OperationNotPermitted first 2026-11-23T11:00:00Z next 2026-11-23T11:01:00Z"
        );
        cloud.protected.clear();
        assert_eq!(outcome(&cloud.pass()), "waiting_to_retry");
        assert_eq!(
            outcome(&cloud.wait(SETTLING).pass()),
            "stop: request by alice"
        );
    });
}

#[test]
fn a_requested_start_without_capacity_stays_due_like_any_edge() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.machine(&web).tag(
            RETRY_TAG,
            "2026-11-23T07:00:00Z start 9x Code first 2026-11-23T07:00:00Z next 2026-11-23T20:20:00Z",
        );
        cloud.full.insert(TYPE.into());
        cloud.request_start(&web);
        assert_eq!(
            (cloud.request(&web), cloud.retry(&web)),
            (
                "2026-11-23T20:00:00Z start by alice",
                "2026-11-23T20:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T20:00:00Z next 2026-11-23T20:01:00Z"
            )
        );
        assert_eq!(outcome(&cloud.pass()), "waiting_to_retry");
        cloud.full.clear();
        assert_eq!(
            outcome(&cloud.wait(minutes(1)).pass()),
            "start: request by alice"
        );
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(cloud.retry(&web), "");
    });
}

#[test]
fn an_override_without_capacity_waits_and_a_new_request_does_not() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.pass();
        cloud.full.insert(TYPE.into());
        let hours = |hours| {
            RequestKind::Start(RequestDuration::Until(
                paris("2026-11-23 21:00") + SignedDuration::from_hours(hours),
            ))
        };
        cloud.pass_with_request(&web, hours(2));
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T20:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T20:00:00Z next 2026-11-23T20:01:00Z",
            "the override's beginning tells for what it is"
        );
        assert_eq!(outcome(&cloud.pass()), "waiting_to_retry");
        assert_eq!(attempts_within(cloud, 10), [1, 3, 8]);
        cloud.pass_with_request(&web, hours(3));
        assert!(
            cloud
                .retry(&web)
                .starts_with("2026-11-23T20:10:00Z start 1x")
        );
        cloud.full.clear();
        assert_eq!(
            outcome(&cloud.wait(minutes(1)).pass()),
            "start: override by alice"
        );
        let plan = cloud.wait(SETTLING).pass();
        assert_eq!(outcome(&plan), "record: override by alice");
        assert_eq!(cloud.retry(&web), "");
        assert_eq!(outcome(&cloud.pass()), "overridden");
    });
}

#[test]
fn an_override_does_not_start_an_instance_with_a_broken_volume_every_minute() {
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 21:00",
        |cloud| {
            let web = cloud.stopped("office");
            cloud.machine(&web).tag(
                OVERRIDE_TAG,
                "running since 2026-11-23T19:59:00Z until 2026-11-24T00:00:00Z by alice",
            );
            let mut starts = 0;
            for _ in 0..60 {
                cloud.machine(&web).next_start_falls_back();
                starts += cloud.pass().steps.len();
                cloud.wait(SETTLING);
            }
            assert_eq!(starts, 7);
            cloud.pass_with_request(&web, RequestKind::Resume);
        },
    );
}

#[test]
fn the_end_of_an_override_stays_due_while_ec2_refuses_it() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        let override_ = "stopped since 2026-11-23T10:00:00Z until 2026-11-23T12:00:00Z by alice";
        cloud.machine(&web).tag(OVERRIDE_TAG, override_);
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 13:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
        assert_eq!(outcome(&cloud.pass()), "waiting_to_retry");
        cloud.full.clear();
        assert_eq!(
            outcome(&cloud.wait(minutes(1)).pass()),
            "start: schedule office"
        );
        assert_eq!(cloud.override_(&web), override_);
    });
}

#[test]
fn a_resumed_override_stays_ended_while_ec2_refuses_the_next_action() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        let override_ = "stopped since 2026-11-23T10:00:00Z until 2026-11-24T12:00:00Z by bob";
        cloud.machine(&web).tag(OVERRIDE_TAG, override_);
        cloud.full.insert(TYPE.into());
        assert_eq!(
            outcome(&cloud.pass_with_request(&web, RequestKind::Resume)),
            "start: request by alice"
        );
        assert_eq!(outcome(&cloud.pass()), "waiting_to_retry");
        cloud.full.clear();
        assert_eq!(
            outcome(&cloud.wait(minutes(1)).pass()),
            "start: request by alice"
        );
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn an_enforced_schedule_waits_between_attempts_with_or_without_an_edge() {
    let endless = r#"
        [schedules.strict]
        timezone = "Europe/Paris"
        running = "00:00-24:00"
        enforce = true
    "#;
    for configuration in [CONFIGURATION, endless] {
        scenario(configuration, "2026-11-23 12:00", |cloud| {
            cloud.stopped("strict");
            cloud.full.insert(TYPE.into());
            assert_eq!(attempts_within(cloud, 20), [0, 1, 3, 8, 18]);
        });
    }
}

#[test]
fn a_refused_early_attempt_is_kept_until_its_edge() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 07:59:05").triggered_for("office");
        let retry = "2026-11-23T07:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z";
        assert_eq!(cloud.retry(&web), retry);
        cloud.until("2026-11-23 07:59:30").pass();
        assert_eq!(cloud.retry(&web), retry);
        assert_eq!(
            outcome(&cloud.until("2026-11-23 08:00:30").pass()),
            "waiting_to_retry"
        );
    });
}

#[test]
fn an_invalid_retry_tag_is_removed() {
    for (text, problem) in [
        (
            "later",
            "the tag `curfew:retry` is `later`, which Curfew can't read; it should look like",
        ),
        (
            "2026-11-23T07:00:00Z start 1x Code first 2026-11-23T07:00:00Z next 2027-11-23T07:01:00Z",
            "the tag `curfew:retry` names a next try at 2027-11-23T07:01:00Z, later than any",
        ),
        (
            "2026-11-23T07:00:00Z start 1x Code first 2026-11-23T07:00:00Z next 2026-11-23T11:30:00Z",
            "its start that EC2 refused (Code) is no longer due",
        ),
    ] {
        scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
            let web = cloud.running("office");
            cloud.machine(&web).tag(RETRY_TAG, text);
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "record: schedule office");
            assert!(note(&plan).starts_with(problem), "{}", note(&plan));
            assert_eq!(cloud.retry(&web), "");
            assert_eq!(outcome(&cloud.pass()), "as_desired");
        });
    }
}

#[test]
fn an_ignored_instance_keeps_its_retry_tag() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag(RETRY_TAG, "later");
        cloud.machine(&web).tag(
            OVERRIDE_TAG,
            "ignored since 2026-11-23T10:00:00Z until 2026-11-23T12:00:00Z by alice",
        );
        assert_eq!(outcome(&cloud.pass()), "override_ignored");
        assert_eq!(cloud.retry(&web), "later");
        cloud.until("2026-11-23 14:00").pass();
    });
}
