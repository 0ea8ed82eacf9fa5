//! Simulations: the figures match the edges, days with clock changes are complete, and the JSON output is stable.

use curfew_core::schedule::Schedule;
use curfew_core::simulate::{Bound, HalfHour, Interval, InvalidSpan, Price, Simulation, Span};
use curfew_core::timetable::{Action, Desired, Timetable};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn schedule(line: &str) -> Schedule {
    let timetable = Timetable::parse_inline(line).unwrap();
    Schedule::new("office".parse().unwrap(), timetable)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn week(line: &str, now: &str) -> Simulation {
    let schedule = schedule(line);
    let span = Span::week_of(at(now), schedule.timetable.time_zone()).unwrap();
    Simulation::of(&schedule, span, &[])
}

fn between(line: &str, from: &str, to: &str) -> Simulation {
    let schedule = schedule(line);
    let [from, to] = [from, to].map(|text| Some(text.parse::<Bound>().unwrap()));
    let zone = schedule.timetable.time_zone();
    let span = Span::between(from, to, zone, Timestamp::UNIX_EPOCH).unwrap();
    Simulation::of(&schedule, span, &[])
}

const OFFICE: &str = "Mon-Fri 08:00-20:00 Europe/Paris";
const MARCH: &str = "2026-03-25T12:00:00Z";
const OCTOBER: &str = "2026-10-25T12:00:00Z";

#[test]
fn a_week_is_monday_to_sunday_in_the_schedules_own_zone() {
    // Sunday in UTC, and Monday already in Auckland.
    let sunday = "2026-11-22T20:00:00Z";
    assert_eq!(week(OFFICE, sunday).from, at("2026-11-15T23:00:00Z"));
    let auckland = week("Mon-Fri 08:00-20:00 Pacific/Auckland", sunday);
    assert_eq!(auckland.from, at("2026-11-22T11:00:00Z"));
    assert_eq!(auckland.to, at("2026-11-29T11:00:00Z"));
}

#[test]
fn hours_are_counted_in_elapsed_time_across_clock_changes() {
    let always = "Sun 00:00-24:00 Europe/Paris";
    let spring = week(always, MARCH);
    assert!((spring.hours - 23.0).abs() < 1e-9);
    assert!((spring.hours_always - 167.0).abs() < 1e-9);
    let autumn = week(always, OCTOBER);
    assert!((autumn.hours - 25.0).abs() < 1e-9);
    assert!((autumn.hours_always - 169.0).abs() < 1e-9);
    let cells = |simulation: &Simulation| -> Vec<usize> {
        let days = simulation.days.iter();
        days.map(|day| day.cells.len()).collect()
    };
    assert_eq!(cells(&spring), [48, 48, 48, 48, 48, 48, 46]);
    assert_eq!(cells(&autumn), [48, 48, 48, 48, 48, 48, 50]);
    let marked =
        |simulation: &Simulation| simulation.days.iter().filter(|d| d.clocks_change()).count();
    assert_eq!((marked(&spring), marked(&autumn)), (1, 1));
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
    assert!((simulation.hours - 10.75).abs() < 1e-9);
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

#[test]
fn a_schedule_with_only_stops_has_edges_and_no_figures() {
    let stop = schedule("stop 0 20 * * * Europe/Paris");
    let span = Span::week_of(at(MARCH), stop.timetable.time_zone()).unwrap();
    let price = Price {
        instance_type: "t3.micro".to_owned(),
        per_hour: 1.0,
        count: 1,
    };
    let simulation = Simulation::of(&stop, span, &[price]);
    assert_eq!(simulation.edges.len(), 7);
    assert_eq!(simulation.running, []);
    assert!((simulation.hours_unmanaged - simulation.hours_always).abs() < 1e-9);
    assert_eq!(simulation.percent_off, None);
    assert_eq!(simulation.cost, []);
    insta::assert_snapshot!(simulation.note.unwrap(), @"no desired state for 167 h: running time then depends on manual starts, so no percentage and no cost are computed");
}

#[test]
fn the_cost_is_hours_times_price_times_instances() {
    let office = schedule(OFFICE);
    let span = Span::week_of(at("2026-11-25T12:00:00Z"), office.timetable.time_zone()).unwrap();
    let price = Price {
        instance_type: "t3.micro".to_owned(),
        per_hour: 0.5,
        count: 3,
    };
    let simulation = Simulation::of(&office, span, &[price]);
    let cost = &simulation.cost[0];
    assert!((cost.scheduled - 90.0).abs() < 1e-9);
    assert!((cost.always - 252.0).abs() < 1e-9);
    assert!((cost.saved - 162.0).abs() < 1e-9);
    assert!((simulation.percent_off.unwrap() - 100.0 * 108.0 / 168.0).abs() < 1e-9);
}

#[test]
fn the_json_form_is_stable() {
    let simulation = between(OFFICE, "2026-11-23", "2026-11-23");
    insta::assert_json_snapshot!(simulation, @r#"
    {
      "schedule": "office",
      "time_zone": "Europe/Paris",
      "from": "2026-11-22T23:00:00Z",
      "to": "2026-11-23T23:00:00Z",
      "running": [
        {
          "from": "2026-11-23T07:00:00Z",
          "to": "2026-11-23T19:00:00Z"
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
      "hours": 12.0,
      "hours_unmanaged": 0.0,
      "hours_always": 24.0,
      "percent_off": 50.0,
      "cost": [],
      "note": null
    }
    "#);
}

#[test]
fn invalid_spans_and_bounds_are_refused() {
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
    for text in [
        "tomorrow",
        "2026-02-30",
        "2026-11-23T08:00",
        "2026-11-23 08:00",
    ] {
        assert!(text.parse::<Bound>().is_err(), "{text}");
    }
}

#[test]
fn a_missing_bound_is_a_calendar_week_from_the_other() {
    let zone = schedule(OFFICE).timetable.time_zone().clone();
    let day = Some("2026-10-23".parse().unwrap());
    let from = Span::between(day, None, &zone, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(from.to(), at("2026-10-29T23:00:00Z"));
    let to = Span::between(None, day, &zone, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(
        (to.from(), to.to()),
        (at("2026-10-16T22:00:00Z"), at("2026-10-23T22:00:00Z"))
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
        prop_assert_eq!(SignedDuration::from_secs(seconds), SignedDuration::from_secs_f64((simulation.hours * 3600.0).round()));
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
        prop_assert!((least..=most).contains(&simulation.hours), "{} to {}, not {}", least, most, simulation.hours);
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
