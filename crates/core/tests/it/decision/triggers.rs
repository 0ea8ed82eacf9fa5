//! Triggers that are early, doubled, late or for another schedule; and the days on which the clocks change.

use curfew_core::instance::InstanceState::*;
use curfew_core::request::{RequestDuration, RequestKind};
use jiff::SignedDuration;

use crate::support::{
    CONFIGURATION, Cloud, SETTLING, StateDetails, outcome, paris, scenario, schedule_set,
};

#[test]
fn an_early_trigger_applies_its_edge_and_later_passes_do_not_undo_it() {
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.running(schedule);
            cloud.pass();
            cloud.until("2026-11-23 19:59:00");
            assert_eq!(
                outcome(&cloud.triggered_for(schedule)),
                format!("stop: schedule {schedule}")
            );
            let done = format!("2026-11-23T19:00:00Z stop schedule {schedule}");
            assert_eq!(cloud.last(&web), format!("{done} pending"));
            cloud.until("2026-11-23 19:59:40");
            assert_eq!(outcome(&cloud.pass()), "as_desired");
            assert_eq!(outcome(&cloud.triggered_for(schedule)), "as_desired");
            cloud.until("2026-11-23 20:00:14");
            assert_eq!(outcome(&cloud.pass()), "as_desired");
            cloud.until("2026-11-23 20:00:15").pass();
            assert_eq!(cloud.last(&web), done);
            assert_eq!(cloud.calls.len(), 1);
        });
    }
}

#[test]
fn an_early_start_is_verified_before_its_edge() {
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
            let web = cloud.stopped(schedule);
            cloud.pass();
            cloud.until("2026-11-23 07:59:10").triggered_for(schedule);
            cloud.until("2026-11-23 07:59:50");
            assert_eq!(outcome(&cloud.pass()), "as_desired");
            cloud.until("2026-11-23 08:00:14");
            assert_eq!(outcome(&cloud.pass()), "as_desired");
            cloud.until("2026-11-23 08:00:15");
            assert_eq!(
                outcome(&cloud.pass()),
                format!("record: schedule {schedule}")
            );
            assert_eq!(cloud.state(&web), Running);
            assert_eq!(cloud.calls.len(), 1);
        });
    }
}

#[test]
fn an_early_trigger_counts_for_all_edges_of_its_minute_and_for_no_later_one() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 19:58:59").triggered_for("office");
        cloud.until("2026-11-23 19:59:00").pass();
        assert_eq!(cloud.state(&web), Running);
        assert!(cloud.calls.is_empty());
        // The schedules with an edge in one minute share its rule.
        cloud.triggered_for("night-stop");
        assert_eq!(
            cloud.calls,
            ["2026-11-23 19:59:00 stop web: schedule office"]
        );
    });
}

#[test]
fn an_early_trigger_ends_the_override_that_lasts_until_its_edge() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("strict");
        cloud.pass_with_request(
            &web,
            RequestKind::Stop(RequestDuration::Until(paris("2026-11-23 20:00"))),
        );
        cloud.wait(SETTLING).pass();
        cloud.until("2026-11-23 19:59:30");
        assert_eq!(
            outcome(&cloud.triggered_for("strict")),
            "record: schedule strict"
        );
        cloud.until("2026-11-23 19:59:45");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
    });
}

#[test]
fn a_request_after_an_early_edge_is_newer_than_that_edge() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.pass();
        cloud.until("2026-11-23 19:59:10").triggered_for("office");
        cloud.until("2026-11-23 19:59:50");
        assert_eq!(
            outcome(&cloud.request_start(&web)),
            "start: request by alice"
        );
        cloud.until("2026-11-23 20:01").pass();
        assert_eq!(cloud.state(&web), Running);
    });
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("strict");
        cloud.pass();
        cloud.until("2026-11-23 19:59:10").triggered_for("strict");
        cloud.until("2026-11-23 19:59:50").request_start(&web);
        assert_eq!(cloud.request(&web), "2026-11-23T19:00:01Z start by alice");
        cloud.until("2026-11-23 20:01").pass();
        cloud.until("2026-11-23 20:02").pass();
        assert_eq!(cloud.state(&web), Running);
    });
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 19:59:10").triggered_for("office");
        cloud.until("2026-11-23 19:59:45");
        cloud.pass_with_request(
            &web,
            RequestKind::Stop(RequestDuration::Until(paris("2026-11-23 23:00"))),
        );
        assert_eq!(
            outcome(&cloud.pass_with_request(&web, RequestKind::Resume)),
            "record: request by alice",
            "the schedule wants it stopped: its stop was applied already"
        );
    });
}

