//! Transitions, events and the call log.

use curfew_model::{
    ApiAction, ApiCaller, ApiRequest, DescribeQuery, Ec2InstanceState, Launch, Model,
};
use jiff::ToSpan;
use serde_json::json;

use crate::{model, stop};

#[test]
fn every_transition_is_recorded_with_its_instant() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").region("eu-west-1"));
    ec2.advance(90.seconds());
    ec2.stop(&id).unwrap();
    ec2.advance(24.hours());
    ec2.start(&id).unwrap();
    ec2.advance(1.hour());
    let seen: Vec<_> = ec2
        .transitions()
        .iter()
        .map(|it| {
            assert_eq!(it.instance, id);
            assert_eq!(it.home.region, "eu-west-1");
            let from = it.from.unwrap();
            format!("{} {from}->{}", it.at, it.to)
        })
        .collect();
    assert_eq!(
        seen,
        [
            "2026-11-23T18:01:30Z running->stopping",
            "2026-11-23T18:02:00Z stopping->stopped",
            "2026-11-24T18:01:30Z stopped->pending",
            "2026-11-24T18:01:42Z pending->running",
        ]
    );
    assert_eq!(
        ec2.instance(&id).launch_time.to_string(),
        "2026-11-24T18:01:30Z"
    );
}

#[test]
fn an_event_is_what_eventbridge_delivers_and_is_drained_once() {
    let ec2 = model();
    let id = ec2.launch(
        Launch::new("web")
            .account("123456789012")
            .region("eu-west-1"),
    );
    assert!(ec2.drain_events().is_empty(), "it was there before");
    ec2.advance(1500.milliseconds());
    ec2.stop(&id).unwrap();
    let events = ec2.drain_events();
    let name = events[0]["id"].as_str().unwrap();
    assert_eq!(
        events,
        [json!({
            "version": "0",
            "id": name,
            "detail-type": "EC2 Instance State-change Notification",
            "source": "aws.ec2",
            "account": "123456789012",
            "time": "2026-11-23T18:00:01Z",
            "region": "eu-west-1",
            "resources": [format!("arn:aws:ec2:eu-west-1:123456789012:instance/{id}")],
            "detail": { "instance-id": id.as_str(), "state": "stopping" },
        })]
    );
    assert_eq!(name.len(), 36);
    ec2.advance(30.seconds());
    let later = ec2.drain_events();
    assert_eq!(later[0]["detail"]["state"], "stopped");
    assert_ne!(later[0]["id"], events[0]["id"]);
    assert!(ec2.drain_events().is_empty());
}

#[test]
fn changes_of_many_instances_happen_in_order_of_time() {
    let ec2 = model();
    let late = ec2.launch(Launch::new("late"));
    let early = ec2.launch(Launch::new("early"));
    stop(&ec2, &[&early]).unwrap();
    ec2.advance(10.seconds());
    stop(&ec2, &[&late]).unwrap();
    ec2.advance(1.hour());
    let ends: Vec<_> = ec2
        .transitions()
        .into_iter()
        .filter(|it| it.to == Ec2InstanceState::Stopped)
        .map(|it| it.instance)
        .collect();
    assert_eq!(ends, [early, late]);
}

#[test]
fn calls_are_recorded_with_request_and_time() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    ec2.stop(&id).unwrap();
    assert!(ec2.calls().is_empty(), "a person at the console is no call");
    ec2.advance(1.minute());
    stop(&ec2, &[&id]).unwrap();
    let query = DescribeQuery {
        max_results: Some(500),
        ..DescribeQuery::default()
    };
    let request = ApiRequest::DescribeInstances(query.clone());
    ec2.call(&ApiCaller::new("123456789012", "eu-west-1"), request)
        .unwrap();
    let calls = ec2.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].ids(), [id.to_string()]);
    assert_eq!(calls[0].at.to_string(), "2026-11-23T18:01:00Z");
    assert_eq!(calls[1].name, "DescribeInstances");
    assert!(
        matches!(&calls[1].request, Some(ApiRequest::DescribeInstances(recorded)) if *recorded == query)
    );
    assert_eq!(ec2.calls_of(ApiAction::StopInstances).len(), 1);
    ec2.clear_calls();
    assert!(ec2.calls().is_empty());
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let build = |seed| {
        let ec2 = Model::seeded("2026-11-23T18:00:00Z".parse().unwrap(), seed);
        let id = ec2.launch(Launch::new("web"));
        ec2.stop(&id).unwrap();
        (id, ec2.drain_events())
    };
    assert_eq!(build(1), build(1));
    assert_ne!(build(1).0, build(2).0);
    assert_ne!(build(1).1[0]["id"], build(2).1[0]["id"]);
}
