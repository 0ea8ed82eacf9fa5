//! Simulations: the figures match the edges, days with clock changes are complete, and the JSON output is stable.

use curfew_core::schedule::Schedule;
use curfew_core::simulate::{
    HalfHour, InstanceCount, Interval, InvalidSpan, SimulatedTotal, Simulation, Span, in_hours,
};
use curfew_core::timetable::{Action, Desired, Timetable};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use proptest::prelude::*;

fn schedule(line: &str) -> Schedule {
    let timetable = Timetable::parse_inline(line).unwrap();
    Schedule::new("office".parse().unwrap(), timetable)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The seven days from `monday` on.
fn week(line: &str, monday: &str) -> Simulation {
    let monday: jiff::civil::Date = monday.parse().unwrap();
    between(line, &monday.to_string(), &(monday + 6.days()).to_string())
}

fn between(line: &str, from: &str, to: &str) -> Simulation {
    let schedule = schedule(line);
    let [from, to] = [from, to].map(|text| Some(text.parse().unwrap()));
    let zone = schedule.timetable.time_zone();
    let span = Span::between(from, to, zone, Timestamp::UNIX_EPOCH).unwrap();
    Simulation::of(&schedule, span, &[])
}

const OFFICE: &str = "Mon-Fri 08:00-20:00 Europe/Paris";
const MARCH: &str = "2026-03-23";
const OCTOBER: &str = "2026-10-19";

fn default_span(line: &str, now: &str) -> Span {
    let zone = schedule(line).timetable.time_zone().clone();
    Span::between(None, None, &zone, at(now)).unwrap()
}

#[test]
fn two_weeks_from_today_in_the_schedules_own_zone_are_the_default() {
    // Sunday in UTC and Paris, and Monday already in Auckland.
    let sunday = "2026-11-22T20:00:00Z";
    let paris = default_span(OFFICE, sunday);
    assert_eq!(paris.from(), at("2026-11-21T23:00:00Z"));
    assert_eq!(paris.to(), at("2026-12-05T23:00:00Z"));
    let auckland = default_span("Mon-Fri 08:00-20:00 Pacific/Auckland", sunday);
    assert_eq!(auckland.from(), at("2026-11-22T11:00:00Z"));
    assert_eq!(auckland.to(), at("2026-12-06T11:00:00Z"));
    // The clocks go back within these two weeks: they are calendar days, not 336 hours.
    let october = default_span(OFFICE, "2026-10-20T10:00:00Z");
    assert_eq!(
        october.to().duration_since(october.from()),
        SignedDuration::from_hours(337)
    );
}

#[test]
fn hours_are_counted_in_elapsed_time_across_clock_changes() {
    let always = "Sun 00:00-24:00 Europe/Paris";
    let spring = week(always, MARCH);
    assert!((spring.on_hours - 23.0).abs() < 1e-9);
    assert!((spring.hours - 167.0).abs() < 1e-9);
    let autumn = week(always, OCTOBER);
    assert!((autumn.on_hours - 25.0).abs() < 1e-9);
    assert!((autumn.hours - 169.0).abs() < 1e-9);
    let cells = |simulation: &Simulation| -> Vec<usize> {
        let days = simulation.days.iter();
        days.map(|day| day.cells.len()).collect()
    };
    assert_eq!(cells(&spring), [48, 48, 48, 48, 48, 48, 46]);
    assert_eq!(cells(&autumn), [48, 48, 48, 48, 48, 48, 50]);
    let changes = |simulation: &Simulation| {
        let days = simulation.days.iter();
        let changes = days.filter_map(|day| Some((day.date, day.clock_change?)));
        let changes = changes.map(|(date, change)| {
            let (before, after) = change.local();
            format!("{date}: {} to {}", before.time(), after.time())
        });
        changes.collect::<Vec<_>>()
    };
    assert_eq!(changes(&spring), ["2026-03-29: 02:00:00 to 03:00:00"]);
    assert_eq!(changes(&autumn), ["2026-10-25: 03:00:00 to 02:00:00"]);
    // Lord Howe changes by half an hour; Apia skips a date.
    let howe = between(
        "00:00-24:00 Australia/Lord_Howe",
        "2026-04-05",
        "2026-04-05",
    );
    assert_eq!(cells(&howe), [49]);
    let apia = between("00:00-24:00 Pacific/Apia", "2011-12-29", "2011-12-31");
    assert_eq!(cells(&apia), [48, 48]);
}

#[test]
fn half_hours_outside_the_span_are_marked() {
    let simulation = between(OFFICE, "2026-11-23T08:15:00Z", "2026-11-23T19:00:00Z");
    let [day] = simulation.days.as_slice() else {
        panic!("one day, not {}", simulation.days.len());
    };
    let cells = |cell| day.cells.iter().filter(|found| **found == cell).count();
    // The span is 09:15 to 20:00 in Paris, all of it running. The first half hour counts although the span begins inside it.
    assert_eq!(cells(HalfHour::OutsideSpan), 18 + 8);
    assert_eq!(cells(HalfHour::Running), 22);
    assert_eq!(cells(HalfHour::Partly), 0);
    assert!((simulation.on_hours - 10.75).abs() < 1e-9);
    assert_eq!(simulation.edges.len(), 0, "the stop at 20:00 is the end");
}

#[test]
fn a_run_that_ends_at_midnight_does_not_hide_the_next_day() {
    let simulation = week("Mon 20:00-24:00; Tue 08:00-20:00 Europe/Paris", MARCH);
    let running = |day: usize| {
        let cells = simulation.days[day].cells.iter();
        cells.filter(|cell| **cell == HalfHour::Running).count()
    };
    assert_eq!([running(0), running(1), running(2)], [8, 24, 0]);
}

#[test]
fn an_edge_at_the_beginning_is_in_the_span_and_one_at_its_end_is_not() {
    let edges = |from, to| {
        let found = between(OFFICE, from, to).edges;
        found.iter().map(|edge| edge.action).collect::<Vec<_>>()
    };
    let (start, stop) = ("2026-11-23T07:00:00Z", "2026-11-23T19:00:00Z");
    assert_eq!(edges(start, stop), [Action::Start]);
    assert_eq!(edges(stop, "2026-11-24T07:00:00Z"), [Action::Stop]);
}

fn count(instance_type: &str, count: u32, per_hour: Option<f64>) -> InstanceCount {
    InstanceCount {
        instance_type: Some(instance_type.to_owned()),
        count,
        per_hour,
    }
}

fn span(from: &str, to: &str, schedule: &Schedule) -> Span {
    let [from, to] = [from, to].map(|text| Some(text.parse().unwrap()));
    let zone = schedule.timetable.time_zone();
    Span::between(from, to, zone, Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn a_schedule_with_only_stops_has_edges_and_no_figures() {
    let stop = schedule("stop 0 20 * * * Europe/Paris");
    let instances = [count("t3.micro", 2, Some(1.0))];
    let simulation = Simulation::of(&stop, span(MARCH, "2026-03-29", &stop), &instances);
    assert_eq!(simulation.edges.len(), 7);
    assert_eq!(simulation.running, []);
    assert!((simulation.unmanaged_hours - simulation.hours).abs() < 1e-9);
    assert_eq!(simulation.off_share, None);
    assert_eq!(simulation.costs[0].cost, None);
    let total = SimulatedTotal::of(std::slice::from_ref(&simulation)).unwrap();
    assert_eq!((total.count, total.unpriced_count), (2, 2));
    insta::assert_snapshot!(simulation.note.unwrap(), @"no desired state for 167 h: the running time then depends on manual starts, so no share and no cost are computed");
}

#[test]
fn the_cost_is_hours_times_price_times_instances() {
    let office = schedule(OFFICE);
    let week = span("2026-11-23", "2026-11-29", &office);
    let instances = [count("t3.micro", 3, Some(0.5)), count("p9.huge", 2, None)];
    let simulation = Simulation::of(&office, week, &instances);
    let amounts = |index: usize| {
        let cost = &simulation.costs[index];
        (cost.cost, cost.cost_always, cost.saved)
    };
    assert_eq!(amounts(0), (Some(90.0), Some(252.0), Some(162.0)));
    assert_eq!(amounts(1), (None, None, None));
    assert_eq!(simulation.off_share, Some(0.643));
    let total = SimulatedTotal::of(&[simulation.clone(), simulation]).unwrap();
    let expected = SimulatedTotal {
        count: 10,
        unpriced_count: 4,
        cost: 180.0,
        cost_always: 504.0,
        saved: 324.0,
    };
    assert_eq!(total, expected);
}

#[test]
fn there_is_no_total_without_instances() {
    let simulation = week(OFFICE, MARCH);
    assert_eq!(SimulatedTotal::of(&[simulation]), None);
}

#[test]
fn the_json_form_is_stable() {
    let simulation = between(OFFICE, "2026-11-23", "2026-11-23");
    insta::assert_json_snapshot!(simulation, @r#"
    {
      "name": "office",
      "timezone": "Europe/Paris",
      "since": "2026-11-22T23:00:00Z",
      "until": "2026-11-23T23:00:00Z",
      "running": [
        {
          "since": "2026-11-23T07:00:00Z",
          "until": "2026-11-23T19:00:00Z"
        }
      ],
      "unmanaged": [],
      "edges": [
        {
          "at": "2026-11-23T07:00:00Z",
          "action": "start"
        },
        {
          "at": "2026-11-23T19:00:00Z",
          "action": "stop"
        }
      ],
      "hours": 24.0,
      "on_hours": 12.0,
      "off_hours": 12.0,
      "unmanaged_hours": 0.0,
      "off_share": 0.5,
      "costs": [],
      "note": null
    }
    "#);
}

#[test]
fn invalid_spans_are_refused() {
    let zone = schedule(OFFICE).timetable.time_zone().clone();
    let span = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|text| Some(text.parse().unwrap()));
        Span::between(from, to, &zone, Timestamp::UNIX_EPOCH)
    };
    assert!(matches!(
        span("2026-11-23", "2026-11-22"),
        Err(InvalidSpan::Empty { .. })
    ));
    assert!(span("2026-01-01", "2027-01-05").is_ok());
    assert!(matches!(
        span("2026-01-01", "2027-01-06"),
        Err(InvalidSpan::TooLong { .. })
    ));
    assert_eq!(
        span("2199-12-25", "2200-01-02"),
        Err(InvalidSpan::OutOfRange)
    );
    assert_eq!(
        span("9999-12-25", "9999-12-31"),
        Err(InvalidSpan::OutOfRange)
    );
}

#[test]
fn the_times_of_a_span_are_in_the_zone_of_the_schedule() {
    let zone = schedule(OFFICE).timetable.time_zone().clone();
    // Tuesday 13:00:00.5 in Paris.
    let now = at("2026-11-24T12:00:00.5Z");
    let span = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|text| Some(text.parse().unwrap()));
        let span = Span::between(from, to, &zone, now).unwrap();
        (span.from().to_string(), span.to().to_string())
    };
    for (from, to, begins, ends) in [
        (
            "friday",
            "tuesday",
            "2026-11-26T23:00:00Z",
            "2026-12-01T23:00:00Z",
        ),
        (
            "friday",
            "sunday",
            "2026-11-26T23:00:00Z",
            "2026-11-29T23:00:00Z",
        ),
        (
            "tomorrow 08:00",
            "friday 18:00",
            "2026-11-25T07:00:00Z",
            "2026-11-27T17:00:00Z",
        ),
        ("now", "7d", "2026-11-24T12:00:00Z", "2026-12-01T12:00:00Z"),
        (
            "2026-11-01 08:00",
            "today",
            "2026-11-01T07:00:00Z",
            "2026-11-24T23:00:00Z",
        ),
    ] {
        assert_eq!(
            span(from, to),
            (begins.to_owned(), ends.to_owned()),
            "{from} {to}"
        );
    }
}

