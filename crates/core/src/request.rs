//! Requests by a person or a program: plain starts and stops, and overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::instance::{Instance, InstanceId};
use crate::state_tags::{
    Actor, OVERRIDE_TAG, Override, REQUEST_TAG, RecordedRequest, whole_second,
};
use crate::timetable::instant_of_wall;

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

/// The end of an override as users write it: a time of day, a date and a time, or an instant.
///
/// ```
/// use curfew_core::request::OverrideEnd;
/// use jiff::tz::TimeZone;
///
/// let paris = TimeZone::get("Europe/Paris")?;
/// let now = "2026-11-23T20:30:00Z".parse()?; // 21:30 there
/// let at = |text: &str| text.parse::<OverrideEnd>().unwrap().instant(&paris, now).unwrap().to_string();
/// assert_eq!(at("22:00"), "2026-11-23T21:00:00Z");
/// assert_eq!(at("21:00"), "2026-11-24T20:00:00Z", "that has passed today");
/// assert_eq!(at("2026-11-27 08:00"), "2026-11-27T07:00:00Z");
/// assert_eq!(at("2026-11-27T08:00:00+05:30"), "2026-11-27T02:30:00Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Wall times follow the policy of schedules: in a fold, the first occurrence; in a gap, the instant of the clock change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideEnd {
    /// An instant, such as `2026-11-23T22:00:00Z`.
    Instant(Timestamp),
    /// A date and a wall time, such as `2026-11-23T22:00`.
    On(DateTime),
    /// The next occurrence of a wall time, such as `22:00`.
    Next(Time),
}

impl OverrideEnd {
    /// Whether the instant depends on the time zone.
    pub fn needs_zone(self) -> bool {
        !matches!(self, Self::Instant(_))
    }

    /// Resolves the end at `now` in `zone`; none if the year is out of the range of schedules.
    pub fn instant(self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Instant(at) => Some(at),
            Self::On(wall) => instant_of_wall(zone, wall),
            Self::Next(time) => {
                let today = zone.to_datetime(now).date();
                // Three days: a clock change, or a day that the zone skips, may leave today and tomorrow without this time.
                let days = today.series(jiff::Span::new().days(1)).take(3);
                days.filter_map(|day| instant_of_wall(zone, day.to_datetime(time)))
                    .find(|at| *at > now)
            }
        }
    }
}

impl FromStr for OverrideEnd {
    type Err = MalformedOverrideEnd;

    fn from_str(text: &str) -> Result<Self, MalformedOverrideEnd> {
        let text = text.trim();
        if let Ok(at) = text.parse() {
            return Ok(Self::Instant(at));
        }
        // To the minute: overrides that end at a second of the day have no use.
        let minute = |time: Time| time.second() == 0 && time.subsec_nanosecond() == 0;
        let date = text.contains('-').then(|| text.parse::<DateTime>().ok());
        match date.map_or_else(
            || text.parse().ok().map(Self::Next),
            |wall| wall.map(Self::On),
        ) {
            Some(end @ Self::On(wall)) if text.contains(':') && minute(wall.time()) => Ok(end),
            Some(end @ Self::Next(time)) if text.contains(':') && minute(time) => Ok(end),
            _ => Err(MalformedOverrideEnd(text.chars().take(40).collect())),
        }
    }
}

/// The text is not a valid end of an override.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is neither a time (`22:00`), nor a day and a time (`2026-11-23T22:00`), nor an instant (`2026-11-23T22:00:00Z`)", .0.escape_debug())]
pub struct MalformedOverrideEnd(String);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant(text: &str, zone: &str, now: &str) -> String {
        let end: OverrideEnd = text.parse().unwrap();
        let zone = TimeZone::get(zone).unwrap();
        end.instant(&zone, now.parse().unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_time_of_day_is_the_next_one_on_the_clock_of_its_zone() {
        let next = |text, now| instant(text, "Europe/Paris", now);
        assert_eq!(
            next("22:00", "2026-11-23T21:00:00Z"),
            "2026-11-24T21:00:00Z",
            "exactly then is over"
        );
        assert_eq!(
            next("00:30", "2026-11-23T22:45:00Z"),
            "2026-11-23T23:30:00Z",
            "tomorrow there, today in UTC"
        );
        // The clock jumps from 02:00 to 03:00 at 01:00 UTC, and shows 02:30 twice at the end of October.
        assert_eq!(
            next("02:30", "2026-03-28T23:00:00Z"),
            "2026-03-29T01:00:00Z"
        );
        assert_eq!(
            next("02:30", "2026-10-24T23:00:00Z"),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(
            next("02:30", "2026-10-25T00:45:00Z"),
            "2026-10-26T01:30:00Z"
        );
        // Samoa had no 30 December 2011.
        assert_eq!(
            instant("09:00", "Pacific/Apia", "2011-12-30T09:00:00Z"),
            "2011-12-30T10:00:00Z"
        );
    }

    #[test]
    fn an_invalid_end_is_refused_with_examples() {
        for bad in [
            "",
            "22",
            "tomorrow",
            "2026-11-23",
            "25:00",
            "22:00:30",
            "2026-11-23T22:00:30",
            "2026-13-01T22:00",
        ] {
            let error = bad.parse::<OverrideEnd>().unwrap_err().to_string();
            assert!(error.contains("`22:00`"), "{bad}: {error}");
        }
        assert_eq!(
            "9999-12-31T23:59"
                .parse::<OverrideEnd>()
                .unwrap()
                .instant(&TimeZone::UTC, Timestamp::UNIX_EPOCH),
            None
        );
    }

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
    fn only_an_instant_needs_no_zone() {
        let needs_zone = |text: &str| text.parse::<OverrideEnd>().unwrap().needs_zone();
        assert!(!needs_zone("2026-11-23T22:00:00Z"));
        assert!(needs_zone("2026-11-23T22:00"));
        assert!(needs_zone("22:00"));
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

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}", now in 0_i64..4_000_000_000) {
            if let Ok(end) = text.parse::<OverrideEnd>() {
                let at = end.instant(&TimeZone::UTC, Timestamp::from_second(now).unwrap());
                prop_assert!(!matches!(end, OverrideEnd::Next(_)) || at.is_some());
            }
        }
    }
}
