//! Plain requests: edges that are in force until the next one.

use curfew_core::instance::InstanceState::*;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::state_tags::{LAST_TAG, LastApplied};
use curfew_core::timetable::Desired;
use jiff::SignedDuration;

use crate::support::{CONFIGURATION, Failure, SETTLING, note, outcome, paris, scenario};

#[test]
fn a_plain_start_lasts_until_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.pass();
        assert_eq!(
            outcome(&cloud.request_start(&web)),
            "start: request by alice"
        );
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T20:00:00Z start request by alice pending"
        );
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-24 07:59");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        assert_eq!(cloud.state(&web), Running);
        cloud.until("2026-11-24 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_plain_stop_lasts_until_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass();
        assert_eq!(outcome(&cloud.request_stop(&web)), "stop: request by alice");
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: request by alice");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        cloud.until("2026-11-24 08:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn a_request_supersedes_an_edge_that_was_missed() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00:30");
        assert_eq!(
            outcome(&cloud.request_start(&web)),
            "record: request by alice"
        );
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_request_in_the_second_of_an_edge_comes_after_it() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00:00.7");
        cloud.request_start(&web);
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T19:00:00Z start request by alice pending"
        );
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        // A pass that did not observe the request, and writes later, does not lose it.
        cloud
            .machine(&web)
            .tag(LAST_TAG, "2026-11-23T19:00:00Z stop schedule office");
        assert_eq!(outcome(&cloud.pass()), "record: request by alice");
    });
}

#[test]
fn on_an_enforced_schedule_a_request_is_in_force_until_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("strict");
        cloud.pass();
        assert_eq!(
            outcome(&cloud.request_start(&web)),
            "start: request by alice"
        );
        assert_eq!(cloud.override_(&web), "");
        cloud.wait(SETTLING).pass();
        for _ in 0..60 {
            cloud.wait(SignedDuration::from_mins(5));
            assert_eq!(outcome(&cloud.pass()), "as_desired", "nothing alternates");
        }
        let seen = cloud.assess(&web);
        assert_eq!(seen.desired, Desired::Running);
        assert_eq!(seen.request.unwrap().actor.as_str(), "alice");
        // A console change is undone.
        cloud.stop_by_hand(&web).wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "start: request by alice");
        cloud.until("2026-11-24 08:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule strict");
        assert_eq!(cloud.assess(&web).request, None);
        assert_eq!(cloud.calls.len(), 2);
    });
}

#[test]
fn on_an_enforced_schedule_without_a_next_edge_a_request_has_no_end() {
    let configuration = r#"
        [schedules.finished]
        timezone = "Europe/Paris"
        running = "08:00-20:00"
        only = ["2026-11-02"]
        enforce = true

        [schedules.endless]
        timezone = "Europe/Paris"
        running = "00:00-24:00"
        enforce = true
    "#;
    for (schedule, state) in [("finished", Stopped), ("endless", Running)] {
        scenario(configuration, "2026-11-23 12:00", |cloud| {
            let web = cloud.add("web", state, &[("Schedule", schedule)]);
            cloud.pass();
            cloud.wait(SETTLING).pass();
            if state == Stopped {
                cloud.request_start(&web);
            } else {
                cloud.request_stop(&web);
            }
            cloud.wait(SETTLING).pass();
            cloud.wait(SignedDuration::from_hours(24 * 400));
            assert_eq!(outcome(&cloud.pass()), "as_desired");
            assert_ne!(cloud.state(&web), state);
        });
    }
}

#[test]
fn a_request_supersedes_an_older_override() {
    for ask in [
        RequestKind::Stop(RequestDuration::NextEdge),
        RequestKind::Stop(RequestDuration::Until(paris("2026-11-23 15:00"))),
    ] {
        scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
            let web = cloud.running("office");
            cloud.pass_with_request(
                &web,
                RequestKind::Start(RequestDuration::Until(paris("2026-11-25 12:00"))),
            );
            let plan = cloud.pass_with_request(&web, ask);
            assert!(outcome(&plan).starts_with("stop: "));
            cloud.wait(SETTLING).pass();
            assert_eq!(cloud.state(&web), Stopped);
        });
    }
}

