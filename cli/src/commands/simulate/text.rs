//! Renders a simulation as text: a table of hours and costs, then one line per day with one character per half hour.

use std::fmt::Write as _;

use curfew_core::simulate::{HalfHour, SimulatedDay, SimulatedTotal, Simulation};
use curfew_core::timetable::{Action, Edge};

use super::SimulateDocument;
use super::facts::{
    amount, clock_change, common_span, facts, instances, local, notes, number, on_hours, span,
};
use crate::fit::wrap;
use crate::money;
use crate::output::count;
use crate::table::Table;
use crate::view::View;

/// The character set of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyphs {
    /// Unicode blocks, for terminals.
    Blocks,
    /// ASCII only, for files and pipes.
    Ascii,
}

impl Glyphs {
    fn cell(self, cell: HalfHour) -> char {
        match (cell, self) {
            (HalfHour::Running, Self::Blocks) => '█',
            (HalfHour::Running, Self::Ascii) => '#',
            (HalfHour::Partly, Self::Blocks) => '▌',
            (HalfHour::Partly, Self::Ascii) => '/',
            (HalfHour::Stopped, Self::Blocks) => '·',
            (HalfHour::Stopped, Self::Ascii) => '.',
            (HalfHour::Unmanaged, Self::Blocks) => '░',
            (HalfHour::Unmanaged, Self::Ascii) => '?',
            (HalfHour::OutsideSpan, _) => ' ',
        }
    }

    fn edge(self, action: Action) -> char {
        match (action, self) {
            (Action::Start, Self::Blocks) => '▲',
            (Action::Stop, Self::Blocks) => '▼',
            (Action::Start, Self::Ascii) => '+',
            (Action::Stop, Self::Ascii) => '-',
        }
    }
}

/// The number of edges listed per day, so that a line has at most 80 characters. The timeline shows all, and JSON lists them.
const EDGES_LISTED: usize = 2;

/// The width of a line.
const LINE: usize = 80;

/// The width of `Mon 23 Nov`, the mark of a clock change, and a space.
const LABEL: usize = 12;

/// Renders the table, all timelines, one below the other, and the legend.
pub(super) fn render(document: &SimulateDocument, glyphs: Glyphs) -> View {
    let common = common_span(document);
    let mut view = View::default();
    if let Some(span) = &common {
        view.line(span).gap();
    }
    if document.schedules.len() > 1 || document.total.is_some() {
        view.table(summary(document)).gap();
    }
    for simulation in &document.schedules {
        let timeline = one(simulation, glyphs, common.is_none());
        view.append(timeline.into()).gap();
    }
    view.append(legend(&document.schedules, glyphs).into());
    for note in notes(document) {
        view.append(wrap(&note, LINE).join("\n").into());
    }
    view
}

