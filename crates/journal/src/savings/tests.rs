//! Small histories with hours that can be counted by hand.

use curfew_core::state_tags::Cause;
use curfew_core::transition::{Transition, TransitionSource};

use super::*;

const WEB: &str = "i-0abc1234def567890";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn place() -> (AccountId, Region) {
    (AccountId::new("123456789012"), Region::new("eu-west-3"))
}

fn initial(state: InstanceState, since: &str) -> InitialState {
    let (account, region) = place();
    InitialState {
        instance: WEB.parse().unwrap(),
        name: Some("web".into()),
        state,
        at: at(since),
        schedule: Some("office".parse().unwrap()),
        instance_type: Some("t3.micro".into()),
        region,
        account,
    }
}

fn entry(to: InstanceState, when: &str) -> JournalEntry {
    let (account, region) = place();
    let transition = Transition {
        kind: curfew_core::instance::ResourceKind::Instance,
        instance: WEB.parse().unwrap(),
        name: Some("web".into()),
        from: InstanceState::Running,
        to,
        at: at(when),
        cause: Cause::External,
        schedule: Some("office".parse().unwrap()),
        region,
        account,
        edge: None,
        source: TransitionSource::Event,
        actor: None,
        instance_type: Some("t3.micro".into()),
    };
    JournalEntry {
        number: 1,
        transition,
    }
}

fn interval(begun: &str, ended: &str) -> CoverageInterval {
    let (account, region) = place();
    CoverageInterval {
        account,
        region,
        begun: at(begun),
        ended: at(ended),
    }
}

/// `web` runs on Monday from 8 to 20, and is observed all the time.
fn monday() -> RecordedHistory {
    RecordedHistory {
        initial_states: vec![initial(InstanceState::Stopped, "2026-11-23T00:00:00Z")],
        entries: vec![
            entry(InstanceState::Pending, "2026-11-23T08:00:00Z"),
            entry(InstanceState::Running, "2026-11-23T08:00:10Z"),
            entry(InstanceState::Stopping, "2026-11-23T19:59:00Z"),
            entry(InstanceState::Stopped, "2026-11-23T20:00:00Z"),
        ],
        coverage: vec![interval("2026-11-22T12:00:00Z", "2026-11-25T12:00:00Z")],
    }
}

fn ask(by: By) -> SavingsQuery {
    SavingsQuery {
        since: at("2026-11-23T00:00:00Z"),
        until: at("2026-11-24T00:00:00Z"),
        by,
        instances: Vec::new(),
        schedule: None,
        prices: BTreeMap::from([("t3.micro".to_owned(), 0.5)]),
        zone: TimeZone::UTC,
    }
}

/// The hours on, off and unknown.
fn hours(line: &SavingsLine) -> [i64; 3] {
    [line.on, line.off, line.unknown].map(|length| length.as_hours())
}

fn with(history: &RecordedHistory, change: impl FnOnce(&mut SavingsQuery)) -> Savings {
    let mut query = ask(By::Schedule);
    change(&mut query);
    savings(history, &query)
}

#[test]
fn hours_on_and_off_are_summed_and_priced() {
    let found = with(&monday(), |_| {});
    assert_eq!(hours(&found.total), [12, 12, 0]);
    assert!((found.total.saved - 6.0).abs() < 1e-9);
    assert_eq!(found.total.share_off(), Some(0.5));
    assert_eq!(found.lines.len(), 1);
    assert_eq!(found.lines["office"], found.total);
    assert_eq!(found.total.instances.len(), 1);
}

#[test]
fn hours_without_observation_are_unknown_and_no_saving() {
    let history = RecordedHistory {
        coverage: vec![
            interval("2026-11-23T06:00:00Z", "2026-11-23T10:00:00Z"),
            interval("2026-11-23T22:00:00Z", "2026-11-23T23:00:00Z"),
        ],
        ..monday()
    };
    let found = with(&history, |_| {});
    assert_eq!(hours(&found.total), [2, 3, 19]);
    assert!((found.total.saved - 1.5).abs() < 1e-9);

    let unwatched = RecordedHistory {
        coverage: Vec::new(),
        ..monday()
    };
    let found = with(&unwatched, |_| {});
    assert_eq!(hours(&found.total), [0, 0, 24]);
    assert_eq!(found.total.share_off(), None);
}

#[test]
fn the_coverage_of_another_region_does_not_count() {
    let mut history = monday();
    history.coverage[0].region = Region::new("eu-west-1");
    assert_eq!(hours(&with(&history, |_| {}).total), [0, 0, 24]);
}

#[test]
fn an_instance_has_no_hours_before_its_launch_and_after_its_termination() {
    let mut history = monday();
    history
        .entries
        .push(entry(InstanceState::Terminated, "2026-11-23T22:00:00Z"));
    assert_eq!(hours(&with(&history, |_| {}).total), [12, 10, 0]);

    history.initial_states[0].at = at("2026-11-23T06:00:00Z");
    assert_eq!(hours(&with(&history, |_| {}).total), [12, 4, 0]);
}

#[test]
fn time_off_without_a_price_is_separate() {
    let mut history = monday();
    let large = Some("m7i.large".to_owned());
    history.initial_states[0].instance_type.clone_from(&large);
    for entry in &mut history.entries {
        entry.transition.instance_type.clone_from(&large);
    }
    let found = with(&history, |_| {});
    assert_eq!(found.total.unpriced.as_hours(), 12);
    assert!(found.total.saved.abs() < 1e-9);
}

#[test]
fn the_query_filters_and_the_record_extends_until_now() {
    let found = with(&monday(), |query| {
        query.since = at("2026-11-23T12:00:00Z");
        query.until = at("2026-11-24T12:00:00Z");
    });
    assert_eq!(hours(&found.total), [8, 16, 0]);
    let lab = "lab".parse().ok();
    let found = with(&monday(), |query| query.schedule = lab);
    assert_eq!(found, Savings::default());
    let found = with(&monday(), |query| query.instances = vec!["db".into()]);
    assert_eq!(found, Savings::default());
    let found = with(&monday(), |query| {
        (query.instances, query.by) = (vec!["web".into()], By::Instance);
    });
    assert_eq!(hours(&found.lines[&format!("web ({WEB})")]), [12, 12, 0]);
}

#[test]
fn months_begin_at_midnight_of_the_zone() {
    let history = RecordedHistory {
        initial_states: vec![initial(InstanceState::Stopped, "2026-10-31T12:00:00Z")],
        entries: Vec::new(),
        coverage: vec![interval("2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z")],
    };
    let query = SavingsQuery {
        since: at("2026-10-01T00:00:00Z"),
        until: at("2026-11-02T00:00:00Z"),
        zone: TimeZone::get("Europe/Paris").unwrap(),
        ..ask(By::Month)
    };
    let found = savings(&history, &query);
    let lines: Vec<(&str, i64)> = found
        .lines
        .iter()
        .map(|(month, line)| (month.as_str(), line.off.as_hours()))
        .collect();
    assert_eq!(lines, [("2026-10", 11), ("2026-11", 25)]);
}
