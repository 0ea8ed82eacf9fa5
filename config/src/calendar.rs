//! Conversion of iCalendar files (RFC 5545) to dates: the days of their events, with recurrence rules, exceptions, and moved
//! or cancelled repetitions applied.
//!
//! Bytes in, dates in the notation of `except` out; this module reads no file and no clock. An event that can't be converted
//! exactly is refused with its title, because a holiday that is left out silently is a day on which a fleet starts.
//!
//! Sizes are limited before anything is parsed: the parser is recursive, and a rule may repeat without end. Rules are expanded
//! by `rrule`; its chrono values are converted within [`expand`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use icalendar::parser::{Component, Property, read_calendar_simple, unfold};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// The maximum size of a file in bytes. A century of one country's public holidays takes a tenth of it; a larger limit costs time at
/// each reload.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The maximum depth of nested components; calendar, event and alarm are three levels. The parser recurses at each level, and
/// overflows a thread's stack at some thousands.
const MAX_DEPTH: usize = 8;

/// The maximum number of events. Each is compared with the events that replace a repetition of one with its UID.
const MAX_EVENTS: usize = 5000;

/// The maximum number of repeating events. A rule that rarely matches takes some tens of milliseconds to expand.
const MAX_RULES: usize = 200;

/// The maximum number of dates of a file, all of which the configuration document contains. A day of every month until 2199 fits; a
/// day of every week does not.
const MAX_DATES: usize = 2500;

/// The first and last date on which schedules have edges. A rule without an end is expanded until the last one.
const FIRST: Date = Date::constant(1970, 1, 1);
const LAST: Date = Date::constant(2199, 12, 31);

/// A yearly event that began in this year or before is written without a year, as `12-25`. The years before its first occurrence are
/// then in the past and have no effect. A later year only shortens the document.
const SETTLED_YEAR: i16 = 2026;

/// The number of titles that a warning names; the others are counted.
const NAMED: usize = 3;

/// The dates of a calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CalendarDates {
    /// The days of its events: `2026-05-01`, `2026-05-01..2026-05-03`, `12-25` for every year.
    pub(super) dates: Vec<String>,
    /// A sentence about events that were left out because they have a time of day.
    pub(super) warning: Option<String>,
}

/// Reads a calendar.
///
/// Events on whole days count. Events with a time of day are left out with a warning if `timed` is `None`; otherwise they count for
/// every day that they overlap in that time zone.
///
/// # Errors
///
/// Fails on the first event that can't be converted exactly, and if a limit is exceeded. The error is one sentence with the event's
/// title.
pub(super) fn read(bytes: &[u8], timed: Option<&TimeZone>) -> Result<CalendarDates, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!(
            "it is larger than {} KiB, the most that is read",
            MAX_BYTES / 1024
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let text = unfold(text.trim_start_matches('\u{feff}').trim());
    let events = split(&text)?;
    if events.is_empty() {
        return Err("it has no events".to_owned());
    }
    if events.len() > MAX_EVENTS {
        return Err(format!("it has more than {MAX_EVENTS} events"));
    }
    let mut left_out = Vec::new();
    let mut read = Vec::new();
    for text in events {
        let component = parse(text)?;
        let title = Title::of(&component);
        let event = Event::read(&component).map_err(|what| format!("{title} {what}"))?;
        if timed.is_none() && event.start.clock != EventClock::Day && !event.cancelled {
            left_out.push(title);
        } else {
            read.push((title, event));
        }
    }
    Ok(CalendarDates {
        dates: dates(&read, timed)?,
        warning: warning(&left_out),
    })
}

fn warning(left_out: &[Title]) -> Option<String> {
    let first = left_out.first()?;
    let rest = &left_out[1..left_out.len().min(NAMED)];
    let mut names = first.to_string();
    for title in rest {
        let _ = write!(names, ", {title}");
    }
    let more = left_out.len().saturating_sub(NAMED);
    if more > 0 {
        let _ = write!(names, " and {more} more");
    }
    let have = if left_out.len() == 1 {
        "has a time of day and is"
    } else {
        "have a time of day and are"
    };
    Some(format!(
        "{names} {have} left out: a holiday is a whole day (`DTSTART;VALUE=DATE:20261225`); `timed = true` takes the days that \
         such events touch"
    ))
}

