//! Passes over HTTP against the model of EC2: observing, deciding, acting, recording.

use std::collections::BTreeMap;

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::{Basis, Deadline, StepResult};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::pass::Pass;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::LAST_TAG;
use curfew_model::{ApiAction, Denial, Ec2InstanceState, Launch, Model, Server, SpotKind, serve};
use jiff::ToSpan;
use tokio::time::Instant;

/// 18:59:50 in Paris on a Monday: ten seconds before office hours end.
const BEFORE_THE_EDGE: &str = "2026-11-23T18:59:50Z";

struct Setting {
    ec2: Model,
    fleet: Fleet,
    schedule_set: ScheduleSet,
    _server: Server,
}

impl Setting {
    async fn new() -> Self {
        let ec2 = Model::new(BEFORE_THE_EDGE.parse().unwrap());
        let server = serve(ec2.clone()).await;
        let fleet = fleet_at(&server.endpoint).await;
        let document = r#"{"schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"}}}"#;
        let schedule_set = RawScheduleSet::from_json(document)
            .unwrap()
            .resolve()
            .unwrap();
        Self {
            ec2,
            fleet,
            schedule_set,
            _server: server,
        }
    }

    async fn pass(&self) -> Pass {
        self.pass_until(Deadline::NONE).await
    }

    async fn pass_until(&self, deadline: Deadline) -> Pass {
        let ec2 = self.ec2.clone();
        let clock = Clock::telling(move || ec2.now());
        let basis = Basis::new(&self.schedule_set, &clock);
        let pass = Pass::run(&self.fleet, &Scope::All, basis, deadline).await;
        pass.unwrap()
    }
}

async fn fleet_at(endpoint: &str) -> Fleet {
    let options = ConnectOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some("eu-west-3".to_owned()),
        ..ConnectOptions::default()
    };
    Fleet::new(&Connection::open(options).await.unwrap())
}

fn office(name: &str) -> Launch {
    Launch::new(name)
        .tag("Schedule", "office")
        .region("eu-west-3")
        .launched_at("2026-11-02T15:00:00Z".parse().unwrap())
}

#[tokio::test]
async fn an_edge_stops_an_instance_once_and_is_recorded_on_it() {
    let setting = Setting::new().await;
    let web = setting
        .ec2
        .launch(office("web").tag(LAST_TAG, "2026-11-23T07:00:00Z start schedule office"));
    assert_eq!(setting.pass().await.plan.steps, [], "it is not time yet");

    setting.ec2.advance(15.seconds());
    assert_eq!(setting.pass().await.failures(), 0);
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Stopping);
    assert_eq!(
        setting.ec2.tag(&web, LAST_TAG).unwrap(),
        "2026-11-23T19:00:00Z stop schedule office pending"
    );

    setting.ec2.advance(5.minutes());
    setting.pass().await;
    assert_eq!(
        setting.ec2.tag(&web, LAST_TAG).unwrap(),
        "2026-11-23T19:00:00Z stop schedule office"
    );
    assert_eq!(setting.pass().await.plan.steps, []);
    assert_eq!(setting.ec2.calls_of(ApiAction::StopInstances).len(), 1);
}

#[tokio::test]
async fn a_start_stays_pending_until_the_instance_is_seen_running() {
    let setting = Setting::new().await;
    let web = setting.ec2.launch(
        office("web")
            .stopped()
            .tag(LAST_TAG, "2026-11-23T19:00:00Z stop schedule office"),
    );
    setting.ec2.set_now("2026-11-24T07:00:01Z".parse().unwrap());
    setting.pass().await;
    assert_eq!(
        setting.ec2.tag(&web, LAST_TAG).unwrap(),
        "2026-11-24T07:00:00Z start schedule office pending"
    );

    setting.ec2.advance(5.minutes());
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Running);
    setting.pass().await;
    assert_eq!(
        setting.ec2.tag(&web, LAST_TAG).unwrap(),
        "2026-11-24T07:00:00Z start schedule office"
    );
    assert_eq!(setting.pass().await.plan.steps, []);
}

#[tokio::test]
async fn one_bad_instance_does_not_block_the_others() {
    let setting = Setting::new().await;
    for number in 0..149 {
        setting.ec2.launch(office(&format!("web-{number}")));
    }
    let protected = setting.ec2.launch(office("protected").stop_protection());
    setting.ec2.advance(15.seconds());

    let done = setting.pass().await;
    let failed: Vec<_> = done
        .outcomes
        .iter()
        .filter(|outcome| matches!(outcome.result, StepResult::Failed(_)))
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].step.instance.as_str(), protected.as_str());
    let stopping = |launched: &&std::sync::Arc<curfew_model::Ec2Instance>| {
        launched.state == Ec2InstanceState::Stopping
    };
    assert_eq!(setting.ec2.instances().iter().filter(stopping).count(), 149);
    assert_eq!(
        setting.ec2.tag(&protected, LAST_TAG).as_deref(),
        Some("2026-11-23T18:59:59Z stop adopted"),
        "an edge that was not applied is not remembered"
    );
    let calls = setting.ec2.calls_of(ApiAction::StopInstances).len();
    assert!(
        calls <= 1 + 2 * 7 + 1,
        "two batches, one of them halved seven times at most: {calls}"
    );
}

