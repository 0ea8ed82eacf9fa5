//! The complete daemon against the model of EC2, with a clock that is set to just before an edge; everything else is real.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::organisation::Organisation;
use curfew_config::{DaemonConfiguration, Driver, QueueSetting};
use curfew_core::account_regions::Targets;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::Region;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::{LAST_TAG, OVERRIDE_TAG};
use curfew_daemon::health::Health;
use curfew_daemon::metrics::Metrics;
use curfew_daemon::run::{Dependencies, RunError, Triggers, run};
use curfew_journal::{EdgeEntry, EdgeOutcome, HistoryFilter, Journal};
use curfew_model::{
    ApiAction, Denial, Ec2InstanceState, Fault, Home, Launch, Model, QueueAttributes, QueueType,
    Server, Symptom, TimeSource, serve_with, wait_until,
};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const EDGE: &str = "2026-11-23T19:00:00Z";

fn schedule_set() -> Arc<ScheduleSet> {
    let document = r#"{"schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"}}}"#;
    Arc::new(
        RawScheduleSet::from_json(document)
            .unwrap()
            .resolve()
            .unwrap(),
    )
}

/// The system's clock, shifted to this long before the edge.
fn clock_before_the_edge(lead: Duration) -> Clock {
    clock_after_the_edge(-SignedDuration::try_from(lead).unwrap())
}

/// The system's clock, shifted to this long after the edge.
fn clock_after_the_edge(ago: SignedDuration) -> Clock {
    let system = Clock::system();
    let edge: Timestamp = EDGE.parse().unwrap();
    let shift = edge.duration_since(system.now()) + ago;
    Clock::telling(move || system.now() + shift)
}

fn since_the_edge(clock: &Clock) -> SignedDuration {
    clock.now().duration_since(EDGE.parse().unwrap())
}

fn configuration(driver: Driver, grace: Duration) -> DaemonConfiguration {
    DaemonConfiguration {
        driver,
        poll: Duration::from_millis(100),
        poll_quiet: Duration::from_millis(100),
        queue: QueueSetting::Off,
        grace,
        ..DaemonConfiguration::default()
    }
}

/// An instance that has been running since the morning.
fn since_the_morning(name: &str) -> Launch {
    let morning: Timestamp = "2026-11-23T07:00:00Z".parse().unwrap();
    office(name).launched_at(morning)
}

fn office(name: &str) -> Launch {
    Launch::new(name)
        .tag("Schedule", "office")
        .tag(LAST_TAG, "2026-11-23T07:00:00Z start schedule office")
}

/// A running daemon and the model's server.
struct Daemon {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    health: Health,
    metrics: Metrics,
    _server: Server,
}

impl Daemon {
    async fn begin(
        ec2: &Model,
        clock: &Clock,
        state: &Path,
        configuration: DaemonConfiguration,
    ) -> Self {
        let home = Targets::default();
        Self::begin_in(ec2, clock, state, configuration, home).await
    }

    /// Starts a daemon for these targets.
    async fn begin_in(
        ec2: &Model,
        clock: &Clock,
        state: &Path,
        configuration: DaemonConfiguration,
        targets: Targets,
    ) -> Self {
        Self::begin_with(ec2, clock, state, configuration, targets, |_| None).await
    }

    /// Starts a daemon for a stack whose Lambda runs no pass.
    async fn begin_before_a_stack(
        ec2: &Model,
        clock: &Clock,
        state: &Path,
        grace: Duration,
    ) -> Self {
        let (configuration, home) = (configuration(Driver::Cloud, grace), Targets::default());
        let triggers = |connection: &Connection| {
            Some(Triggers::of_stack(connection, &"curfew".parse().unwrap()))
        };
        Self::begin_with(ec2, clock, state, configuration, home, triggers).await
    }

