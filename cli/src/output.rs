//! Prints results to standard output as a table, JSON, JSON lines or CSV. Messages and progress go to standard error.

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::error::{CliError, Exit};
pub use super::format::Format;
use crate::printable;

/// The kind of stream that a table is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputTarget {
    /// A terminal: tables fit its width, and long tables are truncated.
    Terminal,
    /// A file or a pipe: tables are complete, one line per row.
    Pipe,
}

impl OutputTarget {
    fn of(stream: &impl IsTerminal) -> Self {
        if stream.is_terminal() {
            Self::Terminal
        } else {
            Self::Pipe
        }
    }

    /// Returns the target of standard error, where prompts are written.
    pub(crate) fn stderr() -> Self {
        Self::of(&io::stderr())
    }
}

/// Writes results to standard output in one format.
#[derive(Debug)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Creates an output that prints in `format`.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    #[expect(
        clippy::unused_self,
        reason = "callers ask the output that they print to"
    )]
    pub(crate) fn target(&self) -> OutputTarget {
        OutputTarget::of(&io::stdout())
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints `data` as JSON, or the text that `render` returns for a table. Fails if standard output cannot be written.
    pub fn print<T: Serialize>(
        &self,
        data: &T,
        render: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        let text = match self.format {
            // Table cells are escaped already, but the text around a table may contain names too.
            Format::Table => printable::lines(&render(data)).into_owned(),
            // `check_format` rejects JSON lines and CSV for commands that print no list.
            Format::Json | Format::Jsonl | Format::Csv => {
                serde_json::to_string_pretty(data).expect("results are plain data")
            }
        };
        self.raw(format!("{}\n", text.trim_end()).as_bytes())
    }

    /// Writes bytes unchanged. A closed pipe is not an error.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        match io::stdout().lock().write_all(bytes) {
            // `curfew history | head` closes the pipe early.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(
                Exit::Failed,
                format!("standard output can't be written: {error}"),
            )),
            _ => Ok(()),
        }
    }
}

/// Renders a table for standard output, without borders so that other tools can parse it.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table_for(OutputTarget::of(&io::stdout()), header, rows)
}

/// Renders a table with every column except the first aligned right.
pub(crate) fn table_of_numbers(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = build_table(OutputTarget::of(&io::stdout()), header, rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    lines(&table)
}

/// Renders a table for `target`.
pub(crate) fn table_for(
    target: OutputTarget,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    lines(&build_table(target, header, rows))
}

fn build_table(
    target: OutputTarget,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.iter().map(|name| name.to_uppercase()));
    if target == OutputTarget::Terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.add_rows(rows.into_iter().map(|row| {
        let cells = row.into_iter();
        let cells: Vec<String> = cells
            .map(|cell| printable::line(&cell).into_owned())
            .collect();
        cells
    }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn lines(table: &Table) -> String {
    table
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// Formats a number with thousands separators: `9,950`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number with its noun: `1 step`, `9,950 steps`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Returns the text of an optional cell, or `-`.
pub(crate) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

/// Formats an instant in `zone`, followed by its distance from `now`.
pub(crate) fn moment(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let local = at.to_zoned(zone.clone());
    format!(
        "{} ({})",
        local.strftime("%a %d %b %H:%M"),
        distance(at.duration_since(now))
    )
}

/// Formats an instant in the zone of this machine, with the name of the zone and its distance from `now`.
pub(crate) fn moment_here(at: Timestamp, now: Timestamp) -> String {
    let local = at.to_zoned(TimeZone::system());
    format!(
        "{} ({})",
        local.strftime("%a %d %b %H:%M %Z"),
        distance(at.duration_since(now))
    )
}

fn distance(length: SignedDuration) -> String {
    let minutes = length.abs().as_mins();
    let text = match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", length.abs().as_secs()),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    };
    if length.is_negative() {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_table_cells_are_escaped() {
        let rows = [
            ["web\nstopped  prod", "\u{1b}[2J"],
            ["\u{202e}bew", "running"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        insta::assert_snapshot!(table_for(OutputTarget::Pipe, &["name", "state"], rows), @r"
        NAME                STATE
        web\nstopped  prod  \u{1b}[2J
        \u{202e}bew         running
        ");
    }

    #[test]
    fn numbers_have_thousands_separators() {
        let counts = [0, 999, 1000, 9950, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "9,950", "1,234,567"]);
        let steps = [0, 1, 9950].map(|number| counted(number, "step"));
        assert_eq!(steps, ["0 steps", "1 step", "9,950 steps"]);
    }

    #[test]
    fn a_moment_is_formatted_in_the_given_zone_and_relative_to_now() {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let format = |at: &str| moment(at.parse().unwrap(), &zone, now);
        assert_eq!(
            format("2026-11-23T19:05:00Z"),
            "Mon 23 Nov 20:05 (in 7 h 05 min)"
        );
        assert_eq!(
            format("2026-11-23T11:59:30Z"),
            "Mon 23 Nov 12:59 (30 s ago)"
        );
        assert_eq!(
            format("2026-11-26T13:00:00Z"),
            "Thu 26 Nov 14:00 (in 3 d 1 h)"
        );
    }
}