#[test]
fn doubled_late_and_foreign_triggers_change_nothing() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00:00");
        cloud.triggered_for("office");
        cloud.triggered_for("office");
        cloud.wait(SETTLING).pass();
        cloud.start_by_hand(&web).wait(SETTLING);
        // The stop rule again, an hour late; a trigger for the morning's start, out of order; one for another schedule.
        cloud.until("2026-11-23 21:00");
        for schedule in ["office", "office", "night-stop", "gone"] {
            assert_eq!(outcome(&cloud.triggered_for(schedule)), "manual_override");
        }
        assert_eq!(
            cloud.calls,
            ["2026-11-23 20:00:00 stop web: schedule office"]
        );
    });
}

/// The calls for an instance on a schedule, with a pass every five minutes of three days.
fn three_days(
    schedule: &str,
    state: curfew_core::instance::InstanceState,
    from: &str,
) -> Vec<String> {
    let mut cloud = Cloud::new(
        schedule_set(CONFIGURATION),
        paris(from),
        StateDetails::Reported,
    );
    let web = cloud.add("web", state, &[("Schedule", schedule)]);
    let end = cloud.now + SignedDuration::from_hours(72);
    while cloud.now < end {
        cloud.pass();
        cloud.wait(SignedDuration::from_mins(5));
    }
    cloud.settle_all();
    assert!(matches!(cloud.state(&web), Running | Stopped));
    cloud.calls
}

#[test]
fn the_clocks_go_forward_and_each_edge_is_applied_once() {
    let night = "02:30-06:00 Europe/Paris";
    assert_eq!(
        three_days(night, Stopped, "2026-03-28 00:00"),
        [
            "2026-03-28 02:30:00 start web: schedule inline",
            "2026-03-28 06:00:00 stop web: schedule inline",
            // 02:30 does not exist on the 29th: the clock jumps past it at 03:00.
            "2026-03-29 03:00:00 start web: schedule inline",
            "2026-03-29 06:00:00 stop web: schedule inline",
            "2026-03-30 02:30:00 start web: schedule inline",
            "2026-03-30 06:00:00 stop web: schedule inline",
        ]
    );
    // A stop inside the gap is applied.
    assert_eq!(
        three_days("22:00-02:30 Europe/Paris", Running, "2026-03-29 00:00")[0],
        "2026-03-29 03:00:00 stop web: schedule inline"
    );
}

#[test]
fn the_clocks_go_back_and_each_edge_is_applied_once() {
    let calls = three_days("02:30-06:00 Europe/Paris", Stopped, "2026-10-24 00:00");
    assert_eq!(
        calls,
        [
            "2026-10-24 02:30:00 start web: schedule inline",
            "2026-10-24 06:00:00 stop web: schedule inline",
            // 02:30 comes twice on the 25th: the first time counts.
            "2026-10-25 02:30:00 start web: schedule inline",
            "2026-10-25 06:00:00 stop web: schedule inline",
            "2026-10-26 02:30:00 start web: schedule inline",
            "2026-10-26 06:00:00 stop web: schedule inline",
        ]
    );
    // An instance started by hand between the two is not stopped by the second.
    let mut cloud = Cloud::new(
        schedule_set(CONFIGURATION),
        paris("2026-10-25 01:30"),
        StateDetails::Reported,
    );
    let web = cloud.running("stop 30 2 * * * Europe/Paris");
    cloud.until("2026-10-25 02:30").pass();
    cloud.wait(SETTLING).pass();
    cloud.start_by_hand(&web).wait(SETTLING);
    cloud.at(paris("2026-10-25 02:30") + SignedDuration::from_hours(1));
    assert_eq!(outcome(&cloud.pass()), "manual_override");
    cloud.settle_all();
}