    async fn begin_with(
        ec2: &Model,
        clock: &Clock,
        state: &Path,
        configuration: DaemonConfiguration,
        targets: Targets,
        triggers: impl FnOnce(&Connection) -> Option<Triggers>,
    ) -> Self {
        let server = serve_with(ec2.clone(), TimeSource::Held).await;
        let options = ConnectOptions {
            endpoint: Some(server.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(options).await.unwrap();
        // Creates the journal, so that it can be read.
        drop(Journal::open(state).unwrap());
        let organisation = Organisation::open(&connection, &targets);
        let ports = Dependencies {
            metrics: Metrics::new(connection.calls.clone()),
            triggers: triggers(&connection),
            ..Dependencies::quiet(clock.clone(), organisation, state.to_owned())
        };
        let (health, metrics) = (ports.health.clone(), ports.metrics.clone());
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task =
            tokio::spawn(async move { run(&configuration, schedule_set(), ports, token).await });
        Self {
            shutdown,
            task,
            health,
            metrics,
            _server: server,
        }
    }

    /// Waits until a metric has this value.
    async fn counts(&self, metric: &str, value: &str) {
        let line = format!("{metric} {value}");
        wait_until(&line, || self.metrics.text().lines().any(|one| one == line)).await;
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Two regions, of which `eu-west-1` hangs: it accepts calls and never responds.
fn with_a_hanging_region(ec2: &Model) -> Targets {
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    ec2.fault(hangs.in_region("eu-west-1"));
    Targets {
        regions: Some(["eu-west-1", "us-east-1"].map(Region::new).to_vec()),
        accounts: Vec::new(),
    }
}

async fn assert_edge_is_on_time_while_a_region_hangs(
    configuration: DaemonConfiguration,
    most: i64,
) {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_secs(4));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    let targets = with_a_hanging_region(&ec2);
    let daemon = Daemon::begin_in(&ec2, &clock, state.path(), configuration, targets).await;
    wait_until("the instance is stopped", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    let late = clock.now().duration_since(EDGE.parse().unwrap());
    assert!(late < SignedDuration::from_secs(most), "{late}");
    let up = "curfew_account_region_up{account=\"\",region=\"us-east-1\"}";
    daemon.counts(up, "1").await;
    let down = "curfew_account_region_up{account=\"\",region=\"eu-west-1\"}";
    daemon.counts(down, "0").await;
    assert_eq!(
        daemon.health.unready(),
        [""; 0],
        "the other region has passes"
    );
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_is_applied_on_time_while_another_account_region_hangs() {
    let configuration = configuration(Driver::Daemon, Duration::ZERO);
    assert_edge_is_on_time_while_a_region_hangs(configuration, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_edge_is_applied_in_time_while_another_account_region_hangs() {
    let configuration = configuration(Driver::Cloud, Duration::from_secs(2));
    assert_edge_is_on_time_while_a_region_hangs(configuration, 8).await;
}

fn edges(state: &Path) -> Vec<EdgeEntry> {
    let journal = Journal::read(state).unwrap();
    journal.edges(&HistoryFilter::default()).unwrap()
}

fn causes(state: &Path) -> Vec<String> {
    let entries = Journal::read(state)
        .unwrap()
        .history(&HistoryFilter::default())
        .unwrap();
    entries
        .iter()
        .map(|entry| format!("{} {}", entry.transition.to, entry.transition.cause))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_triggers_a_pass_at_the_edge_and_the_transition_is_journalled_with_its_cause() {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_secs(4));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    let configuration = configuration(Driver::Daemon, Duration::ZERO);
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;

    wait_until("the instance is stopped", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    let edge: Timestamp = EDGE.parse().unwrap();
    let late = clock.now().duration_since(edge);
    assert!(!late.is_negative(), "not before the edge");
    assert!(
        late < SignedDuration::from_secs(10),
        "the timer, not the periodic pass: {late}"
    );
    wait_until("the journal has it", || {
        causes(state.path())
            .iter()
            .any(|cause| cause.ends_with("schedule office"))
    })
    .await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_the_lambda_missed_is_applied_after_the_grace() {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_secs(2));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    let configuration = configuration(Driver::Cloud, Duration::from_secs(3));
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;

    wait_until("the daemon acts", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    let late = clock.now().duration_since(EDGE.parse().unwrap());
    assert!(
        late >= SignedDuration::from_secs(3),
        "not before the grace period is over: {late}"
    );
    daemon.end().await;
    let [entry] = &edges(state.path())[..] else {
        panic!("one edge of one instance");
    };
    assert_eq!(entry.record.outcome, EdgeOutcome::Missed);
    assert!(entry.latency_seconds >= 3.0, "{}", entry.latency_seconds);
}

/// Creates the stack's work queue. No function receives from it.
fn work_queue(ec2: &Model) -> String {
    let configuration = QueueAttributes {
        order: QueueType::Fifo,
        ..QueueAttributes::default()
    };
    let home = Home::new("000000000000", "us-east-1");
    ec2.create_queue(&home, "curfew-curfew-work.fifo", configuration)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_edge_is_enqueued_once_and_applied_after_a_second_grace() {
    let state = tempfile::tempdir().unwrap();
    let grace = SignedDuration::from_mins(5);
    let before = clock_after_the_edge(grace - SignedDuration::from_mins(2));
    let minutes = Arc::new(AtomicU32::new(0));
    let set = Arc::clone(&minutes);
    let clock = Clock::telling(move || {
        before.now() + SignedDuration::from_mins(set.load(Ordering::Relaxed).into())
    });
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(since_the_morning("web"));
    let queue = work_queue(&ec2);
    let configuration = Duration::try_from(grace).unwrap();
    let daemon = Daemon::begin_before_a_stack(&ec2, &clock, state.path(), configuration).await;

    let checks = "curfew_passes_total{outcome=\"done\"}";
    daemon.counts(checks, "1").await;
    assert_eq!(
        ec2.messages(&queue),
        [],
        "the first grace period is not over"
    );
    minutes.store(2, Ordering::Relaxed);
    daemon.counts(checks, "2").await;
    let messages = ec2.messages(&queue);
    let work: serde_json::Value = serde_json::from_str(&messages[0].body).unwrap();
    let account_region = serde_json::json!({"region": "us-east-1"});
    let wanted =
        serde_json::json!({"command": "wake", "at": EDGE, "account_region": account_region});
    assert_eq!(
        work, wanted,
        "a pass over this account-region for the edge's minute"
    );
    assert_eq!(messages[0].group.as_deref(), Some("own/us-east-1"));

    minutes.store(4, Ordering::Relaxed);
    daemon.counts(checks, "3").await;
    assert_eq!(ec2.changes(), 0, "the second grace period is not over");
    minutes.store(8, Ordering::Relaxed);
    wait_until("the daemon acts", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    daemon.end().await;
    assert_eq!(
        ec2.calls_of(ApiAction::SendMessage).len(),
        1,
        "once for an edge, however often it is looked for"
    );
    let outcomes: Vec<_> = edges(state.path())
        .iter()
        .map(|entry| entry.record.outcome)
        .collect();
    assert_eq!(outcomes, [EdgeOutcome::Missed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_the_lambda_applies_after_its_trigger_needs_no_step() {
    let state = tempfile::tempdir().unwrap();
    let grace = Duration::from_secs(5);
    let clock = clock_after_the_edge(SignedDuration::from_secs(4));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(since_the_morning("web"));
    let queue = work_queue(&ec2);
    let daemon = Daemon::begin_before_a_stack(&ec2, &clock, state.path(), grace).await;
    wait_until("the trigger is enqueued", || {
        !ec2.messages(&queue).is_empty()
    })
    .await;
    // The steps of a Lambda's pass.
    ec2.stop(&web).unwrap();
    ec2.set_tag(&web, LAST_TAG, &format!("{EDGE} stop schedule office"));
    daemon
        .counts("curfew_edges_total{outcome=\"late\"}", "1")
        .await;
    wait_until("the second grace period is over, too", || {
        since_the_edge(&clock) > SignedDuration::from_secs(12)
    })
    .await;
    daemon
        .counts("curfew_edges_total{outcome=\"missed\"}", "0")
        .await;
    daemon.end().await;
    assert_eq!(ec2.changes(), 0, "the daemon changes nothing");
    assert_eq!(ec2.calls_of(ApiAction::SendMessage).len(), 1);
}

/// Checks that the daemon acts after one grace period, and not after two, if the Lambda receives no trigger.
async fn assert_step_after_one_grace(break_trigger: impl FnOnce(&Model)) {
    let state = tempfile::tempdir().unwrap();
    let grace = SignedDuration::from_secs(20);
    let clock = clock_after_the_edge(grace - SignedDuration::from_secs(1));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(since_the_morning("web"));
    break_trigger(&ec2);
    let configuration = Duration::try_from(grace).unwrap();
    let daemon = Daemon::begin_before_a_stack(&ec2, &clock, state.path(), configuration).await;
    wait_until("the daemon acts", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    let late = since_the_edge(&clock);
    assert!(grace <= late && late < grace * 2, "{late}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_work_queue_there_is_no_second_grace() {
    assert_step_after_one_grace(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_queue_that_refuses_the_trigger_gives_no_second_grace() {
    assert_step_after_one_grace(|ec2| {
        work_queue(ec2);
        ec2.deny(Denial::of(ApiAction::SendMessage));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_work_queue_gives_no_second_grace() {
    assert_step_after_one_grace(|ec2| {
        work_queue(ec2);
        ec2.fault(Fault::on(ApiAction::SendMessage, Symptom::Hang));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unapplied_edge_is_journalled_counted_once_and_corrected_when_applied() {
    let state = tempfile::tempdir().unwrap();
    let (clock, hours) = clock_to_set(Duration::from_secs(2));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    ec2.deny(Denial::of(ApiAction::StopInstances));
    let configuration = configuration(Driver::Cloud, Duration::from_secs(3));
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;
    let outcomes = || -> Vec<EdgeOutcome> {
        let edges = edges(state.path());
        edges.iter().map(|entry| entry.record.outcome).collect()
    };
    wait_until("it is journalled", || {
        outcomes() == [EdgeOutcome::NotApplied]
    })
    .await;
    // The steps of a Lambda's pass with permission.
    ec2.allow_everything();
    ec2.stop(&web).unwrap();
    let applied = format!("{EDGE} stop schedule office");
    ec2.set_tag(&web, LAST_TAG, &applied);
    // A clock jump, because the next periodic pass is too far away.
    hours.store(1, Ordering::Relaxed);
    wait_until("the outcome is corrected", || {
        outcomes() == [EdgeOutcome::Late]
    })
    .await;
    daemon
        .counts("curfew_edges_total{outcome=\"missed\"}", "1")
        .await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_change_is_detected_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_hours(1));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    let begin = async || {
        let configuration = configuration(Driver::Cloud, Duration::from_mins(1));
        Daemon::begin(&ec2, &clock, state.path(), configuration).await
    };
    let daemon = begin().await;
    wait_until("the first observation is journalled", || {
        !Journal::read(state.path())
            .unwrap()
            .known_states()
            .unwrap()
            .is_empty()
    })
    .await;
    daemon.end().await;

    ec2.stop(&web).unwrap();
    ec2.advance(SignedDuration::from_mins(2));
    let daemon = begin().await;
    wait_until("the change is journalled", || {
        causes(state.path()) == ["stopped external"]
    })
    .await;
    daemon.end().await;
    assert_eq!(causes(state.path()), ["stopped external"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_survives_an_outage_of_ec2() {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_secs(1));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    // Each failing pass makes three attempts.
    ec2.fault(Fault::error(ApiAction::DescribeInstances, 503, "Unavailable").times(9));
    let configuration = configuration(Driver::Daemon, Duration::ZERO);
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;
    wait_until("the edge is applied", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    daemon.end().await;
}

/// The clock represents any defect in a task: it panics once in each of the first tasks that read the time.
#[tokio::test(flavor = "multi_thread")]
async fn panicking_tasks_are_restarted_and_the_edge_is_applied_and_journalled() {
    let state = tempfile::tempdir().unwrap();
    let inner = clock_before_the_edge(Duration::from_secs(1));
    let ec2 = Model::new(inner.now());
    let web = ec2.launch(office("web"));
    let panics = Arc::new(AtomicU32::new(4));
    let (left, time) = (Arc::clone(&panics), inner.clone());
    let clock = Clock::telling(move || {
        let bug = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        assert!(bug.is_err(), "a bug in the clock");
        time.now()
    });
    let configuration = configuration(Driver::Daemon, Duration::ZERO);
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;
    wait_until("the edge is applied and journalled", || {
        ec2.advance(SignedDuration::from_secs(1));
        let causes = causes(state.path());
        ec2.state(&web) == Ec2InstanceState::Stopped
            && causes
                .iter()
                .any(|cause| cause == "stopped schedule office")
    })
    .await;
    wait_until("it is ready again", || daemon.health.unready().is_empty()).await;
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    daemon.end().await;
}

/// A clock before the edge that can be advanced by hours.
fn clock_to_set(lead: Duration) -> (Clock, Arc<AtomicU32>) {
    let before = clock_before_the_edge(lead);
    let hours = Arc::new(AtomicU32::new(0));
    let set = Arc::clone(&hours);
    let clock = Clock::telling(move || {
        before.now() + SignedDuration::from_hours(set.load(Ordering::Relaxed).into())
    });
    (clock, hours)
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_jumps_over_an_edge_and_back_apply_it_once() {
    let state = tempfile::tempdir().unwrap();
    let (clock, hours) = clock_to_set(Duration::from_hours(1));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    let configuration = configuration(Driver::Daemon, Duration::ZERO);
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;
    wait_until("the first pass has ended", || {
        daemon.health.unready().is_empty()
    })
    .await;
    assert_eq!(ec2.state(&web), Ec2InstanceState::Running);

    hours.store(2, Ordering::Relaxed);
    daemon.counts("curfew_clock_jumps_total", "1").await;
    wait_until("the edge is applied", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    ec2.advance(SignedDuration::from_mins(2));
    hours.store(0, Ordering::Relaxed);
    daemon.counts("curfew_clock_jumps_total", "2").await;
    hours.store(2, Ordering::Relaxed);
    daemon.counts("curfew_clock_jumps_total", "3").await;
    daemon
        .counts("curfew_steps_total{action=\"stop\",result=\"done\"}", "1")
        .await;
    assert_eq!(ec2.state(&web), Ec2InstanceState::Stopped);
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_the_lambda_applies_is_recorded() {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_secs(2));
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(office("web"));
    let configuration = configuration(Driver::Cloud, Duration::from_hours(1));
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;
    wait_until("the first observation is made", || {
        daemon.health.unready().is_empty()
    })
    .await;
    // The steps of a Lambda's pass.
    ec2.stop(&web).unwrap();
    let applied = format!("{EDGE} stop schedule office");
    ec2.set_tag(&web, LAST_TAG, &applied);
    daemon
        .counts("curfew_edges_total{outcome=\"in_time\"}", "1")
        .await;
    daemon
        .counts("curfew_edges_total{outcome=\"missed\"}", "0")
        .await;
    daemon.end().await;
    let [entry] = &edges(state.path())[..] else {
        panic!("one edge of one instance");
    };
    let it = &entry.record;
    assert_eq!(it.edge.to_string(), EDGE);
    assert_eq!(it.instance.as_str(), web.as_str());
    assert_eq!(it.outcome, EdgeOutcome::InTime);
    assert!(
        (0.0..3600.0).contains(&entry.latency_seconds),
        "{}",
        entry.latency_seconds
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_that_the_lambda_does_not_correct_is_corrected_after_the_grace() {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_hours(1));
    let ec2 = Model::new(clock.now());
    let override_ = "stopped since 2026-11-23T12:00:00Z until 2026-11-24T18:00:00Z by alice";
    let web = ec2.launch(office("web").tag(OVERRIDE_TAG, override_));
    let grace = Duration::from_secs(3);
    let begun = clock.now();
    let daemon = Daemon::begin(
        &ec2,
        &clock,
        state.path(),
        configuration(Driver::Cloud, grace),
    )
    .await;
    wait_until("the override is enforced", || {
        ec2.state(&web) != Ec2InstanceState::Running
    })
    .await;
    let late = clock.now().duration_since(begun);
    assert!(late >= SignedDuration::from_secs(3), "{late}");
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_outcome() {
    let state = tempfile::tempdir().unwrap();
    let clock = clock_before_the_edge(Duration::from_hours(1));
    let ec2 = Model::new(clock.now());
    ec2.launch(office("web"));
    let action = ApiAction::DescribeInstances;
    ec2.fault(Fault::error(action, 503, "RequestLimitExceeded").times(1));
    ec2.fault(Fault::error(action, 500, "InternalError").times(1));
    ec2.fault(Fault::error(action, 403, "UnauthorizedOperation").times(1));
    let configuration = configuration(Driver::Daemon, Duration::ZERO);
    let daemon = Daemon::begin(&ec2, &clock, state.path(), configuration).await;
    for outcome in ["throttled", "failed", "refused"] {
        let metric = format!(
            "curfew_api_calls_total{{service=\"EC2\",action=\"DescribeInstances\",outcome=\"{outcome}\"}}"
        );
        daemon.counts(&metric, "1").await;
    }
    daemon
        .counts("curfew_instances{state=\"running\"}", "1")
        .await;
    daemon.counts("curfew_managed_instances", "1").await;
    daemon
        .counts("curfew_next_edge_timestamp_seconds", "1795460400.0")
        .await;
    daemon.end().await;
}
