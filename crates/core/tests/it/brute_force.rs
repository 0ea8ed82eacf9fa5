//! Compares edges with an independent scan of every minute, without bit sets, searches, and lookups of gaps and folds. The scan
//! reads a local clock minute by minute; a wall time occurs when the clock first shows it or has jumped past it.

use std::collections::BTreeSet;

use curfew_core::timetable::{Action, Desired, Edge, RawTimetable, Timetable, time_zone_names};
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

/// The number of days that are scanned before edges are compared, to determine the state at the beginning.
const WARM_UP_DAYS: i64 = 36;
const COMPARED_DAYS: i64 = 14;

#[derive(Clone, Debug)]
struct Schedule {
    starts: Vec<CronSpec>,
    stops: Vec<CronSpec>,
    windows: Vec<WindowSpec>,
    except: Vec<Date>,
    only: Vec<Date>,
}

#[derive(Clone, Debug)]
struct CronSpec {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    day: DaySpec,
}

#[derive(Clone, Debug)]
enum DaySpec {
    Every,
    Dates(Vec<i8>),
    /// Weekdays; 0 is Sunday.
    Weekdays(Vec<i8>),
    Either(Vec<i8>, Vec<i8>),
    Last,
    LastWorkday,
    Nearest(i8),
    Nth(i8, i8),
    LastWeekday(i8),
}

#[derive(Clone, Debug)]
struct WindowSpec {
    weekdays: Option<Vec<i8>>,
    dates: Option<Vec<i8>>,
    /// Minutes after midnight.
    from: i32,
    to: i32,
    /// The number of days after the single weekday of its beginning on which it ends; written as the name of that day.
    ends_later: Option<i8>,
}

