//! The form of times for people: one everywhere, `Fri 27 Nov 20:00 CET`.

use std::path::{Path, PathBuf};

use curfew_core::instance::{AccountId, InstanceState, Region, ResourceKind};
use curfew_core::timetable::Action;
use curfew_core::transition::{KnownState, Transition, TransitionSource};
use curfew_journal::{CoverageObservation, EdgeOutcome, EdgeRecord, Journal, TransitionRecord};
use curfew_model::Launch;
use jiff::SignedDuration;

use crate::commands::cloud::{Cloud, due, idle, now};
use crate::support::terminal::Terminal;

/// Finds dates that are followed by a time of day, as in RFC 3339 and ISO 8601: `2026-11-27T20`, `2026-11-27 20`.
fn machine_times(text: &str) -> Vec<String> {
    let shape = |window: &[u8]| {
        let digits = |range: std::ops::Range<usize>| window[range].iter().all(u8::is_ascii_digit);
        let is_date = digits(0..4) && digits(5..7) && digits(8..10);
        let is_dashed = window[4] == b'-' && window[7] == b'-';
        is_date && is_dashed && matches!(window[10], b'T' | b' ') && digits(11..13)
    };
    let windows = text.as_bytes().windows(13).filter(|window| shape(window));
    windows
        .map(|window| String::from_utf8_lossy(window).into_owned())
        .collect()
}

/// Instances with times in every place: an override, a request, a failed action, and a journal.
fn cloud() -> Cloud {
    let soon = now() + SignedDuration::from_hours(3);
    let edge = now() - SignedDuration::from_hours(1);
    let cloud = Cloud::with([
        due("web"),
        idle("held").tag(
            "curfew:override",
            format!("running since {edge:.0} until {soon:.0} by alice"),
        ),
        idle("ignored").tag(
            "curfew:override",
            format!("ignored since {edge:.0} until {soon:.0} by bob"),
        ),
        Launch::new("failing")
            .tag("Schedule", "night")
            .tag(
                "curfew:last",
                format!("{edge:.0} stop schedule night pending"),
            )
            .tag(
                "curfew:retry",
                format!("{edge:.0} stop 2x IncorrectState first {edge:.0} next {soon:.0}"),
            ),
    ]);
    record(&cloud);
    cloud
}

fn record(cloud: &Cloud) {
    let at = now() - SignedDuration::from_mins(30);
    let (region, account) = (Region::new("us-east-1"), AccountId::new("000000000000"));
    let web = cloud.id("web");
    let transition = Transition {
        kind: ResourceKind::Instance,
        instance: web.as_str().parse().unwrap(),
        name: Some("web".into()),
        from: InstanceState::Stopped,
        to: InstanceState::Running,
        at,
        cause: "request by bob".parse().unwrap(),
        schedule: Some("night".parse().unwrap()),
        region: region.clone(),
        account: account.clone(),
        edge: None,
        source: TransitionSource::Poll,
        actor: None,
        instance_type: None,
    };
    let instance = transition.instance.clone();
    let sighting = KnownState {
        state: transition.to,
        name: transition.name.clone(),
        region: region.clone(),
        account: account.clone(),
        last: None,
        launched_at: None,
        cause: None,
        since: Some(at),
        schedule: transition.schedule.clone(),
        instance_type: Some("t3.micro".to_owned()),
    };
    let mut journal = Journal::open(cloud.directory.path()).unwrap();
    let begun = at - SignedDuration::from_mins(30);
    let first = TransitionRecord {
        instance: instance.clone(),
        transition: None,
        event: None,
        known_state: Some(KnownState {
            state: transition.from,
            since: Some(begun),
            ..sighting.clone()
        }),
    };
    journal.record(&[first]).unwrap();
    let record = TransitionRecord {
        instance: instance.clone(),
        transition: Some(transition),
        event: None,
        known_state: Some(sighting),
    };
    journal.record(&[record]).unwrap();
    let edge = EdgeRecord {
        kind: ResourceKind::Instance,
        edge: at,
        instance,
        name: Some("web".into()),
        action: Action::Stop,
        cause: "schedule night".parse().unwrap(),
        schedule: None,
        outcome: EdgeOutcome::Late,
        at,
        region: region.clone(),
        account: account.clone(),
    };
    journal.record_edges(&[edge]).unwrap();
    let coverage = |at, bridges| CoverageObservation {
        account: account.clone(),
        region: region.clone(),
        at,
        bridges,
    };
    let until = now();
    let coverage = [
        coverage(begun, SignedDuration::ZERO),
        coverage(until, until.duration_since(begun)),
    ];
    journal.record_coverage(&coverage).unwrap();
}

#[test]
fn no_table_has_a_time_in_another_form() {
    let cloud = cloud();
    let ids: Vec<String> = ["web", "held", "ignored", "failing"]
        .map(|name| cloud.id(name).to_string())
        .into();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["status"],
        vec!["status", "--problems"],
        vec!["status", "-o", "wide"],
        vec!["plan"],
        vec!["next"],
        vec!["next", "--from", "2031-01-01T00:00:00Z"],
        vec!["explain", "--schedule", "night"],
        vec!["explain", "--schedule", "year"],
        vec!["history"],
        vec!["history", "--edges"],
        vec!["savings", "--since", "2h"],
        vec!["apply", "--yes"],
    ];
    commands.extend(ids.iter().map(|id| vec!["explain", id.as_str()]));
    for command in commands {
        let piped = cloud.run(&command);
        assert_eq!(piped.code, 0, "{command:?}: {piped:?}");
        let (_, screen) = Terminal::run(cloud.curfew(&command)).end();
        for text in [&piped.stdout, &screen] {
            assert_eq!(machine_times(text), [""; 0], "{command:?}: {text}");
            // Every one of these shows a time, so that the test reads some: a month, and a time of day in a zone.
            let months = [
                "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
            ];
            assert!(
                months
                    .iter()
                    .any(|month| text.contains(&format!(" {month} "))),
                "{command:?}: {text}"
            );
        }
    }
}

/// A time that another function formats would have another form. The pictures of `simulate` have dates of their own.
#[test]
fn only_one_module_formats_times() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path)
                .unwrap()
                .contains("strftime(")
            {
                found.push(path.strip_prefix(&source).unwrap().to_owned());
            }
        }
    }
    let others = found.into_iter();
    let others: Vec<PathBuf> = others
        .filter(|path| !path.starts_with("commands/simulate"))
        .collect();
    assert_eq!(others, [""; 0].map(PathBuf::from));
}

#[test]
fn machine_times_are_found_in_both_forms() {
    let text =
        "a 2026-11-27T20:00:00Z b 2026-11-27 20:00 c 2026-11-27 is a date d Fri 27 Nov 20:00 CET";
    assert_eq!(machine_times(text), ["2026-11-27T20", "2026-11-27 20"]);
}
