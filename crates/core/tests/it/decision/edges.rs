//! Edges: applied once, caught up when missed, adopted, verified.

use curfew_core::instance::{Hibernation, InstanceState, InstanceState::*};
use curfew_core::state_tags::LAST_TAG;
use curfew_core::step::StepAction;
use jiff::SignedDuration;

use crate::support::{
    CONFIGURATION, Cloud, Failure, SETTLING, StateDetails, detail, note, outcome, paris, scenario,
    scenario_on, schedule_set,
};

#[test]
fn an_edge_is_applied_once() {
    scenario(CONFIGURATION, "2026-11-23 18:30", |cloud| {
        let web = cloud.running("office");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        cloud.until("2026-11-23 20:00:10");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
        let done = "2026-11-23T19:00:00Z stop schedule office";
        assert_eq!(cloud.last(&web), format!("{done} pending"));
        assert_eq!(outcome(&cloud.pass()), "transitioning");
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        assert_eq!(cloud.last(&web), done);
        assert_eq!(outcome(&cloud.pass()), "as_desired");
        assert_eq!(
            cloud.calls,
            ["2026-11-23 20:00:10 stop web: schedule office"]
        );
    });
}

#[test]
fn a_start_is_done_when_running_is_observed() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 08:00");
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T07:00:00Z start schedule office pending"
        );
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T07:00:00Z start schedule office"
        );
        assert_eq!(outcome(&cloud.pass()), "as_desired");
    });
}

