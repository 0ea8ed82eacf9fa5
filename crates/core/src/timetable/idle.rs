//! What of a timetable never happens: crons and windows without a day, and last working days that `except` takes.
//!
//! Each is allowed, since what is excepted or past may be meant; `curfew check` says so as a warning.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

use super::calendar::{Days, Month, Reach, Wall};
use super::clock::wall_at;
use super::cron::Cron;
use super::days::MonthDays;
use super::rules::Rules;
use super::{Action, Desired};

/// How far ahead the working days that `except` takes are looked for: as far as a year's holidays are usually known.
const AHEAD_DAYS: i64 = 400;

/// A sentence about each part of `rules` that never happens after `now`.
pub(super) fn sentences(rules: &Rules, now: Timestamp) -> Vec<String> {
    let wall = wall_at(&rules.zone, now);
    let mut found = Vec::new();
    for (crons, action) in [(&rules.starts, Action::Start), (&rules.stops, Action::Stop)] {
        for cron in crons {
            if !happens_after(cron, wall) {
                let again = if happens_after(cron, Wall::midnight(Reach::ALL.first)) {
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
        if Reach::ALL.first_day_from(wall.date, days).is_none() {
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
    cron.next(wall, Reach::ALL, Month::all).is_some()
}

/// The first day in the time ahead that is meant as a working day, by `LW` or `15W`, and is excepted.
fn excepted_workday(rules: &Rules, dates: &MonthDays, today: Date) -> Option<Date> {
    let excepted = |month: Month| -> Days {
        dates.workdays(month) & rules.exceptions.listed(month) & rules.exceptions.except.of(month)
    };
    let last = today.saturating_add(AHEAD_DAYS.days());
    let reach = Reach { first: today, last };
    let date = reach.first_day_from(today, excepted)?;
    (date <= last).then_some(date)
}
