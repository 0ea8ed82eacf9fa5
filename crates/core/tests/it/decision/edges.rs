//! Edges: applied once, caught up when missed, adopted, verified.

use curfew_core::instance::{Hibernation, InstanceState, InstanceState::*};
use curfew_core::memory::LAST_TAG;
use curfew_core::step::StepAction;
use jiff::SignedDuration;

use crate::support::{
    CONFIGURATION, Cloud, Evidence, SETTLING, Trouble, detail, note, paris, said, scenario,
    scenario_on, schedule_set,
};

#[test]
fn an_edge_is_applied_once() {
    scenario(CONFIGURATION, "2026-11-23 18:30", |cloud| {
        let web = cloud.running("office");
        assert_eq!(said(&cloud.pass()), "as_desired");
        cloud.until("2026-11-23 20:00:10");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
        let done = "2026-11-23T19:00:00Z stop schedule office";
        assert_eq!(cloud.last(&web), format!("{done} pending"));
        assert_eq!(said(&cloud.pass()), "in_flight");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.last(&web), done);
        assert_eq!(said(&cloud.pass()), "as_desired");
        assert_eq!(
            cloud.calls,
            ["2026-11-23 20:00:10 stop web: schedule office"]
        );
    });
}

#[test]
fn a_start_counts_when_it_is_seen_running() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00");
        assert_eq!(said(&cloud.pass()), "start: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T07:00:00Z start schedule office pending"
        );
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T07:00:00Z start schedule office"
        );
        assert_eq!(said(&cloud.pass()), "as_desired");
    });
}

#[test]
fn an_edge_with_nothing_to_do_is_remembered_so_that_a_later_change_is_a_persons() {
    scenario(CONFIGURATION, "2026-11-23 19:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 20:00");
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        cloud.wait(SETTLING).pass();
        cloud.person_starts(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "left_alone");
        assert!(cloud.calls.is_empty());
    });
}

#[test]
fn an_edge_missed_by_an_outage_is_caught_up() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        cloud.until("2026-11-23 08:05").pass();
        cloud.until("2026-11-24 03:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T19:00:00Z stop schedule office pending",
            "the edge's instant, not the call's"
        );
    });
}

#[test]
fn of_several_missed_edges_only_the_newest_is_applied() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        cloud.until("2026-11-23 08:05").pass();
        cloud.until("2026-11-25 10:00");
        assert_eq!(said(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.calls.len(), 1);
    });
}

#[test]
fn an_edge_is_applied_up_to_its_catch_up_limit_and_not_after() {
    let configuration = r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        catch_up = "90m"
    "#;
    scenario(configuration, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 21:30:01");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "too_late");
        assert_eq!(
            detail(&plan),
            "its stop of 2026-11-23T19:00:00Z was missed by more than the catch-up limit"
        );
        assert_eq!(cloud.state(&web), Running);
    });
    scenario(configuration, "2026-11-23 19:00", |cloud| {
        cloud.running("office");
        cloud.until("2026-11-23 21:30");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn an_edge_that_is_too_late_but_was_done_by_others_is_nothing_to_complain_about() {
    scenario(CONFIGURATION, "2026-11-27 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-27 22:00").person_stops(&web);
        cloud.until("2026-11-29 12:00");
        assert_eq!(said(&cloud.pass()), "record: schedule office");
    });
}

