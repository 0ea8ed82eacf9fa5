//! Holiday files: an entry of `except` or `only` that ends in `.ics` stands for the days in that calendar.
//!
//! They are read here, once, and become plain dates: `core` reads no files, and the Lambda gets the dates. What a calendar
//! means is in [`calendar`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use curfew_core::problem::Problem;
use jiff::tz::TimeZone;

use super::RawConfiguration;
use super::calendar::{self, Days};

/// What came of the holiday files.
#[derive(Debug, Default)]
pub(super) struct Holidays {
    /// All that are named, readable or not.
    pub(super) files: Vec<PathBuf>,
    /// What is wrong with them.
    pub(super) problems: Vec<Problem>,
    /// What of them is left out.
    pub(super) warnings: Vec<Problem>,
}

/// Replaces every holiday file by its dates. Paths are relative to `directory`, that of the configuration file.
pub(super) fn read_in(raw: &mut RawConfiguration, directory: &Path) -> Holidays {
    let mut found = Holidays::default();
    let mut calendars = Calendars::default();
    for (name, schedule) in &mut raw.schedules {
        // A zone that is none is a problem of its own.
        let zone = schedule
            .timezone
            .as_deref()
            .and_then(|name| TimeZone::get(name).ok());
        // It says how calendars are read, which the Lambda does not do.
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
                    Ok(Days { dates, warning }) => {
                        if let Some(warning) = warning {
                            found
                                .warnings
                                .push(problem(&format!("in the holiday file `{shown}` {warning}")));
                        }
                        // Without a date `only` would limit nothing.
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

/// Calendars that were read: several schedules often name one.
#[derive(Debug, Default)]
struct Calendars(HashMap<(PathBuf, Option<String>), Result<Days, String>>);

impl Calendars {
    fn read(&mut self, path: &Path, timed: Option<&TimeZone>) -> Result<Days, String> {
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