/// Checks the nesting of components and returns the text of each event. Events are parsed one at a time, because the parser's time
/// grows faster than linearly with the text.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let refuse = |what: &str| format!("it is not an iCalendar file: {what}");
    let mut open: Vec<&str> = Vec::new();
    let mut events = Vec::new();
    let (mut from, mut to) = (0, 0);
    for line in text.split_inclusive('\n') {
        let start = to;
        to += line.len();
        if line.trim().is_empty() {
            continue;
        }
        let (key, value) = line
            .split_once(':')
            .ok_or_else(|| refuse("a line of it is not `NAME:VALUE`"))?;
        let value = value.trim();
        if key.eq_ignore_ascii_case("BEGIN") {
            if open.is_empty() != value.eq_ignore_ascii_case("VCALENDAR") {
                return Err(refuse(
                    "`BEGIN:VCALENDAR` must be its first line, and occur once",
                ));
            }
            if open.len() == 1 {
                from = start;
            }
            open.push(value);
            if open.len() > MAX_DEPTH {
                return Err(format!(
                    "its components are nested more than {MAX_DEPTH} deep"
                ));
            }
        } else if key.eq_ignore_ascii_case("END") {
            let begun = open.pop().filter(|begun| begun.eq_ignore_ascii_case(value));
            let begun = begun.ok_or_else(|| refuse("an `END` does not match the last `BEGIN`"))?;
            if open.len() == 1 && begun.eq_ignore_ascii_case("VEVENT") {
                events.push(&text[from..to]);
            }
        } else if open.is_empty() {
            return Err(refuse(
                "it has lines outside of `BEGIN:VCALENDAR` and its end",
            ));
        } else if open.len() == 1
            && key.eq_ignore_ascii_case("METHOD")
            && value.eq_ignore_ascii_case("CANCEL")
        {
            return Err("it cancels events (`METHOD:CANCEL`) and has none of its own".to_owned());
        }
    }
    match open.last() {
        Some(begun) => Err(refuse(&format!(
            "`BEGIN:{}` has no end",
            begun.escape_debug()
        ))),
        None if to == 0 => Err(refuse("it is empty")),
        None => Ok(events),
    }
}

/// Parses the text of one event.
fn parse(text: &str) -> Result<Component<'_>, String> {
    let components = read_calendar_simple(text).unwrap_or_default();
    let [event] = <[Component<'_>; 1]>::try_from(components).map_err(|_| {
        let title = text.lines().find(|line| line.starts_with("SUMMARY"));
        let title = title.unwrap_or("without a title").escape_debug();
        format!(
            "it is not an iCalendar file: the event `{title}` has a line that is not `NAME:VALUE`"
        )
    })?;
    Ok(event)
}

fn property<'c>(component: &'c Component<'_>, name: &str) -> Option<&'c Property<'c>> {
    properties(component, name).next()
}

fn properties<'c>(
    component: &'c Component<'_>,
    name: &str,
) -> impl Iterator<Item = &'c Property<'c>> {
    component
        .properties
        .iter()
        .filter(move |property| property.name.as_str().eq_ignore_ascii_case(name))
}

/// The title of an event in messages.
#[derive(Clone, Debug)]
struct Title(String);

impl Title {
    fn of(component: &Component<'_>) -> Self {
        let title = property(component, "SUMMARY")
            .map(|summary| summary.val.as_str().trim().replace("\\,", ","))
            .filter(|title| !title.is_empty())
            .unwrap_or_else(|| "without a title".to_owned());
        Self(title.chars().take(80).collect())
    }
}

impl fmt::Display for Title {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the event `{}`", self.0.escape_debug())
    }
}

/// The clock to which a time refers.
#[derive(Clone, Debug, PartialEq)]
enum EventClock {
    /// No clock: the value is a whole day.
    Day,
    /// The local clock, in any time zone.
    Floating,
    Zone(TimeZone),
    /// A time zone without an IANA name.
    Unknown(String),
}

/// A date with a time; for a whole day, midnight at its start.
#[derive(Clone, Debug, PartialEq)]
struct EventTime {
    at: DateTime,
    clock: EventClock,
}

impl EventTime {
    /// Parses the values of a property, which are separated by commas.
    fn all(property: &Property<'_>) -> Result<Vec<Self>, String> {
        let zone = property
            .params
            .iter()
            .find(|param| param.key.as_str().eq_ignore_ascii_case("TZID"))
            .and_then(|param| param.val.as_ref())
            .map(|name| name.as_str().trim_matches('"'));
        property
            .val
            .as_str()
            .split(',')
            .map(|value| Self::parse(value.trim(), zone))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                format!(
                    "has `{}` as its {}, which is no date",
                    property.val.as_str().escape_debug(),
                    property.name.as_str().escape_debug()
                )
            })
    }

    fn one(property: &Property<'_>) -> Result<Self, String> {
        let mut all = Self::all(property)?;
        match (all.pop(), all.is_empty()) {
            (Some(moment), true) => Ok(moment),
            _ => Err(format!(
                "has several values in its {}",
                property.name.as_str()
            )),
        }
    }

    fn parse(value: &str, zone: Option<&str>) -> Option<Self> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if value.len() == 8 && digits(value) {
            let date = Date::strptime("%Y%m%d", value).ok()?;
            return Some(Self {
                at: date.at(0, 0, 0, 0),
                clock: EventClock::Day,
            });
        }
        let (local, clock) = match (value.strip_suffix('Z'), zone) {
            (Some(local), _) => (local, EventClock::Zone(TimeZone::UTC)),
            (None, None) => (value, EventClock::Floating),
            (None, Some(name)) => match TimeZone::get(name) {
                Ok(zone) => (value, EventClock::Zone(zone)),
                Err(_) => (value, EventClock::Unknown(name.to_owned())),
            },
        };
        let (date, time) = local.split_once('T')?;
        if date.len() != 8 || time.len() != 6 || !digits(date) || !digits(time) {
            return None;
        }
        let at = DateTime::strptime("%Y%m%dT%H%M%S", local).ok()?;
        Some(Self { at, clock })
    }

    /// Converts the time to the clock of an event, since its exceptions and additions may refer to another clock. Fails if one of
    /// the two is a whole day and the other is not.
    fn on(&self, clock: &EventClock, name: &str) -> Result<DateTime, String> {
        let midnight = self.at == self.at.date().at(0, 0, 0, 0);
        match (clock, &self.clock) {
            (own, other) if own == other => Ok(self.at),
            // Outlook writes whole days as midnight.
            (EventClock::Day, other) if midnight && *other != EventClock::Zone(TimeZone::UTC) => {
                Ok(self.at)
            }
            (EventClock::Zone(own), EventClock::Zone(other)) => self
                .at
                .to_zoned(other.clone())
                .map(|zoned| own.to_datetime(zoned.timestamp()))
                .map_err(|_| format!("has a {name} out of range")),
            _ => Err(format!(
                "has a {name} of another form than its start: it must be a date for a whole day, else a time in the same zone"
            )),
        }
    }
}

