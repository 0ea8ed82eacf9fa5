//! Which schedule manages an instance, which instances are never started or stopped, and malformed tags.

use curfew_core::instance::InstanceState::*;
use curfew_core::instance::{Purchase, RootDevice};
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::skip::SkipCode;
use curfew_core::state_tags::{LAST_TAG, OVERRIDE_TAG, REQUEST_TAG};
use curfew_core::timetable::Desired;

use crate::support::{CONFIGURATION, Cloud, SETTLING, detail, note, outcome, paris, scenario};

/// Plans for a running instance with these tags, on Monday at 20:00:10 when its schedule wants it stopped.
fn in_the_evening(
    configuration: &str,
    tags: &[(&str, &str)],
    prepare: impl Fn(&mut Cloud),
    reason: &str,
    sentence: &str,
) {
    scenario(configuration, "2026-11-23 19:00", |cloud| {
        let web = cloud.add("web", Running, tags);
        prepare(cloud);
        cloud.until("2026-11-23 20:00:10");
        let plan = cloud.pass();
        assert_eq!((outcome(&plan).as_str(), detail(&plan)), (reason, sentence));
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(cloud.last(&web), "", "what is left alone is not written to");
    });
}

#[test]
fn without_a_tag_or_a_match_it_is_unmanaged() {
    in_the_evening(
        CONFIGURATION,
        &[("Schedule", "  ")],
        |_| {},
        "unmanaged",
        "no schedule manages it: it has no managing tag, and no schedule's `match` takes it",
    );
}

#[test]
fn an_override_without_a_schedule_has_no_desired_state() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let override_ = "running since 2026-11-23T17:00:00Z until 2026-11-23T22:00:00Z by alice";
        let web = cloud.add("web", Stopped, &[(OVERRIDE_TAG, override_)]);
        let seen = cloud.assess(&web);
        assert_eq!(seen.desired, Desired::Unmanaged);
        assert_eq!(seen.override_.unwrap().to_string(), override_);
        assert_eq!(outcome(&cloud.pass()), "unmanaged");
    });
}

#[test]
fn the_tag_value_none_opts_out() {
    in_the_evening(
        CONFIGURATION,
        &[("Schedule", "None")],
        |_| {},
        "opted_out",
        "its tag `Schedule` opts it out",
    );
}

#[test]
fn an_unknown_schedule_is_named_with_those_that_exist() {
    in_the_evening(
        CONFIGURATION,
        &[("Schedule", "offcie")],
        |_| {},
        "unknown_schedule",
        "its tag names the schedule `offcie`, which does not exist; \
         there is `eager`, `night-stop`, `office`, `strict`",
    );
}

#[test]
fn an_inline_schedule_manages_the_instance() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running(" Mon-Fri 08:00-20:00 Europe/Paris ");
        cloud.until("2026-11-23 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule inline");
        assert_eq!(
            cloud.last(&web),
            "2026-11-23T19:00:00Z stop schedule inline pending"
        );
    });
}

#[test]
fn a_malformed_inline_schedule_is_explained() {
    in_the_evening(
        CONFIGURATION,
        &[("Schedule", "Mon-Fri 08:00-25:00 Europe/Pariss")],
        |_| {},
        "malformed_schedule",
        "its tag `Schedule` is neither a schedule's name nor a schedule: \
         `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?; \
         `Mon-Fri 08:00-25:00`: `25:00` is not a time of day; write `00:00`–`24:00`, hours and minutes",
    );
}

const MATCHERS: &str = r#"
    [managing]
    tag = "Hours"

    [schedules.dev]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"
    match = { tags = { Environment = "dev*" } }

    [schedules.blue]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-18:00"
    match = { tags = { Team = "blue", Tier = "?" }, ids = ["i-0000000a"] }
"#;