fn list(numbers: &[i8]) -> String {
    numbers
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

fn weekday_list(weekdays: &[i8]) -> String {
    const NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    weekdays
        .iter()
        .map(|day| NAMES[day.unsigned_abs() as usize])
        .collect::<Vec<_>>()
        .join(",")
}

fn is_weekday(date: Date, weekday: i8) -> bool {
    date.weekday().to_sunday_zero_offset() == weekday
}

fn is_workday(date: Date) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn days_of_month(date: Date) -> impl Iterator<Item = Date> {
    (1..=date.days_in_month()).map(move |day| Date::new(date.year(), date.month(), day).unwrap())
}

impl DaySpec {
    fn has(&self, date: Date) -> bool {
        match self {
            Self::Every => true,
            Self::Dates(dates) => dates.contains(&date.day()),
            Self::Weekdays(weekdays) => weekdays.iter().any(|weekday| is_weekday(date, *weekday)),
            Self::Either(dates, weekdays) => {
                dates.contains(&date.day())
                    || weekdays.iter().any(|weekday| is_weekday(date, *weekday))
            }
            Self::Last => Some(date) == days_of_month(date).last(),
            Self::LastWorkday => {
                Some(date) == days_of_month(date).filter(|day| is_workday(*day)).last()
            }
            Self::Nearest(day) => {
                *day <= date.days_in_month()
                    && days_of_month(date)
                        .filter(|candidate| is_workday(*candidate))
                        .min_by_key(|candidate| (candidate.day() - day).abs())
                        == Some(date)
            }
            Self::Nth(weekday, nth) => {
                let mut those = days_of_month(date).filter(|day| is_weekday(*day, *weekday));
                those.nth(usize::from(nth.unsigned_abs()) - 1) == Some(date)
            }
            Self::LastWeekday(weekday) => {
                days_of_month(date)
                    .filter(|day| is_weekday(*day, *weekday))
                    .last()
                    == Some(date)
            }
        }
    }
}

impl CronSpec {
    fn text(&self) -> String {
        let time = format!("{} {}", list(&self.minutes), list(&self.hours));
        match &self.day {
            DaySpec::Every => format!("{time} * * *"),
            DaySpec::Dates(dates) => format!("{time} {} * *", list(dates)),
            DaySpec::Weekdays(weekdays) => format!("cron({time} ? * {} *)", weekday_list(weekdays)),
            DaySpec::Either(dates, weekdays) => {
                format!("{time} {} * {}", list(dates), list(weekdays))
            }
            DaySpec::Last => format!("cron({time} L * ? *)"),
            DaySpec::LastWorkday => format!("cron({time} LW * ? *)"),
            DaySpec::Nearest(day) => format!("cron({time} {day}W * ? *)"),
            DaySpec::Nth(weekday, nth) => format!("cron({time} ? * {}#{nth} *)", weekday + 1),
            DaySpec::LastWeekday(weekday) => format!("cron({time} ? * {}L *)", weekday + 1),
        }
    }

    fn is_at(&self, wall: DateTime) -> bool {
        self.minutes.contains(&wall.minute())
            && self.hours.contains(&wall.hour())
            && self.day.has(wall.date())
    }
}

impl WindowSpec {
    fn text(&self) -> String {
        let days = self
            .weekdays
            .as_ref()
            .map(|days| weekday_list(days) + " ")
            .unwrap_or_default();
        let dates = self
            .dates
            .as_ref()
            .map(|dates| format!("dates={} ", list(dates)))
            .unwrap_or_default();
        let clock = |minutes: i32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let end_day = match (&self.weekdays, self.ends_later) {
            (Some(days), Some(later)) => weekday_list(&[(days[0] + later) % 7]) + " ",
            _ => String::new(),
        };
        format!(
            "{days}{dates}{}-{end_day}{}",
            clock(self.from),
            clock(self.to)
        )
    }

    /// Returns the end in minutes after midnight of the day on which the window begins.
    fn end(&self) -> i32 {
        match self.ends_later {
            Some(later) => self.to + i32::from(later) * 24 * 60,
            None if self.to > self.from => self.to,
            None => self.to + 24 * 60,
        }
    }

    fn begins_on(&self, date: Date) -> bool {
        self.weekdays
            .as_ref()
            .is_none_or(|days| days.iter().any(|day| is_weekday(date, *day)))
            && self
                .dates
                .as_ref()
                .is_none_or(|dates| dates.contains(&date.day()))
    }
}

impl Schedule {
    fn parse(&self, zone: &str) -> Timetable {
        let raw = RawTimetable {
            timezone: Some(zone.to_owned()),
            start: many(self.starts.iter().map(CronSpec::text)),
            stop: many(self.stops.iter().map(CronSpec::text)),
            running: many(self.windows.iter().map(WindowSpec::text)),
            except: self.except.iter().map(ToString::to_string).collect(),
            only: self.only.iter().map(ToString::to_string).collect(),
            ..RawTimetable::default()
        };
        raw.resolve("test")
            .unwrap_or_else(|problems| panic!("{raw:?}: {problems:?}"))
    }

    fn is_listed(&self, date: Date) -> bool {
        self.only.is_empty() || self.only.contains(&date)
    }

    fn is_excepted(&self, date: Date) -> bool {
        self.except.contains(&date)
    }

    fn is_open(&self, date: Date) -> bool {
        self.is_listed(date) && !self.is_excepted(date)
    }
}

fn many(texts: impl Iterator<Item = String>) -> curfew_core::timetable::OneOrMany<String> {
    curfew_core::timetable::OneOrMany::Many(texts.collect())
}

/// Every wall time that occurs in a period, in order, with the instant at which it occurs.
struct Scan(Vec<(DateTime, Timestamp)>);

fn scan(zone: &TimeZone, from: Timestamp, days: i64) -> Scan {
    let local = |at: Timestamp| (at.as_second() + i64::from(zone.to_offset(at).seconds())) / 60;
    let mut wall = zone.to_datetime(from);
    let mut shown = local(from);
    let mut happens = Vec::new();
    for minute in 1..days * 24 * 60 {
        let at = Timestamp::from_second(from.as_second() + minute * 60).unwrap();
        let now = local(at);
        for _ in shown..now {
            wall = minute_after(wall);
            happens.push((wall, at));
        }
        shown = shown.max(now);
    }
    Scan(happens)
}

fn minute_after(wall: DateTime) -> DateTime {
    match (wall.hour(), wall.minute()) {
        (23, 59) => wall.date().tomorrow().unwrap().at(0, 0, 0, 0),
        (hour, 59) => wall.date().at(hour + 1, 0, 0, 0),
        (hour, minute) => wall.date().at(hour, minute + 1, 0, 0),
    }
}

impl Scan {
    fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        let index = self.0.binary_search_by_key(&wall, |(wall, _)| *wall).ok()?;
        Some(self.0[index].1)
    }
}

