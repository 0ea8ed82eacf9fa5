//! UTC rules for `EventBridge` that fire at every edge.
//!
//! AWS's rules know no time zone. Each source of edges is translated under every offset that its zone has in the
//! next 400 days; what can't be said exactly in UTC is said more widely, because a wake-up too many costs one empty pass
//! and a wake-up too few is a bug. Widened are: `L`, `W` and `#` (to the days or weekdays they can name), two day fields
//! at once (to the rarer one), and months and years (to their neighbours) where the zone's offset moves a time across
//! midnight. Weekdays are written by name, because `LocalStack` reads AWS's numbers as Unix ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;

use super::Action;
use super::calendar::{DAY, Days, FIRST_YEAR, LAST_YEAR, Month, day_range};
use super::clock::{just_before, wall_at};
use super::cron::Cron;
use super::days::{MonthDays, Weekdays};
use super::field::WEEKDAY_NAMES;
use super::rules::Rules;
use super::window::Window;

/// How far ahead the rules are complete: a year, and time enough to notice that nobody has compiled them again. Longer
/// takes in more of a zone's future offsets, and means more rules.
const HORIZON_HOURS: i64 = 400 * 24;

/// A rule that wakes a pass when an edge is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WakeUp {
    /// What the edges say for which it fires.
    pub action: Action,
    /// When, in UTC and AWS's syntax, with weekdays by name: `cron(0 18 ? * MON-FRI *)`.
    pub expression: String,
}

