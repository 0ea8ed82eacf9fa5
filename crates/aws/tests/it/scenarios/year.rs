//! The year 2026 of three real schedules: every edge is applied exactly once, at its instant, and nothing else is done.

use std::collections::{BTreeMap, BTreeSet};

use curfew_core::step::StepAction;
use curfew_core::timetable::{Action, Desired};
use curfew_model::{Ec2InstanceId, Ec2InstanceState, Model};
use jiff::{SignedDuration, Timestamp};

use super::world::{World, managed};

const SCHEDULES: &str = r#"{ "schedules": {
    "office": {
        "timezone": "Europe/Paris",
        "running": "Mon-Fri 08:00-20:00",
        "except": ["01-01", "05-01", "05-08", "07-14", "11-11", "12-25", "2026-04-06", "2026-05-14", "2026-05-25"]
    },
    "lab": {
        "timezone": "Europe/Vienna",
        "running": ["Mon-Thu 09:00-01:00", "Fri 09:00-18:00"],
        "except": ["12-24..01-05", "2026-07-01..2026-09-30"],
        "enforce": true
    },
    "sundays": {
        "timezone": "Europe/Paris",
        "start": "30 2 * * 0",
        "stop": "cron(30 5 ? * SUN *)"
    }
} }"#;
const MANAGED: [&str; 3] = ["office", "lab", "sundays"];

/// The interval of passes while nothing is due. A real heartbeat comes every five minutes; each of these stands for 72 of
/// them, which would find the same and make the year last minutes.
const HEARTBEAT: SignedDuration = SignedDuration::from_hours(6);

type Change = (Timestamp, Action);

#[tokio::test(start_paused = true)]
async fn a_year_is_executed_edge_by_edge() {
    let (from, to): (Timestamp, Timestamp) = (
        "2026-01-01T00:00:00+01:00".parse().unwrap(),
        "2027-01-01T00:00:00+01:00".parse().unwrap(),
    );
    let world = World::new(SCHEDULES, from).await;
    let ids: BTreeMap<&str, Ec2InstanceId> = MANAGED
        .iter()
        .map(|schedule| {
            (
                *schedule,
                world.ec2.launch(managed(schedule, schedule).stopped()),
            )
        })
        .collect();
    let edges: BTreeSet<Timestamp> = MANAGED
        .iter()
        .flat_map(|schedule| edges(&world, schedule, from, to))
        .map(|(at, _)| at)
        .collect();
    let heartbeats = std::iter::successors(Some(from), |at| Some(*at + HEARTBEAT));
    let mut triggers = edges.clone();
    triggers.extend(heartbeats.take_while(|at| *at < to));

    for at in triggers {
        world.ec2.set_now(at);
        let done = world.routine().await;
        assert_eq!(done.failures(), 0, "{at}");
        // The first pass records the edges of the old year.
        if edges.contains(&at) || at == from {
            settle(&world).await;
        } else {
            // Everything due was done: planning again yields only the record of the settled state.
            let mut steps = done.plan.steps.iter();
            assert!(steps.all(|step| step.action == StepAction::Record), "{at}");
        }
    }

    let mut transitions = BTreeMap::new();
    for (schedule, id) in &ids {
        let expected = expected(&world, schedule, from, to);
        let made = made(&world.ec2, id);
        assert_eq!(made, expected, "{schedule}");
        transitions.insert(*schedule, made);
    }
    // The same, counted by hand: 261 days from Monday to Friday, of which nine are excepted.
    assert_eq!(transitions["office"].len(), 2 * 252);
    let on = |schedule: &str, date: &str| -> Vec<String> {
        transitions[schedule]
            .iter()
            .filter(|(at, _)| at.to_string().starts_with(date))
            .map(|(at, action)| format!("{at} {action}"))
            .collect()
    };
    // Summer time begins on 29 March: 02:30 does not exist in Paris, and the edge is at the instant that the clock jumps.
    assert_eq!(
        on("sundays", "2026-03-29"),
        ["2026-03-29T01:00:00Z start", "2026-03-29T03:30:00Z stop"]
    );
    assert_eq!(
        on("office", "2026-03-27"),
        ["2026-03-27T07:00:00Z start", "2026-03-27T19:00:00Z stop"]
    );
    assert_eq!(
        on("office", "2026-03-30"),
        ["2026-03-30T06:00:00Z start", "2026-03-30T18:00:00Z stop"]
    );
    // It ends on 25 October: 02:30 comes twice, and the first is the edge.
    assert_eq!(
        on("sundays", "2026-10-25"),
        ["2026-10-25T00:30:00Z start", "2026-10-25T04:30:00Z stop"]
    );
    // The summer holidays of the lab begin at midnight, in the middle of Tuesday's evening.
    assert_eq!(on("lab", "2026-07"), ["2026-06-30T22:00:00Z stop"; 0]);
}

/// Lets all transitions complete, and observes the result.
async fn settle(world: &World) {
    while let Some(next) = world.ec2.next_change() {
        world.ec2.set_now(next);
    }
    assert_eq!(world.routine().await.failures(), 0);
}

fn edges(world: &World, schedule: &str, from: Timestamp, to: Timestamp) -> Vec<Change> {
    world.schedule_set.schedules[schedule]
        .timetable
        .edges(from)
        .take_while(|edge| edge.at < to)
        .map(|edge| (edge.at, edge.action))
        .collect()
}

/// The changes that a schedule's edges make to an instance that is stopped at first.
fn expected(world: &World, schedule: &str, from: Timestamp, to: Timestamp) -> Vec<Change> {
    let timetable = &world.schedule_set.schedules[schedule].timetable;
    let begins = match timetable.desired(from) {
        Desired::Running => Action::Start,
        Desired::Stopped | Desired::Unmanaged => Action::Stop,
    };
    assert_eq!(
        begins,
        Action::Stop,
        "at midnight of New Year everything is off"
    );
    let mut last = begins;
    let edges = edges(world, schedule, from, to).into_iter();
    edges
        .filter(|(_, action)| std::mem::replace(&mut last, *action) != *action)
        .collect()
}

/// The changes that were begun on an instance.
fn made(ec2: &Model, id: &Ec2InstanceId) -> Vec<Change> {
    let begun = |to| match to {
        Ec2InstanceState::Pending => Some(Action::Start),
        Ec2InstanceState::Stopping => Some(Action::Stop),
        _ => None,
    };
    ec2.transitions()
        .iter()
        .filter(|transition| transition.instance == *id)
        .filter_map(|transition| Some((transition.at, begun(transition.to)?)))
        .collect()
}
