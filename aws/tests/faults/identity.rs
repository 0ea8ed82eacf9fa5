//! Who may do what, with which credentials, where, and at what time.

use aws_smithy_async::time::StaticTimeSource;
use curfew_aws::fleet::Fleet;
use curfew_testing::{
    Action, ClockCheck, CredentialFault, Denial, InstanceState, Launch, Model, TimeSource, direct,
};
use insta::assert_snapshot;
use jiff::ToSpan;

use crate::setting::{Setting, connection};

#[tokio::test(start_paused = true)]
async fn a_denied_action_is_named_and_works_once_it_is_granted() {
    let setting = Setting::new().await;
    let web = setting.launch(Launch::new("web"));
    let database = setting.launch(Launch::new("database").tag("tier", "database"));
    setting
        .ec2
        .deny(Denial::of(Action::StopInstances).if_tagged("tier", "data*"));
    assert_eq!(setting.pass().await.failures(), 1);
    assert!(
        setting.is_stopped(&web),
        "a denial for one does not keep the others running"
    );
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-006c45d188009454f name="database" action=stop cause=schedule office error=`ec2:StopInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::…:user/curfew is not authorized to perform: ec2:StopInstances on resource: arn:aws:ec2:eu-west-3:…:instance/i-006c45d188009454f because no identity-based policy allows the ec2:StopInstances action hint="grant this action to the role or user; docs/iam.md lists what Curfew needs and why""#);
    setting.ec2.deny(Denial::of(Action::DescribeInstances));
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: ec2:DescribeInstances on resource: * because no identity-based policy allows the ec2:DescribeInstances action
    hint: grant this action to the role or user; docs/iam.md lists what Curfew needs and why
    ");

    setting.ec2.allow_everything();
    setting.next_pass().await;
    assert!(setting.is_stopped(&database));
    setting.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_told_from_wrong_ones_and_the_edge_waits_for_their_renewal() {
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
async fn a_region_that_is_not_enabled_is_named_as_a_cause_beside_the_keys() {
    let setting = Setting::in_region("me-south-1").await;
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` has no usable credentials: AWS was not able to validate the provided access credentials
    hint: set AWS_PROFILE or other keys; if they work in other regions, enable this one for the account
    ");
    setting.ec2.opt_in("me-south-1");
    setting.next_pass().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_ten_minutes_off_is_put_right_for_aws_and_told() {
    let ec2 = Model::new("2026-11-23T19:00:20Z".parse().unwrap());
    ec2.check_clocks(ClockCheck::On);
    let http = direct(ec2.clone(), TimeSource::Held);
    let mut connection = connection("http://127.0.0.1:1", "eu-west-3", Some(http)).await;
    let slow = std::time::SystemTime::from(ec2.now() - 10.minutes());
    let slow = StaticTimeSource::new(slow);
    connection.sdk = connection.sdk.into_builder().time_source(slow).build();
    let setting = Setting::of(ec2, Fleet::new(&connection));
    let web = setting.launch(Launch::new("web"));
    setting.pass().await;
    assert_eq!(setting.ec2.state(&web), InstanceState::Stopping);
    assert_snapshot!(setting.logged(), @r#" WARN this machine's clock is slow seconds=600 hint="set the clock, for example with `timedatectl set-ntp true`; edges are applied by it""#);
}
