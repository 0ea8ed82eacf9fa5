//! The daemon, whole, where EC2's state changes come in a queue: against the model, in real time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::calls::CallOutcome;
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::organisation::Organisation;
use curfew_config::{DaemonConfiguration, Driver, QueueSetting};
use curfew_core::account_regions::Targets;
use curfew_core::instance::InstanceState as State;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::transition::TransitionSource;
use curfew_daemon::run::{Dependencies, EventQueue, QueueAddress, RunError, run};
use curfew_journal::{FILE, HistoryFilter, Journal, JournalEntry};
use curfew_model::{
    Durations, Ec2InstanceId, Home, Launch, Model, QueueAttributes, Server, TimeSource, serve_with,
    wait_until,
};
use jiff::{SignedDuration, ToSpan};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An account whose state changes come in a queue, a daemon that only watches it, and its journal.
struct House {
    ec2: Model,
    web: Ec2InstanceId,
    queue: String,
    state: tempfile::TempDir,
    connection: Connection,
    _server: Server,
}

/// A daemon at work.
struct Daemon {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl House {
    async fn new() -> Self {
        let ec2 = Model::new(Clock::system().now());
        ec2.set_durations(Durations {
            pending: SignedDuration::from_secs(2),
            stopping: SignedDuration::from_secs(2),
            ..Durations::default()
        });
        let web = ec2.launch(Launch::new("web"));
        let home = Home::clone(&ec2.instance(&web).home);
        let configuration = QueueAttributes {
            visibility: SignedDuration::from_secs(1),
            ..QueueAttributes::default()
        };
        let queue = ec2.create_queue(&home, "state-changes", configuration);
        ec2.deliver_events_to(&queue);
        let server = serve_with(ec2.clone(), TimeSource::Wall).await;
        let options = ConnectOptions {
            endpoint: Some(server.endpoint.clone()),
            region: Some(home.region.clone()),
            ..ConnectOptions::default()
        };
        Self {
            ec2,
            web,
            queue,
            state: tempfile::tempdir().unwrap(),
            connection: Connection::open(options).await.unwrap(),
            _server: server,
        }
    }

    /// Looks are rare: what is journalled soon, an event has told.
    fn daemon(&self) -> Daemon {
        let configuration = DaemonConfiguration {
            driver: Driver::Cloud,
            poll: Duration::from_secs(1),
            poll_quiet: Duration::from_mins(10),
            queue: QueueSetting::Url(self.queue.clone()),
            ..DaemonConfiguration::default()
        };
        let address = QueueAddress::Url(self.queue.clone());
        let mut events = EventQueue::new(&self.connection, address);
        events.patience = Duration::from_secs(1);
        events.visibility = Duration::from_secs(1);
        let organisation = Organisation::open(&self.connection, &Targets::default());
        let state = self.state.path().to_owned();
        let ports = Dependencies {
            events: Some(events),
            ..Dependencies::quiet(Clock::system(), organisation, state)
        };
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let schedule_set = Arc::new(ScheduleSet {
            tag: "Schedule".to_owned(),
            schedules: std::collections::BTreeMap::new(),
        });
        let task =
            tokio::spawn(async move { run(&configuration, schedule_set, ports, token).await });
        Daemon { shutdown, task }
    }

    async fn is_known(&self) {
        let known = || {
            let journal = Journal::read(self.state.path());
            journal.is_ok_and(|journal| !journal.sightings().unwrap().is_empty())
        };
        wait_until("the first look is journalled", known).await;
    }

    fn history(&self) -> Vec<JournalEntry> {
        let journal = Journal::read(self.state.path()).unwrap();
        journal.history(&HistoryFilter::default()).unwrap()
    }

