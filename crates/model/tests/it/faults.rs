//! Injected faults and their end.

use std::io::ErrorKind;
use std::time::Duration;

use curfew_model::{
    ApiAction, ApiCaller, ApiRequest, DescribeQuery, Ec2InstanceState, Fault, Launch, Model,
    RecordedOutcome, Symptom, TimeSource, serve, serve_with,
};
use jiff::{SignedDuration, ToSpan};

use crate::client::Client;
use crate::{code, model};

#[tokio::test]
async fn an_error_applies_a_number_of_times_and_has_no_effect() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    ec2.fault(Fault::error(ApiAction::StopInstances, 503, "Unavailable").times(2));
    ec2.fault(Fault::error(ApiAction::StopInstances, 500, "InternalError").times(1));
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let ids = format!("InstanceId.1={id}");
    for expected in [
        (503, "Unavailable"),
        (503, "Unavailable"),
        (500, "InternalError"),
    ] {
        let reply = client.call("StopInstances", &ids).await;
        assert_eq!(reply.error(), expected);
        assert_eq!(ec2.state(&id), Ec2InstanceState::Running);
    }
    assert_eq!(client.call("StopInstances", &ids).await.status, 200);
    assert_eq!(ec2.state(&id), Ec2InstanceState::Stopping);
    let outcomes: Vec<_> = ec2.calls().into_iter().map(|call| call.outcome).collect();
    let refused = |code: &str| RecordedOutcome::Refused(code.to_owned());
    assert_eq!(
        outcomes,
        [
            refused("Unavailable"),
            refused("Unavailable"),
            refused("InternalError"),
            RecordedOutcome::Done
        ]
    );
}

#[test]
fn a_fault_is_limited_to_its_action_account_region_and_count() {
    let ec2 = model();
    ec2.fault(
        Fault::error(ApiAction::DescribeInstances, 500, "InternalError")
            .in_account("123456789012")
            .in_region("eu-west-1")
            .after(1)
            .times(1),
    );
    let ask = |caller: &ApiCaller, request: ApiRequest| ec2.call(caller, request).is_ok();
    let there = ApiCaller::new("123456789012", "eu-west-1");
    let describe = || ApiRequest::DescribeInstances(DescribeQuery::default());
    assert!(ask(&there, describe()), "the first passes");
    assert!(ask(
        &there,
        ApiRequest::DescribeTags(DescribeQuery::default())
    ));
    assert!(ask(
        &ApiCaller::new("123456789012", "eu-west-2"),
        describe()
    ));
    assert!(ask(
        &ApiCaller::new("000000000000", "eu-west-1"),
        describe()
    ));
    assert!(!ask(&there, describe()));
    assert!(ask(&there, describe()));
    ec2.fault(Fault::error(
        ApiAction::DescribeInstances,
        500,
        "InternalError",
    ));
    assert!(!ask(&there, describe()));
    ec2.clear_faults();
    assert!(ask(&there, describe()));
}

