//! What EC2 refuses is tried again with patience, said so meanwhile, and forgotten when it is no longer due.

use curfew_core::instance::InstanceState::*;
use curfew_core::memory::{OVERRIDE_TAG, RETRY_TAG};
use curfew_core::request::{Ask, Lasting};
use jiff::SignedDuration;

use crate::support::{
    CONFIGURATION, Cloud, Evidence, SETTLING, detail, note, paris, said, scenario, scenario_on,
};

const TYPE: &str = "t3.micro";

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// What the passes of the next minutes say, one a minute: the minutes at which something was tried.
fn tries_within(cloud: &mut Cloud, span: i64) -> Vec<i64> {
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
fn a_start_without_capacity_is_remembered_and_tried_again() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 08:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T07:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z"
        );
        assert!(
            cloud.last(&web).ends_with(" adopted"),
            "the edge is still due"
        );
        let plan = cloud.wait(SignedDuration::from_secs(30)).pass();
        assert_eq!(said(&plan), "waiting_to_retry");
        assert_eq!(
            detail(&plan),
            "its start was tried once and came to nothing (InsufficientInstanceCapacity); \
             it is tried again at 2026-11-23T07:01:00Z"
        );
        assert_eq!(
            plan.next_edge,
            Some(paris("2026-11-23 08:01")),
            "that is when to look again"
        );

        cloud.full.clear();
        cloud.until("2026-11-23 08:01");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.retry(&web), "", "it was a success");
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(cloud.calls.len(), 1);
    });
}

#[test]
fn tries_come_further_apart_until_the_catch_up_limit() {
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
        assert_eq!(tries_within(cloud, 121), [0, 1, 3, 8, 18, 38, 68, 98]);
        assert!(cloud.retry(&web).contains(" 8x "), "{}", cloud.retry(&web));
        let plan = cloud.pass();
        assert_eq!(said(&plan), "too_late");
        assert_eq!(
            detail(&plan),
            "its start of 2026-11-23T07:00:00Z is given up, after 8x InsufficientInstanceCapacity"
        );
        assert!(cloud.calls.is_empty());
        // What came of it is forgotten with the next edge.
        cloud.until("2026-11-23 20:00").pass();
        assert_eq!(cloud.retry(&web), "");
    });
}

#[test]
fn a_broken_volume_is_not_started_every_minute() {
    for evidence in [Evidence::Kept, Evidence::Missing] {
        scenario_on(evidence, CONFIGURATION, "2026-11-23 07:30", |cloud| {
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
            let plan = cloud.look();
            assert_eq!(said(&plan), "waiting_to_retry");
            let why = match evidence {
                Evidence::Kept => "Client error on launch: the key of its volume is disabled",
                Evidence::Missing => "Unexplained",
            };
            assert!(detail(&plan).contains(why), "{}", detail(&plan));
        });
    }
}

#[test]
fn a_newer_edge_supersedes_what_was_refused() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 19:59").pass();
        assert!(cloud.retry(&web).contains("start 1x"));
        cloud.until("2026-11-23 20:00:10");
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.retry(&web), "");
        cloud.full.clear();
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office", "afresh");
    });
}

#[test]
fn what_somebody_else_brought_about_is_no_longer_tried() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 08:00").pass();
        cloud.person_starts(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.retry(&web), "");
        cloud.full.clear();
        cloud.person_stops(&web).wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Stopped);
        assert!(cloud.calls.is_empty());
    });
}

#[test]
fn a_stop_that_ec2_refuses_waits_too() {
    scenario(CONFIGURATION, "2026-11-23 19:30", |cloud| {
        let web = cloud.running("office");
        cloud.protected.insert(web.clone());
        cloud.until("2026-11-23 20:00");
        assert_eq!(tries_within(cloud, 10), [0, 1, 3, 8]);
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T19:00:00Z stop 4x OperationNotPermitted first 2026-11-23T19:00:00Z next 2026-11-23T19:18:00Z"
        );
        cloud.protected.clear();
        assert_eq!(
            said(&cloud.ask_stop(&web)),
            "stop: request by alice",
            "whoever asks does not wait"
        );
        assert_eq!(cloud.retry(&web), "");
    });
}

