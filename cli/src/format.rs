//! The formats of results and errors.

use clap::ValueEnum;

/// The format of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for reading, as wide as the terminal.
    Table,
    /// A table with more columns and every row in full, however wide the terminal is.
    Wide,
    /// One JSON document, with times in RFC 3339 UTC.
    Json,
    /// One JSON document per line (`history` and `savings` only).
    Jsonl,
    /// Comma-separated values (`history` and `savings` only).
    Csv,
}
