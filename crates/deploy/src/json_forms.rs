//! The JSON forms of what a deployment or a removal says about its parts, which are objects everywhere.

use curfew_core::instance::{InstanceId, ResourceKind};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// A warning or a remark.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Remark<'a> {
    /// What was found: one sentence.
    message: &'a str,
}

/// An instance that has state tags.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TaggedInstance<'a> {
    /// The instance's id.
    id: &'a InstanceId,
    /// The kind of the resource.
    kind: ResourceKind,
}

/// Serializes sentences as objects, which have the field `message` wherever warnings are listed.
pub(crate) fn sentences<S: Serializer>(
    sentences: &[String],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sentences.iter().map(|message| Remark { message }))
}

/// Serializes ids as objects, as instances are wherever they are listed.
pub(crate) fn instances<S: Serializer>(
    ids: &[InstanceId],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let kind = ResourceKind::Instance;
    serializer.collect_seq(ids.iter().map(|id| TaggedInstance { id, kind }))
}
