//! Delivery of notifications: to a local web server that fails in every way, and to a stub of SNS.

mod inbox;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use curfew_aws::calls::{ApiCalls, CallOutcome};
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection, Trust};
use curfew_aws::organisation::Organisation;
use curfew_config::notify::NotificationEvent;
use curfew_config::{DaemonConfiguration, Destination, Driver, NotifyConfiguration, QueueSetting};
use curfew_core::account_regions::Targets;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::Region;
use curfew_core::schedule_set::ScheduleSet;
use curfew_daemon::notify::{Delivery, Notification, Notifier, Subject, open};
use curfew_daemon::run::{DeadLetterQueues, Dependencies, run};
use curfew_journal::FILE;
use curfew_model::{
    ApiAction, ApiCaller, ApiRequest, Denial, Fault, Home, Launch, Model, ModelResponse,
    QueueAttributes, QueueCall, TimeSource, serve_with, wait_until,
};
use inbox::{Inbox, Reply};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The model's account for credentials without an account.
const ACCOUNT: &str = "000000000000";

async fn connection(endpoint: &str) -> Connection {
    let options = ConnectOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        profile: None,
        trust: Trust::OperatingSystem,
    };
    Connection::open(options).await.unwrap()
}

fn all_kinds(destination: Destination) -> NotifyConfiguration {
    NotifyConfiguration {
        destination,
        events: NotificationEvent::ALL.into(),
        schedules: BTreeSet::new(),
    }
}

fn webhook(inbox: &Inbox) -> NotifyConfiguration {
    all_kinds(Destination::Webhook(inbox.url().parse().unwrap()))
}

fn topic() -> NotifyConfiguration {
    let arn = "arn:aws:sns:eu-west-3:111122223333:curfew";
    all_kinds(Destination::Topic(arn.parse().unwrap()))
}

fn polling_often(driver: Driver) -> DaemonConfiguration {
    DaemonConfiguration {
        driver,
        poll: Duration::from_millis(200),
        poll_quiet: Duration::from_millis(200),
        queue: QueueSetting::Off,
        ..DaemonConfiguration::default()
    }
}

fn notification(name: &str) -> Notification {
    Notification {
        event: NotificationEvent::Drift,
        subject: Subject::Named(name.to_owned()),
        what: format!("{name} happened"),
        ..Notification::test("2026-11-23T19:00:00Z".parse().unwrap())
    }
}

/// Running delivery tasks.
struct Post {
    notifier: Notifier,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    calls: ApiCalls,
}

impl Post {
    async fn of(configuration: &[NotifyConfiguration], endpoint: &str) -> Self {
        let connection = connection(endpoint).await;
        let (notifier, deliveries) = open(configuration, &connection).unwrap();
        let shutdown = CancellationToken::new();
        let begin = |delivery: Delivery| tokio::spawn(delivery.run(shutdown.clone()));
        Self {
            notifier,
            tasks: deliveries.into_iter().map(begin).collect(),
            shutdown,
            calls: connection.calls,
        }
    }