/// The properties of an event.
#[derive(Debug)]
struct Event {
    /// The UID, by which events that replace a repetition refer to the repeating one.
    uid: Option<String>,
    /// The repetition that the event replaces (`RECURRENCE-ID`).
    replaces: Option<EventTime>,
    cancelled: bool,
    start: EventTime,
    /// The length of the event; at least a day for whole days.
    length: SignedDuration,
    rules: Vec<String>,
    added: Vec<EventTime>,
    excepted: Vec<EventTime>,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Event {
    fn read(component: &Component<'_>) -> Result<Self, String> {
        let start = property(component, "DTSTART").ok_or("has no DTSTART, and so no date")?;
        let start = EventTime::one(start)?;
        let texts = |name| {
            properties(component, name)
                .map(|property| property.val.as_str().trim().to_ascii_uppercase())
                .collect::<Vec<_>>()
        };
        let moments = |name| {
            properties(component, name).try_fold(Vec::new(), |mut all, property| {
                all.extend(EventTime::all(property)?);
                Ok::<_, String>(all)
            })
        };
        if property(component, "EXRULE").is_some() {
            return Err(
                "has an EXRULE, which RFC 5545 has dropped: list the dates as EXDATE".to_owned(),
            );
        }
        let replaces = property(component, "RECURRENCE-ID");
        if let Some(range) = replaces.and_then(|property| {
            let mut params = property.params.iter();
            params.find(|param| param.key.as_str().eq_ignore_ascii_case("RANGE"))
        }) {
            let range = range.val.as_ref().map_or("", |range| range.as_str());
            return Err(format!(
                "changes several repetitions at once (`RANGE={}`): end its rule and begin another",
                range.escape_debug()
            ));
        }
        let event = Self {
            uid: property(component, "UID").map(|uid| uid.val.as_str().trim().to_owned()),
            replaces: replaces.map(EventTime::one).transpose()?,
            cancelled: texts("STATUS").iter().any(|status| status == "CANCELLED"),
            length: length(component, &start)?,
            rules: texts("RRULE"),
            added: moments("RDATE")?,
            excepted: moments("EXDATE")?,
            start,
        };
        if event.replaces.is_some() && !(event.rules.is_empty() && event.added.is_empty()) {
            return Err(
                "replaces one repetition (RECURRENCE-ID) and has a rule of its own".to_owned(),
            );
        }
        Ok(event)
    }
}

/// Returns the length of an event, from DTEND (the first day or instant after it) or DURATION. Without either it is a day for a whole
/// day, else zero.
fn length(component: &Component<'_>, start: &EventTime) -> Result<SignedDuration, String> {
    let is_day = start.clock == EventClock::Day;
    let length = match (
        property(component, "DTEND"),
        property(component, "DURATION"),
    ) {
        (Some(_), Some(_)) => return Err("has both a DTEND and a DURATION".to_owned()),
        (None, None) => return Ok(if is_day { DAY } else { SignedDuration::ZERO }),
        (Some(end), None) => {
            let end = EventTime::one(end)?;
            let both_days = is_day == (end.clock == EventClock::Day);
            let end = end
                .on(&start.clock, "DTEND")
                .ok()
                .filter(|_| both_days)
                .ok_or("has a DTEND of another form than its DTSTART")?;
            end.duration_since(start.at)
        }
        (None, Some(duration)) => {
            let text = duration.val.as_str().trim();
            let refuse = || {
                format!(
                    "has the DURATION `{}`, which is not one such as `P5D` or `PT8H`",
                    text.escape_debug()
                )
            };
            let span: Span = text.parse().map_err(|_| refuse())?;
            if span.get_years() != 0 || span.get_months() != 0 {
                return Err(refuse());
            }
            span.to_duration(SpanRelativeTo::days_are_24_hours())
                .map_err(|_| refuse())?
        }
    };
    if length.is_negative() {
        return Err("ends before it begins".to_owned());
    }
    if !is_day {
        return Ok(length);
    }
    if length.as_secs() % DAY.as_secs() != 0 {
        return Err("begins as a whole day and ends at a time of day".to_owned());
    }
    // Some programs write the day itself as the end of an event of one day.
    Ok(length.max(DAY))
}

/// Returns the dates of all events, sorted and without duplicates.
fn dates(events: &[(Title, Event)], timed: Option<&TimeZone>) -> Result<Vec<String>, String> {
    // An event with a RECURRENCE-ID replaces that repetition of the event with the same UID.
    let mut replaced: BTreeMap<&str, Vec<&EventTime>> = BTreeMap::new();
    for (_, event) in events {
        if let (Some(uid), Some(moment)) = (&event.uid, &event.replaces) {
            replaced.entry(uid).or_default().push(moment);
        }
    }
    let repeating = events.iter().filter(|(_, event)| !event.rules.is_empty());
    if repeating.count() > MAX_RULES {
        return Err(format!("more than {MAX_RULES} of its events repeat"));
    }
    let mut dates = BTreeSet::new();
    for (title, event) in events.iter().filter(|(_, event)| !event.cancelled) {
        let none = Vec::new();
        let replaced = match (&event.uid, &event.replaces) {
            (Some(uid), None) => replaced.get(uid.as_str()).unwrap_or(&none),
            _ => &none,
        };
        let found = event
            .dates(replaced, timed)
            .map_err(|what| format!("{title} {what}"))?;
        dates.extend(found);
        if dates.len() > MAX_DATES {
            return Err(format!(
                "it has more than {MAX_DATES} dates with {title}: add an UNTIL to its rules"
            ));
        }
    }
    Ok(dates.into_iter().collect())
}

impl Event {
    fn dates(
        &self,
        replaced: &[&EventTime],
        timed: Option<&TimeZone>,
    ) -> Result<Vec<String>, String> {
        if let EventClock::Unknown(name) = &self.start.clock {
            return Err(format!(
                "has the time zone `{}`, which is not an IANA time zone",
                name.escape_debug()
            ));
        }
        if let Some(yearly) = self.every_year(replaced) {
            return Ok(vec![yearly]);
        }
        let mut occurrences = BTreeSet::from([self.start.at]);
        for rule in &self.rules {
            let repetitions = expand(rule, &self.start)?;
            if !repetitions.contains(&self.start.at) {
                return Err(format!(
                    "begins on a day that its rule `{}` does not have, which RFC 5545 leaves undefined",
                    rule.escape_debug()
                ));
            }
            occurrences.extend(repetitions);
        }
        for moment in &self.added {
            occurrences.insert(moment.on(&self.start.clock, "RDATE")?);
        }
        for moment in &self.excepted {
            occurrences.remove(&moment.on(&self.start.clock, "EXDATE")?);
        }
        for moment in replaced {
            occurrences.remove(&moment.on(&self.start.clock, "RECURRENCE-ID")?);
        }
        let days = occurrences
            .into_iter()
            .map(|from| self.days(from, timed))
            .collect::<Result<Vec<_>, _>>()?;
        let written = days
            .into_iter()
            .filter(|(first, last)| *last >= FIRST && *first <= LAST)
            .map(|(first, last)| (first.max(FIRST), last.min(LAST)))
            .map(|(first, last)| {
                if first == last {
                    first.to_string()
                } else {
                    format!("{first}..{last}")
                }
            });
        Ok(written.collect())
    }

