//! What is valid in a timetable and probably a mistake: crons and windows without a day, last working days that `except` takes
//! out, starts and stops in one gap, and a year without edges.
//!
//! All of it is valid, since an exception or a date in the past may be intended. `curfew check` reports it as warnings.

mod gaps;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::calendar::{DateBounds, Days, Month, Wall};
use super::clock::wall_at;
use super::cron::Cron;
use super::days::MonthDays;
use super::rules::ZonedRules;
use super::{Action, Desired};

/// How many days ahead to search for working days that `except` takes out: a year's holidays are usually known that far
/// ahead. A longer range costs time and warns about holidays that are not entered yet.
const AHEAD_DAYS: i64 = 400;

/// The time without an edge after which a schedule is reported: every yearly schedule has an edge within it.
const A_YEAR: SignedDuration = SignedDuration::from_hours(24 * 366);

/// The part of a timetable that a warning is about. The index of a cron or window counts from 0 in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimetablePart {
    /// The timetable as a whole.
    Whole,
    /// A start cron.
    Start(usize),
    /// A stop cron.
    Stop(usize),
    /// The window with this index.
    Window(usize),
}

/// Returns the warnings about `rules` after `now`, each with its part, as one sentence.
pub(super) fn sentences(rules: &ZonedRules, now: Timestamp) -> Vec<(TimetablePart, String)> {
    let wall = wall_at(&rules.zone, now);
    let mut found = never_fires(rules, wall);
    if found.is_empty() {
        found.extend(idle(rules, now).map(|sentence| (TimetablePart::Whole, sentence)));
    }
    found.extend(excepted_workdays(rules, wall.date));
    found.extend(gaps::sentences(rules, now));
    found
}

/// Returns the crons and windows that never fire after `wall`.
fn never_fires(rules: &ZonedRules, wall: Wall) -> Vec<(TimetablePart, String)> {
    let mut found = Vec::new();
    for (part, action, cron) in crons(rules) {
        if !happens_after(cron, wall) {
            let again = if happens_after(cron, Wall::midnight(DateBounds::ALL.first)) {
                " again"
            } else {
                ""
            };
            found.push((
                part,
                format!("the {action} cron `{cron}` never fires{again}"),
            ));
        }
    }
    for (index, window) in rules.coverage.windows().enumerate() {
        let days = |month| window.days(month);
        if DateBounds::ALL.first_day_from(wall.date, days).is_none() {
            let sentence = format!("the window `{window}` never begins: no month has such a day");
            found.push((TimetablePart::Window(index), sentence));
        }
    }
    found
}

fn crons(rules: &ZonedRules) -> impl Iterator<Item = (TimetablePart, Action, &Cron)> {
    let starts = rules.starts.iter().enumerate();
    let starts = starts.map(|(index, cron)| (TimetablePart::Start(index), Action::Start, cron));
    let stops = rules.stops.iter().enumerate();
    let stops = stops.map(|(index, cron)| (TimetablePart::Stop(index), Action::Stop, cron));
    starts.chain(stops)
}

/// Returns a sentence about a timetable without an edge within [`A_YEAR`], unless it always runs.
fn idle(rules: &ZonedRules, now: Timestamp) -> Option<String> {
    match rules.next_edge(now) {
        None if rules.desired(now) == Desired::Running => None,
        None => {
            Some("nothing starts or stops any more: `except` and `only` leave no day".to_owned())
        }
        Some(edge) if edge.at.duration_since(now) > A_YEAR => {
            let date = edge.at.to_zoned(rules.zone.clone()).date();
            Some(format!(
                "nothing starts or stops within a year: the next edge is on {date}"
            ))
        }
        Some(_) => None,
    }
}

fn excepted_workdays(rules: &ZonedRules, today: Date) -> Vec<(TimetablePart, String)> {
    let windows = rules
        .coverage
        .windows()
        .enumerate()
        .filter_map(|(index, window)| {
            let part = TimetablePart::Window(index);
            Some((part, format!("window `{window}`"), window.dates()?))
        });
    let starts = rules.starts.iter().enumerate().filter_map(|(index, cron)| {
        let part = TimetablePart::Start(index);
        Some((part, format!("start cron `{cron}`"), cron.dates()?))
    });
    let dated = windows.chain(starts).filter_map(|(part, shown, dates)| {
        let date = excepted_workday(rules, dates, today)?;
        let sentence = format!(
            "the {shown} falls on {date}, which `except` takes out: nothing starts by it in that month; add a window or a cron \
             for the working day before"
        );
        Some((part, sentence))
    });
    dated.collect()
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