pub(super) fn compile(members: &[Rules], now: Timestamp) -> Vec<WakeUp> {
    members
        .iter()
        .flat_map(|rules| compile_one(rules, now))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn compile_one(rules: &Rules, now: Timestamp) -> Vec<WakeUp> {
    let until = now.checked_add(HORIZON_HOURS.hours()).unwrap_or(now);
    let jumps: Vec<_> = rules
        .zone
        .following(now)
        .take_while(|transition| transition.timestamp() <= until)
        .map(|transition| (transition.timestamp(), transition.offset()))
        .collect();
    let offsets: BTreeSet<_> = std::iter::once(rules.zone.to_offset(now))
        .chain(jumps.iter().map(|(_, offset)| *offset))
        .map(Offset::seconds)
        .collect();
    let sources = sources(rules, now, until);
    let mut pieces = Pieces::default();
    for source in &sources {
        for offset in &offsets {
            pieces.add(source, *offset);
        }
    }
    let mut wake_ups = pieces.print();
    for (jump, _) in jumps {
        if let Some(missing) = moved_to(rules, jump, &wake_ups) {
            wake_ups.push(missing);
        }
    }
    wake_ups
}

/// A rule for the edge that a gap moved to `jump`, if there is one and no other rule fires then.
fn moved_to(rules: &Rules, jump: Timestamp, wake_ups: &[WakeUp]) -> Option<WakeUp> {
    let edge = rules
        .next_edge(just_before(jump))
        .filter(|edge| edge.at == jump)?;
    let wall = wall_at(&TimeZone::UTC, jump);
    let fires = wake_ups.iter().any(|rule| {
        rule.action == edge.action
            && rule
                .expression
                .parse()
                .is_ok_and(|cron: Cron| cron.is_at(wall))
    });
    (!fires).then(|| WakeUp {
        action: edge.action,
        expression: format!(
            "cron({} {} {} {} ? {})",
            wall.minute % 60,
            wall.minute / 60,
            wall.date.day(),
            wall.date.month(),
            wall.date.year()
        ),
    })
}

/// Wall times on some days in the schedule's zone: all combinations of `minutes` and `hours`.
#[derive(Clone, Debug)]
struct Source {
    action: Action,
    minutes: u64,
    hours: u64,
    days: DaysOfYear,
}

/// What AWS can say about days, as bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DaysOfYear {
    day: Day,
    /// From bit 1 on.
    months: u64,
    /// Nothing for every year.
    years: Option<BTreeSet<i16>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Day {
    Every,
    OfMonth(Days),
    /// Bit 0 is Sunday.
    OfWeek(u8),
}

const EVERY_MONTH: u64 = 0b1_1111_1111_1110;
const EVERY_WEEKDAY: u8 = 0b111_1111;

fn sources(rules: &Rules, now: Timestamp, until: Timestamp) -> Vec<Source> {
    let mut sources = Vec::new();
    // A day more at both ends, for what a zone's offset moves across the new year.
    let years = wall_at(&TimeZone::UTC, now).date.year() - 1
        ..=wall_at(&TimeZone::UTC, until).date.year() + 1;
    for (crons, action) in [(&rules.starts, Action::Start), (&rules.stops, Action::Stop)] {
        for cron in crons {
            let chosen = cron.years_among(years.clone()).map(BTreeSet::from_iter);
            if chosen.as_ref().is_some_and(BTreeSet::is_empty) {
                continue;
            }
            for day in cron_days(cron) {
                sources.push(Source {
                    action,
                    minutes: cron.minutes(),
                    hours: cron.hours(),
                    days: DaysOfYear {
                        day,
                        months: cron.months(),
                        years: chosen.clone(),
                    },
                });
            }
        }
    }
    for window in rules.coverage.windows() {
        let days = window_days(window);
        sources.push(Source::at(Action::Start, window.from(), days.clone()));
        let end = days.moved(window.end_day().into());
        sources.push(Source::at(Action::Stop, window.to() % DAY, end));
    }
    sources.extend(cuts(rules, now, until));
    sources
}

/// Midnights at which excepted days may interrupt a run, or let it go on.
fn cuts(rules: &Rules, now: Timestamp, until: Timestamp) -> Vec<Source> {
    let lasts = |days: u16| {
        rules
            .coverage
            .windows()
            .any(|window| window.to() > days * DAY)
    };
    let (overnight, over_a_day) = (lasts(1), lasts(2));
    let crons = !rules.starts.is_empty() && !rules.stops.is_empty();
    let (first, last) = (
        wall_at(&rules.zone, now).date,
        wall_at(&rules.zone, until).date,
    );
    let (mut days, mut months) = (0, 0);
    let mut month = Some(Month::of(first));
    while let Some(this) = month.filter(|month| month.date(1) <= last) {
        let boundaries = rules.boundaries(this);
        if boundaries != 0 {
            days |= boundaries;
            months |= 1 << this.number;
        }
        month = this.next();
    }
    let midnight = |action| {
        Source::at(
            action,
            0,
            DaysOfYear {
                day: Day::OfMonth(days),
                months,
                years: None,
            },
        )
    };
    // After an excepted day a run goes on that crons began, or a window of several days.
    match (days != 0, crons || over_a_day, overnight) {
        (true, true, _) => vec![midnight(Action::Start), midnight(Action::Stop)],
        (true, false, true) => vec![midnight(Action::Stop)],
        _ => Vec::new(),
    }
}

impl Source {
    fn at(action: Action, minute: u16, days: DaysOfYear) -> Self {
        Self {
            action,
            minutes: 1 << (minute % 60),
            hours: 1 << (minute / 60),
            days,
        }
    }
}

/// The days of a cron. Vixie's "either" takes two rules; "both" is widened to the rarer field.
fn cron_days(cron: &Cron) -> Vec<Day> {
    let (dates, weekdays) = (cron.dates().map(of_month), cron.weekdays().map(of_week));
    match (dates, weekdays) {
        (Some(dates), Some(weekdays)) if cron.either_day() => vec![dates, weekdays],
        (dates, weekdays) => vec![rarer(dates, weekdays)],
    }
}

fn window_days(window: &Window) -> DaysOfYear {
    DaysOfYear {
        day: rarer(window.dates().map(of_month), window.weekdays().map(of_week)),
        months: window.months() & EVERY_MONTH,
        years: None,
    }
}

fn of_month(dates: &MonthDays) -> Day {
    Day::OfMonth(dates.widest())
}

fn of_week(weekdays: &Weekdays) -> Day {
    Day::OfWeek(weekdays.widest())
}

fn rarer(dates: Option<Day>, weekdays: Option<Day>) -> Day {
    [dates, weekdays]
        .into_iter()
        .flatten()
        .min_by_key(|day| match day {
            // In days per seven months of thirty days.
            Day::Every => 210,
            Day::OfMonth(dates) => 7 * dates.count_ones(),
            Day::OfWeek(weekdays) => 30 * weekdays.count_ones(),
        })
        .unwrap_or(Day::Every)
}

impl DaysOfYear {
    /// The days after these, and perhaps more.
    fn later(mut self) -> Self {
        self.day = match self.day {
            Day::Every => Day::Every,
            Day::OfWeek(days) => Day::OfWeek((days << 1 | days >> 6) & EVERY_WEEKDAY),
            Day::OfMonth(days) => {
                let first = if days & day_range(28, 31) == 0 {
                    0
                } else {
                    day_range(1, 1)
                };
                Day::OfMonth(days << 1 | first)
            }
        };
        self.months |= (self.months << 1 | self.months >> 11) & EVERY_MONTH;
        self.years = self
            .years
            .map(|years| years.iter().flat_map(|year| [*year, year + 1]).collect());
        self
    }

    /// The days before these, and perhaps more.
    fn earlier(mut self) -> Self {
        self.day = match self.day {
            Day::Every => Day::Every,
            Day::OfWeek(days) => Day::OfWeek((days >> 1 | days << 6) & EVERY_WEEKDAY),
            Day::OfMonth(days) => {
                let last = if days & day_range(1, 1) == 0 {
                    0
                } else {
                    day_range(28, 31)
                };
                Day::OfMonth((days >> 1 & !1) | last)
            }
        };
        self.months |= (self.months >> 1 | self.months << 11) & EVERY_MONTH;
        self.years = self
            .years
            .map(|years| years.iter().flat_map(|year| [*year, year - 1]).collect());
        self
    }

    /// These days moved by `days`.
    fn moved(&self, days: i32) -> Self {
        (0..days.abs()).fold(self.clone(), |moved, _| {
            if days < 0 {
                moved.earlier()
            } else {
                moved.later()
            }
        })
    }
}

/// Rules in the making: hours by everything else, so that what differs in the hour only becomes one rule.
#[derive(Debug, Default)]
struct Pieces(BTreeMap<(Action, DaysOfYear, u64), u64>);

impl Pieces {
    /// Adds `source` as UTC sees it while the zone is `offset` seconds east of it.
    fn add(&mut self, source: &Source, offset: i32) {
        // An edge between two UTC minutes (some offsets before 1972 have seconds) counts to the earlier one.
        let shift = (-offset).div_euclid(60);
        let (hours, minutes) = (shift.div_euclid(60), shift.rem_euclid(60));
        let moved = u128::from(source.minutes) << minutes;
        let within = u64::try_from(moved & u128::from(u64::MAX >> 4)).expect("sixty bits");
        let beyond = u64::try_from(moved >> 60).expect("at most 119 bits");
        for (minutes, hours) in [(within, hours), (beyond, hours + 1)] {
            if minutes == 0 {
                continue;
            }
            for hour in (0..24).filter(|hour| source.hours & (1 << hour) != 0) {
                let moved = hour + hours;
                let days = source.days.moved(moved.div_euclid(24));
                *self.0.entry((source.action, days, minutes)).or_default() |=
                    1 << moved.rem_euclid(24);
            }
        }
    }

    fn print(self) -> Vec<WakeUp> {
        // What differs in the weekday only, or in the day of the month only, becomes one rule as well.
        let mut merged: BTreeMap<(Action, u64, u64, DaysOfYear), Vec<Day>> = BTreeMap::new();
        for ((action, mut days, minutes), hours) in self.0 {
            let day = std::mem::replace(&mut days.day, Day::Every);
            let same = merged.entry((action, minutes, hours, days)).or_default();
            match (same.last_mut(), day) {
                (Some(Day::OfWeek(week)), Day::OfWeek(more)) => *week |= more,
                (Some(Day::OfMonth(month)), Day::OfMonth(more)) => *month |= more,
                _ => same.push(day),
            }
        }
        let mut wake_ups = Vec::new();
        for ((action, minutes, hours, days), each_day) in merged {
            for day in each_day {
                let time = format!("{} {}", numbers(minutes, 0, 59), numbers(hours, 0, 23));
                wake_ups.push(WakeUp {
                    action,
                    expression: format!(
                        "cron({time} {})",
                        DaysOfYear {
                            day,
                            ..days.clone()
                        }
                    ),
                });
            }
        }
        wake_ups
    }
}

impl fmt::Display for DaysOfYear {
    /// The last four fields.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let months = numbers(self.months, 1, 12);
        match self.day {
            Day::OfWeek(week) if week != EVERY_WEEKDAY => {
                write!(formatter, "? {months} {} ", weekdays(week))
            }
            Day::OfMonth(days) => write!(formatter, "{} {months} ? ", numbers(days.into(), 1, 31)),
            Day::OfWeek(_) | Day::Every => write!(formatter, "* {months} ? "),
        }?;
        match &self.years {
            Some(years) => {
                let allowed = years
                    .iter()
                    .filter(|year| (FIRST_YEAR..=LAST_YEAR).contains(*year));
                formatter.write_str(
                    &allowed
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(","),
                )
            }
            None => formatter.write_str("*"),
        }
    }
}

/// Bits as a list, three and more in a row as a range, all of them as a star.
fn list(bits: u64, min: u32, max: u32, name: impl Fn(u32) -> String) -> String {
    let has = |bit: u32| bit <= max && bits & (1 << bit) != 0;
    if (min..=max).all(has) {
        return "*".to_owned();
    }
    let mut items = Vec::new();
    let mut bit = min;
    while bit <= max {
        if has(bit) {
            let mut last = bit;
            while has(last + 1) {
                last += 1;
            }
            if last >= bit + 2 {
                items.push(format!("{}-{}", name(bit), name(last)));
            } else {
                items.extend((bit..=last).map(&name));
            }
            bit = last;
        }
        bit += 1;
    }
    items.join(",")
}

fn numbers(bits: u64, min: u32, max: u32) -> String {
    list(bits, min, max, |number| number.to_string())
}

fn weekdays(week: u8) -> String {
    list(week.into(), 0, 6, |weekday| {
        WEEKDAY_NAMES[usize::try_from(weekday % 7).unwrap_or(0)].to_owned()
    })
}
