//! The decision about one instance: a step, or a skip.

use crate::skip::Skip;
use crate::step::Step;

/// The decision about one instance.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one value per instance, and it is destructured at once"
)]
pub enum Decision {
    /// A step to execute.
    Step(Step),
    /// No step, with the reason.
    Skip(Skip),
}
