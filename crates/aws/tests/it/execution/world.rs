//! A region with a fleet in it, and passes over it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::{Basis, Deadline, StepResult};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::pass::Pass;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::request::{Request, RequestKind};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::Actor;
use curfew_model::{
    ApiAction, Ec2InstanceId, Ec2InstanceState, Launch, Model, RecordedCall, RecordedOutcome,
    TimeSource, direct,
};
use jiff::SignedDuration;
use tokio::time::Instant;

/// 20:00:15 in Paris on a Monday: office hours are over.
pub(crate) const EVENING: &str = "2026-11-23T19:00:15Z";
/// What each instance remembers at first.
pub(crate) const MEMORY: &str = "2026-11-23T07:00:00Z start schedule office";
/// 8:00:15 there the next day.
pub(crate) const MORNING: &str = "2026-11-24T07:00:15Z";

pub(crate) struct World {
    pub(crate) ec2: Model,
    pub(crate) fleet: Fleet,
    pub(crate) schedule_set: ScheduleSet,
    names: AtomicU64,
}

impl World {
    pub(crate) async fn at(now: &str) -> Self {
        let ec2 = Model::new(now.parse().unwrap());
        let options = ConnectOptions {
            endpoint: Some("http://localhost:1".to_owned()),
            region: Some("eu-west-3".to_owned()),
            ..ConnectOptions::default()
        };
        let mut connection = Connection::open(options).await.unwrap();
        let http = direct(ec2.clone(), TimeSource::Tokio);
        connection.sdk = connection.sdk.into_builder().http_client(http).build();
        let document = r#"{"schedules": {
            "office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"},
            "dawn": {"timezone": "Europe/Paris", "running": "Mon-Fri 06:00-08:01"},
            "lab": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00", "hibernate": true}
        }}"#;
        let schedule_set = RawScheduleSet::from_json(document)
            .unwrap()
            .resolve()
            .unwrap();
        Self {
            ec2,
            fleet: Fleet::new(&connection),
            schedule_set,
            names: AtomicU64::new(0),
        }
    }

    /// So many instances of the schedule `office`, as `dressed`.
    pub(crate) fn launch(
        &self,
        count: usize,
        dressed: impl Fn(Launch) -> Launch,
    ) -> Vec<Ec2InstanceId> {
        let launched_at = "2026-11-02T15:00:00Z".parse().unwrap();
        let one = |_| {
            let number = self.names.fetch_add(1, Ordering::Relaxed);
            let plain = Launch::new(format!("web-{number}"))
                .tag("Schedule", "office")
                .tag("curfew:last", MEMORY)
                .region("eu-west-3")
                .launched_at(launched_at);
            self.ec2.launch(dressed(plain))
        };
        (0..count).map(one).collect()
    }

    pub(crate) async fn pass(&self) -> Pass {
        self.pass_until(Deadline::NONE).await
    }

    pub(crate) async fn pass_until(&self, deadline: Deadline) -> Pass {
        let clock = self.clock();
        let basis = Basis::new(&self.schedule_set, &clock);
        let pass = Pass::run(&self.fleet, &Scope::All, basis, deadline).await;
        pass.unwrap()
    }

    /// A pass over the instances of a request by alice.
    pub(crate) async fn request(&self, kind: RequestKind, ids: &[Ec2InstanceId]) -> Pass {
        let targets = ids.iter().map(|id| id.as_str().parse().unwrap());
        let request = Request {
            kind,
            targets: targets.collect(),
            by: Actor::new("alice"),
        };
        let clock = self.clock();
        let basis = Basis {
            request: Some(&request),
            ..Basis::new(&self.schedule_set, &clock)
        };
        let scope = Scope::Only(request.targets.clone());
        let pass = Pass::run(&self.fleet, &scope, basis, Deadline::NONE).await;
        pass.unwrap()
    }

    /// A clock that begins with the model's and goes on with tokio's: the model's own stands still between two calls.
    pub(crate) fn clock(&self) -> Clock {
        let (start, begun) = (self.ec2.now(), Instant::now());
        Clock::telling(move || start + SignedDuration::try_from(begun.elapsed()).unwrap())
    }

    pub(crate) fn calls(&self, action: ApiAction) -> usize {
        self.ec2.calls_of(action).len()
    }

    pub(crate) fn refused(&self, action: ApiAction) -> usize {
        let refused = |call: &&RecordedCall| matches!(call.outcome, RecordedOutcome::Refused(_));
        self.ec2.calls_of(action).iter().filter(refused).count()
    }

    pub(crate) fn count(&self, ids: &[Ec2InstanceId], state: Ec2InstanceState) -> usize {
        let alike = |id: &&Ec2InstanceId| self.ec2.state(id) == state;
        ids.iter().filter(alike).count()
    }

    /// How many of these remember something else than at first.
    pub(crate) fn remembered(&self, ids: &[Ec2InstanceId]) -> usize {
        let has = |id: &&Ec2InstanceId| {
            self.ec2
                .tag(id, "curfew:last")
                .is_some_and(|tag| tag != MEMORY)
        };
        ids.iter().filter(has).count()
    }
}

/// The instances with a step that failed for this reason.
pub(crate) fn failed(pass: &Pass, kind: CloudErrorKind) -> BTreeSet<String> {
    let outcomes = pass.outcomes.iter();
    let matching = outcomes.filter(
        |outcome| matches!(&outcome.result, StepResult::Failed(error) if error.kind == kind),
    );
    matching
        .map(|outcome| outcome.step.instance.to_string())
        .collect()
}

pub(crate) fn names(ids: &[Ec2InstanceId]) -> BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}