#[tokio::test]
async fn a_stop_that_could_not_be_recorded_is_recorded_by_the_next_pass() {
    let setting = Setting::new().await;
    let morning = "2026-11-23T07:00:00Z start schedule office";
    let web = setting.ec2.launch(office("web").tag(LAST_TAG, morning));
    setting.ec2.deny(Denial::of(ApiAction::CreateTags));
    setting.ec2.advance(15.seconds());

    let done = setting.pass().await;
    let StepResult::TagsNotWritten { error, .. } = &done.outcomes[0].result else {
        panic!("{:?}", done.outcomes)
    };
    assert_eq!(
        (error.kind, error.operation),
        (CloudErrorKind::Denied, "ec2:CreateTags")
    );

    setting.ec2.allow_everything();
    setting.ec2.advance(5.minutes());
    assert_eq!(setting.pass().await.failures(), 0);
    assert_eq!(
        setting.ec2.tag(&web, LAST_TAG).unwrap(),
        "2026-11-23T19:00:00Z stop schedule office"
    );
    assert_eq!(setting.ec2.calls_of(ApiAction::StopInstances).len(), 1);
}

#[tokio::test]
async fn nothing_is_begun_after_the_deadline_and_the_next_pass_continues() {
    let setting = Setting::new().await;
    let web = setting.ec2.launch(office("web"));
    setting.ec2.advance(15.seconds());
    let done = setting.pass_until(Deadline::at(Instant::now())).await;
    assert!(matches!(done.outcomes[0].result, StepResult::OutOfTime));
    assert_eq!(setting.ec2.calls_of(ApiAction::StopInstances).len(), 0);
    assert_eq!(setting.pass().await.failures(), 0);
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Stopping);
}

#[tokio::test]
async fn a_fleet_is_read_page_by_page() {
    let setting = Setting::new().await;
    for number in 0..2_300 {
        setting.ec2.launch(office(&format!("web-{number}")));
    }
    let gone = setting.ec2.launch(office("gone"));
    setting.ec2.terminate(&gone).unwrap();
    let found = setting.fleet.observe(&Scope::All).await.unwrap();
    assert_eq!(found.instances.len(), 2_300);
    assert_eq!(setting.ec2.calls_of(ApiAction::DescribeInstances).len(), 3);
}

#[tokio::test]
async fn unknown_ids_are_omitted_and_the_others_found() {
    let setting = Setting::new().await;
    let web = setting.ec2.launch(office("web"));
    let wanted = [web.as_str(), "i-00000000000000bad"].map(|id| id.parse().unwrap());
    let found = setting
        .fleet
        .observe(&Scope::Only(wanted.into()))
        .await
        .unwrap();
    assert_eq!(
        found
            .instances
            .iter()
            .map(|instance| instance.id.as_str())
            .collect::<Vec<_>>(),
        [web.as_str()]
    );
}

#[tokio::test]
async fn protected_instances_are_skipped_with_a_reason() {
    let setting = Setting::new().await;
    setting
        .ec2
        .launch(office("grouped").auto_scaling_group("web"));
    let operated =
        "<operator><managed>true</managed><principal>eks.amazonaws.com</principal></operator>";
    setting.ec2.launch(office("operated").xml(operated));
    setting.ec2.launch(office("ephemeral").instance_store());
    setting
        .ec2
        .launch(office("one-time").spot(SpotKind::OneTime));
    setting
        .ec2
        .launch(office("persistent").spot(SpotKind::Persistent));
    setting
        .ec2
        .launch(Launch::new("nobodys").region("eu-west-3"));
    setting.ec2.advance(15.seconds());
    let done = setting.pass().await;
    let reasons: BTreeMap<String, String> = done
        .plan
        .skipped
        .iter()
        .map(|skip| {
            (
                skip.name.clone().unwrap(),
                serde_json::to_value(skip).unwrap()["code"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            )
        })
        .collect();
    let expected = [
        ("ephemeral", "instance_store"),
        ("grouped", "auto_scaling_group"),
        ("nobodys", "unmanaged"),
        ("one-time", "one_time_spot"),
        ("operated", "operator"),
    ];
    assert_eq!(
        reasons,
        expected
            .map(|(name, reason)| (name.to_owned(), reason.to_owned()))
            .into()
    );
    assert_eq!(done.plan.steps[0].name.as_deref(), Some("persistent"));
}

#[tokio::test]
async fn an_endpoint_without_a_listener_is_unreachable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let fleet = fleet_at(&format!("http://127.0.0.1:{port}")).await;
    let error = fleet.observe(&Scope::All).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Unreachable);
    assert!(
        error
            .to_string()
            .starts_with("`ec2:DescribeInstances` got no answer"),
        "{error}"
    );
}
