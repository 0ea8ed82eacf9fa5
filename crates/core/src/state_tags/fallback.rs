//! Fallback types: the value of `curfew:type`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{MalformedTag, TYPE_TAG};
use crate::instance::InstanceType;

/// A fallback in force: EC2 had no capacity for the desired type, so that the instance was given another.
///
/// The current type is recorded to distinguish a fallback from a type that was changed outside Curfew.
///
/// ```
/// use curfew_core::state_tags::Fallback;
///
/// let fallback: Fallback = "m5.large as m5a.large".parse()?;
/// assert_eq!(fallback.desired_type.as_str(), "m5.large");
/// assert_eq!(fallback.to_string(), "m5.large as m5a.large");
/// # Ok::<(), curfew_core::state_tags::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fallback {
    /// The type that the instance returns to at the next start with capacity for it.
    pub desired_type: InstanceType,
    /// The type that the instance was given instead.
    pub current_type: InstanceType,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.desired_type, self.current_type)
    }
}

impl FromStr for Fallback {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let read = || {
            let (wanted, present) = text.split_once(" as ")?;
            Some(Self {
                desired_type: wanted.parse().ok()?,
                current_type: present.parse().ok()?,
            })
        };
        read().ok_or_else(|| MalformedTag::new(TYPE_TAG, text, "`m5.large as m5a.large`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_text_of_a_fallback_parses_to_the_same_value(wanted in "[a-z][a-z0-9-]{0,20}[.][a-z0-9][a-z0-9-]{0,20}", present in "[a-z][a-z0-9]{0,5}[.][0-9]{0,2}(x|metal)large") {
            let text = format!("{wanted} as {present}");
            let fallback: Fallback = text.parse().unwrap();
            prop_assert_eq!(fallback.to_string(), text);
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,80}") {
            let _ = text.parse::<Fallback>();
        }
    }

    #[test]
    fn the_error_names_the_malformed_tag() {
        for bad in [
            "",
            "m5.large",
            "m5.large as",
            "large as m5.large",
            "m5.large as m5 large",
        ] {
            let error = bad.parse::<Fallback>().unwrap_err().to_string();
            assert!(error.starts_with("the tag `curfew:type` is `"), "{error}");
        }
    }
}