/// Returns the edges in a scan, found minute by minute. They are complete from the first start of a cron on.
fn edges(schedule: &Schedule, scan: &Scan) -> Vec<Edge> {
    let (runs, window_stops) = runs(schedule, scan);
    let run_ends: BTreeSet<_> = runs.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let mut edges = Vec::new();
    let mut was_running = false;
    let mut cron_running = false;
    for together in scan.0.chunk_by(|(_, one), (_, other)| one == other) {
        let at = &together[0].1;
        let walls = || together.iter().map(|(wall, _)| *wall);
        let happened = |crons: &[CronSpec], open: &dyn Fn(Date) -> bool| {
            walls().any(|wall| crons.iter().any(|cron| cron.is_at(wall)) && open(wall.date()))
        };
        let start = happened(&schedule.starts, &|date| schedule.is_open(date));
        let any_stop = happened(&schedule.stops, &|_| true);
        let stop = happened(&schedule.stops, &|date| schedule.is_listed(date))
            || (any_stop && cron_running);
        let before = cron_running;
        cron_running = start || (cron_running && !any_stop);

        let midnights = walls()
            .filter(|wall| wall.hour() == 0 && wall.minute() == 0)
            .map(DateTime::date);
        let (mut cut, mut resumed) = (false, false);
        if !schedule.starts.is_empty() && !schedule.stops.is_empty() {
            for date in midnights {
                let (yesterday, today) = (
                    schedule.is_excepted(date.yesterday().unwrap()),
                    schedule.is_excepted(date),
                );
                cut |= before && today && !yesterday;
                resumed |= cron_running && yesterday && !today;
            }
        }

        // The state of windows changes only at ends of runs; evaluating it at every minute would be too slow.
        let running = if run_ends.contains(at) {
            runs.iter().any(|(from, to)| from <= at && at < to)
        } else {
            was_running
        };
        let window_start = running && !was_running;
        let window_stop = !running && (was_running || window_stops.contains(at));
        was_running = running;

        if start || resumed || window_start {
            edges.push(Edge {
                at: *at,
                action: Action::Start,
            });
        } else if stop || cut || window_stop {
            edges.push(Edge {
                at: *at,
                action: Action::Stop,
            });
        }
    }
    edges
}

/// Returns the intervals in which windows are running, and the ends of all windows, including those that exceptions remove.
fn runs(schedule: &Schedule, scan: &Scan) -> (Vec<(Timestamp, Timestamp)>, BTreeSet<Timestamp>) {
    let (mut runs, mut stops) = (Vec::new(), BTreeSet::new());
    let (first, last) = (scan.0[0].0.date(), scan.0[scan.0.len() - 1].0.date());
    let instant = |date: Date, minutes: i32| scan.instant(date.at(0, 0, 0, 0) + minutes.minutes());
    for window in &schedule.windows {
        let mut date = first;
        while date <= last {
            if window.begins_on(date) && schedule.is_listed(date) {
                stops.extend(instant(date, window.end()));
                // Add the window day by day, without excepted days. If its first day is excepted, it does not run at all.
                let mut day = date;
                let mut passed = 0;
                while !schedule.is_excepted(date) && passed < window.end() {
                    let from = instant(date, passed.max(window.from));
                    passed += 24 * 60;
                    let to = instant(date, passed.min(window.end())).unwrap_or(Timestamp::MAX);
                    if let (Some(from), false) = (from, schedule.is_excepted(day)) {
                        runs.push((from, to));
                    }
                    day = day.tomorrow().unwrap();
                }
            }
            date = date.tomorrow().unwrap();
        }
    }
    (runs, stops)
}

