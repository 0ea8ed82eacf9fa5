//! Starts without capacity, over HTTP against the model: which instances wait, until when, and which type replaces theirs.

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::{Basis, Deadline, StepResult};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::pass::Pass;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::request::{Request, RequestDuration, RequestKind};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::{Actor, LAST_TAG, OVERRIDE_TAG, REQUEST_TAG, RETRY_TAG, TYPE_TAG};
use curfew_model::{
    ApiAction, Denial, Ec2InstanceId, Ec2InstanceState, Ec2StateReason, Launch, Model, Server,
    serve,
};
use jiff::ToSpan;

/// 08:00:05 in Paris on a Monday: office hours have begun.
const MORNING: &str = "2026-11-23T07:00:05Z";
const ZONE: &str = "eu-west-3a";

struct Setting {
    ec2: Model,
    fleet: Fleet,
    schedule_set: ScheduleSet,
    _server: Server,
}

impl Setting {
    async fn new() -> Self {
        let ec2 = Model::new(MORNING.parse().unwrap());
        let server = serve(ec2.clone()).await;
        let options = ConnectOptions {
            endpoint: Some(server.endpoint.clone()),
            region: Some("eu-west-3".to_owned()),
            ..ConnectOptions::default()
        };
        let fleet = Fleet::new(&Connection::open(options).await.unwrap());
        let configuration = r#"{"schedules": {
            "office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"},
            "spare": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00",
                      "fallback_types": ["m5a.large", "m6i.large"]}
        }}"#;
        let schedule_set = RawScheduleSet::from_json(configuration)
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

    /// A stopped `m5.large` with a due start.
    fn stopped(&self, name: &str, schedule: &str) -> Ec2InstanceId {
        let launch = Launch::new(name)
            .tag("Schedule", schedule)
            .tag(
                LAST_TAG,
                format!("2026-11-20T19:00:00Z stop schedule {schedule}"),
            )
            .region("eu-west-3")
            .instance_type("m5.large")
            .launched_at("2026-11-02T15:00:00Z".parse().unwrap())
            .stopped();
        self.ec2.launch(launch)
    }

    fn no_room_for(&self, types: &[&str]) {
        for name in types {
            self.ec2.set_capacity(name, ZONE, 0);
        }
    }

    async fn pass(&self) -> Pass {
        self.run(&Scope::All, None).await
    }

    /// A pass over the instance of a request by alice.
    async fn request(&self, id: &Ec2InstanceId, kind: RequestKind) -> Pass {
        let request = Request {
            kind,
            targets: [id.as_str().parse().unwrap()].into(),
            by: Actor::new("alice"),
        };
        let scope = Scope::Only(request.targets.clone());
        self.run(&scope, Some(&request)).await
    }

    async fn run(&self, scope: &Scope, request: Option<&Request>) -> Pass {
        let ec2 = self.ec2.clone();
        let clock = Clock::telling(move || ec2.now());
        let basis = Basis {
            request,
            ..Basis::new(&self.schedule_set, &clock)
        };
        let pass = Pass::run(&self.fleet, scope, basis, Deadline::NONE).await;
        pass.unwrap()
    }

    /// The type, and what is said about it.
    fn types(&self, id: &Ec2InstanceId) -> (String, Option<String>) {
        let present = self.ec2.instance(id).instance_type.clone();
        (present, self.ec2.tag(id, TYPE_TAG))
    }

    fn calls(&self, action: ApiAction) -> usize {
        self.ec2.calls_of(action).len()
    }
}

fn own() -> (String, Option<String>) {
    ("m5.large".to_owned(), None)
}

fn stands_in(present: &str) -> (String, Option<String>) {
    (present.to_owned(), Some(format!("m5.large as {present}")))
}

