//! Stops making calls that can't succeed, since each would only return the same error.

use std::collections::{HashMap, HashSet};

use super::BatchCall;
use super::batch::CallKind;
use crate::error::{CloudError, CloudErrorKind};

/// The number of calls in a row without a response, or with a failure inside AWS, after which no further call is made; the
/// SDK's retries are not counted. A single one may be a lost connection.
const FAILURES_IN_A_ROW: usize = 3;

/// The number of batches that must fail for all their instances, while no other batch succeeds, before the action counts as
/// refused altogether.
const REFUSED_BATCHES: usize = 3;

/// The number of refusals of an operation that a pass spends on isolating the instances that caused them: these, ...
const REFUSALS: usize = 200;
/// ... and this many for each batch, the cost of one bad instance that EC2 does not name. Beyond that, instances that share a
/// batch with a bad one wait for the next pass, which has fewer such batches since all others are done. Without a bound, a
/// thousand bad instances would cost some thousand calls at every pass.
const REFUSALS_PER_BATCH: usize = 10;

#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    /// The error that stops all calls.
    error: Option<CloudError>,
    failures_in_a_row: usize,
    /// The kinds of call that succeeded for some member.
    accepted: HashSet<CallKind>,
    /// How many more refusals of each kind of call are isolated.
    refusals_left: HashMap<CallKind, usize>,
    /// The kinds of call that were refused for whole batches, with the number of batches.
    refused: HashMap<CallKind, (usize, CloudError)>,
}

impl CircuitBreaker {
    /// The error with which to fail a call instead of making it; none while the circuit is closed.
    pub(super) fn open_for(&self, call: &BatchCall) -> Option<CloudError> {
        let refused = self
            .refused_altogether(call)
            .filter(|error| is_about_the_action(error.kind));
        self.error.as_ref().or(refused).map(CloudError::repeated)
    }

    /// The error of a kind of call that was refused for several whole batches while no member was accepted. If the refusals
    /// may be specific to the members, another batch is worth one call, but not the isolation of its bad members.
    pub(super) fn refused_altogether(&self, call: &BatchCall) -> Option<&CloudError> {
        let (batches, error) = self.refused.get(&call.kind())?;
        (*batches >= REFUSED_BATCHES && !self.has_accepted(call)).then_some(error)
    }

    pub(super) fn accepted(&mut self, call: &BatchCall) {
        self.failures_in_a_row = 0;
        self.accepted.insert(call.kind());
    }

    pub(super) fn has_accepted(&self, call: &BatchCall) -> bool {
        self.accepted.contains(&call.kind())
    }

    /// Adds the allowance of another batch.
    pub(super) fn expect(&mut self, call: &BatchCall) {
        *self.refusals_left(call) += REFUSALS_PER_BATCH;
    }

    /// Whether another refusal is isolated; uses up one of the allowance.
    pub(super) fn may_isolate(&mut self, call: &BatchCall) -> bool {
        let left = self.refusals_left(call);
        let some = *left > 0;
        *left = left.saturating_sub(1);
        some
    }

    fn refusals_left(&mut self, call: &BatchCall) -> &mut usize {
        self.refusals_left.entry(call.kind()).or_insert(REFUSALS)
    }

    /// Records a failure that is not specific to the members.
    pub(super) fn failed(&mut self, error: &CloudError) {
        let for_good = match error.kind {
            CloudErrorKind::Credentials | CloudErrorKind::Expired => true,
            CloudErrorKind::Unreachable | CloudErrorKind::Service => {
                self.failures_in_a_row += 1;
                self.failures_in_a_row >= FAILURES_IN_A_ROW
            }
            _ => false,
        };
        if for_good && self.error.is_none() {
            self.error = Some(error.repeated());
        }
    }

    /// Records that a call was refused for every member of a batch.
    pub(super) fn trip(&mut self, call: &BatchCall, error: &CloudError) {
        let known = self
            .refused
            .entry(call.kind())
            .or_insert_with(|| (0, error.repeated()));
        known.0 += 1;
    }
}

/// Whether the refusal concerns the action rather than the instances.
fn is_about_the_action(kind: CloudErrorKind) -> bool {
    matches!(kind, CloudErrorKind::Denied | CloudErrorKind::Account)
}
