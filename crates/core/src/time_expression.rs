//! Times as users write them in options, in one grammar for all of them.

use std::str::FromStr;

use jiff::civil::{Date, Time, Weekday};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan as _, Zoned};

use crate::timetable::instant_of_wall;

/// A time as users write it:
///
/// | text | meaning |
/// |---|---|
/// | `22:00` | the next or the last time that the clock shows 22:00 |
/// | `friday`, `fri` | the beginning of the next or the last Friday |
/// | `friday 18:00` | the next or the last time that it is Friday 18:00 |
/// | `today`, `tomorrow`, `yesterday` | the beginning of the day; with a time, as in `tomorrow 08:00`, that time |
/// | `2026-11-27` | the beginning of the day |
/// | `2026-11-27 18:00`, `2026-11-27T18:00` | the time on that day |
/// | `2026-11-27T18:00:00Z` | an instant, in RFC 3339 |
/// | `2h30m`, `90m`, `1d` | that long after or before now; `in 2h` and `2h ago` name the direction |
/// | `now` | now |
///
/// Whether the next or the last occurrence is meant depends on the option: see [`TimeDirection`]. Times without an offset are in the time
/// zone that the caller passes. They follow the policy of schedules: in a fold, the first occurrence; in a gap, the instant of the
/// clock change. `24:00` is the end of a day. A day of a length has 24 hours.
///
/// ```
/// use curfew_core::time_expression::{TimeDirection::{Future, Past}, TimeExpression};
/// use jiff::tz::TimeZone;
///
/// let paris = TimeZone::get("Europe/Paris")?;
/// let now = "2026-11-23T20:30:00Z".parse()?; // Monday 21:30 there
/// let at = |text: &str, direction| {
///     let expression: TimeExpression = text.parse().unwrap();
///     expression.instant(direction, &paris, now).unwrap().to_string()
/// };
/// assert_eq!(at("22:00", Future), "2026-11-23T21:00:00Z");
/// assert_eq!(at("22:00", Past), "2026-11-22T21:00:00Z");
/// assert_eq!(at("friday 18:00", Future), "2026-11-27T17:00:00Z");
/// assert_eq!(at("2h30m", Past), "2026-11-23T18:00:00Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeExpression(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Now,
    Instant(Timestamp),
    /// A length in the direction of the option.
    Length(SignedDuration),
    /// A length with a direction: positive after now, negative before.
    Away(SignedDuration),
    /// The nearest occurrence of a time.
    Time(ClockTime),
    /// A day, or a time on it.
    Day(Day, Option<ClockTime>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    Date(Date),
    /// Days after today.
    Relative(i8),
    Weekday(Weekday),
}

/// A wall time. `24:00` is midnight of the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClockTime {
    time: Time,
    days: i8,
}

/// The direction in which an expression without a date is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDirection {
    /// The next occurrence after now, and lengths after now: for ends of overrides, and for edges to come.
    Future,
    /// The last occurrence until now, and lengths before now: for records.
    Past,
}

impl TimeExpression {
    /// The allowed forms, for help texts and errors.
    pub const FORMS: &'static str = "`22:00`, `friday`, `friday 18:00`, `tomorrow 08:00`, `2026-11-27`, `2026-11-27 18:00`, \
         `2026-11-27T18:00:00Z` or `2h30m`";

    /// Whether the instant depends on the time zone.
    pub fn needs_zone(self) -> bool {
        matches!(self.0, Form::Time(_) | Form::Day(..))
    }

    /// The length, if the expression is one without a direction of its own.
    pub fn length(self) -> Option<SignedDuration> {
        match self.0 {
            Form::Length(length) => Some(length),
            _ => None,
        }
    }

