//! What may stand in a query or a body: each parameter's name, and how JSON writes it.

use serde_json::Value;

use crate::refusal::Refusal;

/// What may stand in a query or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// An instance's id.
    Instance,
    /// A schedule's name.
    Schedule,
    /// A tag's key and value.
    Tag,
    /// Whether everything that fits is meant.
    All,
    /// How long an override lasts.
    For,
    /// When an override ends.
    Until,
    /// Whether nothing is to be done.
    DryRun,
    /// Over how many days.
    Days,
}

impl Parameter {
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

    /// Whether there may be several of it.
    pub(crate) fn repeats(self) -> bool {
        matches!(self, Self::Instance | Self::Schedule | Self::Tag)
    }

    /// Its texts in a JSON document. An empty list or a null is refused: what a script meant to name, and did not, must not
    /// become a request for whatever is meant without it.
    pub(crate) fn texts(self, value: &Value) -> Result<Vec<String>, Refusal> {
        let name = self.name();
        let refuse =
            |what: &str, hint: &str| Err(Refusal::parameter(format!("`{name}` is {what}"), hint));
        match (self, value) {
            (_, Value::Null) => refuse("null", "give it a value, or leave it out"),
            (Self::All | Self::DryRun, Value::Bool(flag)) => Ok(vec![flag.to_string()]),
            (Self::All | Self::DryRun, _) => refuse("no boolean", "it is `true` or `false`"),
            (Self::Days, Value::Number(days)) => Ok(vec![days.to_string()]),
            (Self::Days, _) => refuse("no number", "write it as a JSON number"),
            (_, Value::String(text)) => Ok(vec![text.clone()]),
            (one, Value::Array(values)) if one.repeats() => {
                let texts: Option<Vec<String>> = values
                    .iter()
                    .map(|value| value.as_str().map(str::to_owned))
                    .collect();
                match texts {
                    Some(texts) if texts.is_empty() => {
                        refuse("an empty list", "name what is meant, or leave it out")
                    }
                    Some(texts) => Ok(texts),
                    None => refuse("not a list of texts", "write values as JSON strings"),
                }
            }
            (one, _) if one.repeats() => refuse(
                "neither text nor a list of texts",
                "write values as JSON strings",
            ),
            _ => refuse("not text", "write it as a JSON string"),
        }
    }
}