#[test]
fn a_request_supersedes_malformed_tags() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag("curfew:override", "?");
        cloud.machine(&web).tag("curfew:last", "?");
        assert_eq!(outcome(&cloud.request_stop(&web)), "stop: request by alice");
        assert_eq!(
            cloud.override_(&web),
            "ignored since 2026-11-23T11:00:00Z until 2026-11-23T11:00:00Z by alice"
        );
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T11:00:00Z stop request by alice pending"
        );
    });
}

#[test]
fn a_start_requested_while_stopping_is_made_once_stopped() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00").pass();
        cloud.wait(SignedDuration::from_secs(5));
        let plan = cloud.request_start(&web);
        assert_eq!(outcome(&plan), "record: request by alice");
        assert_eq!(
            note(&plan),
            "it is stopping now; a later pass makes it running"
        );
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "start: request by alice");
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_request_for_a_transition_in_progress_is_only_recorded() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.start_by_hand(&web);
        let plan = cloud.request_start(&web);
        assert_eq!(
            (outcome(&plan).as_str(), note(&plan)),
            ("record: request by alice", "")
        );
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: request by alice");
        cloud.stop_by_hand(&web);
        let plan = cloud.request_stop(&web);
        assert_eq!(
            (outcome(&plan).as_str(), note(&plan)),
            ("record: request by alice", "")
        );
        assert!(cloud.calls.is_empty());
    });
}

#[test]
fn a_stop_requested_while_pending_is_made_once_running() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.start_by_hand(&web);
        let plan = cloud.request_stop(&web);
        assert_eq!(outcome(&plan), "record: request by alice");
        assert_eq!(
            note(&plan),
            "it is pending now; a later pass makes it stopped"
        );
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "stop: request by alice");
    });
}

#[test]
fn a_requested_start_that_falls_back_is_retried() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("night-stop");
        cloud.machine(&web).next_start_falls_back();
        cloud.request_start(&web);
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "start: request by alice");
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T20:00:00Z start request by alice"
        );
    });
}

#[test]
fn a_request_whose_call_fails_is_recorded_and_made_by_a_later_pass() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.failure = Some(Failure::CallsFail);
        cloud.request_stop(&web);
        assert_eq!(cloud.request(&web), "2026-11-23T11:00:00Z stop by alice");
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(outcome(&cloud.pass()), "stop: request by alice");
        cloud.wait(SETTLING).pass();
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T11:00:00Z stop request by alice"
        );
    });
}

#[test]
fn a_request_unobserved_for_a_day_expires_and_is_reported() {
    scenario(CONFIGURATION, "2026-11-28 12:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.failure = Some(Failure::CallsFail);
        cloud.request_start(&web);
        cloud.until("2026-11-29 12:00:01");
        assert_eq!(outcome(&cloud.pass()), "too_late");
        assert_eq!(cloud.state(&web), Stopped);
    });
}

#[test]
fn a_call_that_crossed_a_request_is_undone_by_the_next_pass() {
    // A start for an edge, planned before alice requests a stop, arrives after her stop had nothing to do.
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
            let web = cloud.stopped(schedule);
            cloud.until("2026-11-23 08:00:10");
            assert_eq!(
                outcome(&cloud.request_stop(&web)),
                "record: request by alice"
            );
            cloud.wait(SignedDuration::from_secs(5)).start_by_hand(&web);
            let stale = "2026-11-23T07:00:00Z start schedule office pending";
            let current = cloud.last(&web).parse::<LastApplied>().unwrap();
            assert!(!stale.parse::<LastApplied>().unwrap().may_replace(&current));
            cloud.wait(SETTLING);
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "stop: request by alice");
            assert_eq!(
                note(&plan),
                "an earlier stop was undone by a call that crossed it"
            );
            cloud.wait(SETTLING).pass();
            assert_eq!(cloud.state(&web), Stopped);
            assert_eq!(
                cloud.last(&web),
                "2026-11-23T07:00:10Z stop request by alice"
            );
        });
    }
}
