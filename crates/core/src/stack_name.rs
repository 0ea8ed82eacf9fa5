//! The name of a stack, which is part of the names of its AWS resources.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rule_name;
use crate::string_newtype;

/// The name of one deployment of Curfew in an account and region: lower-case letters, digits and `-`, at most 20, beginning
/// with a letter. It is part of the bucket's name (at most 63 characters, lower case) and of every rule's (at most 64). It must not
/// end in one of [`Self::RESERVED`].
///
/// ```
/// use curfew_core::stack_name::StackName;
///
/// assert!("team-a".parse::<StackName>().is_ok());
/// assert!("Team_A".parse::<StackName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct StackName(String);

string_newtype!(StackName, parsed);

impl StackName {
    /// The endings that no name may have: the stacks `a` and `a-undone` would share the queue `curfew-a-undone-work`, which is the
    /// dead-letter queue of the first and the work queue of the second.
    pub const RESERVED: [&str; 2] = ["-undone", "-unread"];

    /// Returns the prefix of the names of the stack's resources and rules, without the `-` after it.
    pub fn prefix(&self) -> String {
        rule_name::prefix(&self.0)
    }
}

impl FromStr for StackName {
    type Err = InvalidStackName;

    fn from_str(text: &str) -> Result<Self, InvalidStackName> {
        let well_formed = (1..=20).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !well_formed {
            return Err(InvalidStackName::Malformed(text.chars().take(40).collect()));
        }
        for ending in Self::RESERVED {
            if let Some(other) = text.strip_suffix(ending) {
                return Err(InvalidStackName::Reserved {
                    name: text.to_owned(),
                    other: other.to_owned(),
                });
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// The reason why a text is not a stack's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStackName {
    /// The name has other characters, or too many.
    #[error("`{}` is not a stack name: 1 to 20 lower-case letters, digits and `-`, beginning with a letter and not ending in `-`", .0.escape_debug())]
    Malformed(String),
    /// A stack of this name would share a queue with another stack.
    #[error("`{name}` can't name a stack: one of its queues would be a queue of the stack `{other}`; choose a name that does not end in `{}`", StackName::RESERVED.join("` or `"))]
    Reserved {
        /// The refused name.
        name: String,
        /// The stack that would share the queue.
        other: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_names_fit_into_bucket_names() {
        for good in ["a", "curfew", "team-a-2", &"x".repeat(20)] {
            assert!(good.parse::<StackName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "2a",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "é",
            &"x".repeat(21),
        ] {
            assert!(bad.parse::<StackName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_would_share_a_queue_with_another_stack_is_refused() {
        let error = "t1-undone".parse::<StackName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`t1-undone` can't name a stack: one of its queues would be a queue of the stack `t1`; choose a name that does not end in \
             `-undone` or `-unread`"
        );
        assert!("t1-unread".parse::<StackName>().is_err());
        for good in ["undone", "unread", "undone-t1", "t1-done"] {
            assert!(good.parse::<StackName>().is_ok(), "{good}");
        }
    }
}
