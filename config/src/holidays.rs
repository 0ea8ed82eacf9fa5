//! Holiday files: an entry of `except` or `only` that ends in `.ics` is replaced by the days of that calendar.
//!
//! The files are read here and become plain dates, since `core` reads no files and the Lambda receives only the dates. Parsing is
//! in [`calendar`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use curfew_core::problem::Problem;
use jiff::tz::TimeZone;

use super::RawConfiguration;
use super::calendar::{self, CalendarDates};

/// The result of reading the holiday files.
#[derive(Debug, Default)]
pub(super) struct Holidays {
    /// All files that the configuration names, readable or not.
    pub(super) files: Vec<PathBuf>,
    /// The problems of files that can't be used.
    pub(super) problems: Vec<Problem>,
    /// Warnings about events that are left out.
    pub(super) warnings: Vec<Problem>,
}

/// Replaces every holiday file by its dates. Paths are relative to `directory`, that of the configuration file.
pub(super) fn read_in(raw: &mut RawConfiguration, directory: &Path) -> Holidays {
    let mut found = Holidays::default();
    let mut calendars = Calendars::default();
    for (name, schedule) in &mut raw.schedules {
        // An invalid zone is reported when the schedule is resolved.
        let zone = schedule
            .timezone
            .as_deref()
            .and_then(|name| TimeZone::get(name).ok());
        // `timed` affects only how calendars are read; the Lambda's document does not contain it.
        let timed = std::mem::take(&mut schedule.timed);
        let zone = zone.filter(|_| timed);
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
                let problem =
                    |what: &str| Problem::new(format!("schedules.{name}.{key}[{index}]"), what);
                let path = directory.join(&entry);
                let shown = path.display();
                match calendars.read(&path, zone.as_ref()) {
                    Err(message) => found.problems.push(problem(&message)),
                    Ok(CalendarDates { dates, warning }) => {
                        if let Some(warning) = warning {
                            found
                                .warnings
                                .push(problem(&format!("in the holiday file `{shown}` {warning}")));
                        }
                        // An empty `only` would allow every day.
                        if dates.is_empty() && entries.is_empty() && key == "only" {
                            found.problems.push(problem(&format!(
                                "the holiday file `{shown}` has no day that counts, and `only` without days would allow every day"
                            )));
                        }
                        entries.extend(dates);
                    }
                }
                found.files.push(path);
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

/// A cache of calendars, since several schedules often name the same file.
#[derive(Debug, Default)]
struct Calendars(HashMap<(PathBuf, Option<String>), Result<CalendarDates, String>>);

impl Calendars {
    fn read(&mut self, path: &Path, timed: Option<&TimeZone>) -> Result<CalendarDates, String> {
        let zone = timed.and_then(TimeZone::iana_name).map(str::to_owned);
        let read = || {
            let shown = path.display();
            let bytes = curfew_files::read(path, calendar::MAX_BYTES as u64)
                .map_err(|error| format!("the holiday file `{shown}` can't be read: {error}"))?;
            calendar::read(&bytes, timed)
                .map_err(|problem| format!("the holiday file `{shown}` can't be used: {problem}"))
        };
        let key = (path.to_owned(), zone);
        self.0.entry(key).or_insert_with(read).clone()
    }
}
