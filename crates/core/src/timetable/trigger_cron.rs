//! UTC rules for `EventBridge` that fire at every edge.
//!
//! They are compiled over the union of all timetables, one rule for each distinct UTC cron: edges that share a minute are one trigger,
//! however many schedules have them, and a bus holds no more than 300 rules. A rule names no schedule and no action, since a pass decides
//! about everything.
//!
//! AWS's rules know no time zone. Each source of edges is translated under every offset that its zone has in the
//! next 400 days; what can't be said exactly in UTC is said more widely, because a trigger too many costs one empty pass
//! and a trigger too few is a bug. Widened are: `L`, `W` and `#` (to the days or weekdays they can name), two day fields
//! at once (to the rarer one), and months and years (to their neighbours) where the zone's offset moves a time across
//! midnight. Weekdays are written by name, because `LocalStack` reads AWS's numbers as Unix ones.

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
use super::rules::Rules;
use super::window::Window;

/// How far ahead the rules are complete: a year, and time enough to notice that nobody has compiled them again. Longer
/// takes in more of a zone's future offsets, and means more rules.
const HORIZON_HOURS: i64 = 400 * 24;

/// A scheduled trigger that arrives up to this long before the edge it names counts as that edge. LocalStack fires up to a
/// minute early, AWS never does. Longer would let a trigger for one edge apply the next.
pub const EARLY_TRIGGER: SignedDuration = SignedDuration::from_secs(60);

/// A rule that wakes a pass when edges are due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerCron {
    /// When, in UTC and AWS's syntax, with weekdays by name: `cron(0 18 ? * MON-FRI *)`.
    pub expression: String,
    /// The timetables for whose edges it fires, by their places in what was compiled, ascending. For people alone.
    pub timetables: Vec<usize>,
}

/// The rules for the edges of all `timetables`: for every edge of one of them in the 400 days after `now`, one fires at its minute.
/// No two rules have the same expression.
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
    let mut pieces = Pieces::default();
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
            for source in sources(rules, now, until) {
                for offset in &offsets {
                    pieces.add(&source, *offset, timetable);
                }
            }
            let moving = jumps.into_iter().filter(|(jump, _)| moves_to(rules, *jump));
            moved.extend(moving.map(|(jump, _)| (jump, timetable)));
        }
    }
    let mut triggers = pieces.print();
    for (jump, timetable) in moved {
        fire_at(jump, timetable, &mut triggers);
    }
    triggers.sort();
    triggers
}

/// Whether a gap moves an edge to `jump`.
fn moves_to(rules: &Rules, jump: Timestamp) -> bool {
    let next = rules.next_edge(just_before(jump));
    next.is_some_and(|edge| edge.at == jump)
}

/// Adds a rule for that minute of that date, unless another one fires then.
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

/// The minute for which a rule with this `cron`, in UTC, fired, when its trigger arrives at `now`: the nearest of its minutes that lies
/// at most five minutes back or at most `early` ahead. None, if it has none there: the trigger is older, or nobody's rule.
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
    /// SQS drops a message with the deduplication id of another for so long: what is older is another trigger's business.
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

/// The beginning of the minute that `at` is in.
pub fn minute_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at)
}

/// Wall times on some days in the schedule's zone: all combinations of `minutes` and `hours`.
#[derive(Clone, Debug)]
struct Source {
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
    for cron in rules.starts.iter().chain(&rules.stops) {
        let chosen = cron.years_among(years.clone()).map(BTreeSet::from_iter);
        if chosen.as_ref().is_some_and(BTreeSet::is_empty) {
            continue;
        }
        for day in cron_days(cron) {
            sources.push(Source {
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
        sources.push(Source::at(window.from(), days.clone()));
        let end = days.moved(window.end_day().into());
        sources.push(Source::at(window.to() % DAY, end));
    }
    sources.extend(cuts(rules, now, until));
    sources
}

/// Midnights at which excepted days may interrupt a run, or let it go on.
fn cuts(rules: &Rules, now: Timestamp, until: Timestamp) -> Option<Source> {
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
        Source::at(
            0,
            DaysOfYear {
                day: Day::OfMonth(days),
                months,
                years: None,
            },
        )
    })
}

impl Source {
    fn at(minute: u16, days: DaysOfYear) -> Self {
        Self {
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
struct Pieces(BTreeMap<(DaysOfYear, u64), Piece>);

#[derive(Debug, Default)]
struct Piece {
    hours: u64,
    timetables: BTreeSet<usize>,
}

impl Pieces {
    /// Adds `source` as UTC sees it while the zone is `offset` seconds east of it.
    fn add(&mut self, source: &Source, offset: i32, timetable: usize) {
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
                let piece = self.0.entry((days, minutes)).or_default();
                piece.hours |= 1 << moved.rem_euclid(24);
                piece.timetables.insert(timetable);
            }
        }
    }

    fn print(self) -> Vec<TriggerCron> {
        type Alike = Vec<(Day, BTreeSet<usize>)>;
        // What differs in the weekday only, or in the day of the month only, becomes one rule as well.
        let mut merged: BTreeMap<(u64, u64, DaysOfYear), Alike> = BTreeMap::new();
        for ((mut days, minutes), Piece { hours, timetables }) in self.0 {
            let day = std::mem::replace(&mut days.day, Day::Every);
            let same = merged.entry((minutes, hours, days)).or_default();
            match (same.last_mut(), day) {
                (Some((Day::OfWeek(week), all)), Day::OfWeek(more)) => {
                    *week |= more;
                    all.extend(timetables);
                }
                (Some((Day::OfMonth(month), all)), Day::OfMonth(more)) => {
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
