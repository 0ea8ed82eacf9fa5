//! Fallback types: others are tried while there is no room for the wanted one, which the instance gets back.

use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::InstanceState::*;
use curfew_core::instance::{Hibernation, InstanceId, InstanceType, Purchase};
use curfew_core::memory::TYPE_TAG;

use crate::support::{Cloud, Evidence, SETTLING, Trouble, note, said, scenario, scenario_on};

const CONFIGURATION: &str = r#"
    [schedules.office]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"
    fallback_types = ["m5a.large", "m6i.large"]
"#;

/// A stopped `m5.large` in the morning, while EC2 has no room for these.
fn stopped(cloud: &mut Cloud, full: &[&str]) -> InstanceId {
    let web = cloud.stopped("office");
    cloud.machine(&web).instance.instance_type = "m5.large".into();
    cloud.full = full.iter().map(|&name| name.to_owned()).collect();
    web
}

fn order(cloud: &Cloud) -> String {
    let types = cloud.look().steps[0].types.clone().unwrap();
    let order: Vec<&str> = types.order.iter().map(InstanceType::as_str).collect();
    order.join(" ")
}

#[test]
fn another_type_stands_in_until_the_next_start_that_can_have_the_wanted_one() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large", "m5a.large"]);
        cloud.until("2026-11-23 08:00");
        assert_eq!(order(cloud), "m5.large m5a.large m6i.large");
        cloud.pass();
        assert_eq!(cloud.types(&web), ("m6i.large", "m5.large as m6i.large"));
        assert_eq!(cloud.retry(&web), "");
        cloud.wait(SETTLING).pass();
        assert_eq!(said(&cloud.pass()), "as_desired");

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
fn where_no_type_has_room_it_keeps_its_own_and_waits() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large", "m5a.large", "m6i.large"]);
        cloud.until("2026-11-23 08:00").pass();
        assert_eq!(cloud.types(&web), ("m5.large", ""));
        assert_eq!(said(&cloud.pass()), "waiting_to_retry");
        cloud.full.remove("m6i.large");
        cloud.until("2026-11-23 08:01").pass();
        assert_eq!(cloud.types(&web), ("m6i.large", "m5.large as m6i.large"));
    });
}

#[test]
fn requests_and_holds_may_fall_back_too() {
    scenario(CONFIGURATION, "2026-11-23 21:00", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.ask_start(&web);
        assert_eq!(cloud.types(&web), ("m5a.large", "m5.large as m5a.large"));
    });
}

#[test]
fn a_start_that_fell_back_for_want_of_capacity_goes_on_with_the_next_type() {
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &[]);
        cloud.machine(&web).next_start_finds_no_room();
        cloud.until("2026-11-23 08:00").pass();
        cloud.wait(SETTLING);
        assert_eq!(order(cloud), "m5a.large m6i.large m5.large");
        cloud.machine(&web).next_start_finds_no_room();
        cloud.pass();
        cloud.until("2026-11-23 08:10");
        assert_eq!(order(cloud), "m6i.large m5.large m5a.large");
        cloud.pass();
        cloud.wait(SETTLING).pass();
        assert_eq!(cloud.state(&web), Running);
        assert_eq!(cloud.types(&web), ("m6i.large", "m5.large as m6i.large"));
    });
    scenario_on(Evidence::Kept, CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &[]);
        cloud.machine(&web).next_start_falls_back();
        cloud.until("2026-11-23 08:00").pass();
        cloud.wait(SETTLING);
        assert_eq!(
            order(cloud),
            "m5.large m5a.large m6i.large",
            "another type mends no volume"
        );
    });
}

#[test]
fn ec2_gives_no_other_type_to_a_spot_instance_or_a_hibernated_one() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.machine(&web).instance.purchase = Purchase::PersistentSpot;
        let plan = cloud.until("2026-11-23 08:00").pass();
        assert_eq!(
            note(&plan),
            "no other type is tried: a Spot instance keeps its own"
        );
        assert_eq!(cloud.types(&web), ("m5.large", ""));
        assert_eq!(said(&cloud.pass()), "waiting_to_retry");
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
fn types_are_tried_by_starts_that_have_a_choice() {
    scenario(CONFIGURATION, "2026-11-23 19:00", |cloud| {
        let web = cloud.running("office");
        cloud.machine(&web).instance.purchase = Purchase::PersistentSpot;
        let plan = cloud.until("2026-11-23 20:00").look();
        assert_eq!(said(&plan), "stop: schedule office");
        assert_eq!((&plan.steps[0].types, note(&plan)), (&None, ""));
    });
    for configuration in [
        crate::support::CONFIGURATION,
        &CONFIGURATION.replace(r#""m5a.large", "m6i.large""#, r#""m5.large""#),
    ] {
        scenario(configuration, "2026-11-23 07:30", |cloud| {
            stopped(cloud, &[]);
            let plan = cloud.until("2026-11-23 08:00").look();
            assert_eq!(said(&plan), "start: schedule office");
            assert_eq!((&plan.steps[0].types, note(&plan)), (&None, ""));
        });
    }
    // Without a choice there is nothing to say of what keeps it from another type.
    scenario(crate::support::CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &[]);
        cloud.machine(&web).instance.purchase = Purchase::PersistentSpot;
        assert_eq!(note(&cloud.until("2026-11-23 08:00").look()), "");
    });
}

#[test]
fn a_type_that_somebody_else_chose_is_kept() {
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
fn the_wanted_type_comes_back_also_when_the_configuration_have_no_fallbacks_any_more() {
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
fn a_crash_leaves_the_wanted_type_on_record() {
    scenario(CONFIGURATION, "2026-11-23 07:30", |cloud| {
        let web = stopped(cloud, &["m5.large"]);
        cloud.until("2026-11-23 08:00").trouble = Some(Trouble::CrashBeforeMemory);
        cloud.pass();
        assert_eq!(cloud.types(&web), ("m5a.large", "m5.large as m5a.large"));
        cloud.until("2026-11-23 20:00").pass();
        cloud.full.clear();
        cloud.until("2026-11-24 08:00").pass();
        assert_eq!(cloud.types(&web), ("m5.large", ""));
    });
}

#[test]
fn a_memory_that_cant_be_read_is_removed() {
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
        assert_eq!(said(&cloud.pass()), "as_desired");
    });
}
