//! iCalendar files (RFC 5545) as dates: the days of their events, with what repeats, is left out, moved or cancelled.
//!
//! Bytes in, dates in the notation of `except` out; no file is read here and no clock. What can't be read as it is meant is
//! refused with the event's title, because a holiday that is left out silently is a day on which a fleet starts.
//!
//! Sizes are bounded before anything is parsed: the parser descends into nested components, and a rule may repeat without
//! end. The rules themselves are expanded by `rrule`, which gets and returns text and seconds: none of its chrono values
//! leaves [`expand`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use icalendar::parser::{Component, Property, read_calendar_simple, unfold};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// The largest file that is read, in bytes. Public holidays of one country for a century are a tenth of it; more costs
/// time at each reload.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Calendar, event, alarm are three. The parser calls itself for each level, and a thread's stack ends at some thousands.
const MAX_DEPTH: usize = 8;

/// The most events of a file. Each is compared with those that stand for a repetition of one with its UID.
const MAX_EVENTS: usize = 5000;

/// The most events of a file that repeat. A rule that hardly ever matches takes some tens of milliseconds to expand.
const MAX_RULES: usize = 200;

/// The most dates that a file may stand for. They travel in the configuration document; a day of every month until 2199 fits, and
/// a day of every week does not.
const MAX_DATES: usize = 2500;

/// The dates in which schedules have edges; a rule without an end is expanded until the last one.
const FIRST: Date = Date::constant(1970, 1, 1);
const LAST: Date = Date::constant(2199, 12, 31);

/// An event that returns every year is written as `12-25`, without a year, when it began in this year or before: there is no
/// later time at which the years before its first make a difference. Raising it shortens the document, and nothing else.
const SETTLED_YEAR: i16 = 2026;

/// How many titles a message names.
const NAMED: usize = 3;

/// What a calendar comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    /// The days of its events: `2026-05-01`, `2026-05-01..2026-05-03`, `12-25` for every year.
    pub(super) dates: Vec<String>,
    /// A sentence about the events that have a time of day and were not asked for.
    pub(super) warning: Option<String>,
}

/// Reads a calendar.
///
/// Events are whole days. Those with a time of day are left out with a warning, unless `timed` is there: then the days that
/// they touch count, as a clock in that zone shows them.
///
/// # Errors
///
/// One sentence says what can't be read, and names the event.
pub(super) fn read(bytes: &[u8], timed: Option<&TimeZone>) -> Result<Days, String> {
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
        if timed.is_none() && event.start.clock != Clock::Day && !event.cancelled {
            left_out.push(title);
        } else {
            read.push((title, event));
        }
    }
    Ok(Days {
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

/// The text of each event, after a look at how deep everything goes. The parser gets them one by one: the time that it takes
/// grows faster than the text.
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
                    "`BEGIN:VCALENDAR` begins it, and stands nowhere else",
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
            let begun = begun.ok_or_else(|| refuse("an `END` does not end what was begun last"))?;
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

/// How messages call an event.
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

/// Which clock shows a time.
#[derive(Clone, Debug, PartialEq)]
enum Clock {
    /// None: it is a whole day.
    Day,
    /// The one on the wall, wherever that is.
    Floating,
    Zone(TimeZone),
    /// By a name that is not an IANA time zone.
    Unknown(String),
}

/// A date, or a date with a time; of a whole day its midnight.
#[derive(Clone, Debug, PartialEq)]
struct Moment {
    at: DateTime,
    clock: Clock,
}

impl Moment {
    /// The values of a property, which are separated by commas.
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
                clock: Clock::Day,
            });
        }
        let (local, clock) = match (value.strip_suffix('Z'), zone) {
            (Some(local), _) => (local, Clock::Zone(TimeZone::UTC)),
            (None, None) => (value, Clock::Floating),
            (None, Some(name)) => match TimeZone::get(name) {
                Ok(zone) => (value, Clock::Zone(zone)),
                Err(_) => (value, Clock::Unknown(name.to_owned())),
            },
        };
        let (date, time) = local.split_once('T')?;
        if date.len() != 8 || time.len() != 6 || !digits(date) || !digits(time) {
            return None;
        }
        let at = DateTime::strptime("%Y%m%dT%H%M%S", local).ok()?;
        Some(Self { at, clock })
    }

    /// The same on the clock of an event: its exceptions and additions may be written otherwise.
    fn on(&self, clock: &Clock, name: &str) -> Result<DateTime, String> {
        let midnight = self.at == self.at.date().at(0, 0, 0, 0);
        match (clock, &self.clock) {
            (own, other) if own == other => Ok(self.at),
            // Outlook writes whole days so.
            (Clock::Day, other) if midnight && *other != Clock::Zone(TimeZone::UTC) => Ok(self.at),
            (Clock::Zone(own), Clock::Zone(other)) => self
                .at
                .to_zoned(other.clone())
                .map(|zoned| own.to_datetime(zoned.timestamp()))
                .map_err(|_| format!("has a {name} out of range")),
            _ => Err(format!(
                "has a {name} that is written otherwise than its start: a date for a whole day, a time in the same zone for others"
            )),
        }
    }
}