fn failures(pass: &Pass) -> Vec<CloudErrorKind> {
    let results = pass.outcomes.iter();
    results
        .filter_map(|outcome| match &outcome.result {
            StepResult::Failed(error) => Some(error.kind),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn those_without_room_wait_longer_each_time_and_are_started_when_there_is_some() {
    let setting = Setting::new().await;
    let waiting: Vec<_> = (0..30)
        .map(|n| setting.stopped(&format!("web-{n}"), "office"))
        .collect();
    setting.no_room_for(&["m5.large"]);
    let first = setting.pass().await;
    assert_eq!(failures(&first), vec![CloudErrorKind::Capacity; 30]);
    for id in &waiting {
        assert_eq!(
            setting.ec2.tag(id, RETRY_TAG).unwrap(),
            "2026-11-23T07:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T07:00:05Z next 2026-11-23T07:01:05Z"
        );
    }
    assert_eq!(
        setting.calls(ApiAction::CreateTags),
        1,
        "who waits alike is remembered in one call"
    );

    setting.ec2.clear_calls();
    setting.ec2.advance(30.seconds());
    let second = setting.pass().await;
    assert!(second.plan.steps.is_empty());
    assert!(
        second.plan.skipped[0]
            .detail
            .contains("the next attempt is at 2026-11-23T07:01:05Z")
    );
    assert_eq!(setting.calls(ApiAction::StartInstances), 0);

    setting.ec2.set_now("2026-11-23T07:01:05Z".parse().unwrap());
    setting.pass().await;
    assert!(
        setting
            .ec2
            .tag(&waiting[0], RETRY_TAG)
            .unwrap()
            .contains(" 2x ")
    );

    setting.ec2.clear_capacity("m5.large", ZONE);
    setting.ec2.advance(2.minutes());
    assert!(failures(&setting.pass().await).is_empty());
    setting.ec2.advance(2.minutes());
    setting.pass().await;
    for id in &waiting {
        assert_eq!(setting.ec2.state(id), Ec2InstanceState::Running);
        assert_eq!(setting.ec2.tag(id, RETRY_TAG), None);
    }
    assert!(setting.pass().await.plan.steps.is_empty());
}

#[tokio::test]
async fn a_start_that_falls_back_is_reported_with_ec2s_reason_and_not_tried_every_minute() {
    let setting = Setting::new().await;
    let web = setting.stopped("web", "office");
    for _ in 0..20 {
        setting.ec2.fail_next_start(&web, Ec2StateReason::kms_key());
    }
    for _ in 0..60 {
        setting.pass().await;
        setting.ec2.advance(61.seconds());
    }
    let starts = setting.calls(ApiAction::StartInstances);
    assert!((5..=8).contains(&starts), "{starts} starts in an hour");
    let seen = setting.pass().await;
    let why = seen
        .plan
        .skipped
        .iter()
        .map(|skip| &skip.detail)
        .chain(seen.plan.steps.iter().filter_map(|step| step.note.as_ref()))
        .next()
        .unwrap();
    assert!(
        why.contains("Client.InternalError: Client error on launch"),
        "{why}"
    );
    assert!(why.contains("name it in `[stack] kms_keys`"), "{why}");
}

#[tokio::test]
async fn a_refused_stop_is_remembered_and_a_request_asks_at_once() {
    let setting = Setting::new().await;
    let launch = Launch::new("protected")
        .tag("Schedule", "office")
        .tag(LAST_TAG, "2026-11-23T07:00:00Z start schedule office")
        .region("eu-west-3")
        .stop_protection();
    let protected = setting.ec2.launch(launch);
    setting.ec2.set_now("2026-11-23T19:00:05Z".parse().unwrap());
    setting.pass().await;
    assert_eq!(
        setting.ec2.tag(&protected, RETRY_TAG).unwrap(),
        "2026-11-23T19:00:00Z stop 1x OperationNotPermitted first 2026-11-23T19:00:05Z next 2026-11-23T19:01:05Z"
    );
    setting.ec2.clear_calls();
    setting.pass().await;
    assert_eq!(setting.calls(ApiAction::StopInstances), 0);
    let stop = RequestKind::Stop(RequestDuration::NextEdge);
    assert_eq!(
        failures(&setting.request(&protected, stop).await),
        [CloudErrorKind::Refused]
    );
    assert_eq!(setting.calls(ApiAction::StopInstances), 1);
    assert!(
        setting
            .ec2
            .tag(&protected, LAST_TAG)
            .unwrap()
            .ends_with("start schedule office"),
        "what was refused is not applied"
    );
    // It runs, so that a start is no more than remembered.
    let start = RequestKind::Start(RequestDuration::NextEdge);
    assert!(failures(&setting.request(&protected, start).await).is_empty());
    assert_eq!(setting.ec2.tag(&protected, RETRY_TAG), None);
    assert_eq!(setting.ec2.state(&protected), Ec2InstanceState::Running);
}

#[tokio::test]
async fn a_requested_start_without_room_stays_due() {
    let setting = Setting::new().await;
    let web = setting.stopped("web", "office");
    setting.no_room_for(&["m5.large"]);
    setting
        .request(&web, RequestKind::Start(RequestDuration::NextEdge))
        .await;
    assert_eq!(
        setting.ec2.tag(&web, REQUEST_TAG).unwrap(),
        "2026-11-23T07:00:05Z start by alice"
    );
    setting.ec2.clear_capacity("m5.large", ZONE);
    setting.ec2.advance(61.seconds());
    setting.pass().await;
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Pending);
}

#[tokio::test]
async fn an_override_without_room_is_placed_and_waits() {
    let setting = Setting::new().await;
    let web = setting.stopped("web", "office");
    setting.no_room_for(&["m5.large"]);
    let until = "2026-11-23T09:00:00Z".parse().unwrap();
    setting
        .request(&web, RequestKind::Start(RequestDuration::Until(until)))
        .await;
    assert!(
        setting
            .ec2
            .tag(&web, OVERRIDE_TAG)
            .unwrap()
            .starts_with("running since 2026-11-23T07:00:05Z until")
    );
    assert!(
        setting
            .ec2
            .tag(&web, RETRY_TAG)
            .unwrap()
            .starts_with("2026-11-23T07:00:05Z start 1x")
    );
    setting.ec2.clear_capacity("m5.large", ZONE);
    setting.ec2.advance(61.seconds());
    setting.pass().await;
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Pending);
}

#[tokio::test]
async fn another_type_stands_in_for_a_day() {
    let setting = Setting::new().await;
    let web = setting.stopped("web", "spare");
    setting.no_room_for(&["m5.large", "m5a.large"]);
    let done = setting.pass().await;
    assert!(failures(&done).is_empty());
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Pending);
    assert_eq!(setting.types(&web), stands_in("m6i.large"));
    assert_eq!(setting.ec2.tag(&web, RETRY_TAG), None);

    setting.ec2.advance(5.minutes());
    setting.pass().await;
    assert!(setting.pass().await.plan.steps.is_empty());
    setting.ec2.set_now("2026-11-23T19:00:05Z".parse().unwrap());
    setting.pass().await;
    setting.ec2.clear_capacity("m5.large", ZONE);
    setting.ec2.set_now("2026-11-24T07:00:05Z".parse().unwrap());
    setting.pass().await;
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Pending);
    assert_eq!(setting.types(&web), own());
    setting.ec2.advance(5.minutes());
    setting.pass().await;
    assert!(setting.pass().await.plan.steps.is_empty());
}

