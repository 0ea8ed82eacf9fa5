//! The values of `curfew:last` that this process wrote recently. EC2's responses may lag behind a write (eventual
//! consistency), and a pass on an older value would repeat its step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_core::instance::{Instance, InstanceId};
use curfew_core::state_tags::{LAST_TAG, LastApplied};
use tokio::time::Instant;

/// How long an own write has precedence over an older tag. EC2's responses lag by seconds; a longer time hides manual changes
/// to the tag for longer.
const PRECEDENCE: Duration = Duration::from_mins(10);

/// The recent writes by instance, with their time. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnWrites(Arc<Mutex<HashMap<InstanceId, (LastApplied, Instant)>>>);

impl OwnWrites {
    /// Registers that `last` was written to these instances.
    pub(super) fn insert(&self, ids: &[InstanceId], last: &LastApplied) {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, at)| now.duration_since(*at) < PRECEDENCE);
        for id in ids {
            known.insert(id.clone(), (last.clone(), now));
        }
    }

    /// Replaces older values in the tags, as read from EC2, by recent writes. A missing tag counts as older: it was removed,
    /// or the write is not visible yet.
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
            if now.duration_since(*at) >= PRECEDENCE {
                continue;
            }
            let read: Option<Result<LastApplied, _>> =
                instance.tags.get(LAST_TAG).map(|value| value.parse());
            let is_older = match read {
                None => true,
                Some(Ok(read)) => last.may_replace(&read) && *last != read,
                // Another program wrote it: EC2's responses don't lag that far.
                Some(Err(_)) => false,
            };
            if is_older {
                let tags = &mut instance.tags;
                tags.insert(LAST_TAG.to_owned(), last.to_string());
            }
        }
    }
}
