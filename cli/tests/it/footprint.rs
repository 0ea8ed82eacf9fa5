//! Measurements of the daemon's memory, CPU time and latency. They take minutes on an otherwise idle machine, so they run
//! only by `tools/footprint`. docs/contribute/performance.md has the results.
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::organisation::Organisation;
use curfew_config::{DaemonConfiguration, Driver, QueueSetting};
use curfew_core::account_regions::Targets;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::state_tags::LAST_TAG;
use curfew_daemon::run::{Dependencies, run};
use curfew_model::{ApiAction, Launch, Model, Server, TimeSource, serve_with};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const SCHEDULES: usize = 50;
const INSTANCES: usize = 1000;
/// Edges that are measured at the same time: more of them would affect each other.
const AT_ONCE: usize = 4;
const ROUNDS: usize = 25;

/// The daemon's process, killed when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// Returns resident memory in MiB, and the CPU time so far.
    fn usage(&self) -> (f64, Duration) {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap();
        let status = read("status");
        let resident = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kibibytes: f64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
        // The fields after the name, which may contain spaces: user and system time in hundredths of a second.
        let stat = read("stat");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = [fields[11], fields[12]]
            .iter()
            .map(|it| it.parse::<u64>().unwrap())
            .sum();
        (kibibytes / 1024.0, Duration::from_millis(ticks * 10))
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of ten minutes: tools/footprint"]
async fn memory_and_cpu_while_idle() {
    let minutes = minutes("FOOTPRINT_MINUTES", 10);
    // No edge falls into the measurement.
    let world = World::with(|number| format!("start = '{number} 0 1 1 *'")).await;
    let (begun, (_, before)) = (Instant::now(), world.daemon.usage());
    world.watch(minutes).await;
    let (resident, cpu) = world.daemon.usage();
    let share = cpu.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    println!(
        "{SCHEDULES} schedules, {INSTANCES} instances, {minutes} minutes: {resident:.1} MiB resident, {share:.3} % of a CPU"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of half an hour: tools/footprint soak"]
async fn memory_while_a_hundred_instances_start_and_stop() {
    let minutes = minutes("SOAK_MINUTES", 30).max(3);
    // Five schedules are on for a minute and off for the next; EC2's rate limits allow no more.
    let world = World::with(|number| {
        if number < 5 {
            "start = '*/2 * * * *'\nstop = '1-59/2 * * * *'".to_owned()
        } else {
            format!("start = '{number} 0 1 1 *'")
        }
    })
    .await;
    let resident = world.watch(minutes).await;
    let third = resident.len() / 3;
    let median = |part: &[f64]| {
        let mut part = part.to_vec();
        part.sort_by(f64::total_cmp);
        part[part.len() / 2]
    };
    let (middle, end) = (
        median(&resident[third..2 * third]),
        median(&resident[2 * third..]),
    );
    let calls = |action| world.ec2.calls_of(action).len();
    let moved = calls(ApiAction::StartInstances) + calls(ApiAction::StopInstances);
    println!(
        "{minutes} minutes, {moved} calls that started or stopped instances: {middle:.1} MiB resident in the second third, {end:.1} in the last"
    );
}

/// The allocator's environment variables in the systemd unit.
fn allocator() -> impl Iterator<Item = (&'static str, &'static str)> {
    let unit = include_str!("../../../systemd/curfew.service");
    let mut lines = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="));
    let configuration = lines.find(|configuration| configuration.starts_with("MALLOC"));
    let configuration = configuration.expect("the unit sets variables").split(' ');
    configuration.filter_map(|setting| setting.split_once('='))
}

fn minutes(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number of minutes"))
}

/// A running daemon and the model of EC2 that it polls.
struct World {
    daemon: Daemon,
    ec2: Model,
    _server: Server,
    _state: TempDir,
}

impl World {
    /// Schedules by number, with equally many instances each.
    async fn with(schedule: impl Fn(usize) -> String) -> Self {
        let program = std::env::var("FOOTPRINT_PROGRAM")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_curfew").to_owned());
        let ec2 = Model::new(Clock::system().now());
        let mut configuration = "[daemon]\ndriver = 'daemon'\n".to_owned();
        for number in 0..SCHEDULES {
            let rules = schedule(number);
            writeln!(
                configuration,
                "[schedules.s{number}]\ntimezone = 'Europe/Paris'\n{rules}"
            )
            .unwrap();
        }
        for number in 0..INSTANCES {
            let schedule = format!("s{}", number % SCHEDULES);
            ec2.launch(Launch::new(format!("web-{number}")).tag("Schedule", &schedule));
        }
        let server = serve_with(ec2.clone(), TimeSource::Wall).await;
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("curfew.toml"), configuration).unwrap();
        let daemon = Daemon(
            Command::new(program)
                .env_clear()
                .arg("run")
                .env("CURFEW_CONFIG", state.path().join("curfew.toml"))
                .env("CURFEW__DAEMON__STATE_DIR", state.path())
                .env("AWS_ENDPOINT_URL", &server.endpoint)
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", "test")
                .env("AWS_SECRET_ACCESS_KEY", "test")
                .envs(allocator())
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        // The first pass, the first poll and the initialisation.
        tokio::time::sleep(Duration::from_secs(20)).await;
        Self {
            daemon,
            ec2,
            _server: server,
            _state: state,
        }
    }

    /// Prints the daemon's usage once a minute; returns resident memory in MiB.
    async fn watch(&self, minutes: usize) -> Vec<f64> {
        let (_, mut last) = self.daemon.usage();
        let mut all = Vec::new();
        for minute in 1..=minutes {
            tokio::time::sleep(Duration::from_mins(1)).await;
            let (resident, cpu) = self.daemon.usage();
            let share = cpu.saturating_sub(last).as_secs_f64() / 60.0 * 100.0;
            last = cpu;
            all.push(resident);
            println!("minute {minute}: {resident:.1} MiB resident, {share:.2} % of a CPU");
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: tools/footprint"]
async fn time_from_an_edge_to_the_stop() {
    let mut latencies: Vec<SignedDuration> = Vec::new();
    for _ in 0..ROUNDS {
        let edges: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(latency())).collect();
        for edge in edges {
            latencies.push(edge.await.unwrap());
        }
    }
    latencies.sort_unstable();
    let percentile =
        |percent: usize| latencies[(latencies.len() * percent).div_ceil(100) - 1].as_millis();
    println!(
        "{} edges: half within {} ms, 90 % within {} ms, 99 % within {} ms",
        latencies.len(),
        percentile(50),
        percentile(90),
        percentile(99)
    );
}

/// Starts a daemon three seconds before an edge, and returns the time from the edge to the model's receipt of
/// `StopInstances`.
async fn latency() -> SignedDuration {
    let edge: Timestamp = "2026-11-23T19:00:00Z".parse().unwrap();
    let system = Clock::system();
    let shift = edge.duration_since(system.now()) - SignedDuration::from_secs(3);
    let clock = Clock::telling(move || system.now() + shift);
    let ec2 = Model::new(clock.now());
    let last = "2026-11-23T07:00:00Z start schedule office";
    ec2.launch(
        Launch::new("web")
            .tag("Schedule", "office")
            .tag(LAST_TAG, last),
    );
    let server = serve_with(ec2.clone(), TimeSource::Held).await;
    let options = ConnectOptions {
        endpoint: Some(server.endpoint.clone()),
        region: Some("us-east-1".to_owned()),
        ..ConnectOptions::default()
    };
    let connection = Connection::open(options).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let organisation = Organisation::open(&connection, &Targets::default());
    let ports = Dependencies::quiet(clock.clone(), organisation, state.path().to_owned());
    let document = r#"{"schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"}}}"#;
    let schedule_set = RawScheduleSet::from_json(document)
        .unwrap()
        .resolve()
        .unwrap();
    let configuration = DaemonConfiguration {
        driver: Driver::Daemon,
        queue: QueueSetting::Off,
        ..DaemonConfiguration::default()
    };
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let daemon =
        tokio::spawn(
            async move { run(&configuration, Arc::new(schedule_set), ports, token).await },
        );
    while ec2.calls_of(ApiAction::StopInstances).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let latency = clock.now().duration_since(edge);
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
    latency
}
