//! How a transition became known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a transition became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// EC2 told of it in an event: when it happened is known to the second.
    Event,
    /// Two looks found different states; it happened in between.
    Look,
    /// Nobody saw it, and it must have happened: what was there before and after does not fit together otherwise.
    Inference,
}

impl Evidence {
    /// The word for it in journals and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Look => "look",
            Self::Inference => "inference",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Evidence {
    type Err = UnknownEvidence;

    fn from_str(text: &str) -> Result<Self, UnknownEvidence> {
        [Self::Event, Self::Look, Self::Inference]
            .into_iter()
            .find(|evidence| evidence.as_str() == text)
            .ok_or_else(|| UnknownEvidence(text.to_owned()))
    }
}

/// Evidence of a sort that only a newer Curfew knows.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a sort of evidence")]
pub struct UnknownEvidence(String);
