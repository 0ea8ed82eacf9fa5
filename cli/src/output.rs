//! Results go to standard output, as a table or as one JSON document; everything else goes to standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::error::{CliError, Exit};
use crate::printable;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: one document, times in RFC 3339 UTC.
    Json,
    /// For programs that read line by line: one document for each item. Only `history` and `savings`.
    Jsonl,
    /// For spreadsheets: only `history` and `savings`.
    Csv,
}

/// Who reads what is printed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A person now: as wide as the terminal, and cut before nobody reads on.
    Terminal,
    /// A file or another program: everything, a line each.
    Pipe,
}

impl Reader {
    fn of(stream: &impl IsTerminal) -> Self {
        if stream.is_terminal() {
            Self::Terminal
        } else {
            Self::Pipe
        }
    }

    /// Of standard error, where questions are asked.
    pub(crate) fn stderr() -> Self {
        Self::of(&io::stderr())
    }
}

/// Standard output.
#[derive(Debug)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Prints in `format`.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Who reads it.
    #[expect(clippy::unused_self, reason = "it is this output's reader")]
    pub(crate) fn reader(&self) -> Reader {
        Reader::of(&io::stdout())
    }

    /// How it is printed.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints `data` as JSON, or what `people` makes of it.
    pub fn print<T: Serialize>(
        &self,
        data: &T,
        people: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        let text = match self.format {
            // Tables have their cells escaped; what stands around them may have names in it, too.
            Format::Table => printable::lines(&people(data)).into_owned(),
            // Commands that print no list are not run for the other two.
            Format::Json | Format::Jsonl | Format::Csv => {
                serde_json::to_string_pretty(data).expect("results are plain data")
            }
        };
        self.raw(format!("{}\n", text.trim_end()).as_bytes())
    }

    /// Prints bytes as they are.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        match io::stdout().lock().write_all(bytes) {
            // `curfew history | head` is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(
                Exit::Failed,
                format!("standard output can't be written: {error}"),
            )),
            _ => Ok(()),
        }
    }
}

/// A table with a header; borderless, so that it pipes into other tools.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table_for(Reader::of(&io::stdout()), header, rows)
}

/// The same of names and their numbers, which stand below each other digit by digit.
pub(crate) fn table_of_numbers(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = laid_out(Reader::of(&io::stdout()), header, rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    lines(&table)
}

/// A table for somebody else than standard output's reader.
pub(crate) fn table_for(
    reader: Reader,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    lines(&laid_out(reader, header, rows))
}

fn laid_out(reader: Reader, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.iter().map(|name| name.to_uppercase()));
    if reader == Reader::Terminal {
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

/// `9,950`.
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

/// `1 step`, `9,950 steps`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A cell that may be empty.
pub(crate) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

/// An instant for people: in the schedule's zone, with how far away it is.
pub(crate) fn moment(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let local = at.to_zoned(zone.clone());
    format!(
        "{} ({})",
        local.strftime("%a %d %b %H:%M"),
        distance(at.duration_since(now))
    )
}

/// The same for an instant that belongs to no schedule in particular: in the machine's zone, which is named.
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
    fn a_name_makes_no_row_of_its_own_and_commands_no_terminal() {
        let rows = [
            ["web\nstopped  prod", "\u{1b}[2J"],
            ["\u{202e}bew", "running"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        insta::assert_snapshot!(table_for(Reader::Pipe, &["name", "state"], rows), @r"
        NAME                STATE
        web\nstopped  prod  \u{1b}[2J
        \u{202e}bew         running
        ");
    }

    #[test]
    fn thousands_are_set_apart() {
        let counts = [0, 999, 1000, 9950, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "9,950", "1,234,567"]);
        let steps = [0, 1, 9950].map(|number| counted(number, "step"));
        assert_eq!(steps, ["0 steps", "1 step", "9,950 steps"]);
    }

    #[test]
    fn a_moment_is_told_in_the_schedules_zone_and_relative_to_now() {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let tell = |at: &str| moment(at.parse().unwrap(), &zone, now);
        assert_eq!(
            tell("2026-11-23T19:05:00Z"),
            "Mon 23 Nov 20:05 (in 7 h 05 min)"
        );
        assert_eq!(tell("2026-11-23T11:59:30Z"), "Mon 23 Nov 12:59 (30 s ago)");
        assert_eq!(
            tell("2026-11-26T13:00:00Z"),
            "Thu 26 Nov 14:00 (in 3 d 1 h)"
        );
    }
}
