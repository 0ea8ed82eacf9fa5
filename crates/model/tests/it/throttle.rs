//! The token buckets and AWS's figures.

use curfew_model::{
    ApiAction, ApiCaller, ApiRequest, DescribeFilter, DescribeQuery, Ec2InstanceId, Launch, Model,
    ModelError, ShutdownMode, StopMode, Throttling, TokenBucket, serve,
};
use jiff::{SignedDuration, ToSpan};

use crate::client::Client;
use crate::model;

/// Returns how many calls in a row succeed.
fn burst(ec2: &Model, caller: &ApiCaller, request: &ApiRequest) -> usize {
    (0..10_000)
        .take_while(|_| match ec2.call(caller, request.clone()) {
            Ok(_) => true,
            Err(ModelError { code, status, .. }) => {
                let throttled = code == "RequestLimitExceeded";
                assert!(!throttled || status == 503);
                !throttled
            }
        })
        .count()
}

fn paged() -> DescribeQuery {
    DescribeQuery {
        max_results: Some(5),
        ..DescribeQuery::default()
    }
}

#[test]
fn every_action_has_the_burst_that_aws_publishes() {
    let one = || vec!["i-00000001".to_owned()];
    let run = ApiRequest::RunInstances {
        launch: Box::new(Launch::unnamed()),
        min: 1,
        max: 1,
    };
    let filter = DescribeQuery {
        filters: vec![DescribeFilter::new("instance-state-name", ["running"])],
        ..DescribeQuery::default()
    };
    for (request, expected) in [
        (ApiRequest::DescribeInstances(paged()), 100),
        (ApiRequest::DescribeInstances(filter), 100),
        (ApiRequest::DescribeInstances(DescribeQuery::default()), 50),
        (
            ApiRequest::DryRun(Box::new(ApiRequest::DescribeInstances(
                DescribeQuery::default(),
            ))),
            50,
        ),
        (
            ApiRequest::DescribeSpotInstanceRequests(DescribeQuery::default()),
            50,
        ),
        (ApiRequest::DescribeTags(DescribeQuery::default()), 100),
        (
            ApiRequest::StopInstances(one(), StopMode::Plain, ShutdownMode::Graceful),
            50,
        ),
        (ApiRequest::StartInstances(one()), 5),
        (ApiRequest::TerminateInstances(one()), 100),
        (ApiRequest::CreateTags(one(), vec![]), 100),
        (ApiRequest::DeleteTags(one(), vec![]), 100),
        (run, 5),
    ] {
        let ec2 = model();
        ec2.throttle(Throttling::published());
        let got = burst(&ec2, &ApiCaller::default(), &request);
        assert_eq!(got, expected, "{request:?}");
    }
}

#[test]
fn tokens_refill_at_the_published_rate_up_to_the_capacity() {
    let ec2 = model();
    ec2.throttle(Throttling::published());
    let caller = ApiCaller::default();
    let start = ApiRequest::StartInstances(vec!["i-00000001".to_owned()]);
    assert_eq!(burst(&ec2, &caller, &start), 5);
    ec2.advance(499.milliseconds());
    assert_eq!(burst(&ec2, &caller, &start), 0);
    ec2.advance(1.millisecond());
    assert_eq!(burst(&ec2, &caller, &start), 1);
    ec2.advance(1.second());
    assert_eq!(burst(&ec2, &caller, &start), 2);
    ec2.advance(10.hours());
    assert_eq!(burst(&ec2, &caller, &start), 5);
    let describe = ApiRequest::DescribeInstances(paged());
    assert_eq!(burst(&ec2, &caller, &describe), 100);
    ec2.advance(1.second());
    assert_eq!(burst(&ec2, &caller, &describe), 20);
}

#[test]
fn buckets_are_per_account_and_region_and_action() {
    let ec2 = model();
    ec2.throttle(Throttling::published());
    let start = ApiRequest::StartInstances(vec!["i-00000001".to_owned()]);
    for caller in [
        ApiCaller::default(),
        ApiCaller::new("000000000000", "eu-west-1"),
        ApiCaller::new("123456789012", "us-east-1"),
    ] {
        assert_eq!(burst(&ec2, &caller, &start), 5);
    }
    let describe = ApiRequest::DescribeInstances(paged());
    assert_eq!(burst(&ec2, &ApiCaller::default(), &describe), 100);
}

#[test]
fn instances_use_tokens_and_a_call_beyond_them_is_refused() {
    let ec2 = model();
    let ids: Vec<Ec2InstanceId> = (0..1500)
        .map(|_| ec2.launch(Launch::unnamed().stopped()))
        .collect();
    ec2.throttle(Throttling::published());
    let start = |ids: &[Ec2InstanceId]| {
        let ids: Vec<&Ec2InstanceId> = ids.iter().collect();
        crate::start(&ec2, &ids)
    };
    start(&ids[..700]).unwrap();
    let error = start(&ids[700..1001]).unwrap_err();
    assert_eq!(
        (error.code.as_ref(), error.status),
        ("RequestLimitExceeded", 503)
    );
    assert!(
        error.message.contains("resource rate limit"),
        "{}",
        error.message
    );
    assert_eq!(ec2.transitions().len(), 700);
    start(&ids[700..1000]).unwrap();
    ec2.advance(5.seconds());
    assert!(start(&ids[1000..1011]).is_err(), "two per second came back");
    start(&ids[1000..1010]).unwrap();

    let stop = |ids: &[Ec2InstanceId]| {
        let ids: Vec<&Ec2InstanceId> = ids.iter().collect();
        crate::stop(&ec2, &ids)
    };
    ec2.advance(1.minute());
    stop(&ids[..1000]).unwrap();
    ec2.advance(1.second());
    assert!(stop(&ids[..21]).is_err(), "twenty per second came back");
    stop(&ids[..20]).unwrap();
}

#[test]
fn figures_can_be_raised_and_throttling_is_off_by_default() {
    let ec2 = model();
    let start = ApiRequest::StartInstances(vec!["i-00000001".to_owned()]);
    for _ in 0..200 {
        let error = ec2.call(&ApiCaller::default(), start.clone()).unwrap_err();
        assert_eq!(error.code, "InvalidInstanceID.NotFound");
    }
    ec2.throttle(
        Throttling::published()
            .requests(ApiAction::StartInstances, TokenBucket::new(9, 1))
            .resources(ApiAction::StartInstances, TokenBucket::new(7, 1)),
    );
    assert_eq!(burst(&ec2, &ApiCaller::default(), &start), 7);
    ec2.stop_throttling();
    let error = ec2.call(&ApiCaller::default(), start).unwrap_err();
    assert_eq!(error.code, "InvalidInstanceID.NotFound");
}

#[tokio::test]
async fn a_throttled_call_is_a_503_over_http() {
    let ec2 = model();
    ec2.throttle(
        Throttling::published().requests(ApiAction::DescribeInstances, TokenBucket::new(1, 1)),
    );
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    assert_eq!(client.call("DescribeInstances", "").await.status, 200);
    let refused = client.call("DescribeInstances", "").await;
    assert_eq!(refused.error(), (503, "RequestLimitExceeded"));
    ec2.advance(SignedDuration::from_secs(1));
    assert_eq!(client.call("DescribeInstances", "").await.status, 200);
}
