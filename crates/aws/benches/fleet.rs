//! Measures passes over a fleet against the model of EC2 over HTTP: calls, wall time and peak memory; and the same stop
//! by boto3 scripts, one with a call for each instance, as most are written, and one batched.
//!
//! No benchmark library is used: the results are counts (calls) and peaks of a process (memory), and each run needs a
//! fresh fleet. The model and each measured run are separate processes, so that their memory is separate. EC2's rate
//! limits are off: they would dominate.
//!
//! `cargo bench --workspace --bench fleet`; a development build gives the same counts, more slowly.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints what it measured"
)]

#[path = "fleet/boto3.rs"]
mod boto3;
#[path = "fleet/model.rs"]
mod model;

use std::process::Command;
use std::time::Instant;

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::pace::Pace;
use curfew_aws::pass::Pass;
use curfew_core::configuration::RawScheduleSet;
use serde::{Deserialize, Serialize};

use self::model::Service;

/// The role of this process.
const ROLE: &str = "CURFEW_BENCH_ROLE";
/// 20:00:15 in Paris on a Monday: just after the end of office hours.
const NOW: &str = "2026-11-23T19:00:15Z";
const REGION: &str = "eu-west-3";

/// The measurements of one run.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    stopped: usize,
    seconds: f64,
    /// Peak memory in kilobytes; 0 if the system does not report it.
    peak: u64,
}

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("model") => model::serve(),
        Ok("pass") => one_pass(),
        // A test run only checks that it works.
        _ if std::env::args().all(|argument| argument != "--bench") => {
            compare(&[100], Beside::Nothing);
        }
        _ => compare(&[1_000, 10_000, 100_000], Beside::Boto3),
    }
}

/// The programs to compare with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Boto3,
}

fn compare(fleets: &[usize], beside: Beside) {
    println!("one pass that stops everybody, from the look to the last tag");
    for &count in fleets {
        let mut service = Service::begin(&[("000000000001", count)]);
        let run = measured(&service, "000000000001");
        report(
            &format!("curfew, {count} instances"),
            &run,
            &mut service,
            "000000000001",
        );
    }
    if beside == Beside::Nothing {
        return;
    }

    println!("\nthe same stop of 1000, against the same server");
    let accounts = ["000000000001", "000000000002", "000000000003"];
    let mut service = Service::begin(&accounts.map(|account| (account, 1_000)));
    let run = measured(&service, accounts[0]);
    report("curfew, with its memory", &run, &mut service, accounts[0]);
    match boto3::environment() {
        Ok(python) => {
            for (account, how) in [(accounts[1], "batched"), (accounts[2], "one by one")] {
                let run = boto3::run(&python, &service.endpoint, account, how);
                report(&format!("boto3, {how}"), &run, &mut service, account);
            }
        }
        Err(why) => eprintln!("boto3 is left out: {why}"),
    }
}

fn report(what: &str, run: &Run, service: &mut Service, account: &str) {
    let calls = service.calls(account);
    let total: usize = calls.values().sum();
    let each: Vec<String> = calls
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    println!(
        "{what:32} {:7} stopped {total:6} calls ({}) {:8.2} s {:7.1} MB",
        run.stopped,
        each.join(", "),
        run.seconds,
        f64::from(u32::try_from(run.peak).unwrap_or(u32::MAX)) / 1024.0,
    );
}

/// Runs a pass in a separate process.
fn measured(service: &Service, account: &str) -> Run {
    let this = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(this)
        .env(ROLE, "pass")
        .env("AWS_ENDPOINT_URL", &service.endpoint)
        .env("AWS_ACCESS_KEY_ID", account)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .output()
        .expect("this program can be run again");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("a run prints what it took")
}

#[tokio::main]
async fn one_pass() {
    let options = ConnectOptions {
        region: Some(REGION.to_owned()),
        ..ConnectOptions::default()
    };
    let connection = Connection::open(options).await.expect("a connection");
    let fleet = Fleet::new(&connection).at_pace(Pace::unlimited());
    let configuration = r#"{"schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"}}}"#;
    let schedule_set = RawScheduleSet::from_json(configuration)
        .expect("configuration")
        .resolve()
        .expect("valid configuration");
    let now = NOW.parse().expect("an instant");
    let clock = Clock::telling(move || now);
    let began = Instant::now();
    let basis = Basis::new(&schedule_set, &clock);
    let done = Pass::run(&fleet, &Scope::All, basis, Deadline::NONE).await;
    let done = done.expect("a pass");
    assert_eq!(done.failures(), 0);
    let run = Run {
        stopped: done.outcomes.len(),
        seconds: began.elapsed().as_secs_f64(),
        peak: peak_memory(),
    };
    println!("{}", serde_json::to_string(&run).expect("plain numbers"));
}

/// Returns the peak memory of this process in kilobytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}
