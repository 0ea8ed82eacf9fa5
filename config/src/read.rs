//! Reads the merged layers into their raw form, with every error rather than the first, and each cause reported once.
//!
//! Serde stops at the first value that is not allowed. That value is recorded and replaced by one that can be read, and the layers
//! are read again. What is found later only because of a replaced value is left out ([`Replaced::explains`]).

use std::cell::LazyCell;
use std::collections::BTreeMap;

use config::{Value, ValueKind};
use curfew_core::problem::Problem;

use super::RawConfiguration;
use super::source::EntryPart;
use super::strict::{ReadError, StrictValue};

/// The maximum number of errors of types and keys that are reported: the layers are read again after each.
const MOST_ERRORS: usize = 100;

/// A problem, and the part of the entry that it is about.
pub(super) type PlacedProblem = (Problem, EntryPart);

/// Values that were not allowed, and what they were replaced by.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// For each path, the replacements that were tried.
    attempts: BTreeMap<Vec<String>, Attempts>,
    /// The tables in which a value was replaced by one that is allowed, such as `type`, on which the meaning of the others depends.
    guessed: Vec<Vec<String>>,
    /// The keys that are not allowed, with the key that was probably meant.
    unknown: Vec<(Vec<String>, Option<&'static str>)>,
}

/// The replacements of one value.
#[derive(Debug)]
struct Attempts {
    /// The number of candidates that were tried.
    count: usize,
    /// A string that the first error names as allowed.
    allowed: Option<&'static str>,
}

/// Deserializes the layers. Returns the problems of types and keys; the first result is `None` if nothing can be read without more
/// replacements than are made. `defaults` reads the compiled-in layer, which is needed only if there is a problem.
pub(super) fn read(
    root: &mut Value,
    defaults: impl FnOnce() -> Value,
) -> (Option<RawConfiguration>, Vec<PlacedProblem>, Replaced) {
    let defaults = LazyCell::new(defaults);
    let mut problems = Vec::new();
    let mut replaced = Replaced::default();
    while problems.len() < MOST_ERRORS {
        let error = match serde_path_to_error::deserialize(StrictValue(root.clone())) {
            Ok(raw) => return (Some(raw), problems, replaced),
            Err(error) => error,
        };
        let mut path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
        let error = error.into_inner();
        let allowed = error.allowed_string();
        let (message, part) = match error {
            ReadError::UnknownKey { key, allowed } => {
                if path.last() != Some(&key) {
                    path.push(key.clone());
                }
                let meant = meant(&key, allowed);
                remove(root, &path);
                replaced.unknown.push((path.clone(), meant));
                (unknown_key(&key, meant, allowed), EntryPart::Key)
            }
            ReadError::MissingKey(key) => {
                path.push(key.to_owned());
                (format!("`{key}` is missing"), EntryPart::Value)
            }
            error @ (ReadError::Value(_) | ReadError::UnknownString { .. }) => {
                (error.to_string(), EntryPart::Value)
            }
        };
        let problem = Problem::new(joined(&path), message);
        if !replaced.explains(&problem, root) {
            problems.push((problem, part));
        }
        if part == EntryPart::Value && !replaced.replace(root, &defaults, path, allowed) {
            break;
        }
    }
    (None, problems, replaced)
}

/// Joins the parts of a path; an item of a list is written `account[0]`, as in the problems found later.
fn joined(path: &[String]) -> String {
    path.join(".").replace(".[", "[")
}

/// Returns the allowed key that was probably meant: a similar one, or one that begins with it.
fn meant(key: &str, allowed: &'static [&'static str]) -> Option<&'static str> {
    let closeness = |name: &&&str| strsim::damerau_levenshtein(name, key);
    let similar = allowed.iter().min_by_key(closeness);
    let similar = similar.filter(|name| closeness(name) <= 2);
    let longer = || {
        let mut longer = allowed
            .iter()
            .filter(|name| key.len() > 2 && name.starts_with(key));
        longer.next().filter(|_| longer.next().is_none())
    };
    similar.or_else(longer).copied()
}

fn unknown_key(key: &str, meant: Option<&str>, allowed: &[&str]) -> String {
    let key = key.escape_debug();
    match meant {
        Some(meant) => format!("`{key}` is not a key here; did you mean `{meant}`?"),
        None => {
            let allowed: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "`{key}` is not a key here (allowed: {})",
                allowed.join(", ")
            )
        }
    }
}

