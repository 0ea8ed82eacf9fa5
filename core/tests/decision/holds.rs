//! Holds: in force they win at every pass, and their end is an edge.

use curfew_core::instance::InstanceState::*;
use curfew_core::request::{Ask, Lasting};

use crate::support::{SETTINGS, SETTLING, Trouble, detail, note, paris, said, scenario};

fn running_until(time: &str) -> Ask {
    Ask::Start(Lasting::Until(paris(time)))
}

fn stopped_until(time: &str) -> Ask {
    Ask::Stop(Lasting::Until(paris(time)))
}

fn ignored_until(time: &str) -> Ask {
    Ask::Ignore { until: paris(time) }
}

#[test]
fn a_hold_keeps_it_running_over_the_edge_and_its_end_is_the_edge() {
    for schedule in ["office", "strict"] {
        scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
            let web = cloud.running(schedule);
            let plan = cloud.ask(&web, running_until("2026-11-23 22:00"));
            assert_eq!(said(&plan), "record: hold by alice");
            assert_eq!(
                cloud.hold(&web),
                "running until 2026-11-23T21:00:00Z by alice"
            );
            cloud.until("2026-11-23 20:00");
            let plan = cloud.pass();
            assert_eq!(said(&plan), "held");
            assert_eq!(
                detail(&plan),
                "alice holds it running until 2026-11-23T21:00:00Z"
            );
            assert_eq!(plan.next_edge, Some(paris("2026-11-23 22:00")));
            // A person does not win against a hold.
            cloud.person_stops(&web).wait(SETTLING);
            assert_eq!(said(&cloud.pass()), "start: hold by alice");
            cloud.until("2026-11-23 21:59:59");
            assert_eq!(said(&cloud.pass()), "held");
            cloud.until("2026-11-23 22:00");
            assert_eq!(said(&cloud.pass()), format!("stop: schedule {schedule}"));
            assert_eq!(cloud.hold(&web), "");
        });
    }
}

#[test]
fn the_end_of_a_hold_is_the_next_edge_as_soon_as_the_hold_is_planned() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        let plan = cloud.ask(&web, stopped_until("2026-11-23 13:00"));
        assert_eq!(plan.next_edge, Some(paris("2026-11-23 13:00")));
        cloud.wait(SETTLING);
        let plan = cloud.ask(&web, Ask::Resume);
        assert_eq!(plan.next_edge, Some(paris("2026-11-23 20:00")));
    });
}

#[test]
fn a_hold_keeps_it_stopped_over_the_edge() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        let plan = cloud.ask(&web, stopped_until("2026-11-24 10:00"));
        assert_eq!(said(&plan), "stop: hold by alice");
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "held");
        cloud.until("2026-11-24 10:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-24T09:00:00Z start schedule office pending",
            "the end of the hold is the edge"
        );
    });
}

#[test]
fn ignored_is_hands_off_whatever_people_do() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("strict");
        let plan = cloud.ask(&web, ignored_until("2026-11-24 12:00"));
        assert_eq!(said(&plan), "record: hold by alice");
        cloud.until("2026-11-23 20:00");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "held_ignored");
        assert_eq!(
            detail(&plan),
            "alice asked for hands off until 2026-11-24T11:00:00Z"
        );
        cloud.person_stops(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "held_ignored");
        cloud.until("2026-11-24 12:00");
        assert_eq!(said(&cloud.pass()), "start: schedule strict");
    });
}

#[test]
fn a_hold_that_ends_where_nothing_changes_is_only_removed() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.ask(&web, running_until("2026-11-23 13:00"));
        cloud.until("2026-11-23 13:00");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "record: hold by alice");
        assert_eq!(
            note(&plan),
            "the hold by alice ended at 2026-11-23T12:00:00Z; \
             its schedule has asked for nothing since it was launched"
        );
        assert_eq!((cloud.hold(&web), cloud.last(&web)), ("", ""));
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn an_edge_of_a_stop_only_schedule_that_passed_during_the_hold_is_due_at_its_end() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 21:00");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "held");
        assert_eq!(
            plan.next_edge,
            Some(paris("2026-11-23 22:00")),
            "the stop that passed at 20:00 is due then"
        );
        cloud.until("2026-11-23 22:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule night-stop");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T21:00:00Z stop schedule night-stop"
        );
    });
}

