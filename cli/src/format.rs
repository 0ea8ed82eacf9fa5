//! The format of results and errors (`-o`).

use clap::ValueEnum;

/// The format of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for reading.
    Table,
    /// One JSON document, with times in RFC 3339 UTC.
    Json,
    /// One JSON document per line (`history` and `savings` only).
    Jsonl,
    /// Comma-separated values (`history` and `savings` only).
    Csv,
}
