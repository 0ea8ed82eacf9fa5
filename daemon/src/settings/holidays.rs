//! Holiday files: an entry of `except` or `only` that ends in `.ics` stands for the days in that calendar.
//!
//! They are read here, once, and become plain dates: `core` reads no files, and the Lambda gets the dates.

use std::path::{Path, PathBuf};

use curfew_core::problem::Problem;
use icalendar::{Calendar, CalendarComponent, CalendarDateTime, Component, DatePerhapsTime, Event};
use jiff::civil::Date;

use super::RawSettings;

/// What came of the holiday files.
#[derive(Debug, Default)]
pub(super) struct Holidays {
    /// All that are named, readable or not.
    pub(super) files: Vec<PathBuf>,
    /// What is wrong with them.
    pub(super) problems: Vec<Problem>,
}

/// Replaces every holiday file by its dates. Paths are relative to `directory`, that of the settings file.
pub(super) fn read_in(raw: &mut RawSettings, directory: &Path) -> Holidays {
    let mut found = Holidays::default();
    for (name, schedule) in &mut raw.schedules {
        for (key, entries) in [
            ("except", &mut schedule.except),
            ("only", &mut schedule.only),
        ] {
            let written = std::mem::take(entries);
            for (index, entry) in written.into_iter().enumerate() {
                if !is_calendar(&entry) {
                    entries.push(entry);
                    continue;
                }
                let file = directory.join(&entry);
                match dates_of_file(&file) {
                    Ok(dates) => entries.extend(dates),
                    Err(message) => found.problems.push(Problem::new(
                        format!("schedules.{name}.{key}[{index}]"),
                        message,
                    )),
                }
                found.files.push(file);
            }
        }
    }
    found
}

fn is_calendar(entry: &str) -> bool {
    PathBuf::from(entry)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("ics"))
}

fn dates_of_file(path: &Path) -> Result<Vec<String>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the holiday file `{shown}` can't be read: {error}"))?;
    dates_of(&text)
        .map_err(|problem| format!("the holiday file `{shown}` can't be used: {problem}"))
}

/// The days of all events, as `except` writes them: `2026-05-01`, `2026-05-01..2026-05-03`, `12-25` for every year.
fn dates_of(text: &str) -> Result<Vec<String>, String> {
    let calendar: Calendar = text
        .parse()
        .map_err(|_| "it is not an iCalendar file".to_owned())?;
    let events: Vec<&Event> = calendar
        .components
        .iter()
        .filter_map(|component| match component {
            CalendarComponent::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    if events.is_empty() {
        return Err("it has no events".to_owned());
    }
    let mut dates = events
        .into_iter()
        .map(dates_of_event)
        .collect::<Result<Vec<_>, _>>()?;
    dates.sort();
    dates.dedup();
    Ok(dates)
}

fn dates_of_event(event: &Event) -> Result<String, String> {
    let title = event
        .get_summary()
        .unwrap_or("without a title")
        .escape_debug()
        .to_string();
    let whole_day = |at: DatePerhapsTime| match at {
        DatePerhapsTime::Date(date) => date.to_string().parse::<Date>().ok(),
        DatePerhapsTime::DateTime(
            CalendarDateTime::Floating(_)
            | CalendarDateTime::Utc(_)
            | CalendarDateTime::WithTimezone { .. },
        ) => None,
    };
    let refuse = |what: &str| format!("the event `{title}` {what}");
    let start = event.get_start().ok_or_else(|| refuse("has no date"))?;
    let first = whole_day(start).ok_or_else(|| {
        refuse("has a time of day; a holiday is a whole day (`DTSTART;VALUE=DATE:20261225`)")
    })?;
    // RFC 5545: DTEND is the day after the last one; without it the event has one day.
    let last = match event.get_end() {
        None => first,
        Some(end) => {
            let after = whole_day(end)
                .ok_or_else(|| refuse("ends at a time of day; a holiday is a whole day"))?;
            after
                .yesterday()
                .map_err(|_| refuse("has an end out of range"))?
                .max(first)
        }
    };
    match event.property_value("RRULE") {
        None if first == last => Ok(first.to_string()),
        None => Ok(format!("{first}..{last}")),
        Some("FREQ=YEARLY" | "FREQ=YEARLY;INTERVAL=1") if first == last => {
            Ok(first.strftime("%m-%d").to_string())
        }
        Some(rule) => Err(refuse(&format!(
            "repeats by `{}`; of rules only `FREQ=YEARLY` for a single day is understood: list the dates instead",
            rule.escape_debug()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(events: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\n{events}END:VCALENDAR\r\n")
            .replace('\n', "\r\n")
            .replace("\r\r", "\r")
    }

    fn event(lines: &str) -> String {
        format!("BEGIN:VEVENT\nUID:1\nDTSTAMP:20260101T000000Z\n{lines}\nEND:VEVENT\n")
    }

    #[test]
    fn days_spans_and_yearly_days_become_dates() {
        let text = calendar(
            &[
                event("SUMMARY:Noël\nDTSTART;VALUE=DATE:20201225\nRRULE:FREQ=YEARLY"),
                event("SUMMARY:Bridge\nDTSTART;VALUE=DATE:20260501\nDTEND;VALUE=DATE:20260504"),
                event("SUMMARY:Fair\nDTSTART;VALUE=DATE:20260914\nDTEND;VALUE=DATE:20260915"),
            ]
            .concat(),
        );
        assert_eq!(
            dates_of(&text).unwrap(),
            ["12-25", "2026-05-01..2026-05-03", "2026-09-14"]
        );
    }

    #[test]
    fn what_is_no_whole_day_is_refused_by_name() {
        let meeting = calendar(&event("SUMMARY:Meeting\nDTSTART:20260501T090000Z"));
        assert!(
            dates_of(&meeting)
                .unwrap_err()
                .starts_with("the event `Meeting` has a time of day")
        );
        let easter = calendar(&event(
            "SUMMARY:Weekly\nDTSTART;VALUE=DATE:20260501\nRRULE:FREQ=WEEKLY",
        ));
        assert!(dates_of(&easter).unwrap_err().contains("`FREQ=WEEKLY`"));
        assert_eq!(dates_of(&calendar("")).unwrap_err(), "it has no events");
        assert!(dates_of("hello").is_err());
    }
}
