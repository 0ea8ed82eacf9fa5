//! Kills the daemon's process two hundred times at random points: the journal has every transition once, and every edge is
//! applied once. The test waits for calls to the model, not for time, so that a slow machine is killed at the same points.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use curfew_aws::clock::Clock;
use curfew_core::state_tags::{LAST_TAG, LastApplied};
use curfew_journal::{HistoryFilter, Journal};
use curfew_model::{
    ApiAction, Durations, Ec2InstanceId, Ec2InstanceState, Home, Launch, Model, QueueAttributes,
    RecordedOutcome, Server, TimeSource, serve_with,
};
use jiff::{SignedDuration, Timestamp, ToSpan, Unit};

const KILLS: usize = 200;
const INSTANCES: usize = 120;
/// The model, the daemon's state, and the expected result.
struct Sandbox {
    ec2: Model,
    server: Server,
    queue: String,
    state: tempfile::TempDir,
    instances: Vec<Instance>,
    chance: fastrand::Rng,
}

struct Instance {
    id: Ec2InstanceId,
    /// The edge that is expected to be applied.
    edge: Timestamp,
    /// Expected number of starts and stops.
    wanted: [usize; 2],
    /// Number of successful start and stop calls.
    called: [usize; 2],
}

impl Sandbox {
    async fn new(seed: u64) -> Self {
        let now = Clock::system().now();
        let ec2 = Model::new(now);
        ec2.set_durations(Durations {
            pending: SignedDuration::from_secs(1),
            stopping: SignedDuration::from_secs(1),
            ..Durations::default()
        });
        // The edges are older than the calls for those before them, which would count as later external changes.
        ec2.date_nothing();
        let edge = edge(now, 0);
        let last = format!("{edge} start schedule before");
        let launch = |number: usize| {
            let launch = Launch::new(format!("web-{number}"));
            let launch = launch.launched_at(edge - 1.hour());
            let id = ec2.launch(launch.tag("Schedule", "none").tag(LAST_TAG, &last));
            Instance {
                id,
                edge,
                wanted: [0, 0],
                called: [0, 0],
            }
        };
        let instances: Vec<Instance> = (0..INSTANCES).map(launch).collect();
        let home = Home::clone(&ec2.instance(&instances[0].id).home);
        let queue = ec2.create_queue(&home, "state-changes", QueueAttributes::default());
        ec2.deliver_events_to(&queue);
        let sandbox = Self {
            server: serve_with(ec2.clone(), TimeSource::Wall).await,
            queue,
            state: tempfile::tempdir().unwrap(),
            instances,
            chance: fastrand::Rng::with_seed(seed),
            ec2,
        };
        sandbox.write_configuration(now);
        sandbox
    }

    /// A schedule for each kill, with an edge that is due, a minute after the previous one: starts and stops alternate.
    fn write_configuration(&self, now: Timestamp) {
        let mut text = format!(
            "[daemon]\ndriver = 'daemon'\npoll = '1s'\npoll_quiet = '1s'\nqueue = '{}'\nmetrics = ''\n",
            self.queue
        );
        for round in 1..=KILLS {
            let at = edge(now, round).to_zoned(jiff::tz::TimeZone::UTC);
            let action = ["start", "stop"][round % 2];
            writeln!(
                text,
                "[schedules.round-{round}]\ntimezone = 'UTC'\n{action} = '{} {} {} {} *'",
                at.minute(),
                at.hour(),
                at.day(),
                at.month()
            )
            .unwrap();
        }
        std::fs::write(self.state.path().join("curfew.toml"), text).unwrap();
    }