#[test]
fn tagging_a_running_machine_does_not_stop_it_for_an_edge_of_before() {
    scenario(CONFIGURATION, "2026-11-23 20:05", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        let plan = cloud.pass();
        assert_eq!(said(&plan), "record: adopted");
        assert_eq!(cloud.last(&web), "2026-11-23T19:00:00Z stop adopted");
        assert_eq!(said(&cloud.pass()), "nothing_due");
        cloud.until("2026-11-24 08:00").pass();
        cloud.until("2026-11-24 20:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn what_was_launched_just_before_an_edge_gets_that_edge() {
    for (seen, expected) in [
        ("2026-11-23 20:00:00", "stop: schedule office"),
        ("2026-11-23 20:01:00", "stop: schedule office"),
        ("2026-11-23 20:01:01", "record: adopted"),
    ] {
        scenario(CONFIGURATION, "2026-11-23 19:58", |cloud| {
            let web = cloud.add("web", Running, &[("Schedule", "office")]);
            cloud.machine(&web).instance.launched_at = Some(cloud.now);
            cloud.until(seen);
            assert_eq!(said(&cloud.pass()), expected, "{seen}");
        });
    }
    // Launched at the edge, it came after it.
    scenario(CONFIGURATION, "2026-11-23 20:00", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = Some(cloud.now);
        assert_eq!(
            said(&cloud.wait(SignedDuration::from_secs(20)).pass()),
            "record: adopted"
        );
    });
}

#[test]
fn what_is_still_being_launched_at_an_edge_is_stopped_when_it_runs() {
    scenario(CONFIGURATION, "2026-11-23 19:59:50", |cloud| {
        let web = cloud.add("web", Pending, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = Some(cloud.now);
        cloud.until("2026-11-23 20:00:05");
        assert_eq!(said(&cloud.pass()), "record: adopted");
        assert_eq!(cloud.last(&web), "2026-11-23T18:59:59Z stop adopted");
        cloud.machine(&web).instance.state = Running;
        cloud.until("2026-11-23 20:05");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn the_first_memory_is_written_before_the_call() {
    scenario(CONFIGURATION, "2026-11-23 19:58", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = Some(cloud.now);
        cloud.until("2026-11-23 20:00:05").trouble = Some(Trouble::CrashBeforeCalls);
        cloud.pass();
        assert_eq!(cloud.last(&web), "2026-11-23T18:59:59Z stop adopted");
        assert_eq!(
            said(&cloud.until("2026-11-23 20:05").pass()),
            "stop: schedule office"
        );
    });
}

#[test]
fn where_nothing_can_be_remembered_only_what_is_wanted_at_every_pass_is_done() {
    let full = |cloud: &mut Cloud, schedule: &str| {
        let web = cloud.add(
            "web",
            Running,
            &[
                ("Schedule", schedule),
                ("aws:cloudformation:stack-name", "x"),
            ],
        );
        let missing = 51 - cloud.machines[&web].instance.tags.len();
        for number in 0..missing {
            cloud.machine(&web).tag(&format!("own-{number}"), "");
        }
        web
    };
    scenario(CONFIGURATION, "2026-11-23 19:58", |cloud| {
        let web = full(cloud, "office");
        cloud.machine(&web).instance.launched_at = Some(cloud.now);
        cloud.until("2026-11-23 20:00:05");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "no_memory");
        assert!(
            detail(&plan).contains("it has 50 tags"),
            "{}",
            detail(&plan)
        );
        cloud.machine(&web).instance.tags.remove("own-0");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
    let mut cloud = Cloud::new(
        schedule_set(CONFIGURATION),
        paris("2026-11-23 21:00"),
        Evidence::Kept,
    );
    full(&mut cloud, "strict");
    let plan = cloud.look();
    assert_eq!(said(&plan), "stop: schedule strict");
    assert_eq!(plan.steps[0].adopt, None);
}

#[test]
fn what_the_console_did_after_a_missed_edge_stays() {
    // A missed 20:00, a console start at 22:00, and a pass at 22:05 leave it running.
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.stopped("office");
        cloud
            .machine(&web)
            .tag(LAST_TAG, "2026-11-23T07:00:00Z start schedule office");
        cloud.until("2026-11-23 22:00").person_starts(&web);
        cloud.until("2026-11-23 22:05");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "record: schedule office");
        assert_eq!(note(&plan), "a user started it after that");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T19:00:00Z stop schedule office"
        );
        assert_eq!(said(&cloud.pass()), "left_alone");
        assert_eq!(cloud.state(&web), Running);
    });
    // The same for a stop after a missed start, and not where the schedule is enforced.
    for (schedule, expected) in [("office", "record"), ("strict", "start")] {
        scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
            let web = cloud.running(schedule);
            cloud
                .machine(&web)
                .tag(LAST_TAG, "2026-11-20T19:00:00Z stop schedule office");
            cloud.until("2026-11-23 09:00").person_stops(&web);
            cloud.until("2026-11-23 09:05");
            assert_eq!(
                said(&cloud.pass()),
                format!("{expected}: schedule {schedule}")
            );
        });
    }
    // Within 15 seconds it may have been a call that crossed the edge.
    for (started, expected) in [("20:00:15", "stop"), ("20:00:16", "record")] {
        scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.stopped("office");
            cloud
                .machine(&web)
                .tag(LAST_TAG, "2026-11-23T07:00:00Z start schedule office");
            cloud
                .until(&format!("2026-11-23 {started}"))
                .person_starts(&web);
            cloud.wait(SETTLING);
            assert_eq!(said(&cloud.pass()), format!("{expected}: schedule office"));
        });
    }
}