    /// Returns the date without a year, such as `12-25`, if the event is one whole day in every year, without exceptions and end.
    fn every_year(&self, replaced: &[&EventTime]) -> Option<String> {
        let [rule] = self.rules.as_slice() else {
            return None;
        };
        let date = self.start.at.date();
        let alone = self.added.is_empty() && self.excepted.is_empty() && replaced.is_empty();
        let one_day = self.start.clock == EventClock::Day && self.length == DAY;
        let is_same = |part: &str| match part.split_once('=') {
            Some(("FREQ", freq)) => freq == "YEARLY",
            Some(("INTERVAL", interval)) => interval == "1",
            Some(("BYMONTH", month)) => month == date.month().to_string(),
            Some(("BYMONTHDAY", day)) => day == date.day().to_string(),
            Some(("WKST", _)) => true,
            _ => false,
        };
        // BYMONTHDAY without BYMONTH selects that day of every month.
        let every_month = rule.contains("BYMONTHDAY=") && !rule.contains("BYMONTH=");
        let holds = alone
            && one_day
            && date.year() <= SETTLED_YEAR
            && rule.contains("FREQ=YEARLY")
            && !every_month
            && rule.split(';').all(is_same);
        holds.then(|| date.strftime("%m-%d").to_string())
    }

    /// Returns the first and last day of the occurrence that begins at `from`.
    fn days(&self, from: DateTime, timed: Option<&TimeZone>) -> Result<(Date, Date), String> {
        let range = |_| "has a date out of range".to_owned();
        let to = from.checked_add(self.length).map_err(range)?;
        let (from, to) = match (&self.start.clock, timed) {
            (EventClock::Zone(own), Some(zone)) => {
                let there = |at: DateTime| {
                    let zoned = at.to_zoned(own.clone())?;
                    Ok::<_, jiff::Error>(zone.to_datetime(zoned.timestamp()))
                };
                (there(from).map_err(range)?, there(to).map_err(range)?)
            }
            _ => (from, to),
        };
        // An occurrence that ends at midnight does not overlap the day that begins then.
        let last = if to > from {
            to.checked_sub(SignedDuration::from_nanos(1))
                .map_err(range)?
        } else {
            from
        };
        Ok((from.date(), last.date()))
    }
}

/// Expands a rule for an event that begins at `start`, on the event's clock, up to the last date on which schedules have edges.
fn expand(rule: &str, start: &EventTime) -> Result<BTreeSet<DateTime>, String> {
    let refuse = |what: &str| format!("repeats by `{}`{what}", rule.escape_debug());
    if start.at.year() < 1900 || start.at.date() > LAST {
        return Err(refuse(" from a date on that is out of range"));
    }
    let mut parts = Vec::new();
    let last = LAST.at(23, 59, 59, 0);
    let mut until = Some(last);
    for part in rule.split(';').filter(|part| !part.is_empty()) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"=,+-".contains(&byte);
        let (key, value) = part
            .split_once('=')
            .filter(|_| part.bytes().all(allowed))
            .ok_or_else(|| refuse(", which is not a rule"))?;
        match key {
            "FREQ" if !["DAILY", "WEEKLY", "MONTHLY", "YEARLY"].contains(&value) => {
                return Err(refuse(", within a day"));
            }
            "BYHOUR" | "BYMINUTE" | "BYSECOND" => return Err(refuse(", within a day")),
            "UNTIL" => {
                let moment = EventTime::parse(value, None)
                    .ok_or_else(|| refuse(", whose UNTIL is not a date"))?;
                until = Some(end_of(&moment, start).min(last));
                continue;
            }
            // A rule has COUNT or UNTIL, not both; occurrences after the last date are removed below.
            "COUNT" => until = None,
            _ => {}
        }
        parts.push(part.to_owned());
    }
    if let Some(until) = until {
        parts.push(format!("UNTIL={}", until.strftime("%Y%m%dT%H%M%SZ")));
    }
    let text = format!(
        "DTSTART:{}\nRRULE:{}",
        start.at.strftime("%Y%m%dT%H%M%SZ"),
        parts.join(";")
    );
    let set: rrule::RRuleSet = text
        .parse()
        .map_err(|error: rrule::RRuleError| refuse(&format!(", which can't be read: {error}")))?;
    let limit = u16::try_from(MAX_DATES).unwrap_or(u16::MAX);
    let found = set.all(limit);
    if found.limited {
        return Err(refuse(
            ", too often or too rarely until 2199: add an UNTIL, or list the dates",
        ));
    }
    Ok(found
        .dates
        .iter()
        .filter_map(|at| Timestamp::from_second(at.timestamp()).ok())
        .map(|at| TimeZone::UTC.to_datetime(at))
        .filter(|at| *at <= last)
        .collect())
}

