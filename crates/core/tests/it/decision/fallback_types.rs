//! Fallback types: others are tried while EC2 has no capacity for the desired one, which the instance returns to.

use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::InstanceState::*;
use curfew_core::instance::{Hibernation, InstanceId, InstanceType, Purchase};
use curfew_core::state_tags::TYPE_TAG;

use crate::support::{
    Cloud, Failure, SETTLING, StateDetails, note, outcome, scenario, scenario_on,
};

const CONFIGURATION: &str = r#"
    [schedules.office]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"
    fallback_types = ["m5a.large", "m6i.large"]
"#;

/// A stopped `m5.large` in the morning, while EC2 has no capacity for these types.
fn stopped(cloud: &mut Cloud, full: &[&str]) -> InstanceId {
    let web = cloud.stopped("office");
    cloud.machine(&web).instance.instance_type = "m5.large".into();
    cloud.full = full.iter().map(|&name| name.to_owned()).collect();
    web
}

fn order(cloud: &Cloud) -> String {
    let types = cloud.planned().steps[0].types.clone().unwrap();
    let order: Vec<&str> = types.order.iter().map(InstanceType::as_str).collect();
    order.join(" ")
}

#[test]
fn a_fallback_type_is_used_until_a_start_with_capacity_for_the_desired_type() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large", "m5a.large"]);
        cloud.until("2026-11-23 08:00");
        assert_eq!(order(cloud), "m5.large m5a.large m6i.large");
        cloud.pass();
        assert_eq!(cloud.types(&web), ("m6i.large", "m5.large as m6i.large"));
        assert_eq!(cloud.retry(&web), "");
        cloud.wait(SETTLING).pass();
        assert_eq!(outcome(&cloud.pass()), "as_desired");

        cloud.until("2026-11-23 20:00").pass();
        assert_eq!(cloud.types(&web), ("m6i.large", "m5.large as m6i.large"));
        cloud.full.remove("m5a.large");
        cloud.until("2026-11-24 08:00");
        assert_eq!(order(cloud), "m5.large m5a.large m6i.large");
        let plan = cloud.pass();
        assert_eq!(
            note(&plan),
            "it is meant to be m5.large, and was m6i.large for want of capacity"
        );
        assert_eq!(cloud.types(&web), ("m5a.large", "m5.large as m5a.large"));

        cloud.until("2026-11-24 20:00").pass();
        cloud.full.clear();
        cloud.until("2026-11-25 08:00").pass();
        assert_eq!(cloud.types(&web), ("m5.large", ""));
        cloud.wait(SETTLING).pass();
        assert_eq!(
            (cloud.state(&web), cloud.types(&web)),
            (Running, ("m5.large", ""))
        );
    });
}

#[test]
fn without_capacity_for_any_type_the_start_waits_with_the_desired_type() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large", "m5a.large", "m6i.large"]);
        cloud.until("2026-11-23 08:00").pass();
        assert_eq!(cloud.types(&web), ("m5.large", ""));
        assert_eq!(outcome(&cloud.pass()), "waiting_to_retry");
        cloud.full.remove("m6i.large");
        cloud.until("2026-11-23 08:01").pass();
        assert_eq!(cloud.types(&web), ("m6i.large", "m5.large as m6i.large"));
    });
}

#[test]
fn requests_and_overrides_may_use_fallback_types() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.request_start(&web);
        assert_eq!(cloud.types(&web), ("m5a.large", "m5.large as m5a.large"));
    });
}

#[test]
fn a_start_that_fell_back_without_capacity_continues_with_the_next_type() {
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = stopped(cloud, &[]);
            cloud.machine(&web).next_start_lacks_capacity();
            cloud.until("2026-11-23 08:00").pass();
            cloud.wait(SETTLING);
            assert_eq!(order(cloud), "m5a.large m6i.large m5.large");
            cloud.machine(&web).next_start_lacks_capacity();
            cloud.pass();
            cloud.until("2026-11-23 08:10");
            assert_eq!(order(cloud), "m6i.large m5.large m5a.large");
            cloud.pass();
            cloud.wait(SETTLING).pass();
            assert_eq!(cloud.state(&web), Running);
            assert_eq!(cloud.types(&web), ("m6i.large", "m5.large as m6i.large"));
        },
    );
    scenario_on(
        StateDetails::Reported,
        CONFIGURATION,
        "2026-11-23 07:30",
        |cloud| {
            let web = stopped(cloud, &[]);
            cloud.machine(&web).next_start_falls_back();
            cloud.until("2026-11-23 08:00").pass();
            cloud.wait(SETTLING);
            assert_eq!(
                order(cloud),
                "m5.large m5a.large m6i.large",
                "another type repairs no volume"
            );
        },
    );
}

