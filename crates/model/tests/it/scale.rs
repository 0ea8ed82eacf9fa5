//! The speed of the model in benchmarks. The limit is generous for an unoptimised build on a busy machine; it detects
//! quadratic work.

use std::time::{Duration, Instant};

use curfew_model::{
    ApiCaller, ApiRequest, DescribeFilter, DescribeQuery, Ec2InstanceState, Launch, ModelResponse,
    serve,
};
use jiff::ToSpan;

use crate::client::Client;
use crate::model;

#[tokio::test]
async fn a_hundred_thousand_instances_are_described_and_moved_quickly() {
    let began = Instant::now();
    let ec2 = model();
    let ids: Vec<_> = (0..100_000)
        .map(|n| {
            let region = if n % 10 == 0 {
                "eu-west-1"
            } else {
                "us-east-1"
            };
            ec2.launch(
                Launch::new(format!("web-{n}"))
                    .region(region)
                    .tag("Schedule", "office"),
            )
        })
        .collect();

    let mut query = DescribeQuery {
        filters: vec![DescribeFilter::new(
            "instance-state-name",
            ["pending", "running"],
        )],
        max_results: Some(1000),
        ..DescribeQuery::default()
    };
    let (mut pages, mut seen) = (0, 0);
    loop {
        let request = ApiRequest::DescribeInstances(query.clone());
        let Ok(ModelResponse::Instances(page)) = ec2.call(&ApiCaller::default(), request) else {
            panic!("a page")
        };
        pages += 1;
        seen += page.items.len();
        query.next_token = page.next_token;
        if query.next_token.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen), (90, 90_000));

    let server = serve(ec2.clone()).await;
    let page = Client::new(&server)
        .call("DescribeInstances", "MaxResults=1000")
        .await;
    assert_eq!(page.all("instanceId").len(), 1000);

    for id in &ids {
        ec2.stop(id).unwrap();
    }
    ec2.advance(30.seconds());
    assert!(
        ids.iter()
            .all(|id| ec2.state(id) == Ec2InstanceState::Stopped)
    );
    assert_eq!(ec2.drain_events().len(), 200_000);
    let took = began.elapsed();
    assert!(took < Duration::from_mins(1), "{took:?}");
}