    /// Resolves the expression at `now`. Times without an offset are in `zone`. Returns `None` outside the years 1970–2199, in which
    /// schedules have edges.
    pub fn instant(
        self,
        direction: TimeDirection,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Option<Timestamp> {
        /// A weekday comes again after seven days. One more for `24:00`, and two for days that a zone skips and clock changes.
        const DAYS: i32 = 10;
        let nearest = |is_meant: &dyn Fn(Date) -> bool, time: ClockTime| {
            let today = zone.to_datetime(now).date();
            // The day before or after today counts too: `24:00` is on the next day.
            let mut days = (-1..=DAYS).filter_map(|away| match direction {
                TimeDirection::Future => today.checked_add(away.days()).ok(),
                TimeDirection::Past => today.checked_sub(away.days()).ok(),
            });
            days.find_map(|day| {
                let at = is_meant(day).then(|| time.on(day, zone)).flatten()?;
                let fits = match direction {
                    TimeDirection::Future => at > now,
                    TimeDirection::Past => at <= now,
                };
                fits.then_some(at)
            })
        };
        match self.0 {
            Form::Now => Some(now),
            Form::Instant(at) => Some(at),
            Form::Length(length) if direction == TimeDirection::Past => {
                now.checked_sub(length).ok()
            }
            Form::Length(length) | Form::Away(length) => now.checked_add(length).ok(),
            Form::Time(time) => nearest(&|_| true, time),
            Form::Day(day, time) => {
                let time = time.unwrap_or(ClockTime::MIDNIGHT);
                match day {
                    Day::Weekday(weekday) => nearest(&|day| day.weekday() == weekday, time),
                    Day::Date(date) => time.on(date, zone),
                    Day::Relative(days) => {
                        let today = zone.to_datetime(now).date();
                        time.on(today.checked_add(days.days()).ok()?, zone)
                    }
                }
            }
        }
    }

    /// The instant as the end of a span that begins at `begin`. A time, a weekday or a length counts from there, `today` and `in 2h` from
    /// now. A day, such as `friday` or `2026-11-27`, is part of the span.
    pub fn end_of_span(
        self,
        begin: Timestamp,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let from = match self.0 {
            Form::Now | Form::Instant(_) | Form::Away(_) | Form::Day(Day::Relative(_), _) => now,
            Form::Length(_) | Form::Time(_) | Form::Day(Day::Date(_), _) => begin,
            // The day on which the span begins is the first one.
            Form::Day(Day::Weekday(_), _) => {
                begin.checked_sub(SignedDuration::from_secs(1)).ok()?
            }
        };
        let at = self.instant(TimeDirection::Future, zone, from)?;
        match self.0 {
            Form::Day(_, None) => {
                let next_day = zone.to_datetime(at).date().tomorrow().ok()?;
                ClockTime::MIDNIGHT.on(next_day, zone)
            }
            _ => Some(at),
        }
    }
}

impl ClockTime {
    const MIDNIGHT: Self = Self {
        time: Time::midnight(),
        days: 0,
    };

    /// The instant of this time on `day`.
    fn on(self, day: Date, zone: &TimeZone) -> Option<Timestamp> {
        let wall = day
            .checked_add(self.days.days())
            .ok()?
            .to_datetime(self.time);
        let minute = instant_of_wall(zone, wall)?;
        let seconds = SignedDuration::from_secs(self.time.second().into());
        let at = minute.checked_add(seconds).ok()?;
        // In a gap, the instant is that of the clock change.
        let is_shown = zone.to_datetime(at).time() == self.time;
        Some(if is_shown { at } else { minute })
    }
}

impl FromStr for TimeExpression {
    type Err = MalformedTime;

    fn from_str(text: &str) -> Result<Self, MalformedTime> {
        let trimmed = text.trim();
        form(&trimmed.to_ascii_lowercase(), trimmed)
            .map(Self)
            .ok_or_else(|| MalformedTime(text.chars().take(40).collect()))
    }
}

/// Parses `text`, which is `original` in lower case; names of time zones have capitals.
fn form(text: &str, original: &str) -> Option<Form> {
    if text == "now" {
        return Some(Form::Now);
    }
    if let Some(time) = time_of_day(text) {
        return Some(Form::Time(time));
    }
    if let Some(at) = instant(original) {
        return Some(Form::Instant(at));
    }
    let is_date_and_time = text.starts_with(|first: char| first.is_ascii_digit());
    let split = text
        .split_once(char::is_whitespace)
        .or_else(|| text.split_once('t').filter(|_| is_date_and_time));
    let at = match split {
        None => day(text).map(|day| Form::Day(day, None)),
        Some((first, rest)) => day(first)
            .zip(time_of_day(rest.trim_start()))
            .map(|(day, time)| Form::Day(day, Some(time))),
    };
    at.or_else(|| length(text))
}

fn instant(text: &str) -> Option<Timestamp> {
    if text.contains('[') {
        let zoned: Zoned = text.parse().ok()?;
        return Some(zoned.timestamp());
    }
    text.parse().ok()
}

fn day(text: &str) -> Option<Day> {
    match text {
        "yesterday" => return Some(Day::Relative(-1)),
        "today" => return Some(Day::Relative(0)),
        "tomorrow" => return Some(Day::Relative(1)),
        _ => {}
    }
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        // jiff also parses a date and a time as a date, and ignores the time.
        let is_date = text.len() == "2026-11-27".len();
        return text.parse().ok().filter(|_| is_date).map(Day::Date);
    }
    // Full names and the first three letters.
    let weekday = ["%A", "%a"]
        .into_iter()
        .find_map(|format| strtime::parse(format, text).ok()?.weekday());
    weekday.map(Day::Weekday)
}

