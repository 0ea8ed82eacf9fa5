//! Manual changes: schedules keep them until the next edge, and enforced schedules undo them.

use curfew_core::instance::InstanceState::*;
use jiff::SignedDuration;

use crate::support::{CONFIGURATION, SETTLING, detail, outcome, scenario};

#[test]
fn an_instance_started_by_hand_keeps_running_until_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00").pass();
        cloud.until("2026-11-23 20:05").pass();
        cloud.until("2026-11-23 22:00").start_by_hand(&web);
        for _ in 0..(9 * 12) {
            cloud.wait(SignedDuration::from_mins(5)).pass();
            assert_eq!(cloud.state(&web), Running);
        }
        let plan = cloud.planned();
        assert_eq!(outcome(&plan), "manual_override");
        assert_eq!(
            detail(&plan),
            "it was made running outside Curfew since the last edge, and stays so until the next edge"
        );
        // At the morning edge it is running already; the evening edge stops it.
        cloud.until("2026-11-24 08:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        cloud.until("2026-11-24 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn an_instance_stopped_by_hand_stays_stopped_until_the_next_start() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        cloud.until("2026-11-23 08:05").pass();
        cloud.until("2026-11-23 12:00").stop_by_hand(&web);
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "manual_override");
        cloud.until("2026-11-23 20:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        cloud.until("2026-11-24 08:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn an_enforced_schedule_applies_at_every_pass() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("strict");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        cloud.until("2026-11-23 20:00").pass();
        cloud.until("2026-11-23 20:05").pass();
        for hour in [22, 23] {
            cloud
                .until(&format!("2026-11-23 {hour}:00"))
                .start_by_hand(&web);
            cloud.wait(SETTLING);
            assert_eq!(outcome(&cloud.pass()), "stop: schedule strict");
            assert_eq!(
                cloud.last(&web),
                "2026-11-23T19:00:00Z stop schedule strict"
            );
        }
        cloud.until("2026-11-24 08:00").pass();
        cloud.until("2026-11-24 12:00").stop_by_hand(&web);
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "start: schedule strict");
    });
}

#[test]
fn an_enforced_schedule_has_no_catch_up_limit() {
    scenario(CONFIGURATION, "2026-11-27 19:00", |cloud| {
        cloud.running("strict");
        cloud.until("2026-11-29 12:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule strict");
    });
}

#[test]
fn an_enforced_schedule_without_a_desired_state_applies_its_edges_once() {
    let configuration = r#"
        [schedules.night-stop]
        timezone = "Europe/Paris"
        stop = "0 20 * * *"
        enforce = true
    "#;
    scenario(configuration, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("night-stop");
        assert_eq!(outcome(&cloud.pass()), "nothing_due");
        cloud.until("2026-11-23 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule night-stop");
        cloud.until("2026-11-23 20:05").pass();
        cloud.until("2026-11-24 09:00").start_by_hand(&web);
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "manual_override");
        assert_eq!(
            detail(&cloud.planned()),
            "it was made running outside Curfew since the last edge, and stays so until the next edge"
        );
    });
}

#[test]
fn an_enforced_schedule_without_edges_writes_its_tag_once() {
    let configuration = r#"
        [schedules.launch-party]
        timezone = "Europe/Paris"
        running = "18:00-23:00"
        only = ["2027-03-01"]
        enforce = true
    "#;
    scenario(configuration, "2026-11-23 12:00", |cloud| {
        cloud.stopped("launch-party");
        assert_eq!(outcome(&cloud.pass()), "record: schedule launch-party");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        cloud.wait(SETTLING).pass();
        assert_eq!(outcome(&cloud.pass()), "as_desired");
    });
    scenario(configuration, "2026-11-23 12:00:00.5", |cloud| {
        let web = cloud.running("launch-party");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule launch-party");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T11:00:00Z stop schedule launch-party pending"
        );
        cloud.wait(SETTLING).pass();
        assert_eq!(outcome(&cloud.pass()), "as_desired");
    });
}
