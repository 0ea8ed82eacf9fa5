//! One region, and Curfew beside it.

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
use curfew_model::{Launch, Model, TimeSource, direct};
use jiff::{SignedDuration, Timestamp};

const REGION: &str = "eu-west-3";

/// EC2, and the way that Curfew has to it.
pub(crate) struct World {
    pub(crate) ec2: Model,
    pub(crate) schedule_set: Arc<ScheduleSet>,
    fleet: Fleet,
    /// By how much Curfew's clock is fast.
    pub(crate) clock_fast: SignedDuration,
}

impl World {
    /// Schedules as JSON, and an empty region at this instant.
    pub(crate) async fn new(schedules: &str, now: Timestamp) -> Self {
        let schedule_set = RawScheduleSet::from_json(schedules).unwrap();
        let ec2 = Model::new(now);
        let options = ConnectOptions {
            // No listener is needed there: the model answers before anything is connected.
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

    /// Curfew's clock.
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
        let clock = self.clock();
        let basis = Basis {
            request: request.as_ref(),
            triggered_for: schedule,
            ..Basis::new(&self.schedule_set, &clock)
        };
        Pass::run(&self.fleet, &Scope::All, basis, deadline).await
    }

    /// What a pass would do now.
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