    fn daemon(&self) -> Child {
        let log = self.state.path().join("run.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        Command::new(env!("CARGO_BIN_EXE_curfew"))
            .env_clear()
            .arg("run")
            .env("CURFEW_CONFIG", self.state.path().join("curfew.toml"))
            .env("CURFEW__DAEMON__STATE_DIR", self.state.path())
            .env("AWS_ENDPOINT_URL", &self.server.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Gives a resting instance an edge that is due.
    fn make_due(&mut self, round: usize, now: Timestamp) {
        let (wanted, action) = [
            (Ec2InstanceState::Stopped, 0),
            (Ec2InstanceState::Running, 1),
        ][round % 2];
        let resting = self.resting(wanted);
        let Some(&which) = self.chance.choice(&resting) else {
            return;
        };
        let instance = &mut self.instances[which];
        instance.edge = edge(now, round);
        instance.wanted[action] += 1;
        self.ec2
            .set_tag(&instance.id, "Schedule", &format!("round-{round}"));
    }

    /// Starts or stops an instance externally, against its edge: it stays so.
    fn interfere(&mut self) {
        let state = *self
            .chance
            .choice(&[Ec2InstanceState::Running, Ec2InstanceState::Stopped])
            .unwrap();
        let resting = self.resting(state);
        let Some(&which) = self.chance.choice(&resting) else {
            return;
        };
        let instance = &self.instances[which];
        if state == Ec2InstanceState::Running {
            self.ec2.stop(&instance.id).unwrap();
        } else {
            self.ec2.start(&instance.id).unwrap();
        }
    }

    /// The instances in this state whose edge is applied and confirmed, and whose events are processed: messages that a
    /// killed daemon had received are hidden for 30 s, and two changes within that time are recorded less exactly
    /// (docs/operate/faults.md).
    fn resting(&self, state: Ec2InstanceState) -> Vec<usize> {
        let messages = self.ec2.messages(&self.queue);
        let subject = |body: &str| {
            let (_, from) = body.split_once(r#""instance-id":""#).unwrap();
            from.split_once('"').unwrap().0.to_owned()
        };
        let queued = messages.iter().map(|message| subject(&message.body));
        let queued: BTreeSet<String> = queued.collect();
        let rests = |which: &usize| {
            let instance = &self.instances[*which];
            !queued.contains(instance.id.as_str())
                && self.is_applied(instance)
                && self.ec2.state(&instance.id) == state
        };
        (0..INSTANCES).filter(rests).collect()
    }

    fn is_applied(&self, instance: &Instance) -> bool {
        let last = self.ec2.tag(&instance.id, LAST_TAG);
        let last: LastApplied = last.unwrap().parse().unwrap();
        last.at == instance.edge && !last.pending
    }

    /// Adds up the calls so far and resets them.
    fn count_calls(&mut self) {
        let calls = self.ec2.calls();
        self.ec2.clear_calls();
        for call in calls
            .iter()
            .filter(|call| call.outcome == RecordedOutcome::Done)
        {
            let action = match () {
                () if call.is(ApiAction::StartInstances) => 0,
                () if call.is(ApiAction::StopInstances) => 1,
                () => continue,
            };
            for id in call.ids() {
                let mut instances = self.instances.iter_mut();
                let instance = instances.find(|one| one.id.as_str() == id).unwrap();
                instance.called[action] += 1;
            }
        }
    }

    fn journalled(&self) -> usize {
        history(self.state.path()).len()
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let (begun, limit) = (Instant::now(), Duration::from_mins(2));
        while !condition(self) {
            let log = || std::fs::read_to_string(self.state.path().join("run.log")).unwrap();
            assert!(
                begun.elapsed() < limit,
                "not within {limit:?}: {what}: {} of {} transitions\n{}",
                self.journalled(),
                self.ec2.transitions().len(),
                log().lines().rev().take(30).collect::<Vec<_>>().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The edge of a round, at a full minute; the last one is a few minutes ago.
fn edge(now: Timestamp, round: usize) -> Timestamp {
    let minute = jiff::TimestampRound::new()
        .smallest(Unit::Minute)
        .mode(jiff::RoundMode::Floor);
    let ago = i64::try_from(KILLS - round + 5).unwrap();
    now.round(minute).unwrap() - ago.minutes()
}

/// Instance, state before, state after, second.
type Change = (String, String, String, i64);

fn history(state: &Path) -> Vec<Change> {
    let Ok(journal) = Journal::read(state) else {
        return Vec::new();
    };
    let entries = journal.history(&HistoryFilter::default()).unwrap();
    let changes = entries.into_iter().map(|entry| {
        let t = entry.transition;
        let (from, to) = (t.from.to_string(), t.to.to_string());
        (t.instance.to_string(), from, to, t.at.as_second())
    });
    changes.collect()
}

fn by_instance(changes: Vec<Change>) -> BTreeMap<String, Vec<(String, String, i64)>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (instance, from, to, at) in changes {
        all.entry(instance).or_default().push((from, to, at));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_neither_lose_nor_repeat_transitions_or_edges() {
    let seed = fastrand::u64(..);
    let mut sandbox = Sandbox::new(seed).await;
    let now = sandbox.ec2.now();
    // The daemon first records the initial state of every instance.
    let mut daemon = sandbox.daemon();
    sandbox
        .until("every instance is observed", |sandbox| {
            let journal = Journal::read(sandbox.state.path());
            journal.is_ok_and(|journal| journal.known_states().unwrap().len() == INSTANCES)
        })
        .await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();

    for round in 1..=KILLS {
        sandbox.make_due(round, now);
        if sandbox.chance.u8(..4) == 0 {
            sandbox.interfere();
        }
        sandbox.count_calls();
        let mut daemon = sandbox.daemon();
        // A daemon makes about six calls after its start: observations, the queue, the change, its tag, deletions; then it
        // polls.
        let calls = sandbox.chance.usize(1..=9);
        sandbox
            .until("the daemon makes its calls", |sandbox| {
                sandbox.ec2.calls().len() >= calls
            })
            .await;
        let more = Duration::from_micros(sandbox.chance.u64(..20_000));
        tokio::time::sleep(more).await;
        // SIGKILL.
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    // Messages that a killed daemon had received are visible again.
    sandbox.ec2.advance(40.seconds());
    let mut daemon = sandbox.daemon();
    sandbox
        .until("every edge is applied", |sandbox| {
            let resting = |one: &Instance| {
                let state = sandbox.ec2.state(&one.id);
                matches!(state, Ec2InstanceState::Running | Ec2InstanceState::Stopped)
            };
            let mut all = sandbox.instances.iter();
            all.all(|one| sandbox.is_applied(one) && resting(one))
        })
        .await;
    sandbox
        .until("everything is journalled", |sandbox| {
            sandbox.journalled() >= sandbox.ec2.transitions().len()
                && sandbox.ec2.messages(&sandbox.queue).is_empty()
        })
        .await;
    sandbox.count_calls();
    daemon.kill().unwrap();
    daemon.wait().unwrap();

    let happened = sandbox.ec2.transitions().into_iter().map(|it| {
        let from = it.from.unwrap().name().to_owned();
        let to = it.to.name().to_owned();
        (it.instance.to_string(), from, to, it.at.as_second())
    });
    let happened = by_instance(happened.collect());
    let journalled = by_instance(history(sandbox.state.path()));
    assert_eq!(journalled, happened, "seed {seed}");
    let applied = sandbox
        .instances
        .iter()
        .map(|one| one.wanted[0] + one.wanted[1]);
    assert!(
        applied.sum::<usize>() >= KILLS / 4,
        "too few edges for a meaningful test"
    );
    for instance in &sandbox.instances {
        assert_eq!(
            instance.called, instance.wanted,
            "{}: started and stopped, and how often it should have been; seed {seed}",
            instance.id
        );
    }
}
