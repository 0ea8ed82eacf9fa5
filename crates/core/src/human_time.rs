//! The one form of times for people: `Fri 27 Nov 20:00 CET`, with the distance from now beside it: `in 3 h`. The year is written only if
//! it is not this one. JSON, CSV and logs have RFC 3339 instead.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Formats an instant in `zone`.
///
/// ```
/// use curfew_core::human_time;
/// use jiff::{Timestamp, tz::TimeZone};
///
/// let paris = TimeZone::get("Europe/Paris")?;
/// let now: Timestamp = "2026-11-27T16:00:00Z".parse()?;
/// let at = |text: &str| human_time::instant(text.parse().unwrap(), &paris, now);
/// assert_eq!(at("2026-11-27T19:00:00Z"), "Fri 27 Nov 20:00 CET");
/// assert_eq!(at("2027-07-01T06:00:00Z"), "Thu 1 Jul 2027 08:00 CEST");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn instant(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let local = at.to_zoned(zone.clone());
    let form = if local.year() == now.to_zoned(zone.clone()).year() {
        "%a %-d %b %H:%M %Z"
    } else {
        "%a %-d %b %Y %H:%M %Z"
    };
    local.strftime(form).to_string()
}

/// Formats an instant in `zone`, and its distance from `now`: `Fri 27 Nov 20:00 CET (in 3 h)`.
pub fn with_distance(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    format!("{} ({})", instant(at, zone, now), distance(at, now))
}

/// Formats a date: `Fri 25 Dec`, with the year if it is not the year of `today`.
pub fn date(date: Date, today: Date) -> String {
    let form = if date.year() == today.year() {
        "%a %-d %b"
    } else {
        "%a %-d %b %Y"
    };
    date.strftime(form).to_string()
}

/// Formats the distance of an instant from `now`, rounded to one unit: `in 3 h`, `12 min ago`, `now`.
///
/// ```
/// use curfew_core::human_time::distance;
/// use jiff::Timestamp;
///
/// let now: Timestamp = "2026-11-27T16:00:00Z".parse()?;
/// let from = |text: &str| distance(text.parse().unwrap(), now);
/// assert_eq!(from("2026-11-27T19:00:00Z"), "in 3 h");
/// assert_eq!(from("2026-11-27T15:48:10Z"), "12 min ago");
/// assert_eq!(from("2026-11-30T07:00:00Z"), "in 3 d");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn distance(at: Timestamp, now: Timestamp) -> String {
    let length = at.duration_since(now);
    let text = rounded(length.abs());
    if length.as_secs() == 0 {
        "now".to_owned()
    } else if length.is_negative() {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

fn rounded(length: SignedDuration) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let seconds = length.as_secs();
    let in_units = |unit: i64| (seconds + unit / 2) / unit;
    // A unit is used from about two of it on, so that rounding changes the value by at most a quarter.
    if seconds < MINUTE {
        format!("{seconds} s")
    } else if in_units(MINUTE) < 120 {
        format!("{} min", in_units(MINUTE))
    } else if in_units(HOUR) < 48 {
        format!("{} h", in_units(HOUR))
    } else if in_units(DAY) < 2 * 365 {
        format!("{} d", in_units(DAY))
    } else {
        format!("{} years", in_units(YEAR))
    }
}