#[test]
fn an_edge_with_nothing_to_do_is_recorded_so_that_a_later_manual_change_is_kept() {
    scenario(CONFIGURATION, "2026-11-23 19:30", |cloud| {
        let web = cloud.stopped("office");
        cloud.until("2026-11-23 20:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
        cloud.wait(SETTLING).pass();
        cloud.start_by_hand(&web).wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "manual_override");
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
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
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
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
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
        assert_eq!(outcome(&plan), "too_late");
        assert_eq!(
            detail(&plan),
            "its stop of 2026-11-23T19:00:00Z was missed by more than the catch-up limit"
        );
        assert_eq!(cloud.state(&web), Running);
    });
    scenario(configuration, "2026-11-23 19:00", |cloud| {
        cloud.running("office");
        cloud.until("2026-11-23 21:30");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn an_expired_edge_whose_state_is_reached_is_not_reported() {
    scenario(CONFIGURATION, "2026-11-27 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-27 22:00").stop_by_hand(&web);
        cloud.until("2026-11-29 12:00");
        assert_eq!(outcome(&cloud.pass()), "record: schedule office");
    });
}

#[test]
fn tagging_a_running_instance_does_not_apply_an_earlier_stop() {
    scenario(CONFIGURATION, "2026-11-23 20:05", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "record: adopted");
        assert_eq!(cloud.last(&web), "2026-11-23T19:00:00Z stop adopted");
        assert_eq!(outcome(&cloud.pass()), "nothing_due");
        cloud.until("2026-11-24 08:00").pass();
        cloud.until("2026-11-24 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn an_instance_launched_just_before_an_edge_gets_that_edge() {
    for (seen, expected) in [
        ("2026-11-23 20:00:00", "stop: schedule office"),
        ("2026-11-23 20:01:00", "stop: schedule office"),
        ("2026-11-23 20:01:01", "record: adopted"),
    ] {
        scenario(CONFIGURATION, "2026-11-23 19:58", |cloud| {
            let web = cloud.add("web", Running, &[("Schedule", "office")]);
            cloud.machine(&web).instance.launched_at = Some(cloud.now);
            cloud.until(seen);
            assert_eq!(outcome(&cloud.pass()), expected, "{seen}");
        });
    }
    // Launched at the edge, it came after it.
    scenario(CONFIGURATION, "2026-11-23 20:00", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = Some(cloud.now);
        assert_eq!(
            outcome(&cloud.wait(SignedDuration::from_secs(20)).pass()),
            "record: adopted"
        );
    });
}

#[test]
fn an_instance_pending_at_a_stop_edge_is_stopped_once_it_runs() {
    scenario(CONFIGURATION, "2026-11-23 19:59:50", |cloud| {
        let web = cloud.add("web", Pending, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = Some(cloud.now);
        cloud.until("2026-11-23 20:00:05");
        assert_eq!(outcome(&cloud.pass()), "record: adopted");
        assert_eq!(cloud.last(&web), "2026-11-23T18:59:59Z stop adopted");
        cloud.machine(&web).instance.state = Running;
        cloud.until("2026-11-23 20:05");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn the_first_state_tag_is_written_before_the_call() {
    scenario(CONFIGURATION, "2026-11-23 19:58", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = Some(cloud.now);
        cloud.until("2026-11-23 20:00:05").failure = Some(Failure::CrashBeforeCalls);
        cloud.pass();
        assert_eq!(cloud.last(&web), "2026-11-23T18:59:59Z stop adopted");
        assert_eq!(
            outcome(&cloud.until("2026-11-23 20:05").pass()),
            "stop: schedule office"
        );
    });
}

#[test]
fn without_room_for_state_tags_only_enforced_schedules_and_overrides_act() {
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
        assert_eq!(outcome(&plan), "no_memory");
        assert!(
            detail(&plan).contains("it has 50 tags"),
            "{}",
            detail(&plan)
        );
        cloud.machine(&web).instance.tags.remove("own-0");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
    let mut cloud = Cloud::new(
        schedule_set(CONFIGURATION),
        paris("2026-11-23 21:00"),
        StateDetails::Reported,
    );
    full(&mut cloud, "strict");
    let plan = cloud.planned();
    assert_eq!(outcome(&plan), "stop: schedule strict");
    assert_eq!(plan.steps[0].initial_tag, None);
}

#[test]
fn a_console_change_after_a_missed_edge_is_kept() {
    // A missed 20:00, a console start at 22:00, and a pass at 22:05 leave it running.
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 19:00",
        |cloud| {
            let web = cloud.stopped("office");
            cloud
                .machine(&web)
                .tag(LAST_TAG, "2026-11-23T07:00:00Z start schedule office");
            cloud.until("2026-11-23 22:00").start_by_hand(&web);
            cloud.until("2026-11-23 22:05");
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "record: schedule office");
            assert_eq!(note(&plan), "a user started it afterwards");
            assert_eq!(
                cloud.last(&web),
                "2026-11-23T19:00:00Z stop schedule office"
            );
            assert_eq!(outcome(&cloud.pass()), "manual_override");
            assert_eq!(cloud.state(&web), Running);
        },
    );
    // The same for a stop after a missed start, and not where the schedule is enforced.
    for (schedule, expected) in [("office", "record"), ("strict", "start")] {
        scenario_on(
            StateDetails::Reported,
            CONFIGURATION,
            "2026-11-23 07:30",
            |cloud| {
                let web = cloud.running(schedule);
                cloud
                    .machine(&web)
                    .tag(LAST_TAG, "2026-11-20T19:00:00Z stop schedule office");
                cloud.until("2026-11-23 09:00").stop_by_hand(&web);
                cloud.until("2026-11-23 09:05");
                assert_eq!(
                    outcome(&cloud.pass()),
                    format!("{expected}: schedule {schedule}")
                );
            },
        );
    }
    // A change within 15 seconds may be a call that crossed the edge.
    for (started, expected) in [("20:00:15", "stop"), ("20:00:16", "record")] {
        scenario_on(
            StateDetails::Reported,
            CONFIGURATION,
            "2026-11-23 19:00",
            |cloud| {
                let web = cloud.stopped("office");
                cloud
                    .machine(&web)
                    .tag(LAST_TAG, "2026-11-23T07:00:00Z start schedule office");
                cloud
                    .until(&format!("2026-11-23 {started}"))
                    .start_by_hand(&web);
                cloud.wait(SETTLING);
                assert_eq!(
                    outcome(&cloud.pass()),
                    format!("{expected}: schedule office")
                );
            },
        );
    }
}

/// `week-long-window.toml`: the edge is older than the catch-up limit at the first attempt.
#[test]
fn a_start_that_fell_back_is_retried_for_a_day_from_its_first_attempt() {
    let configuration = r#"
        [schedules.office]
        timezone = "UTC"
        start = "0 8 * * THU"
        stop = "0 19 * * SUN"
        adopt = "converge"
    "#;
    scenario_on(
        StateDetails::Reported,
        configuration,
        "2026-11-28 12:00",
        |cloud| {
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
            assert_eq!(outcome(&plan), "too_late");
            assert!(
                detail(&plan).contains("is given up, after"),
                "{}",
                detail(&plan)
            );
        },
    );
    // The instance converges although the attempt was refused and not recorded.
    scenario_on(
        StateDetails::Reported,
        configuration,
        "2026-11-28 12:00",
        |cloud| {
            let web = cloud.add("web", Stopped, &[("Schedule", "office")]);
            cloud.failure = Some(Failure::CallsFail);
            cloud.pass();
            assert_eq!(
                outcome(&cloud.wait(SETTLING).pass()),
                "start: schedule office"
            );
            cloud.wait(SETTLING).pass();
            assert_eq!(cloud.state(&web), Running);
        },
    );
}

#[test]
fn an_instance_launched_at_15_00_is_not_stopped_for_the_previous_edge() {
    scenario(CONFIGURATION, "2026-11-22 16:00", |cloud| {
        // Launched on Sunday at 15:00; the newest edge is Friday's stop.
        let web = cloud.running("office");
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "nothing_due");
        assert_eq!(
            detail(&plan),
            "no edge of its schedule since it was first observed"
        );
        assert_eq!(cloud.state(&web), Running);
    });
}

#[test]
fn convergent_adoption_applies_the_desired_state_at_once() {
    scenario(CONFIGURATION, "2026-11-22 16:00", |cloud| {
        let web = cloud.running("eager");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule eager");
        assert_eq!(
            cloud.last(&web),
            "2026-11-20T19:00:00Z stop schedule eager pending"
        );
        cloud.wait(SETTLING).pass();
        // Once adopted, it may be started by hand like any other.
        cloud.wait(SETTLING).start_by_hand(&web).wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "manual_override");
    });
}

