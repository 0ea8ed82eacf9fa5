//! A fleet at the end of office hours, and the operator's log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::error::CloudError;
use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::pass::Pass;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::LAST_TAG;
use curfew_model::{Ec2InstanceId, Ec2InstanceState, Launch, Model, TimeSource, direct};
use jiff::ToSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Twenty seconds after office hours ended in Paris, on a Monday.
const AFTER_THE_EDGE: &str = "2026-11-23T19:00:20Z";
/// The state tag of an instance after an applied stop.
pub(crate) const STOPPED: &str = "2026-11-23T19:00:00Z stop schedule office";
/// An endpoint without a listener: without sockets, it is never connected to.
const NOWHERE: &str = "http://127.0.0.1:1";

/// One account-region with its model, fleet and clock.
pub(crate) struct Setting {
    pub(crate) ec2: Model,
    pub(crate) fleet: Fleet,
    pub(crate) schedule_set: ScheduleSet,
    log: Log,
    _logging: tracing::subscriber::DefaultGuard,
}

impl Setting {
    /// Curfew and a model, in `eu-west-3`.
    pub(crate) async fn new() -> Self {
        Self::in_region("eu-west-3").await
    }

    pub(crate) async fn in_region(region: &str) -> Self {
        let ec2 = Model::new(AFTER_THE_EDGE.parse().unwrap());
        let http = direct(ec2.clone(), TimeSource::Held);
        let fleet = Fleet::new(&connection(NOWHERE, region, Some(http)).await);
        Self::of(ec2, fleet)
    }

    pub(crate) fn of(ec2: Model, fleet: Fleet) -> Self {
        let document = r#"{"schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"}}}"#;
        let schedule_set = RawScheduleSet::from_json(document)
            .unwrap()
            .resolve()
            .unwrap();
        let log = Log::default();
        let writer = log.clone();
        let logging = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_env_filter("curfew_aws=warn")
            .with_target(false)
            .with_ansi(false)
            .without_time()
            .finish()
            .set_default();
        Self {
            ec2,
            fleet,
            schedule_set,
            log,
            _logging: logging,
        }
    }

    /// One pass, which may fail as a whole.
    pub(crate) async fn try_pass(&self) -> Result<Pass, CloudError> {
        let ec2 = self.ec2.clone();
        let clock = Clock::telling(move || ec2.now());
        let basis = Basis::new(&self.schedule_set, &clock);
        Pass::run(&self.fleet, &Scope::All, basis, Deadline::NONE).await
    }

    /// One pass that gets as far as its steps.
    pub(crate) async fn pass(&self) -> Pass {
        self.try_pass().await.unwrap()
    }

    /// A pass that fails as a whole; returns the error that the daemon logs, the command line prints and the Lambda returns.
    pub(crate) async fn failing_pass(&self) -> String {
        let error = self.try_pass().await.unwrap_err();
        format!("{error}\nhint: {}", error.hint())
    }

    /// Lets five minutes pass, as between two heartbeats, and runs a pass, which succeeds.
    pub(crate) async fn next_pass(&self) -> Pass {
        self.ec2.advance(5.minutes());
        let done = self.pass().await;
        assert_eq!(done.failures(), 0, "{:?}", done.outcomes);
        done
    }

    /// Asserts that one more pass records the settled states, and a further one has nothing to do.
    pub(crate) async fn assert_settled(&self) {
        self.next_pass().await;
        assert_eq!(self.next_pass().await.plan.steps, []);
    }

    /// An instance that office hours stop at 20:00 in Paris, and that a pass has recorded before.
    pub(crate) fn launch(&self, launch: Launch) -> Ec2InstanceId {
        let id = self.ec2.launch(
            launch
                .tag("Schedule", "office")
                .region("eu-west-3")
                .launched_at("2026-11-02T15:00:00Z".parse().unwrap()),
        );
        if self.ec2.tag(&id, LAST_TAG).is_none() {
            self.ec2
                .set_tag(&id, LAST_TAG, "2026-11-23T07:00:00Z start schedule office");
        }
        id
    }

    pub(crate) fn is_stopped(&self, id: &Ec2InstanceId) -> bool {
        self.ec2.advance(1.minute());
        self.ec2.state(id) == Ec2InstanceState::Stopped
            && self
                .ec2
                .tag(id, LAST_TAG)
                .is_some_and(|tag| tag.starts_with(STOPPED))
    }

    /// The messages logged since the last call, from warnings up.
    pub(crate) fn logged(&self) -> String {
        let mut lines = self.log.0.lock().unwrap();
        String::from_utf8(std::mem::take(&mut *lines)).unwrap()
    }
}

/// A connection to the model, over a socket unless there is another HTTP client.
pub(crate) async fn connection(
    endpoint: &str,
    region: &str,
    http: Option<SharedHttpClient>,
) -> Connection {
    let options = ConnectOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some(region.to_owned()),
        ..ConnectOptions::default()
    };
    let mut connection = Connection::open(options).await.unwrap();
    if let Some(http) = http {
        connection.sdk = connection.sdk.into_builder().http_client(http).build();
    }
    connection
}

/// The output of a subscriber.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