fn some_of(range: std::ops::Range<i8>, at_most: usize) -> impl Strategy<Value = Vec<i8>> {
    proptest::collection::btree_set(range, 1..=at_most).prop_map(|set| set.into_iter().collect())
}

fn cron() -> impl Strategy<Value = CronSpec> {
    let minutes = prop_oneof![Just(vec![0]), Just(vec![30]), some_of(0..60, 4)];
    // Clocks change in the small hours.
    let hours = prop_oneof![some_of(0..4, 2), some_of(0..24, 3)];
    let day = prop_oneof![
        4 => Just(DaySpec::Every),
        1 => some_of(1..32, 10).prop_map(DaySpec::Dates),
        4 => some_of(0..7, 5).prop_map(DaySpec::Weekdays),
        1 => (some_of(1..32, 5), some_of(0..7, 3)).prop_map(|(dates, days)| DaySpec::Either(dates, days)),
        1 => Just(DaySpec::Last),
        1 => Just(DaySpec::LastWorkday),
        1 => (1_i8..32).prop_map(DaySpec::Nearest),
        1 => (0_i8..7, 1_i8..6).prop_map(|(day, nth)| DaySpec::Nth(day, nth)),
        1 => (0_i8..7).prop_map(DaySpec::LastWeekday),
    ];
    (minutes, hours, day).prop_map(|(minutes, hours, day)| CronSpec {
        minutes,
        hours,
        day,
    })
}

fn window() -> impl Strategy<Value = WindowSpec> {
    let quarter = prop_oneof![0_i32..16, 0_i32..96].prop_map(|quarter| quarter * 15);
    (
        proptest::option::of(some_of(0..7, 6)),
        proptest::option::weighted(0.2, some_of(1..32, 20)),
        quarter.clone(),
        prop_oneof![4 => quarter, 1 => Just(24 * 60)],
    )
        .prop_filter("empty or a whole day", |(_, _, from, to)| from != to)
        .prop_flat_map(|(weekdays, dates, from, to)| {
            // A week later the day has the same name, so the end must be before the time of the beginning.
            let most = if to < from && to != 0 { 8 } else { 7 };
            let least = i8::from(to <= from);
            let ends_later = proptest::option::weighted(0.4, least..most);
            (Just((weekdays, dates, from, to)), ends_later)
        })
        .prop_map(|((weekdays, dates, from, to), later)| {
            let one = later.and_then(|_| Some(vec![*weekdays.as_ref()?.first()?]));
            WindowSpec {
                ends_later: later.filter(|_| one.is_some()),
                weekdays: one.or(weekdays),
                dates,
                from,
                to: if to == 0 { 24 * 60 } else { to },
            }
        })
}

/// Generates a zone and an instant near one of its clock changes since 1973, if any. Earlier offsets may have seconds.
fn zone_and_instant() -> impl Strategy<Value = (String, Timestamp)> {
    let names: Vec<_> = time_zone_names().collect();
    let odd = [
        "Africa/Casablanca",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/St_Johns",
        "Europe/Paris",
        "Asia/Kathmandu",
    ]
    .map(String::from)
    .to_vec();
    let name = prop_oneof![
        proptest::sample::select(odd),
        proptest::sample::select(names)
    ];
    (
        name,
        any::<prop::sample::Index>(),
        0_i64..COMPARED_DAYS * 24 * 60,
    )
        .prop_map(|(name, index, minutes)| {
            let zone = TimeZone::get(&name).unwrap();
            let begin: Timestamp = "1973-01-01T00:00:00Z".parse().unwrap();
            let end: Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
            let changes: Vec<_> = zone
                .following(begin)
                .map(|change| change.timestamp())
                .take_while(|at| *at < end)
                .collect();
            let near = if changes.is_empty() {
                end
            } else {
                *index.get(&changes)
            };
            (name, near - minutes.minutes())
        })
}

