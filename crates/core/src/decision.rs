//! What becomes of one instance: a step, or a skip.

use crate::skip::Skip;
use crate::step::Step;

/// What becomes of one instance.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it exists once an instance, and is taken apart at once"
)]
pub enum Decision {
    /// Something is done.
    Step(Step),
    /// Nothing is, for a reason.
    Skip(Skip),
}