/// An event as it is written.
#[derive(Debug)]
struct Event {
    /// What its exceptions are found by.
    uid: Option<String>,
    /// Which one of the repetitions it stands for.
    replaces: Option<Moment>,
    cancelled: bool,
    start: Moment,
    /// How long it lasts; of a whole day at least a day.
    length: SignedDuration,
    rules: Vec<String>,
    added: Vec<Moment>,
    excepted: Vec<Moment>,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Event {
    fn read(component: &Component<'_>) -> Result<Self, String> {
        let start = property(component, "DTSTART").ok_or("has no DTSTART, and so no date")?;
        let start = Moment::one(start)?;
        let texts = |name| {
            properties(component, name)
                .map(|property| property.val.as_str().trim().to_ascii_uppercase())
                .collect::<Vec<_>>()
        };
        let moments = |name| {
            properties(component, name).try_fold(Vec::new(), |mut all, property| {
                all.extend(Moment::all(property)?);
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
            replaces: replaces.map(Moment::one).transpose()?,
            cancelled: texts("STATUS").iter().any(|status| status == "CANCELLED"),
            length: length(component, &start)?,
            rules: texts("RRULE"),
            added: moments("RDATE")?,
            excepted: moments("EXDATE")?,
            start,
        };
        if event.replaces.is_some() && !(event.rules.is_empty() && event.added.is_empty()) {
            return Err("stands for one repetition (RECURRENCE-ID) and repeats itself".to_owned());
        }
        Ok(event)
    }
}

/// From DTEND, which is the first day or instant after the event, or DURATION; a day for a whole day with neither.
fn length(component: &Component<'_>, start: &Moment) -> Result<SignedDuration, String> {
    let is_day = start.clock == Clock::Day;
    let length = match (
        property(component, "DTEND"),
        property(component, "DURATION"),
    ) {
        (Some(_), Some(_)) => return Err("has both a DTEND and a DURATION".to_owned()),
        (None, None) => return Ok(if is_day { DAY } else { SignedDuration::ZERO }),
        (Some(end), None) => {
            let end = Moment::one(end)?;
            let both_days = is_day == (end.clock == Clock::Day);
            let end = end
                .on(&start.clock, "DTEND")
                .ok()
                .filter(|_| both_days)
                .ok_or("has a DTEND that is written otherwise than its DTSTART")?;
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
    // Some programs write the last day itself as the end of an event of one day.
    Ok(length.max(DAY))
}

/// The dates of all events, sorted.
fn dates(events: &[(Title, Event)], timed: Option<&TimeZone>) -> Result<Vec<String>, String> {
    // What stands for a repetition takes it out of those of the event with the same UID.
    let mut replaced: BTreeMap<&str, Vec<&Moment>> = BTreeMap::new();
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
                "it stands for more than {MAX_DATES} dates with {title}: give rules an UNTIL"
            ));
        }
    }
    Ok(dates.into_iter().collect())
}

impl Event {
    fn dates(&self, replaced: &[&Moment], timed: Option<&TimeZone>) -> Result<Vec<String>, String> {
        if let Clock::Unknown(name) = &self.start.clock {
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

    /// `12-25`, where that is the same: one whole day of every year, without exception and for ever.
    fn every_year(&self, replaced: &[&Moment]) -> Option<String> {
        let [rule] = self.rules.as_slice() else {
            return None;
        };
        let date = self.start.at.date();
        let alone = self.added.is_empty() && self.excepted.is_empty() && replaced.is_empty();
        let one_day = self.start.clock == Clock::Day && self.length == DAY;
        let is_same = |part: &str| match part.split_once('=') {
            Some(("FREQ", freq)) => freq == "YEARLY",
            Some(("INTERVAL", interval)) => interval == "1",
            Some(("BYMONTH", month)) => month == date.month().to_string(),
            Some(("BYMONTHDAY", day)) => day == date.day().to_string(),
            Some(("WKST", _)) => true,
            _ => false,
        };
        // A day of the month alone would be that day of every month.
        let every_month = rule.contains("BYMONTHDAY=") && !rule.contains("BYMONTH=");
        let holds = alone
            && one_day
            && date.year() <= SETTLED_YEAR
            && rule.contains("FREQ=YEARLY")
            && !every_month
            && rule.split(';').all(is_same);
        holds.then(|| date.strftime("%m-%d").to_string())
    }

    /// The first and the last day of what begins at `from`.
    fn days(&self, from: DateTime, timed: Option<&TimeZone>) -> Result<(Date, Date), String> {
        let range = |_| "has a date out of range".to_owned();
        let to = from.checked_add(self.length).map_err(range)?;
        let (from, to) = match (&self.start.clock, timed) {
            (Clock::Zone(own), Some(zone)) => {
                let there = |at: DateTime| {
                    let zoned = at.to_zoned(own.clone())?;
                    Ok::<_, jiff::Error>(zone.to_datetime(zoned.timestamp()))
                };
                (there(from).map_err(range)?, there(to).map_err(range)?)
            }
            _ => (from, to),
        };
        // What ends at midnight has nothing of the day that begins then.
        let last = if to > from {
            to.checked_sub(SignedDuration::from_nanos(1))
                .map_err(range)?
        } else {
            from
        };
        Ok((from.date(), last.date()))
    }
}

/// When a rule repeats what begins at `start`, on the same clock, until the last date that counts.
fn expand(rule: &str, start: &Moment) -> Result<BTreeSet<DateTime>, String> {
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
                let moment = Moment::parse(value, None)
                    .ok_or_else(|| refuse(", whose UNTIL is not a date"))?;
                until = Some(end_of(&moment, start).min(last));
                continue;
            }
            // With a count there is no other end; those after the last date are left out below.
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
            ", too often or hardly ever until 2199: give it an UNTIL, or list the dates",
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

/// Where UNTIL ends a rule, on the clock of the event: the whole of its day, where it is one.
fn end_of(until: &Moment, start: &Moment) -> DateTime {
    match (&until.clock, &start.clock) {
        (Clock::Day, _) => until.at.date().at(23, 59, 59, 0),
        (Clock::Zone(utc), Clock::Zone(own)) => until
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

    fn in_paris(event: &str) -> Result<Days, String> {
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
    fn a_date_that_is_taken_out_of_a_rule_is_none() {
        let text = include_bytes!("../tests/calendars/exdate.ics");
        let dates = read(text, None).unwrap().dates;
        assert!(dates.contains(&"2025-12-25".to_owned()), "{dates:?}");
        assert!(!dates.contains(&"2026-12-25".to_owned()), "{dates:?}");
        assert!(dates.contains(&"2027-12-25".to_owned()), "{dates:?}");
        assert_eq!((dates[0].as_str(), dates.len()), ("2020-12-25", 179));
    }

    #[test]
    fn a_duration_lasts_as_long_as_it_says() {
        let text = include_bytes!("../tests/calendars/duration.ics");
        assert_eq!(read(text, None).unwrap().dates, ["2026-12-21..2026-12-25"]);
        for (duration, until) in [("P1W", "2026-12-27"), ("PT48H", "2026-12-22")] {
            let event = format!("DTSTART;VALUE=DATE:20261221\nDURATION:{duration}");
            assert_eq!(days(&[&event]), [format!("2026-12-21..{until}")]);
        }
    }

    #[test]
    fn rules_dates_exceptions_and_what_replaces_a_repetition_are_one_set() {
        let weekly = "UID:w\nDTSTART;VALUE=DATE:20260102\nRRULE:FREQ=WEEKLY;COUNT=4\nRDATE;VALUE=DATE:20260105,20260106\n\
                      EXDATE;VALUE=DATE:20260109\nEXDATE;VALUE=DATE:20260105";
        // The event of the 16th is on the 19th, and that of the 23rd is cancelled.
        let moved =
            "UID:w\nRECURRENCE-ID;VALUE=DATE:20260116\nDTSTART;VALUE=DATE:20260119\nDURATION:P2D";
        let cancelled = "UID:w\nRECURRENCE-ID;VALUE=DATE:20260123\nDTSTART;VALUE=DATE:20260123\nSTATUS:CANCELLED";
        // The UID of `calendar` comes first and is the same for all.
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
    fn a_cancelled_event_is_none_and_a_byte_order_mark_is_nothing() {
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
    fn an_event_with_a_time_is_left_out_by_name_and_the_rest_counts() {
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
    fn a_time_of_day_counts_for_the_days_it_touches_where_it_is_asked_for() {
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
    fn what_can_not_be_read_as_it_is_meant_is_refused_by_name() {
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
                "DTEND that is written otherwise",
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
                "EXDATE that is written otherwise",
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
            (&format!("{day}\nRRULE:FREQ=WEEKLY"), "give it an UNTIL"),
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
    fn what_is_no_calendar_is_refused() {
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
            ("BEGIN:VEVENT\nEND:VEVENT", "`BEGIN:VCALENDAR` begins it"),
            (
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR",
                "does not end what was begun last",
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

    /// The parser calls itself for each level: these would overflow its stack.
    #[test]
    fn what_is_too_deep_too_large_or_too_much_is_refused_before_it_is_parsed() {
        let nested = |name: &str| {
            let deep = 100_000 / 16;
            let open = format!("BEGIN:{name}\n").repeat(deep);
            let close = format!("END:{name}\n").repeat(deep);
            format!("BEGIN:VCALENDAR\n{open}{close}END:VCALENDAR\n")
        };
        assert!(
            read(nested("VCALENDAR").as_bytes(), None)
                .unwrap_err()
                .contains("nowhere else")
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

    /// Lines and parts of lines that calendars have, in any order.
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
        /// What is understood is dates that a schedule takes.
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