/// Replaces RFC 3339 instants in a sentence, such as the reason of a skip. Values in backticks, such as a malformed tag, are unchanged.
///
/// ```
/// use curfew_core::human_time::in_sentence;
/// use jiff::{Timestamp, tz::TimeZone};
///
/// let now: Timestamp = "2026-11-27T16:00:00Z".parse()?;
/// let text = "an override by alice ignores it until 2026-11-27T19:00:00Z; `2026-11-27T19:00:00Z`";
/// assert_eq!(
///     in_sentence(text, &TimeZone::UTC, now),
///     "an override by alice ignores it until Fri 27 Nov 19:00 UTC; `2026-11-27T19:00:00Z`",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn in_sentence<'t>(text: &'t str, zone: &TimeZone, now: Timestamp) -> Cow<'t, str> {
    let mut shown = String::new();
    let mut quoted = false;
    for word in text.split_inclusive([' ', '`']) {
        // The closing backtick of a value is at the end of its last word.
        let (body, end) = match word.strip_suffix([' ', '`']) {
            Some(body) => (body, &word[body.len()..]),
            None => (word, ""),
        };
        let (start, rest) = match body.strip_prefix('(') {
            Some(rest) => ("(", rest),
            None => ("", body),
        };
        let bare = rest.trim_end_matches([',', ';', ':', '.', ')']);
        match bare.parse::<Timestamp>() {
            Ok(at) if !quoted => {
                shown += start;
                shown += &instant(at, zone, now);
                shown += &rest[bare.len()..];
                shown += end;
            }
            _ => shown += word,
        }
        quoted ^= end == "`";
    }
    if shown == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_year_is_that_of_the_zone() {
        let kolkata = TimeZone::get("Asia/Kolkata").unwrap();
        let now = at("2026-12-31T12:00:00Z");
        let form = |text| instant(at(text), &kolkata, now);
        assert_eq!(form("2026-12-31T18:29:00Z"), "Thu 31 Dec 23:59 IST");
        assert_eq!(form("2026-12-31T18:30:00Z"), "Fri 1 Jan 2027 00:00 IST");
        // At this instant the year has begun in Kolkata, and not yet in UTC.
        let begun = instant(
            at("2027-01-01T00:00:00Z"),
            &kolkata,
            at("2026-12-31T19:00:00Z"),
        );
        assert_eq!(begun, "Fri 1 Jan 05:30 IST");
    }

    #[test]
    fn both_hours_of_a_fold_are_told_apart() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let now = at("2026-10-24T12:00:00Z");
        assert_eq!(
            instant(at("2026-10-25T00:30:00Z"), &paris, now),
            "Sun 25 Oct 02:30 CEST"
        );
        assert_eq!(
            instant(at("2026-10-25T01:30:00Z"), &paris, now),
            "Sun 25 Oct 02:30 CET"
        );
    }

    #[test]
    fn distances_are_rounded_to_one_unit() {
        let now = at("2026-11-27T16:00:00Z");
        for (seconds, text) in [
            (0, "now"),
            (59, "in 59 s"),
            (60, "in 1 min"),
            (-89, "1 min ago"),
            (-90, "2 min ago"),
            (119 * 60, "in 119 min"),
            (2 * 3600 - 30, "in 2 h"),
            (-(47 * 3600), "47 h ago"),
            (48 * 3600 - 1800, "in 2 d"),
            (31 * 86_400, "in 31 d"),
            (-(173 * 365 * 86_400), "173 years ago"),
        ] {
            let at = now + SignedDuration::from_secs(seconds);
            assert_eq!(distance(at, now), text, "{seconds}");
        }
        assert_eq!(distance(Timestamp::MAX, Timestamp::MIN), "in 20012 years");
    }

    #[test]
    fn instants_in_sentences_are_replaced_outside_backticks() {
        let now = at("2026-11-27T16:00:00Z");
        let shown = |text| in_sentence(text, &TimeZone::UTC, now).into_owned();
        for (text, expected) in [
            ("", ""),
            ("nothing to do", "nothing to do"),
            (
                "`a` until 2026-11-27T19:00:00Z",
                "`a` until Fri 27 Nov 19:00 UTC",
            ),
            (
                "(2026-11-27T19:00:00Z), then",
                "(Fri 27 Nov 19:00 UTC), then",
            ),
            (
                "given up at 2026-11-27T19:00:00Z.",
                "given up at Fri 27 Nov 19:00 UTC.",
            ),
            (
                "`x 2026-11-27T19:00:00Z y` is wrong",
                "`x 2026-11-27T19:00:00Z y` is wrong",
            ),
            ("`2026-11-27T19:00:00Z", "`2026-11-27T19:00:00Z"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn dates_have_the_form_of_times() {
        let today = "2026-11-27".parse().unwrap();
        assert_eq!(date("2026-12-25".parse().unwrap(), today), "Fri 25 Dec");
        assert_eq!(date("2027-01-01".parse().unwrap(), today), "Fri 1 Jan 2027");
    }
}
