//! Renders a simulation as text: one line per day, one character per half hour.

use std::fmt::Write as _;

use curfew_core::simulate::{HalfHour, SimulatedDay, Simulation, format_number, in_hours};
use curfew_core::timetable::{Action, Edge};

use super::facts::{facts, local, sentence};

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

/// The number of edges listed per day. A quarter-hourly cron has 96; the JSON output has all.
const EDGES_LISTED: usize = 6;

/// The width of `Mon 23 Nov` and two spaces.
const LABEL: usize = 12;

/// Renders all simulations, one below the other, and the legend.
pub(super) fn render(simulations: &[Simulation], glyphs: Glyphs) -> String {
    let mut text = String::new();
    for simulation in simulations {
        one(&mut text, simulation, glyphs);
        text.push('\n');
    }
    text + &legend(glyphs)
}

fn one(text: &mut String, simulation: &Simulation, glyphs: Glyphs) {
    let width = simulation.days.iter().map(|day| day.cells.len()).max();
    let width = width.unwrap_or(0);
    let date = |at| local(simulation, at, "%a %Y-%m-%d %H:%M");
    let _ = writeln!(
        text,
        "{}: {} to {}, {}",
        simulation.schedule,
        date(simulation.from),
        date(simulation.to),
        simulation.time_zone
    );
    let hours: Vec<String> = (0..=24)
        .step_by(3)
        .map(|hour| format!("{hour:02}"))
        .collect();
    let _ = writeln!(text, "{:LABEL$}{}", "", hours.join("    "));
    for day in &simulation.days {
        let cells: String = day.cells.iter().map(|cell| glyphs.cell(*cell)).collect();
        let line = format!(
            "{:LABEL$}{cells:width$}  {}",
            day.date.strftime("%a %d %b").to_string(),
            annotations(simulation, day, glyphs)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = writeln!(text, "{:LABEL$}{}", "", facts(simulation));
    for cost in &simulation.cost {
        let _ = writeln!(text, "{:LABEL$}{}", "", sentence(cost));
    }
    if let Some(note) = &simulation.note {
        let _ = writeln!(text, "{:LABEL$}{note}", "");
    }
}

/// Lists the edges of the day, and its length if it is not 24 hours.
fn annotations(simulation: &Simulation, day: &SimulatedDay, glyphs: Glyphs) -> String {
    let edge = |edge: &Edge| {
        let time = local(simulation, edge.at, "%H:%M");
        format!("{}{time}", glyphs.edge(edge.action))
    };
    let mut words: Vec<String> = day.edges.iter().take(EDGES_LISTED).map(edge).collect();
    if day.edges.len() > EDGES_LISTED {
        words.push(format!("and {} more", day.edges.len() - EDGES_LISTED));
    }
    if day.clocks_change() {
        let hours = format_number(in_hours(day.length()));
        words.push(format!("({hours} h: the clocks change)"));
    }
    words.join(" ")
}

fn legend(glyphs: Glyphs) -> String {
    let cell = |cell| glyphs.cell(cell);
    format!(
        "{} running  {} part of the half hour  {} stopped  {} unmanaged  {} start  {} stop; hours count from midnight\n",
        cell(HalfHour::Running),
        cell(HalfHour::Partly),
        cell(HalfHour::Stopped),
        cell(HalfHour::Unmanaged),
        glyphs.edge(Action::Start),
        glyphs.edge(Action::Stop)
    )
}
