//! What a person, or a program, asks for beyond the schedules.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::instance::{Instance, InstanceId};
use crate::memory::{Actor, OVERRIDE_TAG, Override, REQUEST_TAG, Requested, whole_second};
use crate::timetable::instant_of_wall;

/// One request for some of the instances of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// The instances it is asked for.
    pub targets: BTreeSet<InstanceId>,
    /// Who asked.
    pub by: Actor,
}

impl Request {
    /// Whether this request is about the instance.
    pub fn concerns(&self, instance: &Instance) -> bool {
        self.targets.contains(&instance.id)
    }
}

/// What a person says about one instance, as it stands in its tags: the whole of what a request writes besides what every pass
/// does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// A new value for `curfew:request`.
    pub request: Option<Requested>,
    /// A new value for `curfew:override`.
    pub override_: Option<Override>,
}

impl Spoken {
    /// The tags that say it: keys and values, written together or not at all.
    pub fn tags(&self) -> Vec<(&'static str, String)> {
        let request = self.request.as_ref();
        let request = request.map(|request| (REQUEST_TAG, request.to_string()));
        let override_ = self
            .override_
            .as_ref()
            .map(|override_| (OVERRIDE_TAG, override_.to_string()));
        request.into_iter().chain(override_).collect()
    }

    /// Puts this into tags that were read after it was written, where they do not show it yet and nothing newer either: EC2's
    /// answers may be a little behind.
    pub fn complete(&self, tags: &mut BTreeMap<String, String>) {
        let request = tags.get(REQUEST_TAG);
        let request = request.and_then(|value| value.trim().parse::<Requested>().ok());
        let override_ = tags.get(OVERRIDE_TAG);
        let override_ = override_.and_then(|value| value.trim().parse::<Override>().ok());
        if let Some(said) = &self.request
            && request.is_none_or(|request| request.at < said.at)
        {
            tags.insert(REQUEST_TAG.to_owned(), said.to_string());
        }
        if let Some(said) = &self.override_
            && override_.is_none_or(|override_| override_.since < said.since)
        {
            tags.insert(OVERRIDE_TAG.to_owned(), said.to_string());
        }
    }

    /// Makes the tags what they are once this is written.
    pub fn write_to(&self, tags: &mut BTreeMap<String, String>) {
        for (key, value) in self.tags() {
            tags.insert(key.to_owned(), value);
        }
    }
}

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Start now.
    Start(Lasting),
    /// Stop now.
    Stop(Lasting),
    /// Keep Curfew's hands off until an instant.
    Ignore {
        /// The end, exclusive.
        until: Timestamp,
    },
    /// End the override and any request before, and do what the schedule wants now.
    Resume,
}

/// How long a request lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Like any edge: until the next one.
    NextEdge,
    /// An override until this instant, exclusive.
    Until(Timestamp),
}

/// The longest hold: the same bound that a length of time in the configuration has. An override that nobody remembers is a machine that
/// nobody stops.
const LONGEST_OVERRIDE: SignedDuration = SignedDuration::from_hours(31 * 24);

impl Lasting {
    /// An override from `now` for `length`: at most a second longer, never shorter, since tags carry whole seconds.
    pub fn length(length: SignedDuration, now: Timestamp) -> Self {
        Self::Until(whole_second(
            now + length + SignedDuration::from_nanos(999_999_999),
        ))
    }

    /// An override from `now` until `until`, down to the second.
    pub fn until(until: Timestamp, now: Timestamp) -> Result<Self, BadEnd> {
        let until = whole_second(until);
        if until <= now {
            Err(BadEnd::Over {
                now: whole_second(now),
            })
        } else if until.duration_since(now) > LONGEST_OVERRIDE {
            Err(BadEnd::TooFar)
        } else {
            Ok(Self::Until(until))
        }
    }
}

/// An instant that can't be the end of an override.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnd {
    /// It has passed.
    #[error("over already")]
    Over {
        /// What the clock says.
        now: Timestamp,
    },
    /// It is too far away.
    #[error("too far away")]
    TooFar,
}

impl BadEnd {
    /// What to do about it.
    pub fn hint(self) -> String {
        match self {
            Self::Over { now } => format!("it is {now} now"),
            Self::TooFar => "an override lasts 31 days at most".to_owned(),
        }
    }
}

/// The end of an override as people write it: a time of day, a day and a time, or an instant.
///
/// ```
/// use curfew_core::request::End;
/// use jiff::tz::TimeZone;
///
/// let paris = TimeZone::get("Europe/Paris")?;
/// let now = "2026-11-23T20:30:00Z".parse()?; // 21:30 there
/// let at = |text: &str| text.parse::<End>().unwrap().instant(&paris, now).unwrap().to_string();
/// assert_eq!(at("22:00"), "2026-11-23T21:00:00Z");
/// assert_eq!(at("21:00"), "2026-11-24T20:00:00Z", "that has passed today");
/// assert_eq!(at("2026-11-27 08:00"), "2026-11-27T07:00:00Z");
/// assert_eq!(at("2026-11-27T08:00:00+05:30"), "2026-11-27T02:30:00Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Wall times follow the schedules' own policy: one that a clock shows twice is meant the first time, and one that it jumps
/// over is the jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `2026-11-23T22:00:00Z`: the same everywhere.
    Instant(Timestamp),
    /// `2026-11-23T22:00`: on that day, in some zone.
    On(DateTime),
    /// `22:00`: the next time that a clock in some zone shows it.
    Next(Time),
}

