//! What the instance's tags say.

use jiff::Timestamp;

use crate::instance::{Instance, InstanceType};
use crate::memory::{
    CLOCKS_APART, Cause, Fallback, LAST_TAG, Last, MalformedTag, OVERRIDE_TAG, Override,
    REQUEST_TAG, RETRY_TAG, Requested, Retry, TYPE_TAG,
};
use crate::schedule::Schedule;

/// What the instance's tags say, or what is wrong with them.
pub(super) struct Recalled {
    /// The newest word applied.
    pub(super) last: Result<Option<Last>, String>,
    /// The newest plain start or stop that a person asked for.
    pub(super) request: Result<Option<Requested>, String>,
    pub(super) override_: Result<Option<Override>, String>,
    /// What EC2 refused lately.
    pub(super) retry: Result<Option<Retry>, String>,
    /// The type it is meant to have.
    pub(super) fallback: Result<Option<Fallback>, MalformedTag>,
}

impl Recalled {
    pub(super) fn of(instance: &Instance, now: Timestamp) -> Self {
        let tag = |key| instance.tags.get(key).map(|value| value.trim());
        Self {
            last: tag(LAST_TAG)
                .map(|value| dated(LAST_TAG, value, now, |last: &Last| last.at))
                .transpose(),
            request: tag(REQUEST_TAG)
                .map(|value| dated(REQUEST_TAG, value, now, |request: &Requested| request.at))
                .transpose(),
            override_: tag(OVERRIDE_TAG)
                .map(|value| {
                    dated(OVERRIDE_TAG, value, now, |override_: &Override| {
                        override_.since
                    })
                })
                .transpose(),
            retry: tag(RETRY_TAG).map(|value| retry(value, now)).transpose(),
            fallback: tag(TYPE_TAG).map(str::parse).transpose(),
        }
    }

    /// The newest word applied, if the tag is there and can be read.
    pub(super) fn applied(&self) -> Option<&Last> {
        self.last.as_ref().ok()?.as_ref()
    }

    /// What a person asked for, if the tag is there and can be read.
    pub(super) fn requested(&self) -> Option<&Requested> {
        self.request.as_ref().ok()?.as_ref()
    }

    /// Whether a person's request is not recorded as done.
    pub(super) fn has_open_request(&self) -> bool {
        let Some(request) = self.requested() else {
            return false;
        };
        self.applied().is_none_or(|last| {
            last.at < request.at || last.pending && matches!(last.cause, Cause::Request(_))
        })
    }

    /// The override that no newer request has ended: in force, or over since its end.
    pub(super) fn valid_override(&self) -> Option<&Override> {
        let override_ = self.override_.as_ref().ok()?.as_ref()?;
        let ended = self.requested().is_some_and(|one| one.at > override_.since);
        (!ended).then_some(override_)
    }

    /// The override in force.
    pub(super) fn active_override(&self, now: Timestamp) -> Option<&Override> {
        self.valid_override()
            .filter(|override_| override_.is_active(now))
    }

    /// What EC2 refused lately, if the tag is there and can be read.
    pub(super) fn refused(&self) -> Option<&Retry> {
        self.retry.as_ref().ok()?.as_ref()
    }

    /// The fallback in force. Where the instance has a type that is neither what it was given nor one that it could have
    /// been given, somebody else chose it, and means it.
    pub(super) fn fallback_in_force(
        &self,
        instance: &Instance,
        schedule: &Schedule,
    ) -> Option<&Fallback> {
        let fallback = self.fallback.as_ref().ok()?.as_ref()?;
        let has = |name: &InstanceType| name.as_str() == instance.instance_type;
        let given = has(&fallback.present) || schedule.fallback_types.iter().any(has);
        (given && !has(&fallback.wanted)).then_some(fallback)
    }
}

/// A word that lies further ahead than clocks may be apart is an error, which believed would leave the instance alone until then.
fn dated<T: std::str::FromStr<Err = MalformedTag>>(
    key: &str,
    value: &str,
    now: Timestamp,
    at: impl Fn(&T) -> Timestamp,
) -> Result<T, String> {
    let word: T = value
        .parse()
        .map_err(|problem: MalformedTag| problem.to_string())?;
    let at = at(&word);
    if at.duration_since(now) > CLOCKS_APART {
        return Err(format!("the tag `{key}` is of {at}, which is yet to come"));
    }
    Ok(word)
}

/// A next try that lies further ahead than any wait is an error, which believed would leave the instance as it is until then.
fn retry(value: &str, now: Timestamp) -> Result<Retry, String> {
    let retry: Retry = value
        .parse()
        .map_err(|problem: MalformedTag| problem.to_string())?;
    if retry.next.duration_since(now) > Retry::LONGEST_WAIT + CLOCKS_APART {
        return Err(format!(
            "the tag `{RETRY_TAG}` names a next try at {}, later than any",
            retry.next
        ));
    }
    Ok(retry)
}
