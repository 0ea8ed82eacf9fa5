//! What becomes of what a deployment keeps beside its stack.

use serde::Serialize;

/// What becomes of what is uploaded or written beside the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataChange {
    /// It is as it should be.
    Keep,
    /// There is none.
    Create,
    /// There is another.
    Change,
}