impl End {
    /// Whether it means different instants in different zones.
    pub fn needs_zone(self) -> bool {
        !matches!(self, Self::Instant(_))
    }

    /// The instant that is meant at `now` in `zone`; none in a year that no schedule reaches.
    pub fn instant(self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Instant(at) => Some(at),
            Self::On(wall) => instant_of_wall(zone, wall),
            Self::Next(time) => {
                let today = zone.to_datetime(now).date();
                // A day further than tomorrow: yesterday's clock change may have taken today's away.
                let days = today.series(jiff::Span::new().days(1)).take(3);
                days.filter_map(|day| instant_of_wall(zone, day.to_datetime(time)))
                    .find(|at| *at > now)
            }
        }
    }
}

impl FromStr for End {
    type Err = MalformedEnd;

    fn from_str(text: &str) -> Result<Self, MalformedEnd> {
        let text = text.trim();
        if let Ok(at) = text.parse() {
            return Ok(Self::Instant(at));
        }
        // To the minute: clocks change at minutes, and nobody holds an instance until a second of the day.
        let minute = |time: Time| time.second() == 0 && time.subsec_nanosecond() == 0;
        let date = text.contains('-').then(|| text.parse::<DateTime>().ok());
        match date.map_or_else(
            || text.parse().ok().map(Self::Next),
            |wall| wall.map(Self::On),
        ) {
            Some(end @ Self::On(wall)) if text.contains(':') && minute(wall.time()) => Ok(end),
            Some(end @ Self::Next(time)) if text.contains(':') && minute(time) => Ok(end),
            _ => Err(MalformedEnd(text.chars().take(40).collect())),
        }
    }
}

/// Not an end of an override.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is neither a time (`22:00`), nor a day and a time (`2026-11-23T22:00`), nor an instant (`2026-11-23T22:00:00Z`)", .0.escape_debug())]
pub struct MalformedEnd(String);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant(text: &str, zone: &str, now: &str) -> String {
        let end: End = text.parse().unwrap();
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
    fn what_is_no_end_shows_how_one_is_written() {
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
            let error = bad.parse::<End>().unwrap_err().to_string();
            assert!(error.contains("`22:00`"), "{bad}: {error}");
        }
        assert_eq!(
            "9999-12-31T23:59"
                .parse::<End>()
                .unwrap()
                .instant(&TimeZone::UTC, Timestamp::UNIX_EPOCH),
            None
        );
    }

    #[test]
    fn what_was_just_said_is_put_in_where_an_answer_does_not_show_it_yet() {
        let requested = "2026-11-23T18:00:00Z stop by alice";
        let held = "running since 2026-11-23T18:00:00Z until 2026-11-23T20:00:00Z by alice";
        let of_request = Spoken {
            request: Some(requested.parse().unwrap()),
            override_: None,
        };
        let of_override = Spoken {
            request: None,
            override_: Some(held.parse().unwrap()),
        };
        let shown_override =
            |since: &str| format!("stopped since {since} until 2026-11-24T20:00:00Z by bob");
        let shown_request = |at: &str| format!("{at} start by bob");
        for (said, key, value, shown) in [
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
                said.complete(&mut tags);
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
    fn an_override_is_over_a_month_at_most_and_never_over_already() {
        let now: Timestamp = "2026-11-23T18:00:00.5Z".parse().unwrap();
        let until = |text: &str| {
            Lasting::until(text.parse().unwrap(), now)
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
            Ok(Lasting::Until("2026-11-23T18:00:01Z".parse().unwrap()))
        );
        let second = Lasting::length(SignedDuration::from_secs(1), now);
        assert_eq!(
            second,
            Lasting::Until("2026-11-23T18:00:02Z".parse().unwrap()),
            "rather longer than shorter"
        );
    }

    #[test]
    fn only_an_instant_means_the_same_in_every_zone() {
        let needs_zone = |text: &str| text.parse::<End>().unwrap().needs_zone();
        assert!(!needs_zone("2026-11-23T22:00:00Z"));
        assert!(needs_zone("2026-11-23T22:00"));
        assert!(needs_zone("22:00"));
    }

    #[test]
    fn an_override_may_last_exactly_31_days_and_not_a_second_more() {
        let now: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
        let until = |text: &str| Lasting::until(text.parse().unwrap(), now);
        assert_eq!(until("2026-11-23T18:00:00Z"), Err(BadEnd::Over { now }));
        let last = "2026-12-24T18:00:00Z";
        assert_eq!(until(last), Ok(Lasting::Until(last.parse().unwrap())));
        assert_eq!(until("2026-12-24T18:00:01Z"), Err(BadEnd::TooFar));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}", now in 0_i64..4_000_000_000) {
            if let Ok(end) = text.parse::<End>() {
                let at = end.instant(&TimeZone::UTC, Timestamp::from_second(now).unwrap());
                prop_assert!(!matches!(end, End::Next(_)) || at.is_some());
            }
        }
    }
}
