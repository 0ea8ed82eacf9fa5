//! How a transition became known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a transition became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TransitionSource {
    /// An EC2 event reported the transition, with its instant to the second.
    Event,
    /// Two polls observed different states; the transition was in between.
    Poll,
    /// The transition was not observed, and follows from the states before and after it.
    Inferred,
}

impl TransitionSource {
    /// The value in the journal and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Poll => "poll",
            Self::Inferred => "inferred",
        }
    }
}

impl fmt::Display for TransitionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TransitionSource {
    type Err = UnknownTransitionSource;

    fn from_str(text: &str) -> Result<Self, UnknownTransitionSource> {
        [Self::Event, Self::Poll, Self::Inferred]
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or_else(|| UnknownTransitionSource(text.to_owned()))
    }
}

/// The text is not a known source, such as one that a newer version of Curfew wrote.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a source of transitions")]
pub struct UnknownTransitionSource(String);
