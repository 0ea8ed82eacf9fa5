//! What makes it pointless to go on: a call each, to be told the same each time, is neither fast nor kind.

use std::collections::{HashMap, HashSet};

use super::BatchCall;
use super::batch::CallKind;
use crate::error::{CloudError, CloudErrorKind};

/// How many calls in a row may get no answer or fail inside AWS, after the SDK's own retries, before the next one is not
/// made. A single one may be a lost connection.
const FAILURES_IN_A_ROW: usize = 3;

/// How many batches may fail for all their instances, while no other batch succeeded, before the action counts as refused
/// altogether.
const HOPELESS_BATCHES: usize = 3;

/// How many refusals of an operation a pass spends on finding the instances that caused them: these, ...
const REFUSALS: usize = 200;
/// ... and so many for each of its batches, which is the cost of one bad instance that EC2 does not name. Above that,
/// instances that share a batch with a bad one wait for the next pass. That pass finds fewer such batches, since all others
/// are done; without a bound, a thousand bad instances would cost some thousand calls at every pass.
const REFUSALS_PER_BATCH: usize = 10;

#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    /// With every call.
    everywhere: Option<CloudError>,
    failures_in_a_row: usize,
    /// The kinds of call that succeeded for some member.
    accepted: HashSet<CallKind>,
    /// How many more refusals of a kind of call are looked into.
    refusals_left: HashMap<CallKind, usize>,
    /// The kinds of call that are refused, by how many batches.
    hopeless: HashMap<CallKind, (usize, CloudError)>,
}

impl CircuitBreaker {
    /// Why a call is not worth making.
    pub(super) fn open_for(&self, call: &BatchCall) -> Option<CloudError> {
        let refused = self
            .refused_everywhere(call)
            .filter(|error| is_about_the_action(error.kind));
        self.everywhere
            .as_ref()
            .or(refused)
            .map(CloudError::repeated)
    }

    /// Why a call was refused for whole batches, while no member was accepted. Where the refusals may be about the members, another
    /// batch may be better and is worth one call, but not the search for the members to blame.
    pub(super) fn refused_everywhere(&self, call: &BatchCall) -> Option<&CloudError> {
        let (batches, error) = self.hopeless.get(&call.kind())?;
        (*batches >= HOPELESS_BATCHES && !self.has_accepted(call)).then_some(error)
    }

    pub(super) fn accepted(&mut self, call: &BatchCall) {
        self.failures_in_a_row = 0;
        self.accepted.insert(call.kind());
    }

    pub(super) fn has_accepted(&self, call: &BatchCall) -> bool {
        self.accepted.contains(&call.kind())
    }

    /// There will be another batch.
    pub(super) fn expect(&mut self, call: &BatchCall) {
        *self.refusals_left(call) += REFUSALS_PER_BATCH;
    }

    /// Whether another refusal is worth isolating.
    pub(super) fn may_look_into(&mut self, call: &BatchCall) -> bool {
        let left = self.refusals_left(call);
        let some = *left > 0;
        *left = left.saturating_sub(1);
        some
    }

    fn refusals_left(&mut self, call: &BatchCall) -> &mut usize {
        self.refusals_left.entry(call.kind()).or_insert(REFUSALS)
    }

    /// A call failed, for no member's sake.
    pub(super) fn failed(&mut self, error: &CloudError) {
        let for_good = match error.kind {
            CloudErrorKind::Credentials | CloudErrorKind::Expired => true,
            CloudErrorKind::Unreachable | CloudErrorKind::Service => {
                self.failures_in_a_row += 1;
                self.failures_in_a_row >= FAILURES_IN_A_ROW
            }
            _ => false,
        };
        if for_good && self.everywhere.is_none() {
            self.everywhere = Some(error.repeated());
        }
    }

    /// Records that no instance of a whole batch could be changed.
    pub(super) fn trip(&mut self, call: &BatchCall, error: &CloudError) {
        let known = self
            .hopeless
            .entry(call.kind())
            .or_insert_with(|| (0, error.repeated()));
        known.0 += 1;
    }
}

/// Whether such a refusal says that the action is not allowed, rather than something about the instances.
fn is_about_the_action(kind: CloudErrorKind) -> bool {
    matches!(kind, CloudErrorKind::Denied | CloudErrorKind::Account)
}