/// Generates a schedule, and the scanned days that are in `except` and in `only`.
fn schedule() -> impl Strategy<Value = (Schedule, Vec<i64>, Vec<i64>)> {
    let crons = || proptest::collection::vec(cron(), 0..3);
    let days = |chance| {
        proptest::option::weighted(
            chance,
            proptest::collection::vec(-2_i64..COMPARED_DAYS, 1..6),
        )
    };
    (
        crons(),
        crons(),
        proptest::collection::vec(window(), 0..4),
        days(0.5),
        days(0.3),
    )
        .prop_filter(
            "the schedule has no edges",
            |(starts, stops, windows, _, _)| {
                !starts.is_empty() || !stops.is_empty() || !windows.is_empty()
            },
        )
        .prop_map(|(starts, stops, windows, except, only)| {
            let schedule = Schedule {
                starts,
                stops,
                windows,
                except: vec![],
                only: vec![],
            };
            (
                schedule,
                except.unwrap_or_default(),
                only.unwrap_or_default(),
            )
        })
}

proptest! {
    // A quarter of the usual number: a scan takes a tenth of a second in a debug build. PROPTEST_CASES changes it.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn edges_match_a_scan_of_every_minute(
        (mut schedule, except, only) in schedule(),
        (name, from) in zone_and_instant(),
    ) {
        let zone = TimeZone::get(&name).unwrap();
        let first = zone.to_datetime(from).date();
        let date = |day: i64| first + day.days();
        schedule.except = except.into_iter().map(date).collect();
        schedule.only = only.into_iter().map(date).collect();
        let timetable = schedule.parse(&name);

        let begin = from - (WARM_UP_DAYS * 24).hours();
        let end = from + (COMPARED_DAYS * 24).hours();
        let scan = scan(&zone, begin, WARM_UP_DAYS + COMPARED_DAYS + 2);
        let expected = edges(&schedule, &scan);
        // The scan does not know the state of crons before it: compare from its first start on.
        let known = expected.iter().find(|edge| edge.action == Action::Start).map_or(from, |edge| edge.at.max(from));
        let expected: Vec<_> = expected.into_iter().filter(|edge| edge.at > known && edge.at <= end).collect();
        let forward: Vec<_> = timetable.edges(known).take_while(|edge| edge.at <= end).collect();
        prop_assert_eq!(&forward, &expected, "{} in {}", timetable, name);

        let mut backward: Vec<_> = std::iter::successors(timetable.last_edge(end), |edge| {
            timetable.last_edge(edge.at - 1.nanosecond())
        })
        .take_while(|edge| edge.at > known)
        .collect();
        backward.reverse();
        prop_assert_eq!(&backward, &expected, "backward: {} in {}", timetable, name);

        // The desired state follows from the edges, at them and between them.
        let has_desired_state = !schedule.windows.is_empty() || (!schedule.starts.is_empty() && !schedule.stops.is_empty());
        for (index, edge) in expected.iter().enumerate() {
            let wanted = match edge.action {
                _ if !has_desired_state => Desired::Unmanaged,
                Action::Start => Desired::Running,
                Action::Stop => Desired::Stopped,
            };
            let until = expected.get(index + 1).map_or(end, |next| next.at);
            let middle = edge.at + until.duration_since(edge.at) / 2;
            prop_assert_eq!(timetable.desired(edge.at), wanted);
            prop_assert_eq!(timetable.desired(middle), wanted);
            // The last edge may coincide with the end.
            if edge.at < until {
                prop_assert_eq!(timetable.desired(until - 1.nanosecond()), wanted);
            }
        }
    }
}
