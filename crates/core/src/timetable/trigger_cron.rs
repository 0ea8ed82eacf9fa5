//! UTC rules for `EventBridge` that fire at every edge.
//!
//! They are compiled over the union of all timetables, one rule for each distinct UTC cron: edges of several schedules at one minute
//! share a trigger, since a bus holds at most 300 rules. A rule carries no schedule and no action; the pass that it triggers decides
//! about all schedules.
//!
//! EventBridge rules have no time zone. Each cron and each end of a window is translated under every offset that its zone has in the
//! next 400 days. A wall time that has no exact UTC cron gets a wider one, because a superfluous trigger costs one empty pass and a
//! missing trigger is a bug. Widened are `L`, `W` and `#` (to all days or weekdays that they can select), two restricted day fields
//! (to the rarer one), and months and years (to their neighbours) where the offset moves a time across midnight. Weekdays are
//! written by name, because LocalStack reads AWS's weekday numbers as Unix numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::Timetable;
use super::calendar::{DAY, Days, FIRST_YEAR, LAST_YEAR, Month, day_range};
use super::clock::{clamp, just_before, wall_at};
use super::cron::Cron;
use super::days::{MonthDays, Weekdays};
use super::field::WEEKDAY_NAMES;
use super::rules::ZonedRules;
use super::window::Window;

/// How far ahead the rules are complete, in hours: a year, plus a month to notice that they were not compiled again. A longer
/// horizon includes more of a zone's future offsets, and needs more rules.
const HORIZON_HOURS: i64 = 400 * 24;

/// A scheduled trigger that arrives up to this long before an edge counts for that edge. LocalStack fires up to a minute
/// early; AWS never does. With a longer time the trigger of one edge could apply the next one.
pub const EARLY_TRIGGER: SignedDuration = SignedDuration::from_secs(60);

/// The schedule expression of a rule that triggers a pass at edges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerCron {
    /// The cron, in UTC and AWS's syntax, with weekdays by name: `cron(0 18 ? * MON-FRI *)`.
    pub expression: String,
    /// The timetables that have edges at these times, by their index in the input of [`triggers`], ascending. Only for display.
    pub timetables: Vec<usize>,
}

/// Compiles the rules for all `timetables`. At the minute of every edge in the 400 days after `now`, at least one rule fires. All
/// expressions are distinct.
///
/// ```
/// use curfew_core::timetable::{Timetable, triggers};
///
/// let office = Timetable::parse_inline("Mon-Fri 08:00-20:00 Europe/Paris").unwrap();
/// let lab = Timetable::parse_inline("Mon-Fri 07:00-20:00 Europe/Paris").unwrap();
/// let rules = triggers([&office, &lab], "2026-11-23T00:00:00Z".parse().unwrap());
/// let rules: Vec<_> = rules.iter().map(|rule| (rule.expression.as_str(), &rule.timetables[..])).collect();
/// assert_eq!(rules, [("cron(0 5-7,18,19 ? * MON-FRI *)", &[0, 1][..])]);
/// ```
pub fn triggers<'a>(
    timetables: impl IntoIterator<Item = &'a Timetable>,
    now: Timestamp,
) -> Vec<TriggerCron> {
    let now = clamp(now);
    let until = now.checked_add(HORIZON_HOURS.hours()).unwrap_or(now);
    let mut builder = RuleBuilder::default();
    let mut moved: Vec<(Timestamp, usize)> = Vec::new();
    for (timetable, members) in timetables.into_iter().enumerate() {
        for rules in &members.members {
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
            for times in wall_times(rules, now, until) {
                for offset in &offsets {
                    builder.add(&times, *offset, timetable);
                }
            }
            let moving = jumps.into_iter().filter(|(jump, _)| moves_to(rules, *jump));
            moved.extend(moving.map(|(jump, _)| (jump, timetable)));
        }
    }
    let mut triggers = builder.print();
    for (jump, timetable) in moved {
        fire_at(jump, timetable, &mut triggers);
    }
    triggers.sort();
    triggers
}

