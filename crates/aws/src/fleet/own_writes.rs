//! What this process wrote to `curfew:last` itself lately. EC2's answers may be a little behind its own writes ("eventual
//! consistency"), and a pass that took an older memory for the present one would act on it a second time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_core::instance::{Instance, InstanceId};
use curfew_core::state_tags::{LAST_TAG, LastApplied};
use tokio::time::Instant;

/// So long is a write of our own believed over an older tag. EC2's answers are behind by seconds; longer would hide for longer what
/// a person changed in the tag by hand.
const BELIEVED: Duration = Duration::from_mins(10);

/// What was written, by the instance, and when. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnWrites(Arc<Mutex<HashMap<InstanceId, (LastApplied, Instant)>>>);

impl OwnWrites {
    /// `last` was written to these.
    pub(super) fn remember(&self, ids: &[InstanceId], last: &LastApplied) {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, at)| now.duration_since(*at) < BELIEVED);
        for id in ids {
            known.insert(id.clone(), (last.clone(), now));
        }
    }

    /// Puts what was written lately into the tags as they were read, where those are older. A tag that is not there was removed,
    /// or was never written as far as EC2 says: its absence is older, too.
    pub(super) fn complete(&self, instances: &mut [Instance]) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return;
        }
        let now = Instant::now();
        for instance in instances {
            let Some((last, at)) = known.get(&instance.id) else {
                continue;
            };
            if now.duration_since(*at) >= BELIEVED {
                continue;
            }
            let read: Option<Result<LastApplied, _>> =
                instance.tags.get(LAST_TAG).map(|value| value.parse());
            let is_older = match read {
                None => true,
                Some(Ok(read)) => last.may_replace(&read) && *last != read,
                // Another writer's value: no answer of EC2 is that stale.
                Some(Err(_)) => false,
            };
            if is_older {
                let tags = &mut instance.tags;
                tags.insert(LAST_TAG.to_owned(), last.to_string());
            }
        }
    }
}
