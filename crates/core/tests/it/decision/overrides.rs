//! Overrides: in force they apply at every pass, and their end is an edge.

use curfew_core::instance::InstanceState::*;
use curfew_core::request::{RequestDuration, RequestKind};

use crate::support::{CONFIGURATION, Failure, SETTLING, detail, note, outcome, paris, scenario};

fn running_until(time: &str) -> RequestKind {
    RequestKind::Start(RequestDuration::Until(paris(time)))
}

fn stopped_until(time: &str) -> RequestKind {
    RequestKind::Stop(RequestDuration::Until(paris(time)))
}

fn ignored_until(time: &str) -> RequestKind {
    RequestKind::Ignore { until: paris(time) }
}

#[test]
fn an_override_keeps_the_instance_running_over_a_stop_edge_until_its_end() {
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.running(schedule);
            let plan = cloud.pass_with_request(&web, running_until("2026-11-23 22:00"));
            assert_eq!(outcome(&plan), "record: override by alice");
            let override_ =
                "running since 2026-11-23T18:00:00Z until 2026-11-23T21:00:00Z by alice";
            assert_eq!(cloud.override_(&web), override_);
            assert_eq!(
                cloud.last(&web),
                "2026-11-23T18:00:00Z start override by alice pending"
            );
            cloud.wait(SETTLING).pass();
            cloud.until("2026-11-23 20:00");
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "overridden");
            assert_eq!(
                detail(&plan),
                "an override by alice keeps it running until 2026-11-23T21:00:00Z"
            );
            assert_eq!(
                plan.next.map(|next| next.at),
                Some(paris("2026-11-23 22:00"))
            );
            assert_eq!(plan.valid_until, plan.next.map(|next| next.at));
            // An override undoes a manual change.
            cloud.stop_by_hand(&web).wait(SETTLING);
            assert_eq!(outcome(&cloud.pass()), "start: override by alice");
            cloud.until("2026-11-23 21:59:59");
            assert_eq!(outcome(&cloud.pass()), "overridden");
            cloud.until("2026-11-23 22:00");
            assert_eq!(outcome(&cloud.pass()), format!("stop: schedule {schedule}"));
            assert_eq!(
                cloud.override_(&web),
                override_,
                "it is a person's, and inert"
            );
        });
    }
}

#[test]
fn a_planned_override_makes_its_end_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        let plan = cloud.pass_with_request(&web, stopped_until("2026-11-23 13:00"));
        assert_eq!(
            plan.next.map(|next| next.at),
            Some(paris("2026-11-23 13:00"))
        );
        cloud.wait(SETTLING);
        let plan = cloud.pass_with_request(&web, RequestKind::Resume);
        assert_eq!(
            plan.next.map(|next| next.at),
            Some(paris("2026-11-23 20:00"))
        );
    });
}

#[test]
fn an_override_keeps_the_instance_stopped_over_a_start_edge() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        let plan = cloud.pass_with_request(&web, stopped_until("2026-11-24 10:00"));
        assert_eq!(outcome(&plan), "stop: override by alice");
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-24 08:00");
        assert_eq!(outcome(&cloud.pass()), "overridden");
        cloud.until("2026-11-24 10:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-24T09:00:00Z start schedule office pending",
            "the end of the override is the edge"
        );
    });
}

#[test]
fn an_ignored_instance_is_skipped_whatever_its_state() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("strict");
        let plan = cloud.pass_with_request(&web, ignored_until("2026-11-24 12:00"));
        assert_eq!(outcome(&plan), "record: override by alice");
        cloud.until("2026-11-23 20:00");
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "override_ignored");
        assert_eq!(
            detail(&plan),
            "an override by alice ignores it until 2026-11-24T11:00:00Z"
        );
        cloud.stop_by_hand(&web).wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "override_ignored");
        cloud.until("2026-11-24 12:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule strict");
    });
}

#[test]
fn the_end_of_an_override_without_effect_is_recorded_and_outdates_the_plan() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.pass_with_request(&web, running_until("2026-11-23 13:00"));
        let plan = cloud.wait(SETTLING).pass();
        assert_eq!(plan.valid_until, Some(paris("2026-11-23 13:00")));
        cloud.until("2026-11-23 13:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule night-stop");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T12:00:00Z start schedule night-stop",
            "as it is"
        );
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn an_edge_of_a_stop_only_schedule_that_passed_during_the_override_is_due_at_its_end() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.pass_with_request(&web, running_until("2026-11-23 22:00"));
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-23 21:00");
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "overridden");
        assert_eq!(
            plan.next.map(|next| next.at),
            Some(paris("2026-11-23 22:00")),
            "the stop that passed at 20:00 is due then"
        );
        cloud.until("2026-11-23 22:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule night-stop");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T21:00:00Z stop schedule night-stop pending"
        );
    });
}