#[test]
fn spot_and_hibernated_instances_get_no_fallback_type() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.machine(&web).instance.purchase = Purchase::PersistentSpot;
        let plan = cloud.until("2026-11-23 08:00").pass();
        assert_eq!(
            note(&plan),
            "no other type is tried: a Spot instance keeps its own"
        );
        assert_eq!(cloud.types(&web), ("m5.large", ""));
        assert_eq!(outcome(&cloud.pass()), "waiting_to_retry");
    });
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.machine(&web).instance.hibernation = Hibernation::Configured;
        let plan = cloud.until("2026-11-23 08:00").pass();
        assert_eq!(
            note(&plan),
            "no other type is tried: a hibernated instance resumes on its own"
        );
    });
}

#[test]
fn only_starts_with_fallback_types_try_several() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).instance.purchase = Purchase::PersistentSpot;
        let plan = cloud.until("2026-11-23 20:00").planned();
        assert_eq!(outcome(&plan), "stop: schedule office");
        assert_eq!((&plan.steps[0].types, note(&plan)), (&None, ""));
    });
    for configuration in [
        crate::support::CONFIGURATION,
        &CONFIGURATION.replace(r#""m5a.large", "m6i.large""#, r#""m5.large""#),
    ] {
        scenario(configuration, "2026-11-23 07:30", |cloud| {
            stopped(cloud, &[]);
            let plan = cloud.until("2026-11-23 08:00").planned();
            assert_eq!(outcome(&plan), "start: schedule office");
            assert_eq!((&plan.steps[0].types, note(&plan)), (&None, ""));
        });
    }
    // Without fallback types, the obstacle to another type is not noted.
    scenario(crate::support::CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &[]);
        cloud.machine(&web).instance.purchase = Purchase::PersistentSpot;
        assert_eq!(note(&cloud.until("2026-11-23 08:00").planned()), "");
    });
}

#[test]
fn a_type_changed_outside_curfew_is_kept() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &[]);
        cloud.machine(&web).instance.instance_type = "r5.large".into();
        cloud.machine(&web).tag(TYPE_TAG, "m5.large as m5a.large");
        let plan = cloud.until("2026-11-23 07:40").pass();
        assert!(
            note(&plan).starts_with("the tag `curfew:type` says `m5.large as m5a.large`, and it is r5.large; the tag is removed"),
            "{}",
            note(&plan)
        );
        cloud.until("2026-11-23 08:00");
        assert_eq!(order(cloud), "r5.large m5a.large m6i.large");
        cloud.pass();
        assert_eq!(cloud.types(&web), ("r5.large", ""));
    });
}

#[test]
fn the_desired_type_is_restored_after_fallbacks_are_unconfigured() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.until("2026-11-23 08:00").pass();
        cloud.until("2026-11-23 20:00").pass();
        let without = CONFIGURATION.replace("fallback_types", "# fallback_types");
        let raw: RawScheduleSet = toml::from_str(&without).unwrap();
        cloud.schedule_set = raw.resolve().unwrap();
        cloud.until("2026-11-24 08:00");
        assert_eq!(order(cloud), "m5.large m5a.large");
        cloud.full.clear();
        cloud.pass();
        assert_eq!(cloud.types(&web), ("m5.large", ""));
    });
}

#[test]
fn a_crash_leaves_the_desired_type_recorded() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.until("2026-11-23 08:00").failure = Some(Failure::CrashBeforeRecord);
        cloud.pass();
        assert_eq!(cloud.types(&web), ("m5a.large", "m5.large as m5a.large"));
        cloud.until("2026-11-23 20:00").pass();
        cloud.full.clear();
        cloud.until("2026-11-24 08:00").pass();
        assert_eq!(cloud.types(&web), ("m5.large", ""));
    });
}

#[test]
fn a_malformed_type_tag_is_removed() {
    scenario(CONFIGURATION, "2026-11-23 12:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).tag(TYPE_TAG, "m5.large");
        let plan = cloud.pass();
        assert!(
            note(&plan).starts_with("the tag `curfew:type` is `m5.large`, which Curfew can't read"),
            "{}",
            note(&plan)
        );
        assert_eq!(cloud.types(&web).1, "");
        assert_eq!(outcome(&cloud.pass()), "as_desired");
    });
}
