//! Measures the cost of a plan over the whole fleet, which each trigger computes in a function billed by the
//! millisecond.

use std::collections::BTreeMap;

use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::{
    AccountId, CapacitySource, Hibernation, Instance, InstanceState, Purchase, Region, RootDevice,
};
use curfew_core::plan::{Plan, plan};
use curfew_core::schedule::Pattern;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::LAST_TAG;
use curfew_core::world::World;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use jiff::Timestamp;

const SCHEDULES: usize = 50;
const FLEETS: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// How instances are matched to their schedules.
#[derive(Clone, Copy)]
enum Bound {
    /// By a tag that names a schedule.
    ByName,
    /// By one of 50 matchers.
    ByMatch,
    /// By a tag that contains one of 50 schedules.
    Inline,
}

/// Ten seconds after the evening's edge, which has not been applied.
#[divan::bench(args = FLEETS, sample_count = 20)]
fn by_name_at_an_edge(bencher: Bencher<'_, '_>, instances: usize) {
    measure(bencher, instances, Bound::ByName, "2026-11-23T19:00:10Z");
}

/// All instances are in their desired state, as at the heartbeat.
#[divan::bench(args = FLEETS, sample_count = 20)]
fn by_name_between_edges(bencher: Bencher<'_, '_>, instances: usize) {
    measure(bencher, instances, Bound::ByName, "2026-11-23T12:00:00Z");
}

#[divan::bench(args = FLEETS, sample_count = 20)]
fn by_match_at_an_edge(bencher: Bencher<'_, '_>, instances: usize) {
    measure(bencher, instances, Bound::ByMatch, "2026-11-23T19:00:10Z");
}

#[divan::bench(args = FLEETS, sample_count = 20)]
fn inline_at_an_edge(bencher: Bencher<'_, '_>, instances: usize) {
    measure(bencher, instances, Bound::Inline, "2026-11-23T19:00:10Z");
}

fn measure(bencher: Bencher<'_, '_>, instances: usize, bound: Bound, now: &str) {
    let schedule_set = schedule_set();
    let fleet = fleet(instances, bound);
    let now: Timestamp = now.parse().unwrap();
    let decide = || -> Plan {
        let world = World {
            schedule_set: &schedule_set,
            instances: &fleet,
            request: None,
        };
        plan(black_box(&world), black_box(now))
    };
    let decided = decide();
    assert_eq!(decided.steps.len() + decided.skipped.len(), instances);
    bencher
        .counter(ItemsCount::new(instances))
        .bench_local(decide);
}

/// Office hours of teams in several zones, some enforced; each matches its team's instances.
fn schedule_set() -> ScheduleSet {
    let zones = [
        "Europe/Paris",
        "Europe/London",
        "Asia/Kolkata",
        "America/New_York",
        "Australia/Lord_Howe",
    ];
    let mut raw = RawScheduleSet::default();
    for number in 0..SCHEDULES {
        let zone = zones[number % zones.len()];
        let enforce = number % 4 == 0;
        let schedule = format!(
            "timezone = \"{zone}\"\nrunning = \"Mon-Fri 08:{:02}-20:00\"\nenforce = {enforce}\nexcept = [\"12-25\"]",
            number % 60
        );
        raw.schedules
            .insert(format!("team-{number}"), toml::from_str(&schedule).unwrap());
    }
    let mut schedule_set = raw.resolve().unwrap();
    for (name, schedule) in &mut schedule_set.schedules {
        let tags = [
            ("Environment", "dev*".to_owned()),
            ("Team", format!("{name}?")),
        ];
        schedule.matcher.tags = tags
            .map(|(key, pattern)| (key.to_owned(), Pattern::new(pattern)))
            .into();
    }
    schedule_set
}

fn fleet(instances: usize, bound: Bound) -> Vec<Instance> {
    (0..instances)
        .map(|number| {
            let team = number % SCHEDULES;
            let mut tags = BTreeMap::from([
                ("Name".to_owned(), format!("web-{number}")),
                ("Environment".to_owned(), "dev-2".to_owned()),
                ("Team".to_owned(), format!("team-{team}x")),
                ("CostCenter".to_owned(), "4711".to_owned()),
                (
                    LAST_TAG.to_owned(),
                    format!("2026-11-23T07:00:00Z start schedule team-{team}"),
                ),
            ]);
            match bound {
                Bound::ByName => tags.insert("Schedule".to_owned(), format!("team-{team}")),
                Bound::Inline => tags.insert(
                    "Schedule".to_owned(),
                    format!("Mon-Fri 08:{:02}-20:00 Europe/Paris", team % 60),
                ),
                Bound::ByMatch => None,
            };
            Instance {
                id: format!("i-{number:017x}").parse().unwrap(),
                region: Region::new("eu-west-3"),
                account: AccountId::new("123456789012"),
                state: InstanceState::Running,
                state_word: None,
                launched_at: Some("2026-11-02T15:00:00Z".parse().unwrap()),
                instance_type: "t3.micro".into(),
                availability_zone: Some("eu-west-3a".into()),
                tags,
                purchase: Purchase::OnDemand,
                capacity: CapacitySource::default(),
                operator: None,
                root_device: RootDevice::Ebs,
                hibernation: Hibernation::NotConfigured,
                state_reason: None,
                transition_reason: None,
            }
        })
        .collect()
}
