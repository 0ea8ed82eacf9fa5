//! Several accounts and regions against the model of EC2 and STS: one fails, and the others are not affected.

use std::time::SystemTime;

use aws_smithy_async::time::TimeSource as SdkTime;
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionFailure, Organisation, RegionResults};
use curfew_aws::pass::Pass;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::schedule_set::ScheduleSet;
use curfew_model::{
    ApiAction, CredentialFault, Denial, Ec2InstanceId, Ec2InstanceState, Fault, Launch, Model,
    Role, Symptom, TimeSource, direct,
};
use jiff::ToSpan;
use tokio::time::Instant;

/// 20:00:30 in Paris on a Monday: office hours have just ended.
const AFTER_THE_EDGE: &str = "2026-11-23T19:00:30Z";
const HOME: &str = "000000000000";
const PAYMENTS: &str = "111122223333";
const RESEARCH: &str = "444455556666";

const CONFIGURATION: &str = r#"{
    "managing": {"tag": "Schedule", "regions": ["eu-west-3", "us-east-1"]},
    "schedules": {"office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"}},
    "account": [
        {"id": "111122223333", "name": "payments", "role_arn": "arn:aws:iam::111122223333:role/curfew-member",
         "external_id": "a-secret-of-two", "regions": ["eu-west-3", "eu-central-1"]},
        {"id": "444455556666", "role_arn": "arn:aws:iam::444455556666:role/curfew-member", "regions": ["us-west-2"]}
    ]
}"#;

struct Setting {
    ec2: Model,
    clock: Clock,
    schedule_set: ScheduleSet,
    organisation: Organisation,
}

/// The SDK's clock is the model's: credentials expire by it.
#[derive(Debug)]
struct ModelTime(Model);

impl SdkTime for ModelTime {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}

impl Setting {
    async fn new() -> Self {
        let ec2 = Model::new(AFTER_THE_EDGE.parse().unwrap());
        let options = ConnectOptions {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("eu-west-3".to_owned()),
            ..ConnectOptions::default()
        };
        let mut connection = Connection::open(options).await.unwrap();
        connection.sdk = connection
            .sdk
            .into_builder()
            .http_client(direct(ec2.clone(), TimeSource::Tokio))
            .time_source(ModelTime(ec2.clone()))
            .build();
        let raw = RawScheduleSet::from_json(CONFIGURATION).unwrap();
        let time = ec2.clone();
        Self {
            clock: Clock::telling(move || time.now()),
            schedule_set: raw.resolve().unwrap(),
            organisation: Organisation::open(&connection, &raw.targets().unwrap()),
            ec2,
        }
    }

    /// The configured roles, and an instance of the office in each account-region.
    async fn furnished() -> Self {
        let setting = Self::new().await;
        let payments = Role::new(PAYMENTS, "curfew-member").trusting(HOME);
        setting
            .ec2
            .add_role(payments.external_id("a-secret-of-two"));
        setting
            .ec2
            .add_role(Role::new(RESEARCH, "curfew-member").trusting(HOME));
        for account_region in setting.organisation.account_regions() {
            let account = account_region
                .account_region
                .account
                .as_ref()
                .map_or(HOME, |account| account.as_str());
            setting.office(account, account_region.account_region.region.as_str());
        }
        setting
    }

    fn office(&self, account: &str, region: &str) -> Ec2InstanceId {
        let launch = Launch::new(format!("{account}-{region}"))
            .account(account)
            .region(region);
        self.ec2.launch(
            launch
                .tag("Schedule", "office")
                .tag("curfew:last", "2026-11-23T07:00:00Z start schedule office")
                .launched_at("2026-11-23T07:00:05Z".parse().unwrap()),
        )
    }

    async fn pass(&self) -> RegionResults<Pass> {
        let basis = Basis::new(&self.schedule_set, &self.clock);
        let mut survey = self.organisation.dry_run(basis, Deadline::NONE).await;
        for (one, pass) in &mut survey.answers {
            pass.carry_out(one.fleet(), basis, Deadline::NONE).await;
        }
        survey
    }

    fn running(&self) -> Vec<String> {
        let instances = self.ec2.instances();
        let running = instances
            .iter()
            .filter(|one| one.state == Ec2InstanceState::Running);
        running.map(|one| one.tags["Name"].clone()).collect()
    }
}

