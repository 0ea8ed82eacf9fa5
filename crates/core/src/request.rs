//! Requests by a person or a program: plain starts and stops, and overrides.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::instance::{Instance, InstanceId};
use crate::state_tags::{
    Actor, OVERRIDE_TAG, Override, REQUEST_TAG, RecordedRequest, whole_second,
};
use crate::time_expression::{TimeDirection, TimeExpression};

/// A request for some of the instances of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The requested operation.
    pub kind: RequestKind,
    /// The ids of the instances that the request applies to.
    pub targets: BTreeSet<InstanceId>,
    /// The actor that sent the request.
    pub by: Actor,
}

impl Request {
    /// Whether the request applies to the instance.
    pub fn applies_to(&self, instance: &Instance) -> bool {
        self.targets.contains(&instance.id)
    }
}

/// The tags that record a request on one instance. A request writes no others, except those that every pass writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestTags {
    /// A new value for `curfew:request`.
    pub request: Option<RecordedRequest>,
    /// A new value for `curfew:override`.
    pub override_: Option<Override>,
}

impl RequestTags {
    /// Keys and values of the tags, which are written together or not at all.
    pub fn tags(&self) -> Vec<(&'static str, String)> {
        let request = self.request.as_ref();
        let request = request.map(|request| (REQUEST_TAG, request.to_string()));
        let override_ = self
            .override_
            .as_ref()
            .map(|override_| (OVERRIDE_TAG, override_.to_string()));
        request.into_iter().chain(override_).collect()
    }

    /// Adds the tags to `tags`, read after they were written, unless these have the same or newer values: EC2's reads are eventually
    /// consistent.
    pub fn complete(&self, tags: &mut BTreeMap<String, String>) {
        let request = tags.get(REQUEST_TAG);
        let request = request.and_then(|value| value.trim().parse::<RecordedRequest>().ok());
        let override_ = tags.get(OVERRIDE_TAG);
        let override_ = override_.and_then(|value| value.trim().parse::<Override>().ok());
        if let Some(own) = &self.request
            && request.is_none_or(|request| request.at < own.at)
        {
            tags.insert(REQUEST_TAG.to_owned(), own.to_string());
        }
        if let Some(own) = &self.override_
            && override_.is_none_or(|override_| override_.since < own.since)
        {
            tags.insert(OVERRIDE_TAG.to_owned(), own.to_string());
        }
    }

    /// Inserts the tags into `tags`, replacing earlier values.
    pub fn write_to(&self, tags: &mut BTreeMap<String, String>) {
        for (key, value) in self.tags() {
            tags.insert(key.to_owned(), value);
        }
    }
}

/// The operation of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Starts the instances.
    Start(RequestDuration),
    /// Stops the instances.
    Stop(RequestDuration),
    /// Excludes the instances from every action until an instant.
    Ignore {
        /// The end of the override, exclusive.
        until: Timestamp,
    },
    /// Ends overrides and earlier requests, and applies the schedule's desired state.
    Resume,
}

/// How long a request is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestDuration {
    /// Until the next edge of the schedule.
    NextEdge,
    /// Until this instant, exclusive, as an override.
    Until(Timestamp),
}

/// The longest override: the same bound as for durations in the configuration. A forgotten override would keep an instance running
/// for good.
pub const LONGEST_OVERRIDE: SignedDuration = SignedDuration::from_hours(31 * 24);

impl RequestDuration {
    /// An override from `now` for `length`. Tags carry whole seconds, so that it is up to a second longer, never shorter.
    pub fn length(length: SignedDuration, now: Timestamp) -> Self {
        Self::Until(whole_second(
            now + length + SignedDuration::from_nanos(999_999_999),
        ))
    }

    /// An override from `now` until `until`, rounded down to the second. Fails if the end has passed or is more than 31 days ahead.
    pub fn until(until: Timestamp, now: Timestamp) -> Result<Self, InvalidOverrideEnd> {
        let until = whole_second(until);
        if until <= now {
            Err(InvalidOverrideEnd::Over {
                now: whole_second(now),
            })
        } else if until.duration_since(now) > LONGEST_OVERRIDE {
            Err(InvalidOverrideEnd::TooFar)
        } else {
            Ok(Self::Until(until))
        }
    }

    /// An override from `now` until the time that a user wrote, in `zone`. Fails as [`Self::until`] does.
    pub fn ending(
        end: TimeExpression,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Self, InvalidOverrideEnd> {
        match end.length() {
            Some(length) if length > LONGEST_OVERRIDE => Err(InvalidOverrideEnd::TooFar),
            Some(length) => Ok(Self::length(length, now)),
            None => {
                let at = end.instant(TimeDirection::Future, zone, now);
                Self::until(at.unwrap_or(Timestamp::MAX), now)
            }
        }
    }
}

/// An instant that can't be the end of an override.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOverrideEnd {
    /// The end has passed already.
    #[error("over already")]
    Over {
        /// The current instant.
        now: Timestamp,
    },
    /// The end is more than 31 days ahead.
    #[error("too far away")]
    TooFar,
}