/// Returns whether a gap moves an edge to `jump`.
fn moves_to(rules: &ZonedRules, jump: Timestamp) -> bool {
    let next = rules.next_edge(just_before(jump));
    next.is_some_and(|edge| edge.at == jump)
}

/// Adds a rule for the one minute of `at`, unless another rule fires at it.
fn fire_at(at: Timestamp, timetable: usize, triggers: &mut Vec<TriggerCron>) {
    let wall = wall_at(&TimeZone::UTC, at);
    let fires = |rule: &TriggerCron| {
        let cron = rule.expression.parse::<Cron>();
        cron.is_ok_and(|cron| cron.is_at(wall))
    };
    match triggers.iter_mut().find(|rule| fires(rule)) {
        Some(rule) => {
            if let Err(place) = rule.timetables.binary_search(&timetable) {
                rule.timetables.insert(place, timetable);
            }
        }
        None => triggers.push(TriggerCron {
            expression: format!(
                "cron({} {} {} {} ? {})",
                wall.minute % 60,
                wall.minute / 60,
                wall.date.day(),
                wall.date.month(),
                wall.date.year()
            ),
            timetables: vec![timetable],
        }),
    }
}

/// Returns the minute for which a rule with this `cron`, in UTC, fired, when its trigger arrives at `now`: the cron's nearest minute
/// that lies at most five minutes back or at most `early` ahead. Returns `None` if there is none: the trigger is older, or comes
/// from another rule.
///
/// ```
/// use curfew_core::timetable::{Cron, fired_for};
/// use jiff::{SignedDuration, Timestamp};
///
/// let cron: Cron = "cron(0 7 ? * MON-FRI *)".parse().unwrap();
/// let fired = |now: &str, early| fired_for(&cron, now.parse().unwrap(), SignedDuration::from_secs(early));
/// let seven = Some("2026-11-23T07:00:00Z".parse::<Timestamp>().unwrap());
/// assert_eq!(fired("2026-11-23T07:00:09Z", 0), seven);
/// assert_eq!(fired("2026-11-23T06:59:10Z", 60), seven, "LocalStack fires up to a minute early");
/// assert_eq!(fired("2026-11-23T06:59:10Z", 5), None);
/// ```
pub fn fired_for(cron: &Cron, now: Timestamp, early: SignedDuration) -> Option<Timestamp> {
    /// The deduplication interval of SQS in minutes: a message with the same id is dropped for that long.
    const BACK: i64 = 5;
    let newest = minute_of(now.checked_add(early).unwrap_or(now));
    let oldest = minute_of(now) - SignedDuration::from_mins(BACK);
    let minutes = std::iter::successors(Some(newest), |minute| {
        minute.checked_sub(SignedDuration::from_mins(1)).ok()
    });
    minutes
        .take_while(|minute| *minute >= oldest)
        .filter(|minute| cron.is_at(wall_at(&TimeZone::UTC, *minute)))
        .min_by_key(|minute| now.duration_since(*minute).abs())
}

/// Returns the beginning of the minute that contains `at`.
pub fn minute_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at)
}

/// A set of wall times in the schedule's zone: all combinations of `minutes` and `hours` on `days`.
#[derive(Clone, Debug)]
struct WallTimes {
    minutes: u64,
    hours: u64,
    days: DaysOfYear,
}

/// The day, month and year fields of an AWS cron, as bit sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DaysOfYear {
    day: CronDays,
    /// The months; bit 1 is January.
    months: u64,
    /// The years, or `None` for every year.
    years: Option<BTreeSet<i16>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CronDays {
    Every,
    OfMonth(Days),
    /// The weekdays; bit 0 is Sunday.
    OfWeek(u8),
}

const EVERY_MONTH: u64 = 0b1_1111_1111_1110;
const EVERY_WEEKDAY: u8 = 0b111_1111;

