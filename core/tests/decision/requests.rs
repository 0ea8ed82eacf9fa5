//! Plain requests: edges of their own, that last until the next one.

use curfew_core::instance::InstanceState::*;
use curfew_core::request::{Ask, Lasting};
use jiff::SignedDuration;

use crate::support::{
    Evidence, SETTINGS, SETTLING, Trouble, note, paris, said, scenario, scenario_on,
};

#[test]
fn a_plain_start_lasts_until_the_next_edge() {
    scenario(SETTINGS, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.pass();
        assert_eq!(said(&cloud.ask_start(&web)), "start: request by alice");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T20:00:00Z start request by alice pending"
        );
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-24 07:59");
        assert_eq!(said(&cloud.pass()), "left_alone");
        assert_eq!(cloud.state(&web), Running);
        cloud.until("2026-11-24 20:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_plain_stop_lasts_until_the_next_edge() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass();
        assert_eq!(said(&cloud.ask_stop(&web)), "stop: request by alice");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "left_alone");
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn a_request_supersedes_an_edge_that_was_missed() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00:30");
        assert_eq!(said(&cloud.ask_start(&web)), "record: request by alice");
        assert_eq!(said(&cloud.pass()), "left_alone");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_request_in_the_second_of_an_edge_comes_after_it() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00:00.7");
        cloud.ask_start(&web);
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T19:00:00Z start request by alice"
        );
        assert_eq!(said(&cloud.pass()), "left_alone");
    });
}

#[test]
fn on_an_enforced_schedule_a_request_is_a_hold_until_the_next_edge() {
    scenario(SETTINGS, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("strict");
        cloud.pass();
        assert_eq!(said(&cloud.ask_start(&web)), "start: hold by alice");
        assert_eq!(
            cloud.hold(&web),
            "running until 2026-11-24T07:00:00Z by alice"
        );
        cloud.until("2026-11-24 02:00");
        assert_eq!(said(&cloud.pass()), "held");
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "record: schedule strict");
        assert_eq!(cloud.hold(&web), "");
        assert_eq!(cloud.calls.len(), 1);
    });
}

#[test]
fn where_an_enforced_schedule_has_no_next_edge_the_hold_has_no_end() {
    let settings = r#"
        [schedules.finished]
        timezone = "Europe/Paris"
        running = "08:00-20:00"
        only = ["2026-11-02"]
        enforce = true
    "#;
    scenario(settings, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("finished");
        cloud.pass();
        assert_eq!(said(&cloud.ask_start(&web)), "start: hold by alice");
        cloud.wait(SignedDuration::from_hours(24 * 400));
        assert_eq!(said(&cloud.pass()), "held");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_request_supersedes_an_older_hold() {
    for ask in [
        Ask::Stop(Lasting::NextEdge),
        Ask::Stop(Lasting::Until(paris("2026-11-23 15:00"))),
    ] {
        scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
            let web = cloud.running("office");
            cloud.ask(&web, Ask::Start(Lasting::Until(paris("2026-11-25 12:00"))));
            let plan = cloud.ask(&web, ask);
            assert!(said(&plan).starts_with("stop: "));
            assert!(!cloud.hold(&web).starts_with("running"));
            cloud.wait(SETTLING).pass();
            assert_eq!(cloud.state(&web), Stopped);
        });
    }
}

#[test]
fn a_request_supersedes_tags_that_cant_be_read() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag("curfew:hold", "?");
        cloud.machine(&web).tag("curfew:last", "?");
        assert_eq!(said(&cloud.ask_stop(&web)), "stop: request by alice");
        assert_eq!(cloud.hold(&web), "");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T11:00:00Z stop request by alice"
        );
    });
}

#[test]
fn a_start_asked_for_while_it_is_stopping_is_made_when_it_has_stopped() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
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
        let plan = cloud.pass();
        assert_eq!(said(&plan), "start: request by alice");
        assert_eq!(
            note(&plan),
            "an earlier start did not lead to running",
            "the stop before it is not its reason"
        );
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_request_for_what_is_already_under_way_is_only_remembered() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
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
fn a_plain_stop_of_what_is_pending_is_refused_for_nothing_could_remember_it() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.stopped("office");
        cloud.person_starts(&web);
        assert_eq!(said(&cloud.ask_stop(&web)), "in_flight");
        assert_eq!(cloud.last(&web), "");
    });
}

#[test]
fn a_requested_start_that_falls_back_is_tried_again() {
    scenario(SETTINGS, "2026-11-23 21:00", |cloud| {
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
fn a_request_whose_call_fails_is_not_done_behind_someones_back_later() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.trouble = Some(Trouble::CallsFail);
        cloud.ask_stop(&web);
        assert_eq!(said(&cloud.pass()), "as_desired");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_user_who_stops_what_was_requested_early_in_its_minute_is_respected() {
    // A start for an edge that was up to a minute early: EC2 dates the launch before the edge, and the stop too.
    scenario_on(Evidence::Kept, SETTINGS, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 07:59:02").woken_for("office");
        cloud.until("2026-11-23 07:59:25").person_stops(&web);
        cloud.until("2026-11-23 08:00:30");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "record: schedule office");
        assert_eq!(note(&plan), "a user stopped it after that start");
    });
}
