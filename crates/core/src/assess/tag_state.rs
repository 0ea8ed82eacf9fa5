//! Reads the state tags of one instance. Instants too far ahead count as malformed.

use jiff::Timestamp;

use crate::instance::{Instance, InstanceType};
use crate::schedule::Schedule;
use crate::state_tags::{
    CLOCKS_APART, Cause, Fallback, LAST_TAG, LastApplied, MalformedTag, OVERRIDE_TAG, Override,
    REQUEST_TAG, RETRY_TAG, RecordedRequest, Retry, TYPE_TAG,
};

/// The parsed state tags of an instance, or for each tag the reason why it can't be used.
pub(super) struct TagState {
    /// The newest directive applied.
    pub(super) last: Result<Option<LastApplied>, String>,
    /// The newest plain start or stop requested by a person.
    pub(super) request: Result<Option<RecordedRequest>, String>,
    pub(super) override_: Result<Option<Override>, String>,
    /// The failed action that waits for its next attempt.
    pub(super) retry: Result<Option<Retry>, String>,
    /// The fallback type of the instance, and the type it returns to.
    pub(super) fallback: Result<Option<Fallback>, MalformedTag>,
}

impl TagState {
    pub(super) fn of(instance: &Instance, now: Timestamp) -> Self {
        let tag = |key| instance.tags.get(key).map(|value| value.trim());
        Self {
            last: tag(LAST_TAG)
                .map(|value| parse_dated(LAST_TAG, value, now, |last: &LastApplied| last.at))
                .transpose(),
            request: tag(REQUEST_TAG)
                .map(|value| {
                    parse_dated(REQUEST_TAG, value, now, |request: &RecordedRequest| {
                        request.at
                    })
                })
                .transpose(),
            override_: tag(OVERRIDE_TAG)
                .map(|value| {
                    parse_dated(OVERRIDE_TAG, value, now, |override_: &Override| {
                        override_.since
                    })
                })
                .transpose(),
            retry: tag(RETRY_TAG)
                .map(|value| parse_retry(value, now))
                .transpose(),
            fallback: tag(TYPE_TAG).map(str::parse).transpose(),
        }
    }

    /// The newest directive applied, if the tag exists and is valid.
    pub(super) fn valid_last_applied(&self) -> Option<&LastApplied> {
        self.last.as_ref().ok()?.as_ref()
    }

    /// The newest request, if the tag exists and is valid.
    pub(super) fn valid_request(&self) -> Option<&RecordedRequest> {
        self.request.as_ref().ok()?.as_ref()
    }

    /// Whether there is a request that is not recorded as done.
    pub(super) fn has_open_request(&self) -> bool {
        let Some(request) = self.valid_request() else {
            return false;
        };
        self.valid_last_applied().is_none_or(|last| {
            last.at < request.at || last.pending && matches!(last.cause, Cause::Request(_))
        })
    }

    /// The override that no newer request has ended; it may be in force or expired.
    pub(super) fn valid_override(&self) -> Option<&Override> {
        let override_ = self.override_.as_ref().ok()?.as_ref()?;
        let ended = self
            .valid_request()
            .is_some_and(|one| one.at > override_.since);
        (!ended).then_some(override_)
    }

    /// The override in force.
    pub(super) fn active_override(&self, now: Timestamp) -> Option<&Override> {
        self.valid_override()
            .filter(|override_| override_.is_active(now))
    }

    /// The failed action, if the tag exists and is valid.
    pub(super) fn valid_retry(&self) -> Option<&Retry> {
        self.retry.as_ref().ok()?.as_ref()
    }

    /// The fallback in force. It is none if the instance has a type that Curfew could not have given it: the type was changed by
    /// hand or by another tool, and is kept.
    pub(super) fn fallback_in_force(
        &self,
        instance: &Instance,
        schedule: &Schedule,
    ) -> Option<&Fallback> {
        let fallback = self.fallback.as_ref().ok()?.as_ref()?;
        let has = |name: &InstanceType| name.as_str() == instance.instance_type;
        let given = has(&fallback.current_type) || schedule.fallback_types.iter().any(has);
        (given && !has(&fallback.desired_type)).then_some(fallback)
    }
}

/// Parses a tag that carries an instant. Fails if the instant is further ahead than clocks may differ: if it were accepted, the
/// instance would not be acted on until then.
fn parse_dated<T: std::str::FromStr<Err = MalformedTag>>(
    key: &str,
    value: &str,
    now: Timestamp,
    at: impl Fn(&T) -> Timestamp,
) -> Result<T, String> {
    let directive: T = value
        .parse()
        .map_err(|problem: MalformedTag| problem.to_string())?;
    let at = at(&directive);
    if at.duration_since(now) > CLOCKS_APART {
        return Err(format!("the tag `{key}` is of {at}, which is yet to come"));
    }
    Ok(directive)
}

/// Parses `curfew:retry`. Fails if the next attempt is further ahead than the longest wait: if it were accepted, the instance would
/// not be acted on until then.
fn parse_retry(value: &str, now: Timestamp) -> Result<Retry, String> {
    let retry: Retry = value
        .parse()
        .map_err(|problem: MalformedTag| problem.to_string())?;
    if retry.next_attempt_at.duration_since(now) > Retry::LONGEST_WAIT + CLOCKS_APART {
        return Err(format!(
            "the tag `{RETRY_TAG}` names a next try at {}, later than any",
            retry.next_attempt_at
        ));
    }
    Ok(retry)
}