#[test]
fn convergent_adoption_is_retried_until_it_succeeds() {
    scenario(CONFIGURATION, "2026-11-22 16:00", |cloud| {
        cloud.running("eager");
        cloud.failure = Some(Failure::CallsFail);
        assert_eq!(outcome(&cloud.pass()), "stop: schedule eager");
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "stop: schedule eager");
        assert_eq!(cloud.calls.len(), 1);
    });
}

#[test]
fn an_instance_without_state_tags_or_launch_time_is_managed_from_the_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 20:00:30", |cloud| {
        let web = cloud.add("web", Running, &[("Schedule", "office")]);
        cloud.machine(&web).instance.launched_at = None;
        assert_eq!(outcome(&cloud.pass()), "record: adopted");
        assert_eq!(cloud.last(&web), "2026-11-23T19:00:00Z stop adopted");
        assert_eq!(cloud.state(&web), Running);
        cloud.until("2026-11-24 08:00").pass();
        cloud.until("2026-11-24 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_start_that_fell_back_is_retried_with_ec2s_reason() {
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = cloud.stopped("office");
            cloud.machine(&web).next_start_falls_back();
            cloud.until("2026-11-23 08:00").pass();
            cloud.wait(SETTLING);
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "start: schedule office");
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
        },
    );
}

#[test]
fn an_enforced_start_that_fell_back_is_reported() {
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = cloud.stopped("strict");
            cloud.pass();
            cloud.machine(&web).next_start_falls_back();
            cloud.until("2026-11-23 08:00").pass();
            cloud.wait(SETTLING);
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "start: schedule strict");
            assert_eq!(
                note(&plan),
                "an earlier start did not lead to running: \
             Client error on launch: the key of its volume is disabled"
            );
        },
    );
}

#[test]
fn a_start_that_fell_back_without_a_reason_is_retried() {
    scenario_on(
        StateDetails::Missing,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = cloud.stopped("office");
            cloud.machine(&web).next_start_falls_back();
            cloud.until("2026-11-23 08:00").pass();
            let plan = cloud.wait(SETTLING).pass();
            assert_eq!(outcome(&plan), "start: schedule office");
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
            outcome(&cloud.pass()),
            "waiting_to_retry",
            "the first that fell back was at 8:05"
        );
        cloud.wait(SignedDuration::from_mins(5));
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "too_late");
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
fn an_instance_shut_down_by_its_os_counts_as_started() {
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = cloud.stopped("office");
            cloud.until("2026-11-23 08:00").pass();
            cloud.wait(SignedDuration::from_secs(25));
            let now = cloud.now;
            cloud
                .machine(&web)
                .shut_down_by_os(now, StateDetails::Reported);
            cloud.wait(SETTLING);
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "record: schedule office");
            assert_eq!(
                note(&plan),
                "it was shut down by its operating system after that start"
            );
        },
    );
}

