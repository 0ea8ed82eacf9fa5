//! What makes it pointless to go on: a call each, to be told the same each time, is neither fast nor kind.

use std::collections::{HashMap, HashSet};

use super::Call;
use crate::error::{CloudError, CloudErrorKind};

/// So many calls in a row that nobody answered, or that failed inside AWS, after the SDK's own retries: the next one fares no
/// better. One alone may be a lost connection.
const FAILURES_IN_A_ROW: usize = 3;

/// So many batches of which nobody could be changed, while nobody else was: the action as such is refused.
const HOPELESS_BATCHES: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// With every call.
    everywhere: Option<CloudError>,
    failures_in_a_row: usize,
    /// The operations that succeeded for somebody.
    accepted: HashSet<&'static str>,
    /// The operations that are refused, by how many batches.
    hopeless: HashMap<&'static str, (usize, CloudError)>,
}

impl Trouble {
    /// Why a call is not worth making.
    pub(super) fn with(&self, call: &Call) -> Option<CloudError> {
        let refused = self.hopeless.get(call.operation());
        let refused = refused
            .filter(|(batches, _)| *batches >= HOPELESS_BATCHES && !self.has_accepted(call))
            .map(|(_, error)| error);
        self.everywhere
            .as_ref()
            .or(refused)
            .map(CloudError::repeated)
    }

    pub(super) fn accepted(&mut self, call: &Call) {
        self.failures_in_a_row = 0;
        self.accepted.insert(call.operation());
    }

    pub(super) fn has_accepted(&self, call: &Call) -> bool {
        self.accepted.contains(call.operation())
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

    /// Nobody of a whole batch could be changed.
    pub(super) fn hopeless(&mut self, call: &Call, error: &CloudError) {
        let known = self
            .hopeless
            .entry(call.operation())
            .or_insert_with(|| (0, error.repeated()));
        known.0 += 1;
    }
}
