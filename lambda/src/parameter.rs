//! The API's parameters: their names, and their form in JSON.

use serde_json::Value;

use crate::api_error::ApiError;

/// A parameter of a query or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiParameter {
    /// The id of an instance.
    Instance,
    /// The name of a schedule.
    Schedule,
    /// The key and value of a tag.
    Tag,
    /// Whether the request is for all matching instances.
    All,
    /// The duration of an override.
    For,
    /// The end of an override.
    Until,
    /// Whether the change is only planned.
    DryRun,
    /// The number of days in a timeline.
    Days,
}

impl ApiParameter {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Schedule => "schedule",
            Self::Tag => "tag",
            Self::All => "all",
            Self::For => "for",
            Self::Until => "until",
            Self::DryRun => "dry_run",
            Self::Days => "days",
        }
    }

    /// Whether the parameter may have several values.
    pub(crate) fn repeats(self) -> bool {
        matches!(self, Self::Instance | Self::Schedule | Self::Tag)
    }

    /// Returns the parameter's values in a JSON document. Fails on null or an empty list: a script that failed to fill in a filter
    /// must not select everything.
    pub(crate) fn texts(self, value: &Value) -> Result<Vec<String>, ApiError> {
        let name = self.name();
        let refuse = |what: &str, hint: &str| {
            Err(ApiError::bad_parameter(format!("`{name}` is {what}"), hint))
        };
        match (self, value) {
            (_, Value::Null) => refuse("null", "give it a value, or omit it"),
            (Self::All | Self::DryRun, Value::Bool(flag)) => Ok(vec![flag.to_string()]),
            (Self::All | Self::DryRun, _) => refuse("not a boolean", "use `true` or `false`"),
            (Self::Days, Value::Number(days)) => Ok(vec![days.to_string()]),
            (Self::Days, _) => refuse("not a number", "use a JSON number"),
            (_, Value::String(text)) => Ok(vec![text.clone()]),
            (one, Value::Array(values)) if one.repeats() => {
                let texts: Option<Vec<String>> = values
                    .iter()
                    .map(|value| value.as_str().map(str::to_owned))
                    .collect();
                match texts {
                    Some(texts) if texts.is_empty() => {
                        refuse("an empty list", "give it a value, or omit it")
                    }
                    Some(texts) => Ok(texts),
                    None => refuse("not a list of strings", "use JSON strings"),
                }
            }
            (one, _) if one.repeats() => {
                refuse("neither a string nor a list of strings", "use JSON strings")
            }
            _ => refuse("not a string", "use a JSON string"),
        }
    }
}