#[test]
fn an_edge_of_a_stop_only_schedule_that_was_applied_before_the_override_is_not_due_again() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.until("2026-11-23 20:00").pass();
        cloud.wait(SETTLING);
        cloud.pass_with_request(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 22:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule night-stop");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn the_end_of_an_override_missed_by_an_outage_is_caught_up() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass_with_request(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-24 03:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn the_end_of_an_override_waits_while_the_instance_is_in_transition() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass_with_request(&web, stopped_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 21:59:50").start_by_hand(&web);
        cloud.until("2026-11-23 22:00");
        assert_eq!(outcome(&cloud.pass()), "transitioning");
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn an_applied_override_end_is_not_applied_again() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass_with_request(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 22:00").pass();
        cloud.wait(SETTLING).pass();
        cloud.start_by_hand(&web).wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "manual_override");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_second_override_within_a_second_and_one_over_the_end_of_another_are_in_force() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass_with_request(&web, stopped_until("2026-11-23 22:00"));
        cloud.pass_with_request(&web, running_until("2026-11-23 23:00"));
        assert_eq!(
            cloud.override_(&web),
            "running since 2026-11-23T18:00:01Z until 2026-11-23T22:00:00Z by alice",
            "a second after the first"
        );
        cloud.wait(SETTLING).pass();
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
        // A pass that observed the end of the first one deletes nothing of a new one.
        cloud.until("2026-11-23 22:59:59");
        cloud.pass_with_request(&web, running_until("2026-11-24 03:00"));
        cloud.until("2026-11-23 23:00").pass();
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-24 02:59");
        assert_eq!(outcome(&cloud.pass()), "overridden");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_plain_stop_ends_a_long_override_for_good() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass_with_request(&web, running_until("2026-11-25 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(outcome(&cloud.request_stop(&web)), "stop: request by alice");
        cloud.wait(SETTLING).pass();
        let plan = cloud.planned();
        assert_eq!(outcome(&plan), "as_desired");
        assert_eq!(
            plan.next.map(|next| next.at),
            Some(paris("2026-11-23 20:00")),
            "the end of the override is none"
        );
        cloud.until("2026-11-24 08:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
        cloud.until("2026-11-24 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
        cloud.until("2026-11-25 11:00").pass();
        cloud.until("2026-11-25 12:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-25T07:00:00Z start schedule office",
            "the end of the override is no directive any more"
        );
    });
}

#[test]
fn an_override_over_an_edge_at_its_very_end_leaves_that_edge_due() {
    // A stop at 20:00 without a desired state afterwards, and an override that keeps it running until 20:00.
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.pass_with_request(&web, running_until("2026-11-23 20:00"));
        cloud.until("2026-11-23 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule night-stop");
    });
}

#[test]
fn the_end_of_an_override_is_applied_although_the_last_tag_is_malformed() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass_with_request(&web, running_until("2026-11-23 22:00"));
        cloud.machine(&web).tag("curfew:last", "?");
        cloud.until("2026-11-23 22:00");
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "stop: schedule office");
        assert!(note(&plan).starts_with("the tag `curfew:last` is `?`"));
    });
}

#[test]
fn an_override_is_written_before_the_call_so_that_a_failed_call_is_retried() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.failure = Some(Failure::CallsFail);
        cloud.pass_with_request(&web, stopped_until("2026-11-23 19:30"));
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(outcome(&cloud.pass()), "stop: override by alice");
    });
}

#[test]
fn an_override_during_a_transition_is_applied_by_a_later_pass() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        let plan = cloud.pass_with_request(&web, stopped_until("2026-11-23 10:00"));
        assert_eq!(outcome(&plan), "record: override by alice");
        assert_eq!(
            note(&plan),
            "it is pending now; a later pass makes it stopped"
        );
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "stop: override by alice");
        cloud.until("2026-11-23 10:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn an_override_that_stops_an_instance_supersedes_an_earlier_start() {
    // On a schedule without a desired state nothing is due at the end of this override, and neither is the unverified start.
    scenario(CONFIGURATION, "2026-11-23 09:00", |cloud| {
        let web = cloud.stopped("night-stop");
        cloud.request_start(&web);
        cloud.wait(SETTLING);
        cloud.pass_with_request(&web, stopped_until("2026-11-23 11:00"));
        cloud.until("2026-11-23 11:00").pass();
        assert_eq!(cloud.state(&web), Stopped);
    });
}

#[test]
fn resume_ends_the_override_and_applies_the_schedule() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass_with_request(&web, stopped_until("2026-11-24 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(
            outcome(&cloud.pass_with_request(&web, RequestKind::Resume)),
            "start: request by alice"
        );
        assert_eq!(cloud.request(&web), "2026-11-23T13:00:00Z start by alice");
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: request by alice");
        // Without an override it undoes a manual change.
        cloud.stop_by_hand(&web).wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "manual_override");
        assert_eq!(
            outcome(&cloud.pass_with_request(&web, RequestKind::Resume)),
            "start: request by alice"
        );
    });
}

#[test]
fn resume_without_a_desired_state_keeps_the_current_state() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.pass_with_request(&web, stopped_until("2026-11-24 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(
            outcome(&cloud.pass_with_request(&web, RequestKind::Resume)),
            "record: request by alice"
        );
        cloud.wait(SETTLING).pass();
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T13:00:00Z stop request by alice"
        );
        assert_eq!(cloud.state(&web), Stopped);
    });
}

#[test]
fn resume_replaces_a_malformed_override() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag("curfew:override", "?");
        assert_eq!(
            outcome(&cloud.pass_with_request(&web, RequestKind::Resume)),
            "stop: request by alice"
        );
        assert_eq!(
            cloud.override_(&web),
            "ignored since 2026-11-23T20:00:00Z until 2026-11-23T20:00:00Z by alice"
        );
    });
}

#[test]
fn resume_during_a_transition_is_completed_by_a_later_pass() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass();
        cloud.pass_with_request(&web, stopped_until("2026-11-24 12:00"));
        assert_eq!(cloud.state(&web), Stopping);
        let plan = cloud.pass_with_request(&web, RequestKind::Resume);
        assert_eq!(outcome(&plan), "record: request by alice");
        assert_eq!(
            note(&plan),
            "it is stopping now; a later pass makes it running"
        );
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "start: request by alice");
    });
}