fn wall_times(rules: &ZonedRules, now: Timestamp, until: Timestamp) -> Vec<WallTimes> {
    let mut wall_times = Vec::new();
    // One more year at both ends, since an offset can move a time across the new year.
    let years = wall_at(&TimeZone::UTC, now).date.year() - 1
        ..=wall_at(&TimeZone::UTC, until).date.year() + 1;
    for cron in rules.starts.iter().chain(&rules.stops) {
        let chosen = cron.years_among(years.clone()).map(BTreeSet::from_iter);
        if chosen.as_ref().is_some_and(BTreeSet::is_empty) {
            continue;
        }
        for day in cron_days(cron) {
            wall_times.push(WallTimes {
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
    for window in rules.coverage.windows() {
        let days = window_days(window);
        wall_times.push(WallTimes::at(window.from(), days.clone()));
        let end = days.moved(window.end_day().into());
        wall_times.push(WallTimes::at(window.to() % DAY, end));
    }
    wall_times.extend(cuts(rules, now, until));
    wall_times
}

/// Returns the midnights at which excepted days may interrupt a run, or a run continues after them.
fn cuts(rules: &ZonedRules, now: Timestamp, until: Timestamp) -> Option<WallTimes> {
    let overnight = rules.coverage.windows().any(|window| window.to() > DAY);
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
    (days != 0 && (crons || overnight)).then(|| {
        WallTimes::at(
            0,
            DaysOfYear {
                day: CronDays::OfMonth(days),
                months,
                years: None,
            },
        )
    })
}

impl WallTimes {
    fn at(minute: u16, days: DaysOfYear) -> Self {
        Self {
            minutes: 1 << (minute % 60),
            hours: 1 << (minute / 60),
            days,
        }
    }
}

/// Returns the day fields of a cron. Two fields of which either suffices (Vixie) need two rules; two that must both match are
/// widened to the rarer one.
fn cron_days(cron: &Cron) -> Vec<CronDays> {
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

fn of_month(dates: &MonthDays) -> CronDays {
    CronDays::OfMonth(dates.widest())
}

fn of_week(weekdays: &Weekdays) -> CronDays {
    CronDays::OfWeek(weekdays.widest())
}

fn rarer(dates: Option<CronDays>, weekdays: Option<CronDays>) -> CronDays {
    [dates, weekdays]
        .into_iter()
        .flatten()
        .min_by_key(|day| match day {
            // The number of days in seven months of thirty days.
            CronDays::Every => 210,
            CronDays::OfMonth(dates) => 7 * dates.count_ones(),
            CronDays::OfWeek(weekdays) => 30 * weekdays.count_ones(),
        })
        .unwrap_or(CronDays::Every)
}

impl DaysOfYear {
    /// Returns a superset of the days after these.
    fn later(mut self) -> Self {
        self.day = match self.day {
            CronDays::Every => CronDays::Every,
            CronDays::OfWeek(days) => CronDays::OfWeek((days << 1 | days >> 6) & EVERY_WEEKDAY),
            CronDays::OfMonth(days) => {
                let first = if days & day_range(28, 31) == 0 {
                    0
                } else {
                    day_range(1, 1)
                };
                CronDays::OfMonth(days << 1 | first)
            }
        };
        self.months |= (self.months << 1 | self.months >> 11) & EVERY_MONTH;
        self.years = self
            .years
            .map(|years| years.iter().flat_map(|year| [*year, year + 1]).collect());
        self
    }

    /// Returns a superset of the days before these.
    fn earlier(mut self) -> Self {
        self.day = match self.day {
            CronDays::Every => CronDays::Every,
            CronDays::OfWeek(days) => CronDays::OfWeek((days >> 1 | days << 6) & EVERY_WEEKDAY),
            CronDays::OfMonth(days) => {
                let last = if days & day_range(1, 1) == 0 {
                    0
                } else {
                    day_range(28, 31)
                };
                CronDays::OfMonth((days >> 1 & !1) | last)
            }
        };
        self.months |= (self.months >> 1 | self.months << 11) & EVERY_MONTH;
        self.years = self
            .years
            .map(|years| years.iter().flat_map(|year| [*year, year - 1]).collect());
        self
    }

    /// Returns a superset of these days moved by `days`.
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

/// Collects rules, keyed by every field but the hour: times that differ only in the hour become one rule.
#[derive(Debug, Default)]
struct RuleBuilder(BTreeMap<(DaysOfYear, u64), PartialRule>);

#[derive(Debug, Default)]
struct PartialRule {
    hours: u64,
    timetables: BTreeSet<usize>,
}

impl RuleBuilder {
    /// Adds `times`, converted to UTC under an offset of `offset` seconds east.
    fn add(&mut self, times: &WallTimes, offset: i32, timetable: usize) {
        // An edge between two UTC minutes (some offsets before 1972 have seconds) belongs to the earlier one.
        let shift = (-offset).div_euclid(60);
        let (hours, minutes) = (shift.div_euclid(60), shift.rem_euclid(60));
        let moved = u128::from(times.minutes) << minutes;
        let within = u64::try_from(moved & u128::from(u64::MAX >> 4)).expect("sixty bits");
        let beyond = u64::try_from(moved >> 60).expect("at most 119 bits");
        for (minutes, hours) in [(within, hours), (beyond, hours + 1)] {
            if minutes == 0 {
                continue;
            }
            for hour in (0..24).filter(|hour| times.hours & (1 << hour) != 0) {
                let moved = hour + hours;
                let days = times.days.moved(moved.div_euclid(24));
                let partial = self.0.entry((days, minutes)).or_default();
                partial.hours |= 1 << moved.rem_euclid(24);
                partial.timetables.insert(timetable);
            }
        }
    }

    fn print(self) -> Vec<TriggerCron> {
        type Alike = Vec<(CronDays, BTreeSet<usize>)>;
        // Times that differ only in the weekday, or only in the day of the month, become one rule too.
        let mut merged: BTreeMap<(u64, u64, DaysOfYear), Alike> = BTreeMap::new();
        for ((mut days, minutes), PartialRule { hours, timetables }) in self.0 {
            let day = std::mem::replace(&mut days.day, CronDays::Every);
            let same = merged.entry((minutes, hours, days)).or_default();
            match (same.last_mut(), day) {
                (Some((CronDays::OfWeek(week), all)), CronDays::OfWeek(more)) => {
                    *week |= more;
                    all.extend(timetables);
                }
                (Some((CronDays::OfMonth(month), all)), CronDays::OfMonth(more)) => {
                    *month |= more;
                    all.extend(timetables);
                }
                _ => same.push((day, timetables)),
            }
        }
        let mut triggers: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for ((minutes, hours, days), each_day) in merged {
            for (day, timetables) in each_day {
                let time = format!("{} {}", numbers(minutes, 0, 59), numbers(hours, 0, 23));
                let days = DaysOfYear {
                    day,
                    ..days.clone()
                };
                let same = triggers.entry(format!("cron({time} {days})")).or_default();
                same.extend(timetables);
            }
        }
        let triggers = triggers.into_iter();
        triggers
            .map(|(expression, timetables)| TriggerCron {
                expression,
                timetables: timetables.into_iter().collect(),
            })
            .collect()
    }
}

impl fmt::Display for DaysOfYear {
    /// Writes the last four fields of the cron.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let months = numbers(self.months, 1, 12);
        match self.day {
            CronDays::OfWeek(week) if week != EVERY_WEEKDAY => {
                write!(formatter, "? {months} {} ", weekdays(week))
            }
            CronDays::OfMonth(days) => {
                write!(formatter, "{} {months} ? ", numbers(days.into(), 1, 31))
            }
            CronDays::OfWeek(_) | CronDays::Every => write!(formatter, "* {months} ? "),
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

/// Writes a bit set as a list; three or more in a row become a range, and a full set becomes `*`.
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