fn time_of_day(text: &str) -> Option<ClockTime> {
    let (hours, rest) = text.split_once(':')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(hours.len(), 1 | 2) || !is_number(hours) || !is_number(&rest.replacen(':', "", 1))
    {
        return None;
    }
    if hours == "24" && matches!(rest, "00" | "00:00") {
        return Some(ClockTime {
            days: 1,
            ..ClockTime::MIDNIGHT
        });
    }
    let time = format!("{hours:0>2}:{rest}").parse().ok()?;
    Some(ClockTime { time, days: 0 })
}

fn length(text: &str) -> Option<Form> {
    // `2h ago` is the form of a direction; a sign would be taken for an option.
    if text.starts_with(['-', '+']) {
        return None;
    }
    let (text, is_after) = match text.strip_prefix("in ") {
        Some(length) => (length.trim_start(), true),
        None => (text, false),
    };
    let span: Span = text.parse().ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    match (length.is_negative(), is_after) {
        _ if length.is_zero() => None,
        (true, true) => None,
        (false, false) => Some(Form::Length(length)),
        (true, false) | (false, true) => Some(Form::Away(length)),
    }
}

/// The text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a time; use {}", .0.escape_debug(), TimeExpression::FORMS)]
pub struct MalformedTime(String);

#[cfg(test)]
mod tests {
    use super::TimeDirection::{Future, Past};
    use super::*;
    use proptest::prelude::*;

    /// Resolves `text` at `now`, both ways, in `zone`.
    fn both(text: &str, zone: &str, now: &str) -> [String; 2] {
        let expression: TimeExpression = text.parse().unwrap();
        let zone = TimeZone::get(zone).unwrap();
        [Future, Past].map(|direction| {
            let at = expression.instant(direction, &zone, now.parse().unwrap());
            at.map_or_else(|| "-".to_owned(), |at| at.to_string())
        })
    }