/// `week-long-window.toml`: the edge is older than the catch-up limit when the first try comes.
#[test]
fn a_start_that_fell_back_is_tried_for_a_day_from_its_first_try() {
    let configuration = r#"
        [schedules.office]
        timezone = "UTC"
        start = "0 8 * * THU"
        stop = "0 19 * * SUN"
        adopt = "converge"
    "#;
    scenario_on(Evidence::Kept, configuration, "2026-11-28 12:00", |cloud| {
        let web = cloud.add("web", Stopped, &[("Schedule", "office")]);
        let mut tries = 0;
        let first = cloud.now;
        while cloud.now < first + SignedDuration::from_hours(24) {
            cloud.machine(&web).next_start_falls_back();
            tries += usize::from(
                cloud
                    .pass()
                    .steps
                    .iter()
                    .any(|step| step.action == StepAction::Start),
            );
            cloud.wait(SignedDuration::from_mins(5));
        }
        assert!(tries > 40, "{tries}");
        cloud.wait(SignedDuration::from_mins(40));
        let plan = cloud.pass();
        assert_eq!(said(&plan), "too_late");
        assert!(
            detail(&plan).contains("is given up, after"),
            "{}",
            detail(&plan)
        );
    });
    // Refused, and not even remembered as tried, it is converged all the same.
    scenario_on(Evidence::Kept, configuration, "2026-11-28 12:00", |cloud| {
        let web = cloud.add("web", Stopped, &[("Schedule", "office")]);
        cloud.trouble = Some(Trouble::CallsFail);
        cloud.pass();
        assert_eq!(said(&cloud.wait(SETTLING).pass()), "start: schedule office");
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn what_was_launched_at_15_00_is_not_stopped_for_last_nights_edge() {
    scenario(CONFIGURATION, "2026-11-22 16:00", |cloud| {
        // Launched on Sunday at 15:00; the newest edge is Friday's stop.
        let web = cloud.running("office");
        let plan = cloud.pass();
        assert_eq!(said(&plan), "nothing_due");
        assert_eq!(
            detail(&plan),
            "its schedule has asked for nothing since it was first seen"
        );
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn adopting_by_convergence_brings_it_to_the_desired_state_at_once() {
    scenario(CONFIGURATION, "2026-11-22 16:00", |cloud| {
        let web = cloud.running("eager");
        assert_eq!(said(&cloud.pass()), "stop: schedule eager");
        assert_eq!(
            cloud.last(&web),
            "2026-11-20T19:00:00Z stop schedule eager pending"
        );
        cloud.wait(SETTLING).pass();
        // Adopted, it is like any other: a person may start it.
        cloud.wait(SETTLING).person_starts(&web).wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "left_alone");
    });
}

#[test]
fn adopting_by_convergence_tries_again_until_it_works() {
    scenario(CONFIGURATION, "2026-11-22 16:00", |cloud| {
        cloud.running("eager");
        cloud.trouble = Some(Trouble::CallsFail);
        assert_eq!(said(&cloud.pass()), "stop: schedule eager");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "stop: schedule eager");
        assert_eq!(cloud.calls.len(), 1);
    });
}

#[test]
fn an_instance_without_memory_or_launch_time_is_managed_from_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 20:00:30", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = None;
        assert_eq!(said(&cloud.pass()), "record: adopted");
        assert_eq!(cloud.last(&web), "2026-11-23T19:00:00Z stop adopted");
        assert_eq!(cloud.state(&web), Running);
        cloud.until("2026-11-24 08:00").pass();
        cloud.until("2026-11-24 20:00");
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_start_that_fell_back_is_tried_again_with_ec2s_reason() {
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.machine(&web).next_start_falls_back();
        cloud.until("2026-11-23 08:00").pass();
        cloud.wait(SETTLING);
        let plan = cloud.pass();
        assert_eq!(said(&plan), "start: schedule office");
        assert_eq!(
            note(&plan),
            "an earlier start did not lead to running: \
             Client error on launch: the key of its volume is disabled"
        );
        assert_eq!(
            plan.steps[0].edge.unwrap().at.to_string(),
            "2026-11-23T07:00:00Z"
        );
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn an_enforced_start_that_fell_back_says_so_too() {
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("strict");
        cloud.pass();
        cloud.machine(&web).next_start_falls_back();
        cloud.until("2026-11-23 08:00").pass();
        cloud.wait(SETTLING);
        let plan = cloud.pass();
        assert_eq!(said(&plan), "start: schedule strict");
        assert_eq!(
            note(&plan),
            "an earlier start did not lead to running: \
             Client error on launch: the key of its volume is disabled"
        );
    });
}

#[test]
fn without_a_reason_a_start_that_fell_back_is_tried_again_all_the_same() {
    scenario_on(
        Evidence::Missing,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = cloud.stopped("office");
            cloud.machine(&web).next_start_falls_back();
            cloud.until("2026-11-23 08:00").pass();
            let plan = cloud.wait(SETTLING).pass();
            assert_eq!(said(&plan), "start: schedule office");
            assert_eq!(note(&plan), "an earlier start did not lead to running");
        },
    );
}

#[test]
fn a_start_that_keeps_falling_back_is_given_up_at_the_catch_up_limit() {
    let configuration = r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        catch_up = "1h"
    "#;
    scenario(configuration, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00");
        for _ in 0..13 {
            cloud.machine(&web).next_start_falls_back();
            cloud.pass();
            cloud.wait(SignedDuration::from_mins(5));
        }
        assert_eq!(
            said(&cloud.pass()),
            "waiting_to_retry",
            "the first that fell back was at 8:05"
        );
        cloud.wait(SignedDuration::from_mins(5));
        let plan = cloud.pass();
        assert_eq!(said(&plan), "too_late");
        assert!(
            detail(&plan).starts_with("its start of 2026-11-23T07:00:00Z is given up, after 6x "),
            "{}",
            detail(&plan)
        );
        assert_eq!(
            cloud.calls.len(),
            7,
            "at 8:00, :05, :10, :15, :20, :30, :50"
        );
    });
}

#[test]
fn an_instance_that_was_shut_down_from_inside_did_run() {
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        cloud.wait(SignedDuration::from_secs(25));
        let now = cloud.now;
        cloud.machine(&web).shuts_down(now, Evidence::Kept);
        cloud.wait(SETTLING);
        let plan = cloud.pass();
        assert_eq!(said(&plan), "record: schedule office");
        assert_eq!(note(&plan), "it was shut down from inside after that start");
    });
}