    fn states(&self) -> Vec<State> {
        let history = self.history();
        history.iter().map(|entry| entry.transition.to).collect()
    }
}

impl Daemon {
    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_journalled_once_and_their_messages_deleted_then() {
    let house = House::new().await;
    let daemon = house.daemon();
    house.is_known().await;
    house.ec2.stop(&house.web).unwrap();
    // Delivered twice, as EventBridge may.
    let told = house.ec2.messages(&house.queue)[0].body.clone();
    house.ec2.send(&house.queue, &told);
    let stop = [State::Stopping, State::Stopped];
    wait_until("the stop is journalled", || house.states() == stop).await;
    house.ec2.start(&house.web).unwrap();
    let all = [stop, [State::Pending, State::Running]].concat();
    wait_until("the start is journalled", || house.states() == all).await;
    wait_until("every message is deleted", || {
        house.ec2.messages(&house.queue).is_empty()
    })
    .await;
    daemon.end().await;
    let calls = house.connection.calls.counts();
    for action in ["ReceiveMessage", "DeleteMessageBatch"] {
        let counted = calls.iter().any(|(call, count)| {
            let sort = (call.service.as_str(), call.action.as_str(), call.outcome);
            sort == ("SQS", action, CallOutcome::Done) && *count > 0
        });
        assert!(counted, "{action}: {calls:?}");
    }

    let happened = house.ec2.transitions();
    let journalled = house.history();
    assert_eq!(journalled.len(), happened.len());
    for (entry, happened) in journalled.iter().zip(&happened) {
        assert_eq!(entry.transition.to.as_str(), happened.to.name());
        assert_eq!(entry.transition.at.as_second(), happened.at.as_second());
        assert_eq!(entry.transition.source, TransitionSource::Event);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_daemon_was_away_is_told_by_the_events_that_waited() {
    let house = House::new().await;
    let daemon = house.daemon();
    house.is_known().await;
    daemon.end().await;
    // A stop and a start: whoever only looks sees an instance that runs, as before.
    house.ec2.stop(&house.web).unwrap();
    house.ec2.advance(4.seconds());
    house.ec2.start(&house.web).unwrap();
    house.ec2.advance(4.seconds());
    let daemon = house.daemon();
    let all = [
        State::Stopping,
        State::Stopped,
        State::Pending,
        State::Running,
    ];
    wait_until("all of it is journalled", || house.states() == all).await;
    daemon.end().await;
    let evidence = house
        .history()
        .into_iter()
        .map(|entry| entry.transition.source);
    assert!(
        evidence
            .into_iter()
            .all(|evidence| evidence == TransitionSource::Event)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_makes_no_sense_delays_nothing_and_is_not_kept_for_ever() {
    let house = House::new().await;
    for body in ["hello", "{}", r#"{"source": "aws.ec2", "detail": null}"#] {
        house.ec2.send(&house.queue, body);
    }
    let daemon = house.daemon();
    house.is_known().await;
    house.ec2.stop(&house.web).unwrap();
    wait_until("the stop is journalled", || house.states().len() == 2).await;
    wait_until("nobody keeps the others", || {
        house.ec2.messages(&house.queue).is_empty()
    })
    .await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_journal_cannot_be_written_messages_are_kept_where_they_are_safe() {
    let house = House::new().await;
    let daemon = house.daemon();
    house.is_known().await;
    let held = override_(house.state.path());
    house.ec2.stop(&house.web).unwrap();
    let received = || {
        let messages = house.ec2.messages(&house.queue);
        messages.iter().any(|message| message.receives > 0)
    };
    wait_until("the event is received", received).await;
    // Longer than SQLite waits for a lock by itself.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!house.ec2.messages(&house.queue).is_empty());
    assert_eq!(house.states(), []);
    drop(held);
    let stop = [State::Stopping, State::Stopped];
    wait_until("the stop is journalled", || house.states() == stop).await;
    wait_until("every message is deleted", || {
        house.ec2.messages(&house.queue).is_empty()
    })
    .await;
    daemon.end().await;
}

/// Another program that holds the journal's file.
fn override_(state: &Path) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(state.join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}
