//! The complete daemon with a queue of EC2's state changes: against the model, in real time.

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

/// The model with a queue of state changes, and the state directory of a daemon that only observes.
struct QueueSetup {
    ec2: Model,
    web: Ec2InstanceId,
    queue: String,
    state: tempfile::TempDir,
    connection: Connection,
    _server: Server,
}

/// A running daemon.
struct Daemon {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl QueueSetup {
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

    /// Starts a daemon that rarely polls: what is journalled soon comes from an event.
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
        events.wait_time = Duration::from_secs(1);
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

    async fn wait_until_observed(&self) {
        let known = || {
            let journal = Journal::read(self.state.path());
            journal.is_ok_and(|journal| !journal.known_states().unwrap().is_empty())
        };
        wait_until("the first observation is journalled", known).await;
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
async fn events_are_journalled_once_before_their_messages_are_deleted() {
    let setup = QueueSetup::new().await;
    let daemon = setup.daemon();
    setup.wait_until_observed().await;
    setup.ec2.stop(&setup.web).unwrap();
    // EventBridge may deliver twice.
    let event = setup.ec2.messages(&setup.queue)[0].body.clone();
    setup.ec2.send(&setup.queue, &event);
    let stop = [State::Stopping, State::Stopped];
    wait_until("the stop is journalled", || setup.states() == stop).await;
    setup.ec2.start(&setup.web).unwrap();
    let all = [stop, [State::Pending, State::Running]].concat();
    wait_until("the start is journalled", || setup.states() == all).await;
    wait_until("every message is deleted", || {
        setup.ec2.messages(&setup.queue).is_empty()
    })
    .await;
    daemon.end().await;
    let calls = setup.connection.calls.counts();
    for action in ["ReceiveMessage", "DeleteMessageBatch"] {
        let counted = calls.iter().any(|(call, count)| {
            let call = (call.service.as_str(), call.action.as_str(), call.outcome);
            call == ("SQS", action, CallOutcome::Done) && *count > 0
        });
        assert!(counted, "{action}: {calls:?}");
    }

    let happened = setup.ec2.transitions();
    let journalled = setup.history();
    assert_eq!(journalled.len(), happened.len());
    for (entry, happened) in journalled.iter().zip(&happened) {
        assert_eq!(entry.transition.to.as_str(), happened.to.name());
        assert_eq!(entry.transition.at.as_second(), happened.at.as_second());
        assert_eq!(entry.transition.source, TransitionSource::Event);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_queued_while_the_daemon_was_down_are_journalled() {
    let setup = QueueSetup::new().await;
    let daemon = setup.daemon();
    setup.wait_until_observed().await;
    daemon.end().await;
    // A stop and a start, which polls alone can't detect.
    setup.ec2.stop(&setup.web).unwrap();
    setup.ec2.advance(4.seconds());
    setup.ec2.start(&setup.web).unwrap();
    setup.ec2.advance(4.seconds());
    let daemon = setup.daemon();
    let all = [
        State::Stopping,
        State::Stopped,
        State::Pending,
        State::Running,
    ];
    wait_until("all of it is journalled", || setup.states() == all).await;
    daemon.end().await;
    let mut sources = setup
        .history()
        .into_iter()
        .map(|entry| entry.transition.source);
    assert!(sources.all(|source| source == TransitionSource::Event));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_message_delays_nothing_and_is_deleted() {
    let setup = QueueSetup::new().await;
    for body in ["hello", "{}", r#"{"source": "aws.ec2", "detail": null}"#] {
        setup.ec2.send(&setup.queue, body);
    }
    let daemon = setup.daemon();
    setup.wait_until_observed().await;
    setup.ec2.stop(&setup.web).unwrap();
    wait_until("the stop is journalled", || setup.states().len() == 2).await;
    wait_until("unreadable messages are deleted", || {
        setup.ec2.messages(&setup.queue).is_empty()
    })
    .await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_stay_queued_while_the_journal_cannot_be_written() {
    let setup = QueueSetup::new().await;
    let daemon = setup.daemon();
    setup.wait_until_observed().await;
    let held = lock_journal(setup.state.path());
    setup.ec2.stop(&setup.web).unwrap();
    let received = || {
        let messages = setup.ec2.messages(&setup.queue);
        messages.iter().any(|message| message.receives > 0)
    };
    wait_until("the event is received", received).await;
    // Longer than SQLite's own lock timeout.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!setup.ec2.messages(&setup.queue).is_empty());
    assert_eq!(setup.states(), []);
    drop(held);
    let stop = [State::Stopping, State::Stopped];
    wait_until("the stop is journalled", || setup.states() == stop).await;
    wait_until("every message is deleted", || {
        setup.ec2.messages(&setup.queue).is_empty()
    })
    .await;
    daemon.end().await;
}

/// Locks the journal's file as another program does.
fn lock_journal(state: &Path) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(state.join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}