/// Renders the hours of each schedule and, if instances are counted, their cost and the total.
fn summary(document: &SimulateDocument) -> Table {
    let hours = |simulation: &Simulation| {
        let share = simulation.off_share.map(money::percent);
        vec![
            simulation.schedule.to_string(),
            on_hours(simulation),
            money::hours(simulation.hours),
            share.unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let Some(total) = &document.total else {
        let rows = document.schedules.iter().map(hours);
        return Table::of_numbers(&["schedule", "runs", "24x7", "off"], rows);
    };
    let rows = document.schedules.iter().flat_map(|simulation| {
        let none = simulation.costs.is_empty();
        let without = none.then(|| [hours(simulation), vec!["-".to_owned(); 4]].concat());
        let with = simulation.costs.iter().map(move |cost| {
            let amounts = [cost.cost, cost.cost_always, cost.saved].map(amount);
            [hours(simulation), vec![instances(cost)], amounts.to_vec()].concat()
        });
        without.into_iter().chain(with)
    });
    let rows: Vec<Vec<String>> = rows
        .map(|mut row| {
            // The hours around the clock are in the heading of each timeline; the cost needs the room.
            row.remove(2);
            row
        })
        .chain([total_row(total)])
        .collect();
    let currency = &document.currency;
    let header = [
        "schedule".to_owned(),
        "runs".to_owned(),
        "off".to_owned(),
        "instances".to_owned(),
        format!("cost {currency}"),
        "24x7".to_owned(),
        "saved".to_owned(),
    ];
    Table::of_numbers(&header.each_ref().map(String::as_str), rows)
}

fn total_row(total: &SimulatedTotal) -> Vec<String> {
    let mut row = vec!["total".to_owned(), String::new(), String::new()];
    row.push(count(number(total.count)));
    // Without any price the amounts are unknown, not zero.
    let is_priced = total.unpriced_count < total.count;
    let amounts = [total.cost, total.cost_always, total.saved];
    row.extend(amounts.map(|one| amount(is_priced.then_some(one))));
    row
}

fn one(simulation: &Simulation, glyphs: Glyphs, with_span: bool) -> String {
    let mut text = String::new();
    let width = simulation.days.iter().map(|day| day.cells.len()).max();
    let width = width.unwrap_or(0);
    let _ = writeln!(
        text,
        "{}: {} ({})",
        simulation.schedule,
        facts(simulation),
        simulation.time_zone
    );
    if with_span {
        let _ = writeln!(text, "{:LABEL$}{}", "", span(simulation));
    }
    let hours: Vec<String> = (0..=24)
        .step_by(3)
        .map(|hour| format!("{hour:02}"))
        .collect();
    let _ = writeln!(text, "{:LABEL$}{}", "", hours.join("    "));
    for day in &simulation.days {
        let cells: String = day.cells.iter().map(|cell| glyphs.cell(*cell)).collect();
        let mark = if day.clock_change.is_some() { "*" } else { "" };
        let label = format!("{}{mark}", day.date.strftime("%a %-d %b"));
        let line = format!(
            "{label:LABEL$}{cells:width$}  {}",
            edges(simulation, day, glyphs)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for day in &simulation.days {
        if let Some(change) = day.clock_change {
            let label = format!("{}*", day.date.strftime("%a %-d %b"));
            let _ = writeln!(text, "{label:LABEL$}{}", clock_change(day, change));
        }
    }
    if let Some(note) = &simulation.note {
        for line in wrap(note, LINE - LABEL) {
            let _ = writeln!(text, "{:LABEL$}{line}", "");
        }
    }
    text
}

/// Lists the edges of the day.
fn edges(simulation: &Simulation, day: &SimulatedDay, glyphs: Glyphs) -> String {
    let edge = |edge: &Edge| {
        let time = local(simulation, edge.at, "%H:%M");
        format!("{}{time}", glyphs.edge(edge.action))
    };
    let listed = if day.edges.len() > EDGES_LISTED {
        1
    } else {
        EDGES_LISTED
    };
    let mut words: Vec<String> = day.edges.iter().take(listed).map(edge).collect();
    if day.edges.len() > listed {
        words.push(format!("{} more", day.edges.len() - listed));
    }
    words.join(" ")
}

/// Explains the characters that occur.
fn legend(simulations: &[Simulation], glyphs: Glyphs) -> String {
    let days = || simulations.iter().flat_map(|simulation| &simulation.days);
    let occurs = |cell: HalfHour| days().any(|day| day.cells.contains(&cell));
    let edges = |action| days().any(|day| day.edges.iter().any(|edge| edge.action == action));
    let mut words: Vec<String> = [
        (HalfHour::Running, "running"),
        (HalfHour::Partly, "part of the half hour"),
        (HalfHour::Stopped, "stopped"),
        (HalfHour::Unmanaged, "unmanaged"),
    ]
    .into_iter()
    .filter(|(cell, _)| occurs(*cell))
    .map(|(cell, word)| format!("{} {word}", glyphs.cell(cell)))
    .collect();
    let marks = [(Action::Start, "start"), (Action::Stop, "stop")];
    let marks = marks.into_iter().filter(|(action, _)| edges(*action));
    words.extend(marks.map(|(action, word)| format!("{} {word}", glyphs.edge(action))));
    words.extend(
        days()
            .any(|day| day.clock_change.is_some())
            .then(|| "* clocks change".to_owned()),
    );
    words.join("  ")
}