/// Converts UNTIL to the clock of the event. A date includes the whole day.
fn end_of(until: &EventTime, start: &EventTime) -> DateTime {
    match (&until.clock, &start.clock) {
        (EventClock::Day, _) => until.at.date().at(23, 59, 59, 0),
        (EventClock::Zone(utc), EventClock::Zone(own)) => until
            .at
            .to_zoned(utc.clone())
            .map_or(until.at, |zoned| own.to_datetime(zoned.timestamp())),
        _ => until.at,
    }
}

#[cfg(test)]
mod tests {
    use curfew_core::timetable::DateRule;
    use proptest::prelude::*;

    use super::*;

    fn calendar(events: &[&str]) -> String {
        let events = events.iter().map(|lines| {
            format!("BEGIN:VEVENT\nUID:1\nDTSTAMP:20260101T000000Z\n{lines}\nEND:VEVENT\n")
        });
        let events = events.collect::<Vec<_>>().concat();
        format!("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{events}END:VCALENDAR\n")
            .replace('\n', "\r\n")
    }

    fn days(events: &[&str]) -> Vec<String> {
        let days = read(calendar(events).as_bytes(), None).unwrap();
        assert_eq!(days.warning, None);
        days.dates
    }

    fn refusal(event: &str) -> String {
        read(calendar(&[event]).as_bytes(), None).unwrap_err()
    }

