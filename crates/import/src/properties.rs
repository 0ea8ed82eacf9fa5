//! Reads the properties of another tool's JSON object by name; properties that were not read are refused.

use std::collections::BTreeMap;

use curfew_core::problem::Problem;
use serde_json::Value;

/// The properties of one object, with the problems found so far. Keys are compared without case, `_` and `-`, so that
/// `begintime`, `Begintime` and `BeginTime` are the same.
#[derive(Debug)]
pub(super) struct Properties<'v> {
    at: String,
    left: BTreeMap<String, (&'v str, &'v Value)>,
    pub(super) problems: Vec<Problem>,
}

impl<'v> Properties<'v> {
    /// Reads the properties of `value`; `at` is its path for error messages.
    pub(super) fn new(at: impl Into<String>, value: &'v Value) -> Self {
        let at = at.into();
        let mut problems = Vec::new();
        let mut left = BTreeMap::new();
        match value.as_object() {
            None => problems.push(Problem::new(&at, "is not an object with properties")),
            Some(object) => {
                for (key, value) in object {
                    if let Some((other, _)) = left.insert(plain(key), (key.as_str(), value)) {
                        let message = format!("appears twice, also as `{other}`");
                        problems.push(Problem::new(format!("{at}.{key}"), message));
                    }
                }
            }
        }
        Self { at, left, problems }
    }

    /// Sets the path for error messages, once the object's name is known.
    pub(super) fn name(&mut self, at: &str) {
        at.clone_into(&mut self.at);
    }

    /// Takes a property's value; `None` for `null`.
    pub(super) fn value(&mut self, key: &str) -> Option<&'v Value> {
        self.left
            .remove(&plain(key))
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    /// Takes a string or number without surrounding whitespace; `None` if it is empty.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        match scalar(value) {
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(why) => {
                self.refuse(key, why);
                None
            }
        }
    }

    /// Takes a boolean, also as a string, the way CloudFormation writes it: `"True"`.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.refuse(key, format!("is `{text}`; allowed are true and false"));
                None
            }
        }
    }

    /// Takes a list, or a string with commas.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let read = match self.value(key)? {
            Value::Array(items) => items.iter().map(scalar).collect(),
            single => scalar(single)
                .map(|text| text.split(',').map(|item| item.trim().to_owned()).collect()),
        };
        read.map_err(|why| self.refuse(key, why)).ok()
    }

    /// Drops properties that have no effect on when instances run.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.left.remove(&plain(key));
        }
    }

    /// Records a problem with a property.
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.problems
            .push(Problem::new(format!("{}.{key}", self.at), message));
    }

    /// Returns the problems, including one for each property that was not read.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for (key, _) in std::mem::take(&mut self.left).into_values() {
            self.refuse(key, "is not a property that can be translated");
        }
        self.problems
    }
}

fn plain(key: &str) -> String {
    key.replace(['_', '-'], "").to_lowercase()
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Object(function) if function.len() == 1 => {
            let name: String = function.keys().cloned().collect();
            Err(format!(
                "is computed by CloudFormation (`{name}`); write the literal value"
            ))
        }
        _ => Err("is not a string".into()),
    }
}
