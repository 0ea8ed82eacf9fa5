//! How a transition became known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a transition became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransitionSource {
    /// EC2 told of it in an event: when it happened is known to the second.
    Event,
    /// Two looks found different states; it happened in between.
    #[serde(rename = "look")]
    Poll,
    /// Nobody saw it, and it must have happened: what was there before and after does not fit together otherwise.
    #[serde(rename = "inference")]
    Inferred,
}

impl TransitionSource {
    /// The word for it in journals and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Poll => "look",
            Self::Inferred => "inference",
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
            .find(|evidence| evidence.as_str() == text)
            .ok_or_else(|| UnknownTransitionSource(text.to_owned()))
    }
}

/// TransitionSource of a sort that only a newer Curfew knows.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a sort of evidence")]
pub struct UnknownTransitionSource(String);
