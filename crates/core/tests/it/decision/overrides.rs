//! Holds: in force they win at every pass, and their end is an edge.

use curfew_core::instance::InstanceState::*;
use curfew_core::request::{Ask, Lasting};

use crate::support::{CONFIGURATION, SETTLING, Trouble, detail, note, paris, said, scenario};

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
fn an_override_keeps_it_running_over_the_edge_and_its_end_is_the_edge() {
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.running(schedule);
            let plan = cloud.ask(&web, running_until("2026-11-23 22:00"));
            assert_eq!(said(&plan), "record: override by alice");
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
            assert_eq!(said(&plan), "overridden");
            assert_eq!(
                detail(&plan),
                "alice holds it running until 2026-11-23T21:00:00Z"
            );
            assert_eq!(plan.next_edge, Some(paris("2026-11-23 22:00")));
            assert_eq!(plan.outdated_at, plan.next_edge);
            // A person does not win against an override.
            cloud.person_stops(&web).wait(SETTLING);
            assert_eq!(said(&cloud.pass()), "start: override by alice");
            cloud.until("2026-11-23 21:59:59");
            assert_eq!(said(&cloud.pass()), "overridden");
            cloud.until("2026-11-23 22:00");
            assert_eq!(said(&cloud.pass()), format!("stop: schedule {schedule}"));
            assert_eq!(
                cloud.override_(&web),
                override_,
                "it is a person's, and inert"
            );
        });
    }
}

#[test]
fn the_end_of_an_override_is_the_next_edge_as_soon_as_the_override_is_planned() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        let plan = cloud.ask(&web, stopped_until("2026-11-23 13:00"));
        assert_eq!(plan.next_edge, Some(paris("2026-11-23 13:00")));
        cloud.wait(SETTLING);
        let plan = cloud.ask(&web, Ask::Resume);
        assert_eq!(plan.next_edge, Some(paris("2026-11-23 20:00")));
    });
}

#[test]
fn an_override_keeps_it_stopped_over_the_edge() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        let plan = cloud.ask(&web, stopped_until("2026-11-24 10:00"));
        assert_eq!(said(&plan), "stop: override by alice");
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "overridden");
        cloud.until("2026-11-24 10:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-24T09:00:00Z start schedule office pending",
            "the end of the override is the edge"
        );
    });
}

#[test]
fn ignored_is_hands_off_whatever_people_do() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("strict");
        let plan = cloud.ask(&web, ignored_until("2026-11-24 12:00"));
        assert_eq!(said(&plan), "record: override by alice");
        cloud.until("2026-11-23 20:00");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "override_ignored");
        assert_eq!(
            detail(&plan),
            "alice asked for hands off until 2026-11-24T11:00:00Z"
        );
        cloud.person_stops(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "override_ignored");
        cloud.until("2026-11-24 12:00");
        assert_eq!(said(&cloud.pass()), "start: schedule strict");
    });
}

#[test]
fn an_override_that_ends_where_nothing_changes_is_recorded_and_is_the_end_of_the_pass() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.ask(&web, running_until("2026-11-23 13:00"));
        let plan = cloud.wait(SETTLING).pass();
        assert_eq!(plan.outdated_at, Some(paris("2026-11-23 13:00")));
        cloud.until("2026-11-23 13:00");
        assert_eq!(said(&cloud.pass()), "record: schedule night-stop");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T12:00:00Z start schedule night-stop",
            "as it is"
        );
        assert_eq!(said(&cloud.pass()), "as_desired");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn an_edge_of_a_stop_only_schedule_that_passed_during_the_override_is_due_at_its_end() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-23 21:00");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "overridden");
        assert_eq!(
            plan.next_edge,
            Some(paris("2026-11-23 22:00")),
            "the stop that passed at 20:00 is due then"
        );
        cloud.until("2026-11-23 22:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule night-stop");
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
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 22:00");
        assert_eq!(said(&cloud.pass()), "record: schedule night-stop");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn the_end_of_an_override_missed_by_an_outage_is_caught_up() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-24 03:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn an_ended_override_waits_while_its_instance_is_in_flight() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, stopped_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 21:59:50").person_starts(&web);
        cloud.until("2026-11-23 22:00");
        assert_eq!(said(&cloud.pass()), "in_flight");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn an_end_that_was_applied_is_inert() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, running_until("2026-11-23 22:00"));
        cloud.until("2026-11-23 22:00").pass();
        cloud.wait(SETTLING).pass();
        cloud.person_starts(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "left_alone");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_second_override_within_a_second_and_one_over_the_end_of_another_stand() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, stopped_until("2026-11-23 22:00"));
        cloud.ask(&web, running_until("2026-11-23 23:00"));
        assert_eq!(
            cloud.override_(&web),
            "running since 2026-11-23T18:00:01Z until 2026-11-23T22:00:00Z by alice",
            "a second after the first"
        );
        cloud.wait(SETTLING).pass();
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
        // A pass that saw the first one end deletes nothing of a new one.
        cloud.until("2026-11-23 22:59:59");
        cloud.ask(&web, running_until("2026-11-24 03:00"));
        cloud.until("2026-11-23 23:00").pass();
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-24 02:59");
        assert_eq!(said(&cloud.pass()), "overridden");
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn a_plain_stop_ends_a_long_override_for_good() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, running_until("2026-11-25 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(said(&cloud.ask_stop(&web)), "stop: request by alice");
        cloud.wait(SETTLING).pass();
        let plan = cloud.look();
        assert_eq!(said(&plan), "as_desired");
        assert_eq!(
            plan.next_edge,
            Some(paris("2026-11-23 20:00")),
            "the end of the override is none"
        );
        cloud.until("2026-11-24 08:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        cloud.until("2026-11-24 20:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
        cloud.until("2026-11-25 11:00").pass();
        cloud.until("2026-11-25 12:00");
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-25T07:00:00Z start schedule office",
            "the end of the override is no word any more"
        );
    });
}