#[test]
fn a_start_that_a_user_stopped_before_it_was_verified_is_not_tried_again() {
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00").pass();
        cloud
            .wait(SignedDuration::from_secs(25))
            .person_stops(&web)
            .wait(SETTLING);
        let plan = cloud.pass();
        assert_eq!(said(&plan), "record: schedule office");
        assert_eq!(note(&plan), "a user stopped it after that");
        assert_eq!(said(&cloud.pass()), "left_alone");
    });
}

/// A stop of ours that was sent before the edge looks the same: EC2 says that a user did it.
#[test]
fn a_stop_within_15_seconds_of_a_start_is_mended_and_a_later_one_is_a_persons() {
    for (stopped, expected) in [
        ("07:00:00", "start: schedule office"),
        ("07:00:15", "start: schedule office"),
        ("07:00:16", "record: schedule office"),
    ] {
        scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
            let web = cloud.stopped("office");
            cloud.until("2026-11-23 08:00").pass();
            cloud.wait(SignedDuration::from_secs(25)).person_stops(&web);
            cloud.wait(SETTLING);
            let dated = format!("User initiated (2026-11-23 {stopped} GMT)");
            cloud.machine(&web).instance.transition_reason = Some(dated);
            let plan = cloud.pass();
            assert_eq!(said(&plan), expected, "{stopped}");
            let mended = "an earlier start was undone by a call that crossed it";
            assert_eq!(
                note(&plan) == mended,
                expected.starts_with("start"),
                "{stopped}"
            );
        });
    }
}

