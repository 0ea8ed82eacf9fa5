//! The text of the configuration file, and the position of each key and value in it.
//!
//! The `config` crate merges the layers and keeps no positions, so the file is parsed a second time for them.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Position;

/// The text of a configuration file.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    /// The path of the file, or the name of a configuration without a file.
    pub(super) name: PathBuf,
    /// What the file contains.
    pub(super) text: String,
}

/// The part of an entry that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryPart {
    /// The key: it is not allowed there.
    Key,
    /// The value of the key.
    Value,
}

/// An error of the TOML parser.
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) position: Position,
}

impl SourceFile {
    /// Returns whether the file has no key. Fails with the parser's errors, the first one of each line.
    pub(super) fn is_empty(&self) -> Result<bool, Vec<SyntaxError>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let mut found: Vec<SyntaxError> = Vec::new();
        for error in errors {
            let range = error.span().unwrap_or(0..0);
            let position = Position::of(&self.text, range);
            if found
                .iter()
                .all(|known| known.position.line != position.line)
            {
                let message = format!("this is not TOML: {}", error.message());
                found.push(SyntaxError { message, position });
            }
        }
        if found.is_empty() {
            Ok(table.get_ref().is_empty())
        } else {
            Err(found)
        }
    }

    /// Returns the positions of keys in the file, which is valid TOML.
    pub(super) fn positions(&self) -> Positions<'_> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        Positions {
            text: &self.text,
            table,
        }
    }
}

/// The positions of keys and values in a file.
pub(super) struct Positions<'t> {
    text: &'t str,
    table: Spanned<DeTable<'t>>,
}

/// The entry of a key, or the closest table above it that exists.
struct Entry<'s> {
    /// The length of the part of the path that leads to it.
    depth: usize,
    key: Range<usize>,
    value: &'s Spanned<DeValue<'s>>,
}

impl Positions<'_> {
    /// Returns the position of the entry at `path`, such as `schedules.office.except[1]`, or of the closest table above it.
    /// `message` may begin with a part of the value in backticks, which is then the part that is marked.
    pub(super) fn find(&self, path: &str, part: EntryPart, message: &str) -> Option<Position> {
        let mut best = None;
        in_table(self.table.get_ref(), path, 0, &mut best);
        let entry = best?;
        let is_complete = entry.depth == path.len();
        let range = match entry.value.get_ref() {
            _ if is_complete && part == EntryPart::Key => entry.key,
            DeValue::String(_) if is_complete => self.quoted(entry.value.span(), message),
            _ => entry.value.span(),
        };
        Some(Position::of(self.text, range))
    }

    /// Returns the part of a string that the message begins with, as in `` `Mon 08:00-25:00`: `25:00` is not a time ``, without
    /// the quotation marks; or the range itself.
    fn quoted(&self, range: Range<usize>, message: &str) -> Range<usize> {
        let mut found = range;
        let mut rest = message;
        while let Some((quoted, after)) =
            rest.strip_prefix('`').and_then(|rest| rest.split_once('`'))
        {
            let text = &self.text[found.clone()];
            let mut places = text.match_indices(quoted);
            let (Some((start, _)), None) = (places.next(), places.next()) else {
                break;
            };
            let start = found.start + start;
            found = start..start + quoted.len();
            rest = after.strip_prefix(": ").unwrap_or_default();
        }
        found
    }
}

/// Searches `path` in a table; `depth` characters of the complete path lead to it. Keys may contain dots, so each is tried.
fn in_table<'s>(table: &'s DeTable<'s>, path: &str, depth: usize, best: &mut Option<Entry<'s>>) {
    for (key, value) in table {
        let Some(rest) = path.strip_prefix(key.get_ref().as_ref()) else {
            continue;
        };
        let depth = depth + path.len() - rest.len();
        let ends = rest.is_empty() || rest.starts_with(['.', '[']);
        if ends && best.as_ref().is_none_or(|best| best.depth < depth) {
            *best = Some(Entry {
                depth,
                key: key.span(),
                value,
            });
        }
        if ends {
            in_value(value, rest, depth, best);
        }
    }
}

fn in_value<'s>(
    value: &'s Spanned<DeValue<'s>>,
    path: &str,
    depth: usize,
    best: &mut Option<Entry<'s>>,
) {
    match value.get_ref() {
        DeValue::Table(table) => {
            if let Some(path) = path.strip_prefix('.') {
                in_table(table, path, depth + 1, best);
            }
        }
        DeValue::Array(items) => {
            let index = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let Some((index, rest)) = index else { return };
            let item = index.parse().ok().and_then(|index: usize| items.get(index));
            if let Some(item) = item {
                let depth = depth + path.len() - rest.len();
                if best.as_ref().is_none_or(|best| best.depth < depth) {
                    *best = Some(Entry {
                        depth,
                        key: item.span(),
                        value: item,
                    });
                }
                in_value(item, rest, depth, best);
            }
        }
        _ => {}
    }
}