#[tokio::test]
async fn a_few_find_room_as_they_are_and_the_others_as_another_type() {
    use Ec2InstanceState::{Pending, Stopped};
    let setting = Setting::new().await;
    let fleet: Vec<_> = (0..40)
        .map(|n| setting.stopped(&format!("web-{n}"), "spare"))
        .collect();
    setting.ec2.set_capacity("m5.large", ZONE, 7);
    setting.ec2.set_capacity("m5a.large", ZONE, 20);
    setting.ec2.set_capacity("m6i.large", ZONE, 3);
    let done = setting.pass().await;
    assert_eq!(failures(&done).len(), 10);
    let count = |name: &str, state| {
        let with = fleet.iter().map(|id| setting.ec2.instance(id));
        with.filter(|one| one.instance_type == name && one.state == state)
            .count()
    };
    assert_eq!(count("m5.large", Pending), 7);
    assert_eq!(count("m5a.large", Pending), 20);
    assert_eq!(count("m6i.large", Pending), 3);
    assert_eq!(
        count("m5.large", Stopped),
        10,
        "they have their own type again"
    );
    for id in &fleet {
        let one = setting.ec2.instance(id);
        let (present, tag) = setting.types(id);
        let said = (present != "m5.large").then(|| format!("m5.large as {present}"));
        assert_eq!(tag, said);
        assert_eq!(
            one.state == Stopped,
            setting.ec2.tag(id, RETRY_TAG).is_some()
        );
    }
}

#[tokio::test]
async fn who_may_not_change_types_is_told_so_and_waits() {
    let setting = Setting::new().await;
    let fleet: Vec<_> = (0..12)
        .map(|n| setting.stopped(&format!("web-{n}"), "spare"))
        .collect();
    setting.no_room_for(&["m5.large"]);
    setting
        .ec2
        .deny(Denial::of(ApiAction::ModifyInstanceAttribute));
    let done = setting.pass().await;
    assert_eq!(failures(&done), vec![CloudErrorKind::Denied; 12]);
    let calls = setting.calls(ApiAction::ModifyInstanceAttribute);
    assert!(calls <= 6, "it is not asked for each of them: {calls}");
    for id in &fleet {
        assert_eq!(setting.types(id), own());
        assert!(setting.ec2.tag(id, RETRY_TAG).is_some());
    }
}

#[tokio::test]
async fn a_type_that_is_not_on_record_is_never_given() {
    let setting = Setting::new().await;
    let web = setting.stopped("web", "spare");
    setting.no_room_for(&["m5.large"]);
    setting.ec2.deny(Denial::of(ApiAction::CreateTags));
    setting.pass().await;
    assert_eq!(setting.types(&web), own());
    assert_eq!(setting.calls(ApiAction::ModifyInstanceAttribute), 0);
}
