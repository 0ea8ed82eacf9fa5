//! Permissions, credentials, endpoints and clocks.

use aws_smithy_async::time::StaticTimeSource;
use curfew_aws::clock::Clock;
use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::fleet::{Fleet, Scope};
use curfew_aws::pass::Pass;
use curfew_core::request::{Request, RequestDuration, RequestKind};
use curfew_core::state_tags::{Actor, LAST_TAG};
use curfew_model::{
    ApiAction, ClockCheck, CredentialFault, Denial, Ec2InstanceState, Launch, Model, TimeSource,
    direct,
};
use insta::assert_snapshot;
use jiff::{SignedDuration, ToSpan};

use super::setup::{STOPPED, Setting, connection};

#[tokio::test(start_paused = true)]
async fn a_denied_action_is_named_and_works_once_it_is_granted() {
    let setting = Setting::new().await;
    let web = setting.launch(Launch::new("web"));
    let database = setting.launch(Launch::new("database").tag("tier", "database"));
    setting
        .ec2
        .deny(Denial::of(ApiAction::StopInstances).if_tagged("tier", "data*"));
    assert_eq!(setting.pass().await.failures(), 1);
    assert!(
        setting.is_stopped(&web),
        "a denial for one does not keep the others running"
    );
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-006c45d188009454f name="database" action=stop cause=schedule office error=`ec2:StopInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::…:user/curfew is not authorized to perform: ec2:StopInstances on resource: arn:aws:ec2:eu-west-3:…:instance/i-006c45d188009454f because no identity-based policy allows the ec2:StopInstances action hint="grant this action to the role or user; docs/reference/iam.md lists what Curfew needs and why""#);
    setting.ec2.deny(Denial::of(ApiAction::DescribeInstances));
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: ec2:DescribeInstances on resource: * because no identity-based policy allows the ec2:DescribeInstances action
    hint: grant this action to the role or user; docs/reference/iam.md lists what Curfew needs and why
    ");

    setting.ec2.allow_everything();
    setting.next_pass().await;
    assert!(setting.is_stopped(&database));
    setting.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn expired_and_wrong_credentials_are_distinguished_and_the_edge_is_applied_after_renewal() {
    let setting = Setting::new().await;
    let web = setting.launch(Launch::new("web"));
    let account = "000000000000";
    setting
        .ec2
        .reject_credentials(account, CredentialFault::ExpiredToken);
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` found its credentials expired: The security token included in the request is expired
    hint: renew the credentials, for example with `aws sso login`
    ");
    setting
        .ec2
        .reject_credentials(account, CredentialFault::RequestExpired);
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` found its credentials expired: Request has expired. Server time is 2026-11-23T19:00:20Z
    hint: renew the credentials, for example with `aws sso login`
    ");
    setting
        .ec2
        .reject_credentials(account, CredentialFault::AuthFailure);
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` has no usable credentials: AWS was not able to validate the provided access credentials
    hint: set AWS_PROFILE or other keys; if they work in other regions, enable this one for the account
    ");

    setting.ec2.accept_credentials(account);
    setting.next_pass().await;
    assert!(setting.is_stopped(&web));
    setting.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_not_enabled_is_named_as_a_possible_cause() {
    let setting = Setting::in_region("me-south-1").await;
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` has no usable credentials: AWS was not able to validate the provided access credentials
    hint: set AWS_PROFILE or other keys; if they work in other regions, enable this one for the account
    ");
    setting.ec2.opt_in("me-south-1");
    setting.next_pass().await;
}

/// A fleet on a machine with a clock that is `off`, and that clock.
async fn beside_a_clock_off_by(off: SignedDuration) -> (Setting, Clock) {
    let ec2 = Model::new("2026-11-23T19:00:20Z".parse().unwrap());
    ec2.check_clocks(ClockCheck::On);
    let http = direct(ec2.clone(), TimeSource::Held);
    let mut connection = connection("http://127.0.0.1:1", "eu-west-3", Some(http)).await;
    let at = StaticTimeSource::new(std::time::SystemTime::from(ec2.now() + off));
    connection.sdk = connection.sdk.into_builder().time_source(at).build();
    let model = ec2.clone();
    let clock = Clock::telling(move || model.now() + off);
    let fleet = Fleet::new(&connection.correcting(&clock));
    (Setting::of(ec2, fleet), clock)
}

#[tokio::test(start_paused = true)]
async fn a_clock_ten_minutes_off_is_corrected_and_logged() {
    let (setting, clock) = beside_a_clock_off_by(SignedDuration::from_mins(-10)).await;
    let web = setting.launch(Launch::new("web"));
    setting.pass().await;
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Stopping);
    assert_eq!(clock.now(), setting.ec2.now());
    assert_snapshot!(setting.logged(), @r#" WARN this machine's clock is wrong seconds=600 direction="slow" hint="set the clock, for example with `timedatectl set-ntp true`; until then Curfew uses the time of AWS""#);
}

#[tokio::test(start_paused = true)]
async fn a_request_from_a_machine_with_a_fast_clock_does_not_skip_the_next_edge() {
    let fast = SignedDuration::from_mins(10);
    let (setting, clock) = beside_a_clock_off_by(fast).await;
    let web = setting.launch(Launch::new("web").stopped().tag(LAST_TAG, STOPPED));
    // Ninety seconds before the next day's stop edge; ten minutes later by the caller's clock.
    let before_the_edge = "2026-11-24T18:58:30Z".parse().unwrap();
    setting.ec2.set_now(before_the_edge);
    let request = Request {
        kind: RequestKind::Start(RequestDuration::NextEdge),
        targets: [web.as_str().parse().unwrap()].into(),
        by: Actor::new("alice"),
    };
    let scope = Scope::Only(request.targets.clone());
    let basis = Basis {
        request: Some(&request),
        ..Basis::new(&setting.schedule_set, &clock)
    };
    let asked = Pass::run(&setting.fleet, &scope, basis, Deadline::NONE).await;
    let asked = asked.unwrap();
    assert_eq!(asked.failures(), 0, "{:?}", asked.outcomes);
    assert_eq!(asked.at, before_the_edge, "as AWS has it");

    // A pass from a machine with the right time.
    setting.ec2.advance(5.minutes());
    setting.pass().await;
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Stopping);
}
