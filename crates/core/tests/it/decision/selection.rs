//! The selection of a command's instances, and the selectors that are refused before anything is done.

use std::collections::BTreeSet;

use curfew_core::instance::{Instance, InstanceState::*, RootDevice};
use curfew_core::select::{
    DEFAULT_LIMIT, EvaluatedInstance, InstanceSelector, InstanceTarget, SelectError,
    SelectionScope, TagFilter, for_change, for_status,
};
use curfew_core::world::World;
use jiff::Timestamp;

use crate::support::{CONFIGURATION, Cloud, StateDetails, paris, schedule_set};

const GROUP: &str = "aws:autoscaling:groupName";

/// Seven instances: `one` and `two` are managed by `office`, `three` by `strict`; `lost` is by none, `out` opts out; `store` can't be
/// stopped, and a group owns `member`. All but `three` carry `Team=web`.
fn fleet() -> Cloud {
    let mut cloud = Cloud::new(
        schedule_set(CONFIGURATION),
        paris("2026-11-23 12:00"),
        StateDetails::Reported,
    );
    let team = ("Team", "web");
    cloud.add("one", Running, &[("Schedule", "office"), team]);
    cloud.add("two", Stopped, &[("Schedule", "office"), team]);
    cloud.add("three", Running, &[("Schedule", "strict")]);
    cloud.add("lost", Running, &[team]);
    cloud.add("out", Running, &[("Schedule", "none"), team]);
    let store = cloud.add("store", Running, &[("Schedule", "office"), team]);
    cloud.machine(&store).instance.root_device = RootDevice::InstanceStore;
    cloud.add(
        "member",
        Running,
        &[("Schedule", "office"), (GROUP, "workers"), team],
    );
    cloud
}

const ONE: &str = "i-00000001";
const TWO: &str = "i-00000002";
const THREE: &str = "i-00000003";
const LOST: &str = "i-00000004";
const OUT: &str = "i-00000005";
const STORE: &str = "i-00000006";
const MEMBER: &str = "i-00000007";

fn ids(ids: &[&str]) -> InstanceSelector {
    InstanceSelector {
        ids: ids.iter().map(|id| id.parse().unwrap()).collect(),
        ..InstanceSelector::default()
    }
}

/// Ids and names, as users write them.
fn instances(texts: &[&str]) -> InstanceSelector {
    let mut selector = InstanceSelector::default();
    selector.extend(
        texts
            .iter()
            .map(|text| text.parse::<InstanceTarget>().unwrap()),
    );
    selector
}

fn schedule(name: &str) -> InstanceSelector {
    InstanceSelector {
        schedules: BTreeSet::from([name.parse().unwrap()]),
        ..InstanceSelector::default()
    }
}

fn tag(filter: &str) -> InstanceSelector {
    InstanceSelector {
        tags: vec![filter.parse().unwrap()],
        ..InstanceSelector::default()
    }
}

fn everything() -> InstanceSelector {
    InstanceSelector {
        scope: SelectionScope::All,
        ..InstanceSelector::default()
    }
}

fn named(targets: &InstanceSelector, instance: &Instance) -> bool {
    targets
        .sufficient_ids()
        .is_none_or(|ids| ids.contains(&instance.id))
}

/// The names of the instances that a change selects and of those that it skips; if ids are given, only these are observed.
fn change_of(
    cloud: &Cloud,
    targets: &InstanceSelector,
    limit: usize,
) -> Result<(Vec<String>, Vec<String>), SelectError> {
    with_evaluated(cloud, targets, |seen, _| {
        let selection = for_change(targets, &seen, &cloud.schedule_set, limit)?;
        let names = |seen: &[&EvaluatedInstance<'_>]| -> Vec<String> {
            seen.iter()
                .map(|one| one.instance.name().unwrap().to_owned())
                .collect()
        };
        Ok((names(&selection.chosen), names(&selection.skipped)))
    })
}