#[test]
fn random_faults_follow_the_seed() {
    let run = |seed| {
        let ec2 = Model::seeded("2026-11-23T18:00:00Z".parse().unwrap(), seed);
        ec2.fault(Fault::error(ApiAction::DescribeInstances, 500, "InternalError").percent(40));
        (0..200)
            .map(|_| {
                let request = ApiRequest::DescribeInstances(DescribeQuery::default());
                ec2.call(&ApiCaller::default(), request).is_err()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let struck = run(3).iter().filter(|struck| **struck).count();
    assert!((60..100).contains(&struck), "{struck} of 200");
}

#[tokio::test]
async fn a_reset_before_the_call_has_no_effect_and_one_after_has() {
    for (symptom, state, outcome) in [
        (
            Symptom::Reset,
            Ec2InstanceState::Running,
            RecordedOutcome::Lost,
        ),
        (
            Symptom::ResetAfter,
            Ec2InstanceState::Stopping,
            RecordedOutcome::Done,
        ),
    ] {
        let ec2 = model();
        let id = ec2.launch(Launch::new("web"));
        ec2.fault(Fault::on(ApiAction::StopInstances, symptom.clone()).times(1));
        let server = serve(ec2.clone()).await;
        let client = Client::new(&server);
        let ids = format!("InstanceId.1={id}");
        let error = client.try_call("StopInstances", &ids).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{symptom:?}");
        assert_eq!(ec2.state(&id), state, "{symptom:?}");
        assert_eq!(ec2.calls()[0].outcome, outcome, "{symptom:?}");
        assert_eq!(client.call("StopInstances", &ids).await.status, 200);
    }
}

#[tokio::test]
async fn a_truncated_response_ends_in_the_middle_of_its_xml() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    ec2.fault(Fault::on(ApiAction::StopInstances, Symptom::Truncated).times(1));
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let ids = format!("InstanceId.1={id}");
    let broken = client.call("StopInstances", &ids).await;
    assert_eq!(broken.status, 200);
    assert!(broken.body.starts_with("<?xml"));
    assert!(!broken.body.contains("</StopInstancesResponse>"));
    assert_eq!(ec2.state(&id), Ec2InstanceState::Stopping);
    let whole = client.call("StopInstances", &ids).await;
    assert!(whole.body.ends_with("</StopInstancesResponse>"));
}

#[tokio::test]
async fn latency_delays_a_response_and_a_hang_suppresses_it() {
    let ec2 = model();
    let late = Duration::from_millis(150);
    ec2.fault(Fault::everywhere(Symptom::Latency(late)).times(1));
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let before = std::time::Instant::now();
    assert_eq!(client.call("DescribeInstances", "").await.status, 200);
    assert!(before.elapsed() >= late);
    ec2.fault(Fault::on(ApiAction::DescribeInstances, Symptom::Hang).times(1));
    let hanging = client.try_call("DescribeInstances", "");
    let waited = tokio::time::timeout(Duration::from_millis(200), hanging).await;
    assert!(waited.is_err());
    assert_eq!(ec2.calls()[1].outcome, RecordedOutcome::Lost);
    assert_eq!(client.call("DescribeInstances", "").await.status, 200);
}

#[tokio::test]
async fn a_server_can_let_time_pass_with_each_call_or_with_the_clock() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").stopped());
    let step = TimeSource::Step(SignedDuration::from_secs(6));
    let server = serve_with(ec2.clone(), step).await;
    let client = Client::new(&server);
    let ids = format!("InstanceId.1={id}");
    client.call("StartInstances", &ids).await;
    assert_eq!(ec2.now() - 6.seconds(), model().now());
    client.call("DescribeInstances", "").await;
    assert_eq!(ec2.state(&id), Ec2InstanceState::Pending);
    client.call("DescribeInstances", "").await;
    assert_eq!(ec2.state(&id), Ec2InstanceState::Running);

    let past = Model::new("2020-01-01T00:00:00Z".parse().unwrap());
    let server = serve_with(past.clone(), TimeSource::Wall).await;
    Client::new(&server).call("DescribeInstances", "").await;
    assert!(past.now() > "2025-01-01T00:00:00Z".parse().unwrap());
}

#[test]
fn without_http_a_lost_request_is_an_error_and_the_response_is_intact() {
    let ec2 = model();
    let ask = |symptom| {
        ec2.fault(Fault::everywhere(symptom).times(1));
        let request = ApiRequest::DescribeInstances(DescribeQuery::default());
        ec2.call(&ApiCaller::default(), request)
    };
    for lost in [Symptom::Reset, Symptom::Hang] {
        assert_eq!(code(ask(lost)), "ServiceUnavailable");
    }
    for late in [Symptom::Truncated, Symptom::ResetAfter] {
        ask(late).unwrap();
    }
}