#[test]
fn a_match_manages_and_the_tag_comes_first() {
    for (tags, by) in [
        (vec![("Environment", "dev-2")], "dev"),
        (vec![("Team", "blue"), ("Tier", "1")], "blue"),
        (vec![("Environment", "dev-2"), ("Hours", "blue")], "blue"),
    ] {
        scenario(MATCHERS, "2026-11-23 17:00", |cloud| {
            cloud.add("web", Running, &tags);
            cloud.pass();
            cloud.until("2026-11-23 20:00:10");
            assert_eq!(outcome(&cloud.pass()), format!("stop: schedule {by}"));
        });
    }
}

#[test]
fn two_matches_are_ambiguous_and_never_guessed() {
    in_the_evening(
        MATCHERS,
        &[("Environment", "dev"), ("Team", "blue"), ("Tier", "1")],
        |_| {},
        "ambiguous",
        "several schedules take it (`blue`, `dev`); name one in its tag",
    );
}

#[test]
fn all_tags_of_a_match_are_required() {
    in_the_evening(
        MATCHERS,
        &[("Team", "blue"), ("Tier", "10"), ("Schedule", "dev")],
        |_| {},
        "unmanaged",
        "no schedule manages it: it has no managing tag, and no schedule's `match` takes it",
    );
}

#[test]
fn an_instance_managed_by_another_tool_is_skipped() {
    for (key, value, reason, owner) in [
        (
            "aws:autoscaling:groupName",
            "workers",
            "auto_scaling_group",
            "the Auto Scaling group `workers`",
        ),
        (
            "aws:ec2:fleet-id",
            "fleet-1",
            "ec2_fleet",
            "the EC2 Fleet `fleet-1`",
        ),
        (
            "aws:ec2spot:fleet-request-id",
            "sfr-1",
            "spot_fleet",
            "the Spot Fleet `sfr-1`",
        ),
        (
            "aws:elasticmapreduce:job-flow-id",
            "j-1",
            "emr_cluster",
            "the EMR cluster `j-1`",
        ),
        (
            "eks:nodegroup-name",
            "nodes",
            "eks_node_group",
            "the EKS node group `nodes`",
        ),
        (
            "karpenter.sh/nodepool",
            "default",
            "karpenter",
            "the Karpenter node pool `default`",
        ),
        (
            "AWSBatchServiceTag",
            "batch",
            "batch",
            "the AWS Batch compute environment that launched it",
        ),
        (
            "elasticbeanstalk:environment-name",
            "shop",
            "elastic_beanstalk",
            "the Elastic Beanstalk environment `shop`",
        ),
    ] {
        in_the_evening(
            CONFIGURATION,
            &[("Schedule", "strict"), (key, value)],
            |_| {},
            reason,
            &format!(
                "{owner} manages it, and would replace or miss it; \
                 only an instance that is named by its id is acted on all the same"
            ),
        );
    }
    in_the_evening(
        CONFIGURATION,
        &[("Schedule", "strict")],
        |cloud| {
            for machine in cloud.machines.values_mut() {
                machine.instance.operator = Some("eks.amazonaws.com".into());
            }
        },
        "operator",
        "the AWS service `eks.amazonaws.com` manages it, and would replace or miss it; \
         only an instance that is named by its id is acted on all the same",
    );
}

