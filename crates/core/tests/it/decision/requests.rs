//! Plain requests: edges of their own, that last until the next one.

use curfew_core::instance::InstanceState::*;
use curfew_core::memory::{LAST_TAG, Last};
use curfew_core::request::{Ask, Lasting};
use curfew_core::timetable::Desired;
use jiff::SignedDuration;

use crate::support::{CONFIGURATION, SETTLING, Trouble, note, paris, said, scenario};

#[test]
fn a_plain_start_lasts_until_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.pass();
        assert_eq!(said(&cloud.ask_start(&web)), "start: request by alice");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T20:00:00Z start request by alice pending"
        );
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-24 07:59");
        assert_eq!(said(&cloud.pass()), "as_desired");
        assert_eq!(cloud.state(&web), Running);
        cloud.until("2026-11-24 20:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_plain_stop_lasts_until_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass();
        assert_eq!(said(&cloud.ask_stop(&web)), "stop: request by alice");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: request by alice");
        assert_eq!(said(&cloud.pass()), "as_desired");
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn a_request_supersedes_an_edge_that_was_missed() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00:30");
        assert_eq!(said(&cloud.ask_start(&web)), "record: request by alice");
        assert_eq!(said(&cloud.pass()), "as_desired");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_request_in_the_second_of_an_edge_comes_after_it() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00:00.7");
        cloud.ask_start(&web);
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T19:00:00Z start request by alice pending"
        );
        assert_eq!(said(&cloud.pass()), "as_desired");
        // Even a pass that has not seen it, and then writes, does not swallow it.
        cloud
            .machine(&web)
            .tag(LAST_TAG, "2026-11-23T19:00:00Z stop schedule office");
        assert_eq!(said(&cloud.pass()), "record: request by alice");
    });
}

#[test]
fn on_an_enforced_schedule_a_request_stands_until_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("strict");
        cloud.pass();
        assert_eq!(said(&cloud.ask_start(&web)), "start: request by alice");
        assert_eq!(cloud.override_(&web), "");
        cloud.wait(SETTLING).pass();
        for _ in 0..60 {
            cloud.wait(SignedDuration::from_mins(5));
            assert_eq!(said(&cloud.pass()), "as_desired", "nothing alternates");
        }
        let seen = cloud.assess(&web);
        assert_eq!(seen.desired, Desired::Running);
        assert_eq!(seen.request.unwrap().by.as_str(), "alice");
        // A person at the console does not win against it.
        cloud.person_stops(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "start: request by alice");
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "record: schedule strict");
        assert_eq!(cloud.assess(&web).request, None);
        assert_eq!(cloud.calls.len(), 2);
    });
}

#[test]
fn where_an_enforced_schedule_has_no_next_edge_a_request_has_no_end() {
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
                cloud.ask_start(&web);
            } else {
                cloud.ask_stop(&web);
            }
            cloud.wait(SETTLING).pass();
            cloud.wait(SignedDuration::from_hours(24 * 400));
            assert_eq!(said(&cloud.pass()), "as_desired");
            assert_ne!(cloud.state(&web), state);
        });
    }
}

#[test]
fn a_request_supersedes_an_older_override() {
    for ask in [
        Ask::Stop(Lasting::NextEdge),
        Ask::Stop(Lasting::Until(paris("2026-11-23 15:00"))),
    ] {
        scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
            let web = cloud.running("office");
            cloud.ask(&web, Ask::Start(Lasting::Until(paris("2026-11-25 12:00"))));
            let plan = cloud.ask(&web, ask);
            assert!(said(&plan).starts_with("stop: "));
            cloud.wait(SETTLING).pass();
            assert_eq!(cloud.state(&web), Stopped);
        });
    }
}

#[test]
fn a_request_supersedes_tags_that_cant_be_read() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag("curfew:override", "?");
        cloud.machine(&web).tag("curfew:last", "?");
        assert_eq!(said(&cloud.ask_stop(&web)), "stop: request by alice");
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
fn a_start_asked_for_while_it_is_stopping_is_made_when_it_has_stopped() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00").pass();
        cloud.wait(SignedDuration::from_secs(5));
        let plan = cloud.ask_start(&web);
        assert_eq!(said(&plan), "record: request by alice");
        assert_eq!(
            note(&plan),
            "it is stopping now; a later pass makes it running"
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "start: request by alice");
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_request_for_what_is_already_under_way_is_only_remembered() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.person_starts(&web);
        let plan = cloud.ask_start(&web);
        assert_eq!(
            (said(&plan).as_str(), note(&plan)),
            ("record: request by alice", "")
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: request by alice");
        cloud.person_stops(&web);
        let plan = cloud.ask_stop(&web);
        assert_eq!(
            (said(&plan).as_str(), note(&plan)),
            ("record: request by alice", "")
        );
        assert!(cloud.calls.is_empty());
    });
}

#[test]
fn a_plain_stop_of_what_is_pending_is_made_when_it_runs() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.person_starts(&web);
        let plan = cloud.ask_stop(&web);
        assert_eq!(said(&plan), "record: request by alice");
        assert_eq!(
            note(&plan),
            "it is pending now; a later pass makes it stopped"
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "stop: request by alice");
    });
}

#[test]
fn a_requested_start_that_falls_back_is_tried_again() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("night-stop");
        cloud.machine(&web).next_start_falls_back();
        cloud.ask_start(&web);
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "start: request by alice");
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
        cloud.trouble = Some(Trouble::CallsFail);
        cloud.ask_stop(&web);
        assert_eq!(cloud.request(&web), "2026-11-23T11:00:00Z stop by alice");
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(said(&cloud.pass()), "stop: request by alice");
        cloud.wait(SETTLING).pass();
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T11:00:00Z stop request by alice"
        );
    });
}

#[test]
fn a_request_that_no_pass_saw_for_a_day_is_given_up_and_said_so() {
    scenario(CONFIGURATION, "2026-11-28 12:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.trouble = Some(Trouble::CallsFail);
        cloud.ask_start(&web);
        cloud.until("2026-11-29 12:00:01");
        assert_eq!(said(&cloud.pass()), "too_late");
        assert_eq!(cloud.state(&web), Stopped);
    });
}

#[test]
fn a_call_that_was_sent_before_a_person_spoke_is_mended_by_the_next_pass() {
    // A start for an edge, planned before alice asks for a stop, arrives after her stop had nothing to do.
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
            let web = cloud.stopped(schedule);
            cloud.until("2026-11-23 08:00:10");
            assert_eq!(said(&cloud.ask_stop(&web)), "record: request by alice");
            cloud.wait(SignedDuration::from_secs(5)).person_starts(&web);
            let stale = "2026-11-23T07:00:00Z start schedule office pending";
            let current = cloud.last(&web).parse::<Last>().unwrap();
            assert!(!stale.parse::<Last>().unwrap().may_replace(&current));
            cloud.wait(SETTLING);
            let plan = cloud.pass();
            assert_eq!(said(&plan), "stop: request by alice");
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