#[test]
fn an_edge_of_a_stop_only_schedule_that_was_applied_before_the_hold_is_not_due_again() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.until("2026-11-23 20:00").pass();
        cloud.wait(SETTLING);
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 22:00");
        assert_eq!(said(&cloud.pass()), "record: hold by alice");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn the_end_of_a_hold_missed_by_an_outage_is_caught_up() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-24 03:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
        assert_eq!(cloud.hold(&web), "");
    });
}

#[test]
fn an_ended_hold_waits_while_its_instance_is_in_flight() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, stopped_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 21:59:50").person_starts(&web);
        cloud.until("2026-11-23 22:00");
        assert_eq!(said(&cloud.pass()), "in_flight");
        assert_ne!(cloud.hold(&web), "", "its end is still to be applied");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_crash_before_an_ended_hold_is_removed_applies_its_end_once() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 22:00").trouble = Some(Trouble::CrashBeforeClearing);
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
        cloud.wait(SETTLING).person_starts(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: hold by alice");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn the_end_of_a_hold_is_applied_although_the_memory_cant_be_read() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.machine(&web).tag("curfew:last", "?");
        cloud.until("2026-11-23 22:00");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "stop: schedule office");
        assert!(note(&plan).starts_with("the tag `curfew:last` is `?`"));
    });
}

#[test]
fn a_hold_is_placed_first_so_that_a_failed_call_is_tried_again() {
    scenario(SETTINGS, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.trouble = Some(Trouble::CallsFail);
        cloud.ask(&web, stopped_until("2026-11-23 19:30"));
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(said(&cloud.pass()), "stop: hold by alice");
    });
}

#[test]
fn a_hold_asked_for_in_flight_is_kept_by_a_later_pass() {
    scenario(SETTINGS, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        let plan = cloud.ask(&web, stopped_until("2026-11-23 10:00"));
        assert_eq!(said(&plan), "record: hold by alice");
        assert_eq!(
            note(&plan),
            "it is pending now; a later pass makes it stopped"
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "stop: hold by alice");
        cloud.until("2026-11-23 10:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn a_hold_that_stops_an_instance_ends_the_start_before_it() {
    // On a schedule without an opinion nothing is due at the end of this hold: not the start that was never verified either.
    scenario(SETTINGS, "2026-11-23 09:00", |cloud| {
        let web = cloud.stopped("night-stop");
        cloud.ask_start(&web);
        cloud.wait(SETTLING);
        cloud.ask(&web, stopped_until("2026-11-23 11:00"));
        cloud.until("2026-11-23 11:00").pass();
        assert_eq!(cloud.state(&web), Stopped);
    });
}

#[test]
fn resuming_ends_the_hold_and_does_what_the_schedule_wants() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, stopped_until("2026-11-24 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
            "start: request by alice"
        );
        assert_eq!(cloud.hold(&web), "");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: request by alice");
        assert_eq!(said(&cloud.ask(&web, Ask::Resume)), "no_hold");
    });
}

#[test]
fn resuming_what_nothing_is_due_for_only_removes_the_hold() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.ask(&web, stopped_until("2026-11-24 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
            "record: request by alice"
        );
        assert_eq!((cloud.hold(&web), cloud.state(&web)), ("", Stopped));
    });
}

#[test]
fn resuming_mends_a_hold_that_cant_be_read() {
    scenario(SETTINGS, "2026-11-23 21:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag("curfew:hold", "?");
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
            "stop: request by alice"
        );
        assert_eq!(cloud.hold(&web), "");
    });
}

#[test]
fn resuming_in_flight_is_finished_by_a_later_pass() {
    scenario(SETTINGS, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass();
        cloud.ask(&web, stopped_until("2026-11-24 12:00"));
        assert_eq!(cloud.state(&web), Stopping);
        let plan = cloud.ask(&web, Ask::Resume);
        assert_eq!(said(&plan), "record: request by alice");
        assert_eq!(
            note(&plan),
            "it is stopping now; a later pass does what its schedule wants"
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        assert_eq!(cloud.hold(&web), "");
    });
}