#[test]
fn a_missing_end_is_two_weeks_from_the_beginning_and_a_missing_beginning_is_today() {
    let zone = schedule(OFFICE).timetable.time_zone().clone();
    let now = at("2026-10-20T10:00:00Z");
    let date = |text: &str| Some(text.parse().unwrap());
    let between = |from, to| {
        let span = Span::between(from, to, &zone, now).unwrap();
        (span.from(), span.to())
    };
    assert_eq!(
        between(date("2026-10-23"), None),
        (at("2026-10-22T22:00:00Z"), at("2026-11-05T23:00:00Z"))
    );
    assert_eq!(
        between(None, date("2026-10-23")),
        (at("2026-10-19T22:00:00Z"), at("2026-10-23T22:00:00Z"))
    );
    // The end is past.
    assert_eq!(
        between(None, date("2026-10-18")),
        (at("2026-10-04T22:00:00Z"), at("2026-10-18T22:00:00Z"))
    );
}

fn line() -> impl Strategy<Value = String> {
    let rules = prop::sample::select(vec![
        "Mon-Fri 08:00-20:00",
        "Mon-Thu 21:15-02:45; Sat",
        "dates=L 22:00-06:00; Sun 02:10-02:50",
        "start 0 7 * * MON; stop 30 19 * * FRI",
        "start 0 7 * * *; stop */7 20 * * *; except 10-23..10-26,12-25",
        "00:00-24:00",
        "stop 0 20 * * *",
        "start 0 8 * * 1-5",
    ]);
    let zones = prop::sample::select(vec![
        "Europe/Paris",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/Havana",
        "Asia/Kolkata",
        "UTC",
    ]);
    (rules, zones).prop_map(|(rules, zone)| format!("{rules} {zone}"))
}