/// `failure; hint`, one a line.
fn told<T>(survey: &RegionResults<T>) -> String {
    let line =
        |error: &curfew_aws::organisation::AccountRegionError| format!("{error}; {}", error.hint());
    survey
        .failures
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(start_paused = true)]
async fn every_account_and_region_is_processed_and_each_role_is_assumed_once() {
    let setting = Setting::furnished().await;
    let first = setting.pass().await;
    assert_eq!(told(&first), "");
    assert_eq!(setting.running(), [""; 0]);
    let owners: Vec<String> = first
        .answers
        .iter()
        .map(|(_, pass)| format!("{} {}", pass.instances[0].account, pass.instances[0].region))
        .collect();
    insta::assert_snapshot!(owners.join("\n"), @r"
    000000000000 eu-west-3
    000000000000 us-east-1
    111122223333 eu-west-3
    111122223333 eu-central-1
    444455556666 us-west-2
    ");
    setting.ec2.advance(1.minute());
    setting.pass().await;
    let again = setting.pass().await;
    assert_eq!(again.combined().unwrap().pass.plan.steps, []);
    assert_eq!(
        setting.ec2.calls_of(ApiAction::AssumeRole).len(),
        2,
        "one for each other account"
    );
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_again_before_its_credentials_run_out() {
    let setting = Setting::furnished().await;
    setting.pass().await;
    setting.ec2.advance(57.minutes());
    setting.pass().await;
    assert_eq!(setting.ec2.calls_of(ApiAction::AssumeRole).len(), 2);
    setting.ec2.advance(2.minutes());
    assert_eq!(told(&setting.pass().await), "");
    assert_eq!(setting.ec2.calls_of(ApiAction::AssumeRole).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failing_account_and_a_failing_region_are_distinguished_and_affect_no_other() {
    let setting = Setting::new().await;
    setting.ec2.add_role(
        Role::new(PAYMENTS, "curfew-member")
            .trusting(HOME)
            .external_id("another"),
    );
    setting
        .ec2
        .add_role(Role::new(RESEARCH, "curfew-member").trusting(HOME));
    for (account, region) in [
        (HOME, "eu-west-3"),
        (PAYMENTS, "eu-west-3"),
        (RESEARCH, "us-west-2"),
    ] {
        setting.office(account, region);
    }
    let lost = Fault::on(ApiAction::DescribeInstances, Symptom::Reset);
    setting
        .ec2
        .fault(lost.in_account(HOME).in_region("us-east-1"));
    let survey = setting.pass().await;
    assert_eq!(setting.running(), ["111122223333-eu-west-3"]);
    insta::assert_snapshot!(told(&survey), @r"
    in `us-east-1`: `ec2:DescribeInstances` got no answer: connection reset; check the endpoint, the region's name and the network; Curfew tries again at the next pass
    in `eu-west-3` of account `111122223333` (payments): `sts:AssumeRole` was denied: User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111122223333:role/curfew-member; the role `arn:aws:iam::111122223333:role/curfew-member` must exist, and trust this account with the external id of the configuration; `curfew member-role` prints a template for it
    in `eu-central-1` of account `111122223333` (payments): `sts:AssumeRole` was denied: User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111122223333:role/curfew-member; the role `arn:aws:iam::111122223333:role/curfew-member` must exist, and trust this account with the external id of the configuration; `curfew member-role` prints a template for it
    ");
}

#[tokio::test(start_paused = true)]
async fn a_denied_role_and_a_region_that_is_not_enabled_are_named() {
    let setting = Setting::furnished().await;
    setting
        .ec2
        .deny(Denial::of(ApiAction::DescribeInstances).in_account(RESEARCH));
    setting
        .ec2
        .reject_credentials(PAYMENTS, CredentialFault::AuthFailure);
    let survey = setting
        .organisation
        .observe(&Scope::All, Deadline::NONE)
        .await;
    insta::assert_snapshot!(told(&survey), @r"
    in `eu-west-3` of account `111122223333` (payments): `ec2:DescribeInstances` has no usable credentials: AWS was not able to validate the provided access credentials; check that the region `eu-west-3` is enabled in that account
    in `eu-central-1` of account `111122223333` (payments): `ec2:DescribeInstances` has no usable credentials: AWS was not able to validate the provided access credentials; check that the region `eu-central-1` is enabled in that account
    in `us-west-2` of account `444455556666`: `ec2:DescribeInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::444455556666:user/curfew is not authorized to perform: ec2:DescribeInstances on resource: * because no identity-based policy allows the ec2:DescribeInstances action; grant this action to the role `arn:aws:iam::444455556666:role/curfew-member`; docs/reference/iam.md lists what Curfew needs and why
    ");
}

#[tokio::test(start_paused = true)]
async fn account_regions_after_the_deadline_are_reported_and_left_to_the_next_pass() {
    let setting = Setting::furnished().await;
    let over = Deadline::at(Instant::now());
    let survey = setting.organisation.observe(&Scope::All, over).await;
    assert_eq!((survey.answers.len(), survey.failures.len()), (0, 5));
    assert!(matches!(
        survey.failures[0].failure,
        AccountRegionFailure::OutOfTime
    ));
    assert_eq!(setting.ec2.calls().len(), 0);
    assert_eq!(told(&setting.pass().await), "");
}

#[tokio::test(start_paused = true)]
async fn a_large_region_is_processed_page_by_page() {
    let setting = Setting::new().await;
    for _ in 0..2500 {
        setting.office(HOME, "eu-west-3");
    }
    let fleet = setting.organisation.account_regions()[0].fleet();
    let (mut pages, mut from) = (Vec::new(), None);
    loop {
        let basis = Basis::new(&setting.schedule_set, &setting.clock);
        let pass = Pass::run(fleet, &Scope::Page(from), basis, Deadline::NONE).await;
        let pass = pass.unwrap();
        assert_eq!(pass.failures(), 0);
        pages.push(pass.outcomes.len());
        from = pass.next_page;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(pages, [1000, 1000, 500]);
    assert_eq!(setting.running(), [""; 0]);
    // Three pages, and state tags are read again right before they are written; what EC2's rate limit delays is observed
    // again, by its ids.
    let looks = setting.ec2.calls_of(ApiAction::DescribeInstances);
    let again = looks.iter().filter(|call| !call.ids().is_empty()).count();
    assert_eq!(looks.len() - again, 3 + 25);
    assert!(again <= 25, "{again}");
    assert_eq!(setting.ec2.calls_of(ApiAction::StopInstances).len(), 25);
}