    /// Shuts down and returns the time that it took: deliveries send what is queued within the shutdown's limit.
    async fn end(self) -> Duration {
        let begun = Instant::now();
        drop(self.notifier);
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        begun.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_notifications_are_one_message_and_shutdown_waits_for_it() {
    let inbox = Inbox::open().await;
    let post = Post::of(&[webhook(&inbox)], "http://127.0.0.1:9").await;
    post.notifier.notify(&notification("a"));
    post.notifier.notify(&notification("b"));
    post.end().await;
    let received = inbox.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(
        received[0]["text"],
        "Drift: a: a happened\nDrift: b: b happened"
    );
    assert_eq!(received[0]["curfew"]["notifications"][1]["event"], "drift");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_webhook_is_retried_and_delays_no_other() {
    let failing = Inbox::open().await;
    failing.plan_replies([Reply::Status(500), Reply::Status(503), Reply::Cut]);
    let healthy = Inbox::open().await;
    let post = Post::of(
        &[webhook(&failing), webhook(&healthy)],
        "http://127.0.0.1:9",
    )
    .await;
    post.notifier.notify(&notification("a"));
    healthy.until(1).await;
    assert_eq!(failing.received().len(), 0);
    failing.until(1).await;
    assert_eq!(failing.requests(), 4, "three failures first");
    post.end().await;
    assert_eq!(failing.received().len(), 1, "delivered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_header_is_respected() {
    let inbox = Inbox::open().await;
    inbox.plan_replies([Reply::RetryAfter(3)]);
    let post = Post::of(&[webhook(&inbox)], "http://127.0.0.1:9").await;
    post.notifier.notify(&notification("a"));
    inbox.until_requests(1).await;
    let requested = Instant::now();
    inbox.until(1).await;
    assert!(
        requested.elapsed() >= Duration::from_secs(2),
        "{:?}",
        requested.elapsed()
    );
    post.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_notification_is_dropped_and_the_next_one_is_sent() {
    let inbox = Inbox::open().await;
    inbox.plan_replies([Reply::Status(404)]);
    let post = Post::of(&[webhook(&inbox)], "http://127.0.0.1:9").await;
    post.notifier.notify(&notification("a"));
    inbox.until_requests(1).await;
    post.notifier.notify(&notification("b"));
    inbox.until(1).await;
    assert_eq!(inbox.received()[0]["text"], "Drift: b: b happened");
    post.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_webhook_delays_no_other_and_shutdown_briefly() {
    let hanging = Inbox::open().await;
    hanging.plan_replies([Reply::Hang]);
    let healthy = Inbox::open().await;
    let post = Post::of(
        &[webhook(&hanging), webhook(&healthy)],
        "http://127.0.0.1:9",
    )
    .await;
    let begun = Instant::now();
    for number in 0..150 {
        post.notifier.notify(&notification(&number.to_string()));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "sending never blocks"
    );
    healthy.until(1).await;
    let took = post.end().await;
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(9),
        "bounded: {took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_drops_the_oldest_and_counts_them() {
    let inbox = Inbox::open().await;
    inbox.plan_replies([Reply::Status(500)]);
    let post = Post::of(&[webhook(&inbox)], "http://127.0.0.1:9").await;
    post.notifier.notify(&notification("first"));
    inbox.until_requests(1).await;
    for number in 0..10_007 {
        post.notifier.notify(&notification(&number.to_string()));
    }
    inbox.until(2).await;
    let received = inbox.received();
    assert_eq!(received[0]["text"], "Drift: first: first happened");
    assert_eq!(received[1]["curfew"]["dropped"], 7);
    assert_eq!(received[1]["curfew"]["notifications"][0]["subject"], "7");
    let text = received[1]["text"].as_str().unwrap();
    assert!(
        text.ends_with(
            "7 notifications before these were dropped; `curfew history` has the transitions"
        ),
        "{text}"
    );
    post.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_receives_text_and_attributes() {
    let sns = Inbox::open().await;
    sns.plan_replies([Reply::Status(500)]);
    let post = Post::of(&[topic()], &sns.endpoint()).await;
    post.notifier.notify(&notification("a"));
    sns.until(1).await;
    let calls = post.calls.clone();
    post.end().await;
    let counted = calls.counts();
    let counted = counted
        .iter()
        .map(|(call, count)| (&*call.service, &*call.action, call.outcome, *count));
    assert_eq!(
        counted.collect::<Vec<_>>(),
        [
            ("SNS", "Publish", CallOutcome::Done, 1),
            ("SNS", "Publish", CallOutcome::Failed, 1)
        ]
    );
    let message = &sns.received()[0];
    assert_eq!(message["Action"], "Publish");
    assert_eq!(
        message["TopicArn"],
        "arn:aws:sns:eu-west-3:111122223333:curfew"
    );
    assert_eq!(message["Subject"], "Drift: a: a happened");
    assert_eq!(message["MessageStructure"], "json");
    let bodies: serde_json::Value =
        serde_json::from_str(message["Message"].as_str().unwrap()).unwrap();
    assert_eq!(bodies["email"], "Drift: a: a happened");
    let facts: serde_json::Value =
        serde_json::from_str(bodies["default"].as_str().unwrap()).unwrap();
    assert_eq!(facts["notifications"][0]["event"], "drift");
}

/// The complete daemon: an edge, an override, and a start without capacity.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_notifies_of_transitions_overrides_and_failures() {
    let state = tempfile::tempdir().unwrap();
    let edge: Timestamp = "2026-11-23T19:00:00Z".parse().unwrap();
    let system = Clock::system();
    let shift = edge.duration_since(system.now()) - SignedDuration::from_secs(3);
    let clock = Clock::telling(move || system.now() + shift);
    let document = r#"{"schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"},
                                     "night": {"timezone": "Europe/Paris", "start": "0 20 * * *"}}}"#;
    let schedule_set = RawScheduleSet::from_json(document)
        .unwrap()
        .resolve()
        .unwrap();
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(
        Launch::new("web")
            .tag("Schedule", "office")
            .tag("curfew:last", "2026-11-23T07:00:00Z start schedule office"),
    );
    ec2.launch(
        Launch::new("night")
            .tag("Schedule", "night")
            .stopped()
            .tag("curfew:last", "2026-11-22T19:00:00Z start schedule night"),
    );
    ec2.fault(Fault::error(
        ApiAction::StartInstances,
        500,
        "InsufficientInstanceCapacity",
    ));
    let server = serve_with(ec2.clone(), TimeSource::Held).await;
    let inbox = Inbox::open().await;
    let connection = connection(&server.endpoint).await;
    let (notifier, deliveries) = open(&[webhook(&inbox)], &connection).unwrap();
    let organisation = Organisation::open(&connection, &Targets::default());
    let ports = Dependencies {
        notifier,
        deliveries,
        ..Dependencies::quiet(clock.clone(), organisation, state.path().to_owned())
    };
    let configuration = polling_often(Driver::Daemon);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let daemon =
        tokio::spawn(
            async move { run(&configuration, Arc::new(schedule_set), ports, token).await },
        );

    inbox.until_text("to stopped: schedule office", &ec2).await;
    inbox
        .until_text("start failed (schedule night)", &ec2)
        .await;
    ec2.set_tag(
        &web,
        "curfew:override",
        "stopped since 2026-11-23T12:00:00Z until 2026-11-24T22:00:00Z by alice",
    );
    inbox
        .until_text("override stopped until 2026-11-24T22:00:00Z by alice", &ec2)
        .await;
    ec2.remove_tag(&web, "curfew:override");
    inbox
        .until_text(
            "the override by alice (stopped until 2026-11-24T22:00:00Z) was ended early",
            &ec2,
        )
        .await;
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
    let texts = inbox.texts();
    assert_eq!(
        texts.matches("start failed").count(),
        1,
        "one notification for all attempts: {texts}"
    );
}

fn no_schedules() -> Arc<ScheduleSet> {
    Arc::new(ScheduleSet {
        tag: "Schedule".to_owned(),
        schedules: std::collections::BTreeMap::new(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_notifies_of_a_damaged_journal() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join(FILE), "this is no database".repeat(100)).unwrap();
    let inbox = Inbox::open().await;
    let connection = connection("http://127.0.0.1:9").await;
    let (notifier, deliveries) = open(&[webhook(&inbox)], &connection).unwrap();
    let organisation = Organisation::open(&connection, &Targets::default());
    let ports = Dependencies {
        notifier,
        deliveries,
        ..Dependencies::quiet(Clock::system(), organisation, state.path().to_owned())
    };
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let configuration = polling_often(Driver::Cloud);
    let daemon =
        tokio::spawn(async move { run(&configuration, no_schedules(), ports, token).await });
    inbox.until(1).await;
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
    let texts = inbox.texts();
    let begins = "Failure: Curfew: the journal was corrupt; it is quarantined as `";
    assert!(texts.starts_with(begins), "{texts}");
    let quarantined = state.path().join(format!("{FILE}.corrupt-1"));
    assert_eq!(
        inbox.received()[0]["curfew"]["notifications"][0]["quarantined"],
        quarantined.to_str().unwrap()
    );
}

/// Another program locks the journal's file for longer than the daemon waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_notifies_once_of_a_locked_journal_and_of_its_recovery() {
    let state = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let ec2 = Model::new(clock.now());
    let web = ec2.launch(Launch::new("web"));
    let server = serve_with(ec2.clone(), TimeSource::Held).await;
    let inbox = Inbox::open().await;
    let connection = connection(&server.endpoint).await;
    let (notifier, deliveries) = open(&[webhook(&inbox)], &connection).unwrap();
    let organisation = Organisation::open(&connection, &Targets::default());
    let ports = Dependencies {
        notifier,
        deliveries,
        ..Dependencies::quiet(clock, organisation, state.path().to_owned())
    };
    let health = ports.health.clone();
    let configuration = polling_often(Driver::Cloud);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let daemon =
        tokio::spawn(async move { run(&configuration, no_schedules(), ports, token).await });
    wait_until("it is ready", || health.unready().is_empty()).await;

    let other = rusqlite::Connection::open(state.path().join(FILE)).unwrap();
    let begin = || other.execute_batch("BEGIN IMMEDIATE").is_ok();
    wait_until("the other program has the file", begin).await;
    ec2.stop(&web).unwrap();
    inbox.until_text("can't be written", &ec2).await;
    assert_eq!(health.unready(), ["the journal can't be written"]);
    other.execute_batch("ROLLBACK").unwrap();
    inbox
        .until_text("the journal can be written again", &ec2)
        .await;
    inbox.until_text("to stopped: external", &ec2).await;
    wait_until("it is ready again", || health.unready().is_empty()).await;
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
    let texts = inbox.texts();
    assert_eq!(texts.matches("can't be written").count(), 1, "{texts}");
    assert_eq!(texts.matches("can be written again").count(), 1, "{texts}");
    assert!(texts.contains("another program holds the file"), "{texts}");
    assert!(texts.contains("none was lost"), "{texts}");
}

/// For each notification about this subject so far: whether it reports a recovery.
fn recoveries(inbox: &Inbox, subject: &str) -> Vec<bool> {
    let received = inbox.received();
    let notifications = received
        .iter()
        .filter_map(|message| message["curfew"]["notifications"].as_array())
        .flatten();
    let about = notifications.filter(|notification| notification["subject"] == subject);
    about
        .map(|notification| notification["recovered"] == true)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_notifies_of_dead_letters_and_of_their_removal() {
    let state = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let ec2 = Model::new(clock.now());
    let home = Home::new(ACCOUNT, "us-east-1");
    let queue = ec2.create_queue(
        &home,
        "curfew-curfew-failed-invocations",
        QueueAttributes::default(),
    );
    let server = serve_with(ec2.clone(), TimeSource::Held).await;
    let inbox = Inbox::open().await;
    let connection = connection(&server.endpoint).await;
    let (notifier, deliveries) = open(&[webhook(&inbox)], &connection).unwrap();
    let organisation = Organisation::open(&connection, &Targets::default());
    let mut queues = DeadLetterQueues::of_stack(&connection, &"curfew".parse().unwrap());
    queues.interval = Duration::from_millis(200);
    let ports = Dependencies {
        notifier,
        deliveries,
        dead_letters: Some(queues),
        ..Dependencies::quiet(clock, organisation, state.path().to_owned())
    };
    let metrics = ports.metrics.clone();
    let counts = |messages: &str| {
        let text = metrics.text();
        let mut lines = text.lines().map(str::to_owned);
        let of = "curfew_dead_letters{queue=\"curfew-curfew-failed-invocations\"} ";
        lines.any(|line| line.strip_prefix(of) == Some(messages))
    };
    let configuration = polling_often(Driver::Cloud);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let daemon =
        tokio::spawn(async move { run(&configuration, no_schedules(), ports, token).await });

    wait_until("the empty queue is counted", || counts("0")).await;
    ec2.send(&queue, "an event and its error");
    wait_until("the failure is notified", || {
        recoveries(&inbox, "Curfew") == [false]
    })
    .await;
    assert!(counts("1"), "{}", metrics.text());
    // A received message is invisible for a while, and still counts.
    let caller = ApiCaller::new(ACCOUNT, "us-east-1");
    let received = ec2.call(
        &caller,
        ApiRequest::Queue(QueueCall::Receive {
            url: queue.clone(),
            max: 1,
            visibility: None,
            wait: 0,
        }),
    );
    let Ok(ModelResponse::Received(messages)) = received else {
        panic!("{received:?}");
    };
    let counted = || ec2.calls_of(ApiAction::GetQueueAttributes).len();
    let before = counted();
    wait_until("it is counted again", || counted() >= before + 2).await;
    assert!(counts("1"), "{}", metrics.text());
    let receipt = messages[0].receipt();
    let url = queue.clone();
    ec2.call(
        &caller,
        ApiRequest::Queue(QueueCall::Delete { url, receipt }),
    )
    .unwrap();
    wait_until("the recovery is notified", || {
        recoveries(&inbox, "Curfew") == [false, true]
    })
    .await;
    assert!(counts("0"), "{}", metrics.text());
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
    assert_eq!(recoveries(&inbox, "Curfew"), [false, true], "once each");
    let text = metrics.text();
    let of_others = text.lines().filter(|line| {
        line.starts_with("curfew_dead_letters{") && !line.contains("failed-invocations")
    });
    assert_eq!(of_others.count(), 0, "there are no such queues: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_account_region_hides_no_notification_of_another() {
    const LOST: &str = "eu-west-1";
    const OTHER: &str = "us-east-1";
    let state = tempfile::tempdir().unwrap();
    let system = Clock::system();
    let hours = Arc::new(AtomicU32::new(0));
    let set = Arc::clone(&hours);
    let clock = Clock::telling(move || {
        system.now() + SignedDuration::from_hours(set.load(Ordering::Relaxed).into())
    });
    let ec2 = Model::new(clock.now());
    let failing = Fault::error(ApiAction::DescribeInstances, 403, "UnauthorizedOperation");
    ec2.fault(failing.in_region(LOST));
    let server = serve_with(ec2.clone(), TimeSource::Held).await;
    let inbox = Inbox::open().await;
    let connection = connection(&server.endpoint).await;
    let (notifier, deliveries) = open(&[webhook(&inbox)], &connection).unwrap();
    let both = Targets {
        regions: Some([LOST, OTHER].map(Region::new).to_vec()),
        accounts: Vec::new(),
    };
    let organisation = Organisation::open(&connection, &both);
    let ports = Dependencies {
        notifier,
        deliveries,
        ..Dependencies::quiet(clock, organisation, state.path().to_owned())
    };
    let metrics = ports.metrics.clone();
    let is_up = || {
        let up = format!("curfew_account_region_up{{account=\"\",region=\"{OTHER}\"}} 1");
        metrics.text().lines().any(|line| line == up)
    };
    let configuration = polling_often(Driver::Daemon);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let daemon =
        tokio::spawn(async move { run(&configuration, no_schedules(), ports, token).await });

    wait_until("the failure of the first is notified", || {
        recoveries(&inbox, LOST) == [false]
    })
    .await;
    wait_until("the other has passes", is_up).await;
    assert_eq!(recoveries(&inbox, OTHER), [false; 0]);
    let denied = || Denial::of(ApiAction::DescribeInstances).in_region(OTHER);
    ec2.deny(denied());
    // A clock jump, so that no pass waits for the next minute.
    hours.store(1, Ordering::Relaxed);
    wait_until("the failure of the other is notified", || {
        recoveries(&inbox, OTHER) == [false]
    })
    .await;
    ec2.allow_everything();
    hours.store(2, Ordering::Relaxed);
    wait_until("the recovery of the other is notified", || {
        recoveries(&inbox, OTHER) == [false, true]
    })
    .await;
    // The same failure again: earlier notifications suppress none.
    ec2.deny(denied());
    hours.store(3, Ordering::Relaxed);
    wait_until("the second failure of the other is notified", || {
        recoveries(&inbox, OTHER) == [false, true, false]
    })
    .await;
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
    assert_eq!(
        recoveries(&inbox, LOST),
        [false],
        "one failure and no recovery"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_test_delivers_and_prints_no_secret() {
    let (slack, sns) = (Inbox::open().await, Inbox::open().await);
    let directory = tempfile::tempdir().unwrap();
    let configuration = format!(
        "[[notify]]\ntype = 'webhook'\nurl = '{}'\nevents = ['failure']\n[[notify]]\ntype = 'sns'\n\
         topic_arn = 'arn:aws:sns:eu-west-3:111122223333:curfew'\n",
        slack.url()
    );
    std::fs::write(directory.path().join("curfew.toml"), configuration).unwrap();
    let curfew = |endpoint: String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
        command.env_clear().current_dir(directory.path()).args([
            "--config",
            "curfew.toml",
            "notify",
            "test",
            "--endpoint-url",
            &endpoint,
        ]);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let output = curfew(sns.endpoint()).await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}");
    assert!(
        stdout.contains("failure") && stdout.matches("delivered").count() == 2,
        "{stdout}"
    );
    assert!(!stdout.contains("s3cr3t"), "{stdout}");
    assert_eq!(
        slack.received()[0]["text"],
        "Curfew: can reach you here: this is a test"
    );

    slack.plan_replies([Reply::Status(403)]);
    let output = curfew(sns.endpoint()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("error: 1 of 2 destinations rejected the notification\n"),
        "{stderr}"
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("the webhook answered 403"), "{stdout}");
}