#[test]
fn an_override_over_an_edge_at_its_very_end_leaves_that_edge_due() {
    // A stop at 20:00 without an opinion afterwards, and "keep it up until 20:00".
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.ask(&web, running_until("2026-11-23 20:00"));
        cloud.until("2026-11-23 20:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule night-stop");
    });
}

#[test]
fn the_end_of_an_override_is_applied_although_the_memory_cant_be_read() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
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
fn an_override_is_placed_first_so_that_a_failed_call_is_tried_again() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.trouble = Some(Trouble::CallsFail);
        cloud.ask(&web, stopped_until("2026-11-23 19:30"));
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(said(&cloud.pass()), "stop: override by alice");
    });
}

#[test]
fn an_override_asked_for_in_flight_is_kept_by_a_later_pass() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        let plan = cloud.ask(&web, stopped_until("2026-11-23 10:00"));
        assert_eq!(said(&plan), "record: override by alice");
        assert_eq!(
            note(&plan),
            "it is pending now; a later pass makes it stopped"
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "stop: override by alice");
        cloud.until("2026-11-23 10:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn an_override_that_stops_an_instance_ends_the_start_before_it() {
    // On a schedule without an opinion nothing is due at the end of this override: not the start that was never verified either.
    scenario(CONFIGURATION, "2026-11-23 09:00", |cloud| {
        let web = cloud.stopped("night-stop");
        cloud.ask_start(&web);
        cloud.wait(SETTLING);
        cloud.ask(&web, stopped_until("2026-11-23 11:00"));
        cloud.until("2026-11-23 11:00").pass();
        assert_eq!(cloud.state(&web), Stopped);
    });
}

#[test]
fn resuming_ends_the_override_and_does_what_the_schedule_wants() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.ask(&web, stopped_until("2026-11-24 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
            "start: request by alice"
        );
        assert_eq!(cloud.request(&web), "2026-11-23T13:00:00Z start by alice");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: request by alice");
        // Without an override it gives the schedule back what somebody changed by hand.
        cloud.person_stops(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "left_alone");
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
            "start: request by alice"
        );
    });
}

#[test]
fn resuming_what_nothing_is_due_for_leaves_the_state_as_it_is() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("night-stop");
        cloud.ask(&web, stopped_until("2026-11-24 12:00"));
        cloud.until("2026-11-23 14:00");
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
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
fn resuming_mends_an_override_that_cant_be_read() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag("curfew:override", "?");
        assert_eq!(
            said(&cloud.ask(&web, Ask::Resume)),
            "stop: request by alice"
        );
        assert_eq!(
            cloud.override_(&web),
            "ignored since 2026-11-23T20:00:00Z until 2026-11-23T20:00:00Z by alice"
        );
    });
}

#[test]
fn resuming_in_flight_is_finished_by_a_later_pass() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass();
        cloud.ask(&web, stopped_until("2026-11-24 12:00"));
        assert_eq!(cloud.state(&web), Stopping);
        let plan = cloud.ask(&web, Ask::Resume);
        assert_eq!(said(&plan), "record: request by alice");
        assert_eq!(
            note(&plan),
            "it is stopping now; a later pass makes it running"
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "start: request by alice");
    });
}