impl Replaced {
    /// Returns whether a problem follows from a value that is already reported, and is no cause of its own.
    pub(super) fn explains(&self, problem: &Problem, root: &Value) -> bool {
        let key = problem.key.as_str();
        let is_at_or_below = |path: &[String]| {
            let path = joined(path);
            key.strip_prefix(&path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if self.attempts.keys().any(|path| is_at_or_below(path)) {
            return true;
        }
        let is_beside = |table: &Vec<String>| {
            let table = joined(table);
            key.strip_prefix(&table)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        if self.guessed.iter().any(is_beside) {
            return true;
        }
        let is_absent = value_at(root, key).is_none();
        let is_misspelt = self.unknown.iter().any(|(path, meant)| {
            let parent = joined(&path[..path.len() - 1]);
            meant.is_some_and(|meant| key == format!("{parent}.{meant}"))
        });
        if is_absent && is_misspelt {
            return true;
        }
        // A schedule whose `running` is misspelt or not allowed has no edges.
        let mut gone = self.unknown.iter().map(|(path, _)| path);
        let mut gone_values = self.attempts.keys();
        let is_inside = |path: &Vec<String>| {
            let path = joined(path);
            path.len() > key.len() && path.starts_with(key)
        };
        problem.message.starts_with(NO_EDGES) && (gone.any(is_inside) || gone_values.any(is_inside))
    }

    /// Replaces the value at `path` by the next candidate: its default, an empty table, nothing, or an empty value of another type.
    /// If all were tried, the value that contains it is replaced. Returns whether something was replaced.
    fn replace(
        &mut self,
        root: &mut Value,
        defaults: &Value,
        mut path: Vec<String>,
        allowed: Option<&'static str>,
    ) -> bool {
        let mut allowed = allowed;
        while !path.is_empty() {
            let attempts = self.attempts.entry(path.clone()).or_insert(Attempts {
                count: 0,
                allowed: allowed.take(),
            });
            let default = lookup(defaults, &path).cloned();
            let table = ValueKind::Table(config::Map::new());
            let mut candidates = vec![
                Some(Value::new(None, table)),
                None,
                Some(Value::new(None, attempts.allowed.unwrap_or_default())),
                Some(Value::new(None, ValueKind::Array(Vec::new()))),
                Some(Value::new(None, 1_i64)),
                Some(Value::new(None, false)),
            ];
            if default.is_some() {
                candidates.insert(0, default);
            }
            while let Some(candidate) = candidates.get(attempts.count) {
                attempts.count += 1;
                let done = match candidate {
                    Some(value) => set(root, &path, value.clone()),
                    // The index of an item is part of the keys of later problems.
                    None if path.last().is_some_and(|part| part.starts_with('[')) => false,
                    None => remove(root, &path),
                };
                let is_guess = |value: &Value| {
                    attempts
                        .allowed
                        .is_some_and(|text| value.kind == ValueKind::String(text.to_owned()))
                };
                if done && candidate.as_ref().is_some_and(is_guess) {
                    self.guessed.push(path[..path.len() - 1].to_vec());
                }
                if done {
                    return true;
                }
            }
            path.pop();
        }
        false
    }
}

/// The beginning of the message about a schedule without a start, a stop or a window.
const NO_EDGES: &str = "the schedule has no edges";

fn index_of(part: &str) -> Option<usize> {
    part.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn child<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    match &value.kind {
        ValueKind::Table(table) => table.get(part),
        ValueKind::Array(items) => items.get(index_of(part)?),
        _ => None,
    }
}

fn child_mut<'v>(value: &'v mut Value, part: &str) -> Option<&'v mut Value> {
    match &mut value.kind {
        ValueKind::Table(table) => table.get_mut(part),
        ValueKind::Array(items) => items.get_mut(index_of(part)?),
        _ => None,
    }
}

fn lookup<'v>(root: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, part| child(value, part))
}

/// Returns the value at a key in the form of [`Problem::key`]. Keys may contain dots, so each is tried.
fn value_at<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    if key.is_empty() {
        return Some(value);
    }
    match &value.kind {
        ValueKind::Table(table) => table.iter().find_map(|(name, value)| {
            let rest = key.strip_prefix(name.as_str())?;
            let is_end = rest.is_empty() || rest.starts_with(['.', '[']);
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            is_end.then(|| value_at(value, rest)).flatten()
        }),
        ValueKind::Array(items) => {
            let (index, rest) = key.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            value_at(item, rest.strip_prefix('.').unwrap_or(rest))
        }
        _ => None,
    }
}

fn parent<'v>(root: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    let (_, above) = path.split_last()?;
    above
        .iter()
        .try_fold(root, |value, part| child_mut(value, part))
}

fn set(root: &mut Value, path: &[String], value: Value) -> bool {
    let (Some(last), Some(parent)) = (path.last(), parent(root, path)) else {
        return false;
    };
    match &mut parent.kind {
        ValueKind::Table(table) => {
            table.insert(last.clone(), value);
            true
        }
        ValueKind::Array(_) => match child_mut(parent, last) {
            Some(item) => {
                *item = value;
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn remove(root: &mut Value, path: &[String]) -> bool {
    let (Some(last), Some(parent)) = (path.last(), parent(root, path)) else {
        return false;
    };
    match &mut parent.kind {
        ValueKind::Table(table) => table.remove(last).is_some(),
        _ => false,
    }
}
