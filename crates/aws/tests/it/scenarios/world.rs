//! One region, and Curfew's connection to it.

use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::error::CloudError;
use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::pass::Pass;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::plan::Plan;
use curfew_core::request::Request;
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::timetable::EARLY_TRIGGER;
use curfew_model::{Launch, Model, TimeSource, direct};
use jiff::{SignedDuration, Timestamp};

const REGION: &str = "eu-west-3";

/// EC2, and Curfew's connection to it.
pub(crate) struct World {
    pub(crate) ec2: Model,
    pub(crate) schedule_set: Arc<ScheduleSet>,
    fleet: Fleet,
    /// How far Curfew's clock is fast.
    pub(crate) clock_fast: SignedDuration,
}

impl World {
    /// Schedules as JSON, and an empty region at this instant.
    pub(crate) async fn new(schedules: &str, now: Timestamp) -> Self {
        let schedule_set = RawScheduleSet::from_json(schedules).unwrap();
        let ec2 = Model::new(now);
        let options = ConnectOptions {
            // No listener is needed: the model answers without a connection.
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some(REGION.to_owned()),
            ..ConnectOptions::default()
        };
        let mut connection = Connection::open(options).await.unwrap();
        let http = direct(ec2.clone(), TimeSource::Held);
        connection.sdk = connection.sdk.into_builder().http_client(http).build();
        Self {
            fleet: Fleet::new(&connection),
            ec2,
            schedule_set: Arc::new(schedule_set.resolve().unwrap()),
            clock_fast: SignedDuration::ZERO,
        }
    }

    /// The time by Curfew's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.ec2.now() + self.clock_fast
    }

    fn clock(&self) -> Clock {
        let now = self.now();
        Clock::telling(move || now)
    }

    pub(crate) async fn routine(&self) -> Pass {
        self.woken(None, None, Deadline::NONE).await.unwrap()
    }

    pub(crate) async fn woken(
        &self,
        schedule: Option<&ScheduleName>,
        request: Option<Request>,
        deadline: Deadline,
    ) -> Result<Pass, CloudError> {
        let clock = self.clock().no_earlier_than(self.early_edge(schedule));
        let basis = Basis {
            request: request.as_ref(),
            ..Basis::new(&self.schedule_set, &clock)
        };
        Pass::run(&self.fleet, &Scope::All, basis, deadline).await
    }

    /// The edge for which the rule of `schedule` fires now, at most a minute early; the present instant if there is none.
    fn early_edge(&self, schedule: Option<&ScheduleName>) -> Timestamp {
        let now = self.now();
        let edge = schedule.and_then(|name| {
            let timetable = &self.schedule_set.schedules[name.as_str()].timetable;
            timetable.next_edge(now)
        });
        let early = edge.filter(|edge| edge.at.duration_since(now) <= EARLY_TRIGGER);
        early.map_or(now, |edge| edge.at)
    }

    /// The plan of a pass at this instant.
    pub(crate) async fn look(&self) -> Result<Plan, CloudError> {
        let clock = self.clock();
        let basis = Basis::new(&self.schedule_set, &clock);
        let seen = Pass::dry_run(&self.fleet, &Scope::All, basis).await?;
        Ok(seen.plan)
    }
}

/// An instance in this region, launched in the year before, with this managing tag.
pub(crate) fn managed(name: &str, schedule: &str) -> Launch {
    Launch::new(name)
        .region(REGION)
        .tag("Schedule", schedule)
        .launched_at("2025-12-01T12:00:00Z".parse().unwrap())
}