    fn in_paris(event: &str) -> Result<CalendarDates, String> {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        read(calendar(&[event]).as_bytes(), Some(&paris))
    }

    #[test]
    fn days_spans_and_yearly_days_become_dates() {
        assert_eq!(
            days(&[
                "SUMMARY:Noël\nDTSTART;VALUE=DATE:20201225\nRRULE:FREQ=YEARLY",
                "SUMMARY:Bridge\nDTSTART;VALUE=DATE:20260501\nDTEND;VALUE=DATE:20260504",
                "SUMMARY:Fair\nDTSTART;VALUE=DATE:20260914\nDTEND;VALUE=DATE:20260915",
                "DTSTART;VALUE=DATE:20200714\nRRULE:FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=14;WKST=MO",
            ]),
            ["07-14", "12-25", "2026-05-01..2026-05-03", "2026-09-14"]
        );
    }

    #[test]
    fn a_date_excepted_from_a_rule_is_left_out() {
        let text = include_bytes!("../tests/calendars/exdate.ics");
        let dates = read(text, None).unwrap().dates;
        assert!(dates.contains(&"2025-12-25".to_owned()), "{dates:?}");
        assert!(!dates.contains(&"2026-12-25".to_owned()), "{dates:?}");
        assert!(dates.contains(&"2027-12-25".to_owned()), "{dates:?}");
        assert_eq!((dates[0].as_str(), dates.len()), ("2020-12-25", 179));
    }

    #[test]
    fn the_length_of_an_event_follows_its_duration() {
        let text = include_bytes!("../tests/calendars/duration.ics");
        assert_eq!(read(text, None).unwrap().dates, ["2026-12-21..2026-12-25"]);
        for (duration, until) in [("P1W", "2026-12-27"), ("PT48H", "2026-12-22")] {
            let event = format!("DTSTART;VALUE=DATE:20261221\nDURATION:{duration}");
            assert_eq!(days(&[&event]), [format!("2026-12-21..{until}")]);
        }
    }

    #[test]
    fn rules_dates_exceptions_and_replaced_repetitions_form_one_set() {
        let weekly = "UID:w\nDTSTART;VALUE=DATE:20260102\nRRULE:FREQ=WEEKLY;COUNT=4\nRDATE;VALUE=DATE:20260105,20260106\n\
                      EXDATE;VALUE=DATE:20260109\nEXDATE;VALUE=DATE:20260105";
        // The repetition of the 16th is moved to the 19th, and that of the 23rd is cancelled.
        let moved =
            "UID:w\nRECURRENCE-ID;VALUE=DATE:20260116\nDTSTART;VALUE=DATE:20260119\nDURATION:P2D";
        let cancelled = "UID:w\nRECURRENCE-ID;VALUE=DATE:20260123\nDTSTART;VALUE=DATE:20260123\nSTATUS:CANCELLED";
        // `calendar` writes the same UID first for every event.
        assert_eq!(
            days(&[weekly, moved, cancelled]),
            ["2026-01-02", "2026-01-06", "2026-01-19..2026-01-20"]
        );
    }

    #[test]
    fn rules_are_those_of_rfc_5545() {
        for (start, rule, first, last) in [
            (
                "20260525",
                "FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO",
                "2026-05-25",
                "2199-05-27",
            ),
            (
                "20260101",
                "FREQ=DAILY;UNTIL=20260103",
                "2026-01-01",
                "2026-01-03",
            ),
            (
                "20260101",
                "FREQ=DAILY;UNTIL=20260103T120000Z",
                "2026-01-01",
                "2026-01-03",
            ),
            ("20280229", "FREQ=YEARLY", "2028-02-29", "2196-02-29"),
            ("20270501", "FREQ=YEARLY", "2027-05-01", "2199-05-01"),
            (
                "20260130",
                "FREQ=MONTHLY;BYMONTHDAY=30;COUNT=3",
                "2026-01-30",
                "2026-04-30",
            ),
        ] {
            let dates = days(&[&format!("DTSTART;VALUE=DATE:{start}\nRRULE:{rule}")]);
            assert_eq!(dates.first().map(String::as_str), Some(first), "{rule}");
            assert_eq!(dates.last().map(String::as_str), Some(last), "{rule}");
        }
    }

    #[test]
    fn cancelled_events_and_a_byte_order_mark_are_ignored() {
        assert_eq!(
            days(&[
                "DTSTART;VALUE=DATE:20260501\nSTATUS:CANCELLED",
                "DTSTART;VALUE=DATE:20260502\nSTATUS:CONFIRMED",
            ]),
            ["2026-05-02"]
        );
        let marked = format!("\u{feff}{}", calendar(&["DTSTART;VALUE=DATE:20260501"]));
        assert_eq!(read(marked.as_bytes(), None).unwrap().dates, ["2026-05-01"]);
    }