#[test]
fn a_start_that_a_user_stopped_before_it_was_verified_is_not_retried() {
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = cloud.stopped("office");
            cloud.until("2026-11-23 08:00").pass();
            cloud
                .wait(SignedDuration::from_secs(25))
                .stop_by_hand(&web)
                .wait(SETTLING);
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "record: schedule office");
            assert_eq!(note(&plan), "a user stopped it afterwards");
            assert_eq!(outcome(&cloud.pass()), "manual_override");
        },
    );
}

/// Curfew's own stop that was sent before the edge is indistinguishable: EC2 reports a user as its reason.
#[test]
fn a_stop_within_15_seconds_of_a_start_is_undone_and_a_later_one_is_kept() {
    for (stopped, expected) in [
        ("07:00:00", "start: schedule office"),
        ("07:00:15", "start: schedule office"),
        ("07:00:16", "record: schedule office"),
    ] {
        scenario_on(
            StateDetails::Reported,
            CONFIGURATION,
            "2026-11-23 07:30",
            |cloud| {
                let web = cloud.stopped("office");
                cloud.until("2026-11-23 08:00").pass();
                cloud.wait(SignedDuration::from_secs(25)).stop_by_hand(&web);
                cloud.wait(SETTLING);
                let dated = format!("User initiated (2026-11-23 {stopped} GMT)");
                cloud.machine(&web).instance.transition_reason = Some(dated);
                let plan = cloud.pass();
                assert_eq!(outcome(&plan), expected, "{stopped}");
                let mended = "an earlier start was undone by a call that crossed it";
                assert_eq!(
                    note(&plan) == mended,
                    expected.starts_with("start"),
                    "{stopped}"
                );
            },
        );
    }
}

#[test]
fn a_start_edge_waits_for_a_stop_in_progress() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 07:59:50").stop_by_hand(&web);
        cloud.until("2026-11-23 08:00:05");
        assert_eq!(outcome(&cloud.pass()), "transitioning");
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "start: schedule office");
    });
}

#[test]
fn a_refused_call_leaves_the_edge_due() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.until("2026-11-23 20:00").failure = Some(Failure::CallsFail);
        let before = cloud.last(&web).to_owned();
        cloud.pass();
        assert_eq!(cloud.last(&web), before);
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_crash_before_the_tags_are_written_causes_no_second_call() {
    for (state, time) in [(Running, "2026-11-23 20:00"), (Stopped, "2026-11-24 08:00")] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.add("web", state, &[("Schedule", "office")]);
            let before = "2026-11-22T19:00:00Z stop request by alice";
            cloud.machine(&web).tag(LAST_TAG, before);
            cloud.until(time).failure = Some(Failure::CrashBeforeRecord);
            cloud.pass();
            assert_eq!(cloud.last(&web), before);
            assert_eq!(outcome(&cloud.pass()), "transitioning");
            cloud.wait(SETTLING);
            assert_eq!(outcome(&cloud.pass()), "record: schedule office");
            assert_eq!(cloud.calls.len(), 1);
        });
    }
}

#[test]
fn instances_without_hibernation_are_stopped_with_a_note() {
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
            "stopped instead of hibernated: it was not launched with hibernation enabled",
        ),
    ] {
        scenario(configuration, "2026-11-23 19:00", |cloud| {
            let web = cloud.running("office");
            cloud.machine(&web).instance.hibernation = hibernation;
            let plan = cloud.until("2026-11-23 20:00").pass();
            assert_eq!((outcome(&plan).as_str(), note(&plan)), (expected, remark));
        });
    }
}

#[test]
fn terminated_and_terminating_instances_are_gone() {
    for state in [ShuttingDown, Terminated] {
        scenario(CONFIGURATION, "2026-11-23 20:00", |cloud| {
            let gone: InstanceState = state;
            cloud.add("web", gone, &[("Schedule", "strict")]);
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "terminated");
            assert_eq!(plan.next, None, "nothing will ever be due for it");
        });
    }
}

#[test]
fn an_undocumented_state_is_named_and_skipped() {
    scenario(CONFIGURATION, "2026-11-23 20:00", |cloud| {
        let web = cloud.add("web", Other, &[("Schedule", "strict")]);
        cloud.machine(&web).instance.state_word = Some("quarantined".into());
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "unknown_state");
        assert_eq!(
            detail(&plan),
            "its state is `quarantined`, which Curfew does not know; it is left alone"
        );
        assert_eq!(plan.next, None);
    });
}