    #[test]
    fn every_form_is_resolved_in_both_directions() {
        // Tuesday 13:00 in Paris.
        let now = "2026-11-24T12:00:00Z";
        for (text, future, past) in [
            ("now", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
            ("22:00", "2026-11-24T21:00:00Z", "2026-11-23T21:00:00Z"),
            ("8:00", "2026-11-25T07:00:00Z", "2026-11-24T07:00:00Z"),
            ("13:00", "2026-11-25T12:00:00Z", "2026-11-24T12:00:00Z"),
            ("13:00:30", "2026-11-24T12:00:30Z", "2026-11-23T12:00:30Z"),
            ("24:00", "2026-11-24T23:00:00Z", "2026-11-23T23:00:00Z"),
            ("friday", "2026-11-26T23:00:00Z", "2026-11-19T23:00:00Z"),
            ("FRI", "2026-11-26T23:00:00Z", "2026-11-19T23:00:00Z"),
            ("tuesday", "2026-11-30T23:00:00Z", "2026-11-23T23:00:00Z"),
            ("tue 18:00", "2026-11-24T17:00:00Z", "2026-11-17T17:00:00Z"),
            ("mon 24:00", "2026-11-30T23:00:00Z", "2026-11-23T23:00:00Z"),
            ("tue 24:00", "2026-11-24T23:00:00Z", "2026-11-17T23:00:00Z"),
            (
                "Friday  18:00",
                "2026-11-27T17:00:00Z",
                "2026-11-20T17:00:00Z",
            ),
            ("today", "2026-11-23T23:00:00Z", "2026-11-23T23:00:00Z"),
            (
                "today 18:00",
                "2026-11-24T17:00:00Z",
                "2026-11-24T17:00:00Z",
            ),
            ("tomorrow", "2026-11-24T23:00:00Z", "2026-11-24T23:00:00Z"),
            (
                "tomorrow 08:00",
                "2026-11-25T07:00:00Z",
                "2026-11-25T07:00:00Z",
            ),
            ("yesterday", "2026-11-22T23:00:00Z", "2026-11-22T23:00:00Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z", "2026-10-31T23:00:00Z"),
            (
                "2026-11-01T08:00",
                "2026-11-01T07:00:00Z",
                "2026-11-01T07:00:00Z",
            ),
            (
                "2026-11-01 08:00",
                "2026-11-01T07:00:00Z",
                "2026-11-01T07:00:00Z",
            ),
            (
                "2026-07-01 24:00",
                "2026-07-01T22:00:00Z",
                "2026-07-01T22:00:00Z",
            ),
            (
                "2026-11-01T08:00:00Z",
                "2026-11-01T08:00:00Z",
                "2026-11-01T08:00:00Z",
            ),
            (
                "2026-11-01T08:00:00+02:00",
                "2026-11-01T06:00:00Z",
                "2026-11-01T06:00:00Z",
            ),
            (
                "2026-11-01T08:00:00-08:00[America/Los_Angeles]",
                "2026-11-01T16:00:00Z",
                "2026-11-01T16:00:00Z",
            ),
            ("2h30m", "2026-11-24T14:30:00Z", "2026-11-24T09:30:00Z"),
            ("90d", "2027-02-22T12:00:00Z", "2026-08-26T12:00:00Z"),
            ("in 2h", "2026-11-24T14:00:00Z", "2026-11-24T14:00:00Z"),
            ("2h ago", "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z"),
        ] {
            assert_eq!(both(text, "Europe/Paris", now), [future, past], "{text}");
        }
    }

    #[test]
    fn clock_changes_follow_the_policy_of_schedules() {
        // The clock jumps from 02:00 to 03:00 at 01:00 UTC, and shows 02:30 twice at the end of October.
        for (text, now, future, past) in [
            (
                "02:30",
                "2026-03-28T23:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-28T01:30:00Z",
            ),
            (
                "sunday 02:30",
                "2026-03-28T23:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-22T01:30:00Z",
            ),
            (
                "2026-03-29 02:30:59",
                "2026-03-28T23:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                "02:30",
                "2026-10-24T23:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-24T00:30:00Z",
            ),
            // Between the two, the first is over.
            (
                "02:30",
                "2026-10-25T00:45:00Z",
                "2026-10-26T01:30:00Z",
                "2026-10-25T00:30:00Z",
            ),
            (
                "24h",
                "2026-10-24T12:00:00Z",
                "2026-10-25T12:00:00Z",
                "2026-10-23T12:00:00Z",
            ),
        ] {
            assert_eq!(
                both(text, "Europe/Paris", now),
                [future, past],
                "{text} at {now}"
            );
        }
        // Samoa had no 30 December 2011.
        assert_eq!(
            both("09:00", "Pacific/Apia", "2011-12-30T09:00:00Z")[0],
            "2011-12-30T10:00:00Z"
        );
        // Midnight does not exist on the day of the change in Havana.
        assert_eq!(
            both("2026-03-08", "America/Havana", "2026-03-01T00:00:00Z")[0],
            "2026-03-08T05:00:00Z"
        );
    }

    #[test]
    fn the_day_is_that_of_the_zone() {
        // Tuesday in UTC, Wednesday in Auckland.
        let now = "2026-11-24T12:00:00Z";
        let zone = "Pacific/Auckland";
        assert_eq!(both("today", zone, now)[0], "2026-11-24T11:00:00Z");
        assert_eq!(both("wednesday", zone, now)[1], "2026-11-24T11:00:00Z");
        assert_eq!(both("00:30", zone, now)[1], "2026-11-24T11:30:00Z");
    }

    #[test]
    fn a_malformed_time_is_refused_with_the_forms() {
        for bad in [
            "",
            "soon",
            "22",
            "2",
            "-2h",
            "+2h",
            "0s",
            "in 2h ago",
            "in -2h",
            "25:00",
            "24:01",
            "22:00 friday",
            "friday at 18:00",
            "friday 18:00 Europe/Paris",
            "next friday",
            "fridays",
            "2026-13-01",
            "2026-11",
            "2026-11-23T",
            "2026-11-23T22",
            "3 months",
            "1:2:3:4",
            "22:00\n22:00",
        ] {
            let error = bad.parse::<TimeExpression>().unwrap_err().to_string();
            assert!(error.contains(TimeExpression::FORMS), "{bad}: {error}");
        }
        let error = "soon".parse::<TimeExpression>().unwrap_err();
        insta::assert_snapshot!(error, @"`soon` is not a time; use `22:00`, `friday`, `friday 18:00`, `tomorrow 08:00`, `2026-11-27`, `2026-11-27 18:00`, `2026-11-27T18:00:00Z` or `2h30m`");
        // Schedules have no edges in that year.
        assert_eq!(
            both("9999-12-31 23:59", "UTC", "2026-11-24T12:00:00Z")[0],
            "-"
        );
    }

    #[test]
    fn the_end_of_a_span_counts_from_its_beginning_and_includes_its_day() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        // Tuesday 13:00, and the beginning of that Friday.
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let friday = "2026-11-26T23:00:00Z".parse().unwrap();
        for (text, end) in [
            ("friday", "2026-11-27T23:00:00Z"),
            ("tuesday", "2026-12-01T23:00:00Z"),
            ("tuesday 00:00", "2026-11-30T23:00:00Z"),
            ("22:00", "2026-11-27T21:00:00Z"),
            ("7d", "2026-12-03T23:00:00Z"),
            ("in 7d", "2026-12-01T12:00:00Z"),
            ("today", "2026-11-24T23:00:00Z"),
            ("2026-11-27", "2026-11-27T23:00:00Z"),
            // A day of 23 hours.
            ("2026-03-29", "2026-03-29T22:00:00Z"),
            ("2026-11-27 18:00", "2026-11-27T17:00:00Z"),
            ("2026-11-27T18:00:00Z", "2026-11-27T18:00:00Z"),
        ] {
            let expression: TimeExpression = text.parse().unwrap();
            let at = expression.end_of_span(friday, &paris, now).unwrap();
            assert_eq!(at.to_string(), end, "{text}");
        }
    }