    #[test]
    fn an_event_with_a_time_is_left_out_with_a_warning_and_the_others_count() {
        let found = read(
            calendar(&[
                "SUMMARY:Meeting\nDTSTART:20260501T090000Z",
                "SUMMARY:Labour Day\nDTSTART;VALUE=DATE:20260501",
                "SUMMARY:Lunch\nDTSTART;TZID=Europe/Paris:20260501T120000\nRRULE:FREQ=DAILY",
                "SUMMARY:Tea\\, or coffee\nDTSTART:20260501T160000",
                "SUMMARY:Dinner\nDTSTART:20260501T200000",
                "SUMMARY:Off\nSTATUS:CANCELLED\nDTSTART:20260501T200000",
            ])
            .as_bytes(),
            None,
        )
        .unwrap();
        assert_eq!(found.dates, ["2026-05-01"]);
        let warning = found.warning.unwrap();
        assert!(
            warning.starts_with(
                "the event `Meeting`, the event `Lunch`, the event `Tea, or coffee` and 1 more have a time of day and are left out"
            ),
            "{warning}"
        );
    }

    #[test]
    fn with_timed_an_event_counts_for_every_day_that_it_overlaps() {
        for (event, dates) in [
            (
                "DTSTART:20260501T223000Z\nDTEND:20260501T224000Z",
                "2026-05-02",
            ),
            (
                "DTSTART:20260501T200000Z\nDTEND:20260501T220000Z",
                "2026-05-01",
            ),
            (
                "DTSTART:20260501T200000\nDURATION:PT8H",
                "2026-05-01..2026-05-02",
            ),
            (
                "DTSTART;TZID=America/New_York:20260501T190000\nDURATION:PT1H",
                "2026-05-02",
            ),
            (
                "DTSTART;TZID=\"Europe/Paris\":20260501T090000",
                "2026-05-01",
            ),
            (
                "DTSTART;TZID=Europe/Paris:20260501T090000\nRRULE:FREQ=DAILY;UNTIL=20260502T070000Z\n\
                 EXDATE:20260501T070000Z",
                "2026-05-02",
            ),
        ] {
            assert_eq!(in_paris(event).unwrap().dates, [dates], "{event}");
        }
        let outlook = "DTSTART;TZID=W. Europe Standard Time:20260501T090000";
        assert!(
            in_paris(outlook)
                .unwrap_err()
                .contains("not an IANA time zone")
        );
    }