#[test]
fn an_instance_of_another_tool_is_acted_on_if_named_by_its_id() {
    let group = ("aws:autoscaling:groupName", "workers");
    let remark = "named by its id, although the Auto Scaling group `workers` manages it";
    let listed = r#"
        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        match = { tags = { Team = "blue" }, ids = ["i-00000001"] }
    "#;
    scenario(listed, "2026-11-23 19:00", |cloud| {
        cloud.add("web", Running, &[group]);
        cloud.add("other", Running, &[group, ("Team", "blue")]);
        cloud.until("2026-11-23 20:00");
        let plan = cloud.pass();
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.steps[0].note.as_deref(), Some(remark));
        assert_eq!(plan.skipped[0].reason.code(), SkipCode::AutoScalingGroup);
    });
    // A request and an override name it as well, but only for their own action.
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.add("web", Running, &[group, ("Schedule", "office")]);
        let until = RequestDuration::Until(paris("2026-11-23 21:00"));
        let plan = cloud.pass_with_request(&web, RequestKind::Stop(until));
        assert_eq!(plan.steps[0].note.as_deref(), Some(remark));
        cloud.wait(SETTLING);
        cloud.pass();
        assert_eq!(outcome(&cloud.planned()), "overridden");
        cloud.until("2026-11-23 21:00:10");
        assert_eq!(outcome(&cloud.planned()), "auto_scaling_group");
    });
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.add("web", Running, &[group, ("Schedule", "office")]);
        let plan = cloud.pass_with_request(&web, RequestKind::Stop(RequestDuration::NextEdge));
        assert_eq!(plan.steps[0].note.as_deref(), Some(remark));
        cloud.wait(SETTLING);
        assert_eq!(cloud.pass().steps.len(), 1, "it is recorded as done");
        assert_eq!(outcome(&cloud.planned()), "auto_scaling_group");
        cloud.until("2026-11-24 08:00:10");
        assert_eq!(outcome(&cloud.planned()), "auto_scaling_group");
    });
}

#[test]
fn an_instance_that_would_not_survive_a_stop_is_never_stopped() {
    let tags = [("Schedule", "strict")];
    let each = |change: fn(&mut curfew_core::instance::Instance)| {
        move |cloud: &mut Cloud| {
            for machine in cloud.machines.values_mut() {
                change(&mut machine.instance);
            }
        }
    };
    in_the_evening(
        CONFIGURATION,
        &tags,
        each(|instance| instance.root_device = RootDevice::InstanceStore),
        "instance_store",
        "its root volume is instance store, which does not survive a stop",
    );
    in_the_evening(
        CONFIGURATION,
        &tags,
        each(|instance| instance.purchase = Purchase::OneTimeSpot),
        "one_time_spot",
        "it is a one-time Spot instance, which can't be stopped",
    );
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).instance.purchase = Purchase::PersistentSpot;
        cloud.until("2026-11-23 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_protected_instance_has_no_next_edge() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        assert_eq!(
            cloud.planned().next.unwrap().at.to_string(),
            "2026-11-23T19:00:00Z"
        );
        cloud.machine(&web).instance.purchase = Purchase::OneTimeSpot;
        assert_eq!(cloud.planned().next, None);
    });
}

#[test]
fn a_malformed_last_tag_is_rewritten_without_undoing_manual_changes() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag(LAST_TAG, "yesterday");
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "record: adopted");
        assert_eq!(
            note(&plan),
            "no edge of its schedule since it was first observed; \
             the tag `curfew:last` is `yesterday`, which Curfew can't read; it should look like \
             `2026-11-23T19:00:00Z stop schedule NAME`; the tag is rewritten, and the schedule's newest edge counts as applied"
        );
        assert_eq!(cloud.last(&web), "2026-11-23T19:00:00Z stop adopted");
        assert_eq!(outcome(&cloud.pass()), "nothing_due");
    });
}

#[test]
fn an_enforced_schedule_rewrites_a_malformed_last_tag_with_a_note() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.stopped("strict");
        cloud.machine(&web).tag(LAST_TAG, "");
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "record: adopted");
        assert!(note(&plan).contains("the tag `curfew:last` is ``, which Curfew can't read"));
        cloud.machine(&web).tag(LAST_TAG, "2026-11-23 stop");
        cloud.start_by_hand(&web).wait(SETTLING);
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "stop: schedule strict");
        assert!(note(&plan).starts_with("the tag `curfew:last` is `2026-11-23 stop`"));
    });
}

