//! Prints results to standard output as a table, JSON, JSON lines or CSV. Messages and progress go to standard error.

use std::collections::BTreeMap;
use std::io::{self, Write};

use curfew_core::human_time;
use curfew_core::state_tags::Override;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::error::{CliError, Exit};
use crate::format::Format;
use crate::output_target::OutputTarget;
use crate::view::View;

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

    pub(crate) fn target(&self) -> OutputTarget {
        let target = OutputTarget::stdout();
        if self.format == Format::Wide {
            target.wide()
        } else {
            target
        }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints `data` as JSON, or the view that `render` returns for a table. Fails if standard output cannot be written.
    pub(crate) fn print<T: Serialize, V: Into<View>>(
        &self,
        data: &T,
        render: impl FnOnce(&T) -> V,
    ) -> Result<(), CliError> {
        let text = match self.format {
            Format::Table | Format::Wide => render(data).into().render(self.target()),
            // `check_format` rejects JSON lines and CSV for commands that print no list.
            Format::Json | Format::Jsonl | Format::Csv => {
                serde_json::to_string_pretty(data).expect("results are plain data")
            }
        };
        self.raw(format!("{}\n", text.trim_end()).as_bytes())
    }

    /// Prints each entry as one line of JSON. Fails if standard output cannot be written.
    pub(crate) fn json_lines(&self, entries: &[impl Serialize]) -> Result<(), CliError> {
        let line = |entry| serde_json::to_string(entry).expect("results are plain data") + "\n";
        let lines: String = entries.iter().map(line).collect();
        self.raw(lines.as_bytes())
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

/// Counts equal words: `2 start, 9,950 stop`.
pub(crate) fn tally(words: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(word, number)| format!("{} {word}", count(number)))
        .collect();
    parts.join(", ")
}

/// Formats an override: `running until Fri 27 Nov 20:00 CET (in 3 h) by alice`.
pub(crate) fn override_text(override_: &Override, zone: &TimeZone, now: Timestamp) -> String {
    let until = human_time::with_distance(override_.until, zone, now);
    format!("{} until {until} by {}", override_.state, override_.actor)
}

/// Returns the text of an optional cell, or `-`.
pub(crate) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_thousands_separators() {
        let counts = [0, 999, 1000, 9950, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "9,950", "1,234,567"]);
        let steps = [0, 1, 9950].map(|number| counted(number, "step"));
        assert_eq!(steps, ["0 steps", "1 step", "9,950 steps"]);
    }
}
