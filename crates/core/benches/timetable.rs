//! Compares the next edge and the desired state with croner's next occurrence: `cargo bench -p curfew-core`.
//!
//! The last line is the ratio in `docs/contribute/performance.md`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use curfew_core::timetable::Timetable;
use jiff::Timestamp;
use jiff::tz::TimeZone;

fn main() {
    divan::main();
    compare();
}

const CRON: &str = "0 20 * * 1-5";

fn schedule(text: &str) -> Timetable {
    Timetable::parse_inline(text).expect("a valid schedule")
}

fn now() -> Timestamp {
    "2026-11-23T12:34:56Z".parse().expect("a valid instant")
}

const SCHEDULES: [&str; 6] = [
    "stop 0 20 * * 1-5 Europe/Paris",
    "Mon-Fri 08:00-20:00 Europe/Paris",
    "Mon-Thu 09:00-01:00; Fri 09:00-18:00; except 12-25,2026-05-01..2026-05-03 Asia/Kolkata",
    "start 0 22 * * *; stop 0 6 * * *; except 12-24..01-02 America/New_York",
    "start cron(0 0 29 2 ? *); stop cron(0 0 LW * ? *) Australia/Lord_Howe",
    "00:00-24:00 UTC",
];

#[divan::bench(args = SCHEDULES)]
fn next_edge(bencher: divan::Bencher, text: &str) {
    let timetable = schedule(text);
    let now = now();
    bencher.bench_local(|| black_box(&timetable).next_edge(black_box(now)));
}

#[divan::bench(args = SCHEDULES)]
fn desired(bencher: divan::Bencher, text: &str) {
    let timetable = schedule(text);
    let now = now();
    bencher.bench_local(|| black_box(&timetable).desired(black_box(now)));
}

#[divan::bench(args = SCHEDULES)]
fn triggers(bencher: divan::Bencher, text: &str) {
    let timetable = schedule(text);
    let now = now();
    bencher
        .bench_local(|| curfew_core::timetable::triggers([black_box(&timetable)], black_box(now)));
}

#[divan::bench]
fn croner_next_occurrence(bencher: divan::Bencher) {
    let cron: croner::Cron = CRON.parse().expect("a valid cron");
    let now = now().to_zoned(paris());
    bencher.bench_local(|| black_box(&cron).find_next_occurrence(black_box(&now), false));
}

fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").expect("a zone")
}

/// Evaluates all of them at 20,000 instants an hour apart, in alternating batches.
#[expect(clippy::print_stdout, reason = "a benchmark reports here")]
fn compare() {
    let ours = schedule(&format!("stop {CRON} Europe/Paris"));
    let theirs: croner::Cron = CRON.parse().expect("a valid cron");
    let (mut our_time, mut their_time) = (Duration::ZERO, Duration::ZERO);
    for batch in 0..20 {
        let instants: Vec<_> = (0..1000)
            .map(|hour| now() + jiff::SignedDuration::from_hours(batch * 1000 + hour))
            .collect();
        let zoned: Vec<_> = instants.iter().map(|at| at.to_zoned(paris())).collect();
        let begin = Instant::now();
        let our_next: Vec<_> = instants
            .iter()
            .map(|at| ours.next_edge(*at).map(|edge| edge.at))
            .collect();
        our_time += begin.elapsed();
        let begin = Instant::now();
        let their_next: Vec<_> = zoned
            .iter()
            .map(|at| {
                theirs
                    .find_next_occurrence(at, false)
                    .ok()
                    .map(|at| at.timestamp())
            })
            .collect();
        their_time += begin.elapsed();
        assert_eq!(our_next, their_next);
    }
    let (ours, theirs) = (our_time / 20_000, their_time / 20_000);
    let ratio = |other: Duration| other.as_secs_f64() / ours.as_secs_f64();
    println!("next edge of `{CRON}` in Europe/Paris: {ours:?}");
    println!("  croner   {theirs:?}, {:.1} times as long", ratio(theirs));
    match croniter() {
        Some(theirs) => println!("  croniter {theirs:?}, {:.0} times as long", ratio(theirs)),
        None => println!("  croniter not measured: `$PYTHON` (or `python3`) does not have it"),
    }
}

/// Measures croniter for one, if a Python with croniter is installed.
fn croniter() -> Option<Duration> {
    const SCRIPT: &str = "
import datetime, sys, time, zoneinfo
from croniter import croniter
start = datetime.datetime(2026, 11, 23, 12, 34, tzinfo=zoneinfo.ZoneInfo('Europe/Paris'))
starts = [start + datetime.timedelta(hours=hour) for hour in range(2000)]
begin = time.perf_counter_ns()
for start in starts:
    croniter(sys.argv[1], start).get_next(datetime.datetime)
print((time.perf_counter_ns() - begin) // len(starts))
";
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = std::process::Command::new(python)
        .args(["-c", SCRIPT, CRON])
        .output()
        .ok()?;
    String::from_utf8(output.stdout)
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_nanos)
}
