//! A simulation on a terminal: a line for each day, a character for each half hour.

use std::fmt::Write as _;

use curfew_core::simulate::{Cell, Day, Simulation, in_hours, short};
use curfew_core::timetable::{Action, Edge};

use super::facts::{facts, local, sentence};

/// Which characters to draw with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyphs {
    /// Blocks, for terminals.
    Blocks,
    /// ASCII only, for everything else.
    Ascii,
}

impl Glyphs {
    fn cell(self, cell: Cell) -> char {
        match (cell, self) {
            (Cell::Running, Self::Blocks) => '█',
            (Cell::Running, Self::Ascii) => '#',
            (Cell::Partly, Self::Blocks) => '▌',
            (Cell::Partly, Self::Ascii) => '/',
            (Cell::Stopped, Self::Blocks) => '·',
            (Cell::Stopped, Self::Ascii) => '.',
            (Cell::Unmanaged, Self::Blocks) => '░',
            (Cell::Unmanaged, Self::Ascii) => '?',
            (Cell::External, _) => ' ',
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

/// Edges listed next to a day; a cron of every quarter of an hour has 96, and JSON has them all.
const EDGES_LISTED: usize = 6;

/// `Mon 23 Nov`, and two spaces.
const LABEL: usize = 12;

/// All of them, one below the other, and the legend.
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
            beside(simulation, day, glyphs)
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

/// The day's edges, and its length where it is unusual.
fn beside(simulation: &Simulation, day: &Day, glyphs: Glyphs) -> String {
    let edge = |edge: &Edge| {
        let time = local(simulation, edge.at, "%H:%M");
        format!("{}{time}", glyphs.edge(edge.action))
    };
    let mut words: Vec<String> = day.edges.iter().take(EDGES_LISTED).map(edge).collect();
    if day.edges.len() > EDGES_LISTED {
        words.push(format!("and {} more", day.edges.len() - EDGES_LISTED));
    }
    if day.clocks_change() {
        let hours = short(in_hours(day.length()));
        words.push(format!("({hours} h: the clocks change)"));
    }
    words.join(" ")
}

fn legend(glyphs: Glyphs) -> String {
    let cell = |cell| glyphs.cell(cell);
    format!(
        "{} running  {} part of the half hour  {} stopped  {} no opinion  {} start  {} stop; hours count from midnight\n",
        cell(Cell::Running),
        cell(Cell::Partly),
        cell(Cell::Stopped),
        cell(Cell::Unmanaged),
        glyphs.edge(Action::Start),
        glyphs.edge(Action::Stop)
    )
}