/// Generates spans of seconds to weeks between 1985 and 2045, not on whole minutes.
fn spans() -> impl Strategy<Value = Span> {
    (473_385_600_i64..2_366_841_600, 1_i64..1_500_000).prop_map(|(from, length)| {
        let second = |second| Timestamp::from_second(second).unwrap();
        Span::new(second(from), second(from + length)).unwrap()
    })
}

fn contains(intervals: &[Interval], at: Timestamp) -> bool {
    intervals
        .iter()
        .any(|interval| (interval.from..interval.to).contains(&at))
}

/// The exact running time; `on_hours` is rounded.
fn running(simulation: &Simulation) -> SignedDuration {
    let lengths = simulation.running.iter().map(|interval| interval.length());
    lengths.fold(SignedDuration::ZERO, |sum, length| sum + length)
}

proptest! {
    #[test]
    fn intervals_agree_with_desired_at_any_instant(line in line(), other in line(), both: bool, span in spans(), share in 0.0..1.0) {
        let mut schedule = schedule(&line);
        if both {
            let other = Timetable::parse_inline(&other).unwrap();
            schedule.timetable = Timetable::any_of(vec![schedule.timetable, other]);
        }
        let simulation = Simulation::of(&schedule, span, &[]);
        let length = span.to().duration_since(span.from());
        let inside = span.from() + length.mul_f64(share);
        let borders = simulation.running.iter().chain(&simulation.unmanaged).flat_map(|i| [i.from, i.to]);
        for at in borders.chain([span.from(), inside]).filter(|at| *at < span.to()) {
            let found = match (contains(&simulation.running, at), contains(&simulation.unmanaged, at)) {
                (true, false) => Desired::Running,
                (false, true) => Desired::Unmanaged,
                (false, false) => Desired::Stopped,
                (true, true) => panic!("both at {at}"),
            };
            prop_assert_eq!(found, schedule.timetable.desired(at), "at {}", at);
        }
    }

    /// Uses only windows, for which the first edge determines the state before it.
    #[test]
    fn hours_match_the_edges(windows in 0_usize..3, zone in 0_usize..2, span in spans()) {
        let rules = ["Mon-Fri 08:00-20:00", "Mon-Thu 21:15-02:45; Sat", "dates=L 22:00-06:00; Sun 01:10-03:50"][windows];
        let zone = ["Europe/Paris", "America/Havana"][zone];
        let simulation = Simulation::of(&schedule(&format!("{rules} {zone}")), span, &[]);
        let second = |at: Timestamp| at.as_second();
        let mut seconds = match simulation.edges.first() {
            Some(edge) if edge.action == Action::Start => 0,
            Some(_) => -second(span.from()),
            None => return Ok(()),
        };
        for edge in &simulation.edges {
            seconds += if edge.action == Action::Stop { second(edge.at) } else { -second(edge.at) };
        }
        if simulation.edges.last().is_some_and(|edge| edge.action == Action::Start) {
            seconds += second(span.to());
        }
        // For an edge at the beginning of the span, no time precedes it in the span.
        prop_assert_eq!(SignedDuration::from_secs(seconds), running(&simulation));
    }

    #[test]
    fn half_hours_match_the_intervals(line in line(), span in spans()) {
        let simulation = Simulation::of(&schedule(&line), span, &[]);
        let count = |cell| simulation.days.iter().flat_map(|day| &day.cells).filter(|found| **found == cell).count();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand cells")]
        let half_hours = |cell| count(cell) as f64 / 2.0;
        // A half hour at either end of the span counts fully although the span covers only a part, and one before a jump may be short.
        let least = half_hours(HalfHour::Running) - 1.0;
        let most = half_hours(HalfHour::Running) + half_hours(HalfHour::Partly);
        prop_assert!((least..=most).contains(&in_hours(running(&simulation))), "{} to {}, not {}", least, most, simulation.on_hours);
        // The days cover the span without gaps, and every edge is on one of them.
        let first = simulation.days.first().unwrap();
        let last = simulation.days.last().unwrap();
        prop_assert!(first.from <= span.from() && span.to() <= last.to);
        for pair in simulation.days.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        let listed: usize = simulation.days.iter().map(|day| day.edges.len()).sum();
        prop_assert_eq!(listed, simulation.edges.len());
        let outside = simulation.days.iter().flat_map(|day| &day.cells).position(|cell| *cell != HalfHour::OutsideSpan);
        prop_assert!(outside.is_some_and(|leading| leading <= 50));
    }
}