#[test]
fn a_last_tag_of_the_far_future_is_rewritten() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = cloud.running("office");
        cloud
            .machine(&web)
            .tag(LAST_TAG, "2062-11-23T19:00:00Z stop schedule office");
        let plan = cloud.pass();
        assert_eq!(outcome(&plan), "record: adopted");
        assert_eq!(
            note(&plan),
            "no edge of its schedule since it was first observed; \
             the tag `curfew:last` is of 2062-11-23T19:00:00Z, which is yet to come; \
             the tag is rewritten, and the schedule's newest edge counts as applied"
        );
        cloud.until("2026-11-24 08:00").pass();
        cloud.until("2026-11-24 20:00");
        assert_eq!(outcome(&cloud.pass()), "stop: schedule office");
    });
}

#[test]
fn a_last_tag_of_a_clock_ten_minutes_fast_is_accepted() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.stopped("office");
        cloud
            .until("2026-11-23 19:51")
            .machine(&web)
            .tag(LAST_TAG, "2026-11-23T19:00:00Z stop schedule office");
        assert_eq!(
            outcome(&cloud.pass()),
            "as_desired",
            "decided at 20:00, which is when it is of"
        );
        cloud.until("2026-11-23 20:00");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
    });
}

#[test]
fn a_last_tag_is_accepted_up_to_an_hour_ahead() {
    for (time, expected) in [
        ("2026-11-23 19:00", "as_desired"),
        ("2026-11-23 18:59", "record: adopted"),
    ] {
        scenario(CONFIGURATION, time, |cloud| {
            let web = cloud.stopped("office");
            cloud
                .machine(&web)
                .tag(LAST_TAG, "2026-11-23T19:00:00Z stop schedule office");
            assert_eq!(outcome(&cloud.pass()), expected, "{time}");
        });
    }
}

#[test]
fn a_malformed_override_blocks_all_actions_until_corrected() {
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.running(schedule);
            cloud.machine(&web).tag(OVERRIDE_TAG, "till tomorrow");
            cloud.until("2026-11-23 20:00");
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "malformed_override");
            assert_eq!(
                detail(&plan),
                "the tag `curfew:override` is `till tomorrow`, which Curfew can't read; \
                 it should look like `running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by WHO`; correct or remove it"
            );
            assert_eq!(plan.next, None, "nothing is due for it until then");
            cloud.machine(&web).instance.tags.remove(OVERRIDE_TAG);
            assert_eq!(outcome(&cloud.pass()), format!("stop: schedule {schedule}"));
        });
    }
}

#[test]
fn a_malformed_request_blocks_all_actions_until_replaced() {
    for schedule in ["office", "strict"] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.running(schedule);
            cloud.machine(&web).tag(REQUEST_TAG, "please stop");
            cloud.until("2026-11-23 20:00");
            let plan = cloud.pass();
            assert_eq!(outcome(&plan), "malformed_request");
            assert_eq!(
                detail(&plan),
                "the tag `curfew:request` is `please stop`, which Curfew can't read; \
                 it should look like `2026-11-23T20:15:00Z start by WHO`; correct or remove it, or send a new request"
            );
            assert_eq!(
                (plan.next.map(|next| next.at), plan.valid_until),
                (None, None)
            );
            assert_eq!(outcome(&cloud.request_stop(&web)), "stop: request by alice");
        });
    }
    // An override replaces it too.
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud
            .machine(&web)
            .tag(REQUEST_TAG, "2062-11-23T20:15:00Z start by bob");
        assert_eq!(outcome(&cloud.planned()), "malformed_request");
        cloud.pass_with_request(
            &web,
            RequestKind::Stop(RequestDuration::Until(paris("2026-11-23 22:00"))),
        );
        cloud.wait(SETTLING);
        assert_eq!(outcome(&cloud.pass()), "record: override by alice");
        assert_eq!(cloud.request(&web), "2026-11-23T18:00:00Z start by alice");
    });
}

#[test]
fn a_request_for_an_unmanaged_instance_does_nothing() {
    for schedule in ["none", "offcie", ""] {
        scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
            let web = cloud.running(schedule);
            assert!(cloud.request_stop(&web).steps.is_empty());
            assert_eq!(cloud.state(&web), Running);
        });
    }
}