#[test]
fn a_requested_stop_that_ec2_refuses_is_tried_again() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.protected.insert(web.clone());
        cloud.ask_stop(&web);
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T11:00:00Z stop 1x OperationNotPermitted first 2026-11-23T11:00:00Z next 2026-11-23T11:01:00Z"
        );
        cloud.protected.clear();
        assert_eq!(said(&cloud.pass()), "waiting_to_retry");
        assert_eq!(said(&cloud.wait(SETTLING).pass()), "stop: request by alice");
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
        cloud.ask_start(&web);
        assert_eq!(
            (cloud.request(&web), cloud.retry(&web)),
            (
                "2026-11-23T20:00:00Z start by alice",
                "2026-11-23T20:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T20:00:00Z next 2026-11-23T20:01:00Z"
            )
        );
        assert_eq!(said(&cloud.pass()), "waiting_to_retry");
        cloud.full.clear();
        assert_eq!(
            said(&cloud.wait(minutes(1)).pass()),
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
            Ask::Start(Lasting::Until(
                paris("2026-11-23 21:00") + SignedDuration::from_hours(hours),
            ))
        };
        cloud.ask(&web, hours(2));
        assert_eq!(
            cloud.retry(&web),
            "2026-11-23T20:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T20:00:00Z next 2026-11-23T20:01:00Z",
            "the override's beginning tells for what it is"
        );
        assert_eq!(said(&cloud.pass()), "waiting_to_retry");
        assert_eq!(tries_within(cloud, 10), [1, 3, 8]);
        cloud.ask(&web, hours(3));
        assert!(
            cloud
                .retry(&web)
                .starts_with("2026-11-23T20:10:00Z start 1x")
        );
        cloud.full.clear();
        assert_eq!(
            said(&cloud.wait(minutes(1)).pass()),
            "start: override by alice"
        );
        let plan = cloud.wait(SETTLING).pass();
        assert_eq!(said(&plan), "record: override by alice");
        assert_eq!(cloud.retry(&web), "");
        assert_eq!(said(&cloud.pass()), "overridden");
    });
}

#[test]
fn an_override_does_not_start_a_broken_volume_every_minute() {
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 21:00", |cloud| {
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
        cloud.ask(&web, Ask::Resume);
    });
}

#[test]
fn the_end_of_an_override_stays_due_while_ec2_refuses_it() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        let override_ = "stopped since 2026-11-23T10:00:00Z until 2026-11-23T12:00:00Z by alice";
        cloud.machine(&web).tag(OVERRIDE_TAG, override_);
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 13:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        assert_eq!(said(&cloud.pass()), "waiting_to_retry");
        cloud.full.clear();
        assert_eq!(
            said(&cloud.wait(minutes(1)).pass()),
            "start: schedule office"
        );
        assert_eq!(cloud.override_(&web), override_);
    });
}

#[test]
fn an_override_that_someone_ended_stays_ended_while_ec2_refuses_what_follows() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        let override_ = "stopped since 2026-11-23T10:00:00Z until 2026-11-24T12:00:00Z by bob";
        cloud.machine(&web).tag(OVERRIDE_TAG, override_);
        cloud.full.insert(TYPE.into());
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
            "start: request by alice"
        );
        assert_eq!(said(&cloud.pass()), "waiting_to_retry");
        cloud.full.clear();
        assert_eq!(
            said(&cloud.wait(minutes(1)).pass()),
            "start: request by alice"
        );
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn an_enforced_schedule_waits_as_well_be_its_edge_dated_or_not() {
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
            assert_eq!(tries_within(cloud, 20), [0, 1, 3, 8, 18]);
        });
    }
}

#[test]
fn an_early_try_that_was_refused_is_remembered_until_its_edge() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.full.insert(TYPE.into());
        cloud.until("2026-11-23 07:59:05").triggered_for("office");
        let retry = "2026-11-23T07:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z";
        assert_eq!(cloud.retry(&web), retry);
        cloud.until("2026-11-23 07:59:30").pass();
        assert_eq!(cloud.retry(&web), retry);
        assert_eq!(
            said(&cloud.until("2026-11-23 08:00:30").pass()),
            "waiting_to_retry"
        );
    });
}

#[test]
fn a_memory_that_cant_be_right_is_removed() {
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
            assert_eq!(said(&plan), "record: schedule office");
            assert!(note(&plan).starts_with(problem), "{}", note(&plan));
            assert_eq!(cloud.retry(&web), "");
            assert_eq!(said(&cloud.pass()), "as_desired");
        });
    }
}

#[test]
fn hands_off_means_this_memory_too() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag(RETRY_TAG, "later");
        cloud.machine(&web).tag(
            OVERRIDE_TAG,
            "ignored since 2026-11-23T10:00:00Z until 2026-11-23T12:00:00Z by alice",
        );
        assert_eq!(said(&cloud.pass()), "override_ignored");
        assert_eq!(cloud.retry(&web), "later");
        cloud.until("2026-11-23 14:00").pass();
    });
}