fn with_evaluated<T>(
    cloud: &Cloud,
    targets: &InstanceSelector,
    then: impl FnOnce(Vec<EvaluatedInstance<'_>>, Timestamp) -> T,
) -> T {
    let instances: Vec<Instance> = cloud
        .machines
        .values()
        .map(|machine| machine.instance.clone())
        .filter(|instance| named(targets, instance))
        .collect();
    let world = World::without_request(&cloud.schedule_set, &instances);
    then(EvaluatedInstance::all(&world, cloud.now), cloud.now)
}

fn changed(targets: &InstanceSelector) -> (Vec<String>, Vec<String>) {
    change_of(&fleet(), targets, DEFAULT_LIMIT).unwrap()
}

fn refused(targets: &InstanceSelector) -> String {
    let error = change_of(&fleet(), targets, DEFAULT_LIMIT).unwrap_err();
    format!("{error} (absence: {})", error.claims_absence())
}

#[test]
fn a_selector_is_unnamed_only_without_ids_schedules_tags_and_all() {
    assert!(InstanceSelector::default().is_empty());
    for targets in [
        ids(&[ONE]),
        instances(&["one"]),
        schedule("office"),
        tag("Team:web"),
        everything(),
    ] {
        assert!(!targets.is_empty(), "{targets:?}");
    }
}

#[test]
fn ids_select_exactly_those_including_instances_of_other_tools() {
    assert_eq!(
        changed(&ids(&[TWO, MEMBER])),
        (vec!["two".into(), "member".into()], vec![])
    );
}

#[test]
fn an_unmanaged_or_protected_id_refuses_the_whole_command() {
    assert_eq!(
        refused(&ids(&[ONE, LOST])),
        "`i-00000004` (lost): no schedule manages it: it has no managing tag, and no schedule's `match` takes it (absence: false)"
    );
    assert_eq!(
        refused(&ids(&[ONE, OUT])),
        "`i-00000005` (out): its tag `Schedule` opts it out (absence: false)"
    );
    assert_eq!(
        refused(&ids(&[ONE, STORE])),
        "`i-00000006` (store): its root volume is instance store, which does not survive a stop (absence: false)"
    );
}

#[test]
fn unknown_ids_are_counted_and_the_first_is_named() {
    assert_eq!(
        refused(&ids(&[ONE, "i-0000000a"])),
        "there is no instance `i-0000000a` (absence: true)"
    );
    assert_eq!(
        refused(&ids(&["i-0000000a", "i-0000000b", "i-0000000c"])),
        "there is no instance `i-0000000a`, nor 2 more of those named (absence: true)"
    );
}

#[test]
fn a_schedule_selects_its_instances_and_skips_protected_ones() {
    assert_eq!(
        changed(&schedule("office")),
        (
            vec!["one".into(), "two".into()],
            vec!["store".into(), "member".into()]
        )
    );
    assert_eq!(
        refused(&schedule("offcie")),
        "there is no schedule `offcie` (absence: false)"
    );
    assert_eq!(
        refused(&schedule("inline")),
        "no managed instance fits what was named (absence: true)"
    );
}

#[test]
fn a_tag_skips_unmanaged_instances_too() {
    assert_eq!(
        changed(&tag("Team:w?b")),
        (
            vec!["one".into(), "two".into()],
            vec!["lost".into(), "out".into(), "store".into(), "member".into()]
        )
    );
    assert_eq!(
        refused(&tag("Team:w")),
        "no managed instance fits what was named (absence: true)"
    );
    assert_eq!(
        refused(&tag("Team:data")),
        "no managed instance fits what was named (absence: true)"
    );
}

#[test]
fn schedules_and_tags_are_combined_by_and() {
    let targets = |schedule_name: &str, filter: &str| InstanceSelector {
        tags: tag(filter).tags,
        ..schedule(schedule_name)
    };
    assert_eq!(
        changed(&targets("office", "Name:t*")),
        (vec!["two".into()], vec![])
    );
    assert_eq!(
        refused(&targets("strict", "Team:web")),
        "no managed instance fits what was named (absence: true)"
    );
}

#[test]
fn all_selects_all_managed_instances() {
    assert_eq!(
        changed(&everything()),
        (
            vec!["one".into(), "two".into(), "three".into()],
            vec!["store".into(), "member".into()]
        )
    );
}

#[test]
fn a_command_whose_matches_are_all_skipped_is_refused() {
    assert_eq!(
        refused(&tag("Name:member")),
        "`i-00000007` (member): the Auto Scaling group `workers` manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same (absence: true)"
    );
    assert_eq!(
        refused(&tag("Name:*o*t*")),
        "2 instances fit, and every one of them is left alone (absence: true)"
    );
}

#[test]
fn more_than_the_limit_needs_all() {
    let cloud = fleet();
    assert!(change_of(&cloud, &schedule("office"), 2).is_ok());
    let error = change_of(&cloud, &schedule("office"), 1).unwrap_err();
    assert_eq!(error.to_string(), "this is for 2 instances, more than 1");
    assert!(!error.claims_absence());
    let error = change_of(&cloud, &ids(&[ONE, TWO]), 1).unwrap_err();
    assert_eq!(error.to_string(), "this is for 2 instances, more than 1");
    assert!(change_of(&cloud, &everything(), 1).is_ok());
}

#[test]
fn an_empty_selector_selects_the_only_managed_instance() {
    let mut cloud = fleet();
    let error = change_of(&cloud, &InstanceSelector::default(), DEFAULT_LIMIT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "which one? Curfew manages 3 instances: `i-00000001` (one), `i-00000002` (two), `i-00000003` (three)"
    );
    assert_eq!(error.choices().len(), 3);
    assert!(!error.claims_absence());

    for id in [ONE, TWO] {
        cloud.machines.remove(&id.parse().unwrap());
    }
    assert_eq!(
        change_of(&cloud, &InstanceSelector::default(), DEFAULT_LIMIT).unwrap(),
        (vec!["three".into()], vec![])
    );

    cloud.machines.remove(&THREE.parse().unwrap());
    let error = change_of(&cloud, &InstanceSelector::default(), DEFAULT_LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "no schedule manages any instance here");
    assert!(error.claims_absence());
    assert!(error.choices().is_empty());
}

#[test]
fn a_long_list_of_choices_is_truncated_and_the_rest_counted() {
    let mut cloud = Cloud::new(
        schedule_set(CONFIGURATION),
        paris("2026-11-23 12:00"),
        StateDetails::Reported,
    );
    let message = |cloud: &Cloud| {
        let error = change_of(cloud, &InstanceSelector::default(), DEFAULT_LIMIT).unwrap_err();
        assert_eq!(error.choices().len(), 20);
        error.to_string()
    };
    for number in 1..=20 {
        cloud.add(&format!("web-{number}"), Running, &[("Schedule", "office")]);
    }
    assert!(message(&cloud).ends_with("`i-00000014` (web-20)"));
    for number in 21..=22 {
        cloud.add(&format!("web-{number}"), Running, &[("Schedule", "office")]);
    }
    assert!(message(&cloud).ends_with("`i-00000014` (web-20), and 2 more"));
}

fn shown(targets: &InstanceSelector) -> Result<(Vec<String>, usize), SelectError> {
    let cloud = fleet();
    with_evaluated(&cloud, targets, |seen, _| {
        let (shown, left_out) = for_status(targets, seen, &cloud.schedule_set)?;
        let names = shown
            .iter()
            .map(|one| one.instance.name().unwrap().to_owned())
            .collect();
        Ok((names, left_out))
    })
}

#[test]
fn a_status_counts_unmanaged_instances_and_lists_them_only_if_selected() {
    let names =
        |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
    assert_eq!(
        shown(&InstanceSelector::default()).unwrap(),
        (names(&["one", "two", "three", "store", "member"]), 2)
    );
    assert_eq!(
        shown(&everything()).unwrap(),
        (
            names(&["one", "two", "three", "lost", "out", "store", "member"]),
            0
        )
    );
    assert_eq!(shown(&ids(&[LOST])).unwrap(), (names(&["lost"]), 0));
    assert_eq!(shown(&tag("Name:l*")).unwrap(), (names(&[]), 1));
    assert_eq!(
        shown(&schedule("office")).unwrap(),
        (names(&["one", "two", "store", "member"]), 0)
    );
    assert!(matches!(
        shown(&schedule("offcie")),
        Err(SelectError::UnknownSchedule { .. })
    ));
    assert!(matches!(
        shown(&ids(&["i-0000000a"])),
        Err(SelectError::UnknownInstance { more: 0, .. })
    ));
}

#[test]
fn a_name_selects_the_only_instance_that_has_it() {
    assert_eq!(changed(&instances(&["one"])), changed(&ids(&[ONE])));
    assert_eq!(
        changed(&instances(&["two", ONE])),
        changed(&ids(&[ONE, TWO]))
    );
    assert_eq!(
        changed(&instances(&["one", ONE])),
        changed(&ids(&[ONE])),
        "the same twice"
    );
    assert_eq!(
        shown(&instances(&["lost"])).unwrap(),
        (vec!["lost".to_owned()], 0)
    );
    insta::assert_snapshot!(refused(&instances(&["on"])), @"there is no instance named `on` (absence: true)");
    insta::assert_snapshot!(refused(&instances(&["i-web"])), @"there is no instance named `i-web` (absence: true)");
    insta::assert_snapshot!(refused(&instances(&["one", "lost"])), @"`i-00000004` (lost): no schedule manages it: it has no managing tag, and no schedule's `match` takes it (absence: false)");
    let unknown = shown(&instances(&["on"])).unwrap_err();
    assert!(matches!(unknown, SelectError::UnknownName { .. }));
}

#[test]
fn an_ambiguous_name_is_refused_with_the_ids() {
    let mut cloud = fleet();
    cloud.add("one", Stopped, &[("Schedule", "office")]);
    let error = change_of(&cloud, &instances(&["two", "one"]), DEFAULT_LIMIT).unwrap_err();
    insta::assert_snapshot!(error, @"2 instances are named `one`: `i-00000001`, `i-00000008`");
    assert!(!error.claims_absence());
    assert_eq!(error.choices().len(), 2);
    // Each can be selected by its id.
    let (chosen, _) = change_of(&cloud, &ids(&["i-00000008"]), DEFAULT_LIMIT).unwrap();
    assert_eq!(chosen, ["one"]);
}

#[test]
fn a_tag_filter_has_a_key_and_a_value() {
    for bad in ["Team", "Team:", ":web", ":", "", "Team=", "=web", "="] {
        assert!(bad.parse::<TagFilter>().is_err(), "{bad}");
    }
    let cloud = fleet();
    let instance = &cloud.machines[&ONE.parse().unwrap()].instance;
    let fits = |filter: &str| filter.parse::<TagFilter>().unwrap().matches(instance);
    assert!(fits("Team:web") && fits("Team=web") && fits("Team=w*"));
    assert!(!fits("Team=Name:web"));
    assert!(fits("Name:o?e"));
    assert!(!fits("Team:data"));
    assert!(!fits("team:web"), "keys are case-sensitive");
}
