//! The parts of a timetable that never fire: crons and windows without a day, and last working days that `except` takes out.
//!
//! All of them are valid, since an exception or a date in the past may be intended. `curfew check` reports them as warnings.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

use super::calendar::{DateBounds, Days, Month, Wall};
use super::clock::wall_at;
use super::cron::Cron;
use super::days::MonthDays;
use super::rules::ZonedRules;
use super::{Action, Desired};

/// How many days ahead to search for working days that `except` takes out: a year's holidays are usually known that far
/// ahead. A longer range costs time and warns about holidays that are not entered yet.
const AHEAD_DAYS: i64 = 400;

/// Returns a sentence for each part of `rules` that never fires after `now`.
pub(super) fn sentences(rules: &ZonedRules, now: Timestamp) -> Vec<String> {
    let wall = wall_at(&rules.zone, now);
    let mut found = Vec::new();
    for (crons, action) in [(&rules.starts, Action::Start), (&rules.stops, Action::Stop)] {
        for cron in crons {
            if !happens_after(cron, wall) {
                let again = if happens_after(cron, Wall::midnight(DateBounds::ALL.first)) {
                    " again"
                } else {
                    ""
                };
                found.push(format!("the {action} cron `{cron}` never fires{again}"));
            }
        }
    }
    for window in rules.coverage.windows() {
        let days = |month| window.days(month);
        if DateBounds::ALL.first_day_from(wall.date, days).is_none() {
            found.push(format!(
                "the window `{window}` never begins: no month has such a day"
            ));
        }
    }
    let over = rules.next_edge(now).is_none() && rules.desired(now) != Desired::Running;
    if over && found.is_empty() {
        found.push("nothing starts or stops any more: `except` and `only` leave no day".to_owned());
    }
    let windows = rules
        .coverage
        .windows()
        .filter_map(|window| Some((format!("window `{window}`"), window.dates()?)));
    let starts = rules
        .starts
        .iter()
        .filter_map(|cron| Some((format!("start cron `{cron}`"), cron.dates()?)));
    for (part, dates) in windows.chain(starts) {
        if let Some(date) = excepted_workday(rules, dates, wall.date) {
            found.push(format!(
                "the {part} falls on {date}, which `except` takes out: nothing starts by it in that month; add a window or a \
                 cron for the working day before"
            ));
        }
    }
    found
}

fn happens_after(cron: &Cron, wall: Wall) -> bool {
    cron.next(wall, DateBounds::ALL, Month::all).is_some()
}

/// Returns the first day within [`AHEAD_DAYS`] that `dates` selects as a working day, by `LW` or `15W`, and `except` takes out.
fn excepted_workday(rules: &ZonedRules, dates: &MonthDays, today: Date) -> Option<Date> {
    let excepted = |month: Month| -> Days {
        dates.workdays(month) & rules.exceptions.listed(month) & rules.exceptions.except.of(month)
    };
    let last = today.saturating_add(AHEAD_DAYS.days());
    let bounds = DateBounds { first: today, last };
    let date = bounds.first_day_from(today, excepted)?;
    (date <= last).then_some(date)
}
