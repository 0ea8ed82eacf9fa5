//! Changes to the data that a deployment keeps outside its stack.

use serde::Serialize;

/// What a deployment would do with data outside the stack: the uploaded code, the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataChange {
    /// It is up to date.
    Keep,
    /// It does not exist yet.
    Create,
    /// Its content is different.
    Change,
}