#[test]
fn a_start_edge_waits_for_a_stop_that_is_under_way() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 07:59:50").person_stops(&web);
        cloud.until("2026-11-23 08:00:05");
        assert_eq!(said(&cloud.pass()), "in_flight");
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn a_refused_call_leaves_the_edge_due() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00").trouble = Some(Trouble::CallsFail);
        let before = cloud.last(&web).to_owned();
        cloud.pass();
        assert_eq!(cloud.last(&web), before);
        cloud.wait(SETTLING);
        assert_eq!(said(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_crash_before_the_memory_is_written_costs_no_second_call() {
    for (state, time) in [(Running, "2026-11-23 20:00"), (Stopped, "2026-11-24 08:00")] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.add("web", state, &[("Schedule", "office")]);
            let before = "2026-11-22T19:00:00Z stop request by alice";
            cloud.machine(&web).tag(LAST_TAG, before);
            cloud.until(time).trouble = Some(Trouble::CrashBeforeMemory);
            cloud.pass();
            assert_eq!(cloud.last(&web), before);
            assert_eq!(said(&cloud.pass()), "in_flight");
            cloud.wait(SETTLING);
            assert_eq!(said(&cloud.pass()), "record: schedule office");
            assert_eq!(cloud.calls.len(), 1);
        });
    }
}

#[test]
fn who_can_hibernate_does_and_the_rest_is_stopped_with_a_note() {
    let configuration = r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        hibernate = true
    "#;
    for (hibernation, expected, remark) in [
        (Hibernation::Configured, "hibernate: schedule office", ""),
        (
            Hibernation::NotConfigured,
            "stop: schedule office",
            "stopped plainly: it was not launched with hibernation enabled",
        ),
    ] {
        scenario(configuration, "2026-11-23 19:00", |cloud| {
            let web = cloud.running("office");
            cloud.machine(&web).instance.hibernation = hibernation;
            let plan = cloud.until("2026-11-23 20:00").pass();
            assert_eq!((said(&plan).as_str(), note(&plan)), (expected, remark));
        });
    }
}

#[test]
fn what_is_terminated_or_on_its_way_there_is_gone() {
    for state in [ShuttingDown, Terminated] {
        scenario(CONFIGURATION, "2026-11-23 20:00", |cloud| {
            let gone: InstanceState = state;
            cloud.add("web", gone, &[("Schedule", "strict")]);
            let plan = cloud.pass();
            assert_eq!(said(&plan), "gone");
            assert_eq!(plan.next_edge, None, "nothing will ever be due for it");
        });
    }
}

#[test]
fn a_state_that_ec2_has_not_documented_is_named_and_left_alone() {
    scenario(CONFIGURATION, "2026-11-23 20:00", |cloud| {
        let web = cloud.add("web", Other, &[("Schedule", "strict")]);
        cloud.machine(&web).instance.state_word = Some("quarantined".into());
        let plan = cloud.pass();
        assert_eq!(said(&plan), "unknown_state");
        assert_eq!(
            detail(&plan),
            "its state is `quarantined`, which Curfew does not know; it is left alone"
        );
        assert_eq!(plan.next_edge, None);
    });
}