    #[test]
    fn an_event_that_can_not_be_read_exactly_is_refused_by_title() {
        let day = "SUMMARY:X\nDTSTART;VALUE=DATE:20260501";
        for (lines, why) in [
            ("SUMMARY:X", "has no DTSTART"),
            ("SUMMARY:X\nDTSTART:yesterday", "which is no date"),
            ("SUMMARY:X\nDTSTART;VALUE=DATE:20260230", "which is no date"),
            (
                "SUMMARY:X\nDTSTART:20260501,20260502",
                "several values in its DTSTART",
            ),
            (
                &format!("{day}\nDTEND;VALUE=DATE:20260430"),
                "ends before it begins",
            ),
            (
                &format!("{day}\nDTEND:20260501T120000"),
                "DTEND of another form",
            ),
            (
                &format!("{day}\nDTEND;VALUE=DATE:20260502\nDURATION:P1D"),
                "both a DTEND and a DURATION",
            ),
            (&format!("{day}\nDURATION:PT8H"), "ends at a time of day"),
            (&format!("{day}\nDURATION:P1M"), "`P1M`"),
            (&format!("{day}\nEXRULE:FREQ=DAILY"), "EXRULE"),
            (
                &format!("{day}\nEXDATE:20260501T120000"),
                "EXDATE of another form",
            ),
            (
                &format!("{day}\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260501"),
                "RANGE=THISANDFUTURE",
            ),
            (
                &format!("{day}\nRDATE;VALUE=PERIOD:20260501T000000Z/P1D"),
                "which is no date",
            ),
            (&format!("{day}\nRRULE:FREQ=HOURLY"), "within a day"),
            (&format!("{day}\nRRULE:FREQ=DAILY;BYHOUR=3"), "within a day"),
            (&format!("{day}\nRRULE:FREQ=WEEKLY"), "add an UNTIL"),
            (
                &format!("{day}\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
                "begins on a day that its rule",
            ),
            (
                &format!("{day}\nRRULE:FREQ=YEARLY;BYMONTH=6"),
                "begins on a day that its rule",
            ),
            (&format!("{day}\nRRULE:FREQ=SOMETIMES"), "within a day"),
            (&format!("{day}\nRRULE:YEARLY"), "is not a rule"),
            (
                &format!("{day}\nRRULE:FREQ=YEARLY;COLOUR=RED"),
                "can't be read",
            ),
        ] {
            let found = refusal(lines);
            assert!(found.contains(why), "{lines}: {found}");
            assert!(found.contains("the event `X`"), "{lines}: {found}");
        }
    }

    #[test]
    fn a_file_that_is_not_a_calendar_is_refused() {
        assert_eq!(
            read(calendar(&[]).as_bytes(), None),
            Err("it has no events".into())
        );
        for (text, why) in [
            ("hello", "it is not an iCalendar file"),
            ("X:1\nBEGIN:VCALENDAR\nEND:VCALENDAR", "lines outside"),
            (
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nnothing\nEND:VEVENT\nEND:VCALENDAR",
                "not `NAME:VALUE`",
            ),
            ("", "it is not an iCalendar file"),
            ("BEGIN:VEVENT\nEND:VEVENT", "`BEGIN:VCALENDAR` must be"),
            (
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR",
                "does not match the last `BEGIN`",
            ),
            (
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT",
                "`BEGIN:VCALENDAR` has no end",
            ),
            (
                "BEGIN:VCALENDAR\nMETHOD:CANCEL\nEND:VCALENDAR",
                "it cancels events",
            ),
        ] {
            let found = read(text.as_bytes(), None).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
        assert!(
            read(b"BEGIN:VCALENDAR\xff", None)
                .unwrap_err()
                .contains("UTF-8")
        );
    }

    /// The parser is recursive: these files would overflow its stack.
    #[test]
    fn a_calendar_that_is_too_deep_or_too_large_is_refused_before_it_is_parsed() {
        let nested = |name: &str| {
            let deep = 100_000 / 16;
            let open = format!("BEGIN:{name}\n").repeat(deep);
            let close = format!("END:{name}\n").repeat(deep);
            format!("BEGIN:VCALENDAR\n{open}{close}END:VCALENDAR\n")
        };
        assert!(
            read(nested("VCALENDAR").as_bytes(), None)
                .unwrap_err()
                .contains("occur once")
        );
        assert!(
            read(nested("VEVENT").as_bytes(), None)
                .unwrap_err()
                .contains("nested more than 8 deep")
        );
        let large = vec![b'\n'; MAX_BYTES + 1];
        assert!(
            read(&large, None)
                .unwrap_err()
                .contains("larger than 1024 KiB")
        );
        let many = vec!["DTSTART;VALUE=DATE:20260501"; MAX_EVENTS + 1];
        assert!(
            read(calendar(&many).as_bytes(), None)
                .unwrap_err()
                .contains("more than 5000 events")
        );
        assert_eq!(days(&many[1..]), ["2026-05-01"]);
        let many = ["DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY"; MAX_RULES + 1];
        assert!(
            read(calendar(&many).as_bytes(), None)
                .unwrap_err()
                .contains("more than 200 of its events repeat")
        );
        let many = ["DTSTART;VALUE=DATE:20270501\nRRULE:FREQ=MONTHLY"; 2];
        assert_eq!(days(&many).len(), 2072);
    }

    /// Generates lines and parts of lines of calendars in any order.
    fn soup() -> impl Strategy<Value = String> {
        let words = proptest::sample::select(vec![
            "\n",
            "\n",
            ":",
            ";",
            ",",
            "=",
            "BEGIN:VEVENT\n",
            "END:VEVENT\n",
            "BEGIN:",
            "END:",
            "DTSTART",
            "DTSTART;VALUE=DATE:",
            "\nDTSTART:20260501\n",
            "\nDTEND:",
            "\nDURATION:",
            "P1D",
            "PT8H",
            "-P1D",
            "\nRRULE:FREQ=",
            "YEARLY",
            "MONTHLY",
            "WEEKLY",
            "DAILY",
            ";COUNT=",
            ";UNTIL=",
            ";INTERVAL=",
            ";BYDAY=",
            "-1MO",
            "FR",
            ";BYMONTH=",
            ";BYMONTHDAY=",
            ";BYSETPOS=",
            ";BYWEEKNO=",
            ";BYYEARDAY=",
            ";WKST=MO",
            "-1",
            "0",
            "1",
            "5",
            "366",
            "99999",
            "\nEXDATE:",
            "\nRDATE:",
            "\nRECURRENCE-ID:",
            "20260501",
            "20260501T090000",
            "20260501T090000Z",
            "19700101",
            "99991231",
            "00010101",
            "\nUID:1\n",
            "\nSTATUS:CANCELLED\n",
            "TZID=Europe/Paris:",
            "é",
            "\u{0}",
            "\"",
        ]);
        prop_oneof![
            ".{0,60}",
            proptest::collection::vec(words, 0..16).prop_map(|words| words.concat())
        ]
    }

    proptest! {
        /// Every date that is found is valid in a schedule.
        #[test]
        fn no_text_panics(text in soup()) {
            let framed = calendar(&[&text]);
            let bare = format!("BEGIN:VCALENDAR\n{text}\nEND:VCALENDAR");
            for text in [&text, &framed, &bare] {
                for zone in [None, TimeZone::get("Europe/Paris").ok()] {
                    if let Ok(days) = read(text.as_bytes(), zone.as_ref()) {
                        for date in days.dates {
                            prop_assert!(date.parse::<DateRule>().is_ok(), "{}", date);
                        }
                    }
                }
            }
        }
    }
}