impl InvalidOverrideEnd {
    /// A hint for the user.
    pub fn hint(self) -> String {
        match self {
            Self::Over { now } => format!("it is {now} now"),
            Self::TooFar => "an override lasts 31 days at most".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_tags_are_added_to_an_answer_that_does_not_have_them_yet() {
        let requested = "2026-11-23T18:00:00Z stop by alice";
        let held = "running since 2026-11-23T18:00:00Z until 2026-11-23T20:00:00Z by alice";
        let of_request = RequestTags {
            request: Some(requested.parse().unwrap()),
            override_: None,
        };
        let of_override = RequestTags {
            request: None,
            override_: Some(held.parse().unwrap()),
        };
        let shown_override =
            |since: &str| format!("stopped since {since} until 2026-11-24T20:00:00Z by bob");
        let shown_request = |at: &str| format!("{at} start by bob");
        for (own, key, value, shown) in [
            (
                &of_request,
                REQUEST_TAG,
                requested,
                &shown_request as &dyn Fn(&str) -> String,
            ),
            (&of_override, OVERRIDE_TAG, held, &shown_override),
        ] {
            let completed = |shown: Option<String>| {
                let mut tags: BTreeMap<String, String> = shown
                    .map(|shown| (key.to_owned(), shown))
                    .into_iter()
                    .collect();
                own.complete(&mut tags);
                tags[key].clone()
            };
            assert_eq!(completed(None), value);
            assert_eq!(completed(Some("unreadable".to_owned())), value);
            assert_eq!(completed(Some(shown("2026-11-23T17:59:59Z"))), value);
            for newer in ["2026-11-23T18:00:00Z", "2026-11-23T18:00:01Z"] {
                let newer = shown(newer);
                assert_eq!(
                    completed(Some(newer.clone())),
                    newer,
                    "what is shown is not older"
                );
            }
        }
    }

    #[test]
    fn an_override_ends_in_the_future_and_within_31_days() {
        let now: Timestamp = "2026-11-23T18:00:00.5Z".parse().unwrap();
        let until = |text: &str| {
            RequestDuration::until(text.parse().unwrap(), now)
                .map_err(|bad| format!("{bad}: {}", bad.hint()))
        };
        assert_eq!(
            until("2026-11-23T18:00:00.9Z").unwrap_err(),
            "over already: it is 2026-11-23T18:00:00Z now"
        );
        assert_eq!(
            until("2027-01-01T00:00:00Z").unwrap_err(),
            "too far away: an override lasts 31 days at most"
        );
        assert_eq!(
            until("2026-11-23T18:00:01Z"),
            Ok(RequestDuration::Until(
                "2026-11-23T18:00:01Z".parse().unwrap()
            ))
        );
        let second = RequestDuration::length(SignedDuration::from_secs(1), now);
        assert_eq!(
            second,
            RequestDuration::Until("2026-11-23T18:00:02Z".parse().unwrap()),
            "rather longer than shorter"
        );
    }

    #[test]
    fn an_end_is_a_length_or_a_time_in_the_zone() {
        let now: Timestamp = "2026-11-23T18:00:00.5Z".parse().unwrap();
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let ending = |text: &str| RequestDuration::ending(text.parse().unwrap(), &paris, now);
        let until = |text: &str| Ok(RequestDuration::Until(text.parse().unwrap()));
        assert_eq!(ending("2h30m"), until("2026-11-23T20:30:01Z"));
        assert_eq!(ending("31d"), until("2026-12-24T18:00:01Z"));
        assert_eq!(ending("32d"), Err(InvalidOverrideEnd::TooFar));
        assert_eq!(ending("friday 18:00"), until("2026-11-27T17:00:00Z"));
        assert!(matches!(
            ending("today"),
            Err(InvalidOverrideEnd::Over { .. })
        ));
        assert_eq!(ending("9999-12-31"), Err(InvalidOverrideEnd::TooFar));
    }

    #[test]
    fn the_longest_override_is_exactly_31_days() {
        let now: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
        let until = |text: &str| RequestDuration::until(text.parse().unwrap(), now);
        assert_eq!(
            until("2026-11-23T18:00:00Z"),
            Err(InvalidOverrideEnd::Over { now })
        );
        let last = "2026-12-24T18:00:00Z";
        assert_eq!(
            until(last),
            Ok(RequestDuration::Until(last.parse().unwrap()))
        );
        assert_eq!(
            until("2026-12-24T18:00:01Z"),
            Err(InvalidOverrideEnd::TooFar)
        );
    }
}