    #[test]
    fn the_listed_forms_are_accepted() {
        for form in TimeExpression::FORMS.split('`').skip(1).step_by(2) {
            assert!(form.parse::<TimeExpression>().is_ok(), "{form}");
        }
    }

    #[test]
    fn only_wall_times_need_a_zone() {
        let needs_zone = |text: &str| text.parse::<TimeExpression>().unwrap().needs_zone();
        for text in [
            "22:00",
            "friday",
            "tomorrow",
            "2026-11-23",
            "2026-11-23T22:00",
        ] {
            assert!(needs_zone(text), "{text}");
        }
        for text in ["now", "2h", "in 2h", "2026-11-23T22:00:00Z"] {
            assert!(!needs_zone(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}", now in 0_i64..4_000_000_000) {
            if let Ok(expression) = text.parse::<TimeExpression>() {
                let now = Timestamp::from_second(now).unwrap();
                let _at = expression.instant(Future, &TimeZone::UTC, now);
                let _at = expression.instant(Past, &TimeZone::UTC, now);
            }
        }

        #[test]
        fn occurrences_are_on_their_side_of_now(hour in 0_i8..24, minute in 0_i8..60, day in 0_usize..7, now in 0_i64..4_000_000_000) {
            let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][day];
            let now = Timestamp::from_second(now).unwrap();
            let zone = TimeZone::get("Europe/Paris").unwrap();
            for text in [format!("{hour:02}:{minute:02}"), format!("{day} {hour:02}:{minute:02}")] {
                let expression: TimeExpression = text.parse().unwrap();
                let next = expression.instant(Future, &zone, now).unwrap();
                let last = expression.instant(Past, &zone, now).unwrap();
                prop_assert!(last <= now && now < next, "{text}: {last} {next}");
                prop_assert!(next.duration_since(last) <= SignedDuration::from_hours(7 * 24 + 1), "{text}");
            }
        }
    }
}
