//! EC2 does not respond, responds too late or incompletely, or fails.

use aws_smithy_types::retry::RetryConfig;
use curfew_aws::fleet::Fleet;
use curfew_model::{ApiAction, Ec2InstanceState, Fault, Launch, Model, Symptom, serve};
use insta::assert_snapshot;
use tokio::time::{Duration, Instant};

use super::setup::{Setting, connection};

#[tokio::test(start_paused = true)]
async fn a_throttled_call_is_retried_and_then_left_to_the_next_pass() {
    let setting = Setting::new().await;
    let web = setting.launch(Launch::new("web"));
    let throttled = || Fault::error(ApiAction::StopInstances, 503, "RequestLimitExceeded");
    setting.ec2.fault(throttled());
    assert_eq!(setting.pass().await.failures(), 1);
    assert_eq!(setting.ec2.state(&web), Ec2InstanceState::Running);
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-0e220a8397b1dcdaf name="web" action=stop cause=schedule office error=`ec2:StopInstances` was throttled: Injected by the test hint="wait a moment; Curfew continues at the next pass""#);

    setting.ec2.clear_faults();
    setting.ec2.fault(throttled().times(2));
    setting.next_pass().await;
    assert!(setting.is_stopped(&web));
    assert_eq!(
        setting.logged(),
        "",
        "nobody is told of what repaired itself"
    );
    setting.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_service_is_called_three_times_and_again_by_the_next_pass() {
    let setting = Setting::new().await;
    let web = setting.launch(Launch::new("web"));
    setting
        .ec2
        .fault(Fault::error(ApiAction::DescribeInstances, 503, "Unavailable").times(3));
    assert_snapshot!(setting.failing_pass().await, @r"
    `ec2:DescribeInstances` failed inside AWS: Injected by the test
    hint: try again later; the AWS Health Dashboard lists known incidents
    ");
    assert_eq!(setting.ec2.calls_of(ApiAction::DescribeInstances).len(), 3);

    setting
        .ec2
        .fault(Fault::error(ApiAction::StopInstances, 500, "InternalError").times(3));
    assert_eq!(setting.pass().await.failures(), 1);
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-0e220a8397b1dcdaf name="web" action=stop cause=schedule office error=`ec2:StopInstances` failed inside AWS: Injected by the test hint="try again later; the AWS Health Dashboard lists known incidents""#);
    setting.next_pass().await;
    assert!(setting.is_stopped(&web));
    setting.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_timely_response_is_abandoned_and_retried() {
    let setting = Setting::new().await;
    let web = setting.launch(Launch::new("web"));
    let hanging = |action, times| Fault::on(action, Symptom::Hang).times(times);
    setting.ec2.fault(hanging(ApiAction::DescribeInstances, 1));
    let begun = Instant::now();
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` got no answer: nothing within 10 s
    hint: check the endpoint, the region's name and the network; Curfew tries again at the next pass
    ");
    let waited = begun.elapsed();
    assert!(
        (Duration::from_secs(10)..Duration::from_secs(11)).contains(&waited),
        "{waited:?}"
    );

    setting.ec2.fault(hanging(ApiAction::StopInstances, 3));
    assert_eq!(setting.pass().await.failures(), 1);
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-0e220a8397b1dcdaf name="web" action=stop cause=schedule office error=`ec2:StopInstances` got no answer: operation attempt timeout (single attempt) occurred after 15s hint="check the endpoint, the region's name and the network; Curfew tries again at the next pass""#);
    setting.next_pass().await;
    assert!(setting.is_stopped(&web));
    setting.assert_settled().await;
}

#[tokio::test]
async fn a_truncated_response_is_retried_even_if_the_call_was_executed() {
    let ec2 = Model::new("2026-11-23T19:00:20Z".parse().unwrap());
    let server = serve(ec2.clone()).await;
    let setting = Setting::of(ec2, hasty(&server.endpoint).await);
    let web = setting.launch(Launch::new("web"));
    let truncated = |action| Fault::on(action, Symptom::Truncated);
    setting
        .ec2
        .fault(truncated(ApiAction::DescribeInstances).times(3));
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` got no answer: the response is truncated
    hint: check the endpoint, the region's name and the network; Curfew tries again at the next pass
    ");

    setting
        .ec2
        .fault(truncated(ApiAction::StopInstances).times(3));
    assert_eq!(setting.pass().await.failures(), 1);
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-0e220a8397b1dcdaf name="web" action=stop cause=schedule office error=`ec2:StopInstances` got no answer: the response is truncated hint="check the endpoint, the region's name and the network; Curfew tries again at the next pass""#);
    assert_eq!(
        setting.ec2.state(&web),
        Ec2InstanceState::Stopping,
        "it was carried out"
    );
    setting.next_pass().await;
    assert!(setting.is_stopped(&web));
    setting.assert_settled().await;
}

#[tokio::test]
async fn a_reset_connection_is_replaced() {
    let ec2 = Model::new("2026-11-23T19:00:20Z".parse().unwrap());
    let server = serve(ec2.clone()).await;
    let setting = Setting::of(ec2, hasty(&server.endpoint).await);
    let web = setting.launch(Launch::new("web"));
    setting
        .ec2
        .fault(Fault::on(ApiAction::DescribeInstances, Symptom::Reset).times(3));
    assert_snapshot!(setting.failing_pass().await, @"
    `ec2:DescribeInstances` got no answer: Connection reset by peer (os error 104)
    hint: check the endpoint, the region's name and the network; Curfew tries again at the next pass
    ");

    setting
        .ec2
        .fault(Fault::on(ApiAction::StopInstances, Symptom::ResetAfter).times(1));
    setting
        .ec2
        .fault(Fault::on(ApiAction::CreateTags, Symptom::Reset).times(2));
    assert_eq!(setting.pass().await.failures(), 0);
    assert_eq!(setting.logged(), "");
    assert!(setting.is_stopped(&web));
    setting.assert_settled().await;
}

/// A fleet over sockets with retries that don't wait.
async fn hasty(endpoint: &str) -> Fleet {
    let mut connection = connection(endpoint, "eu-west-3", None).await;
    let retries = connection
        .sdk
        .retry_config()
        .cloned()
        .unwrap_or_else(RetryConfig::standard);
    let retries = retries.with_initial_backoff(Duration::from_millis(1));
    connection.sdk = connection.sdk.into_builder().retry_config(retries).build();
    Fleet::new(&connection)
}
