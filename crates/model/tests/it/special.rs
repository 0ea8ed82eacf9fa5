//! Capacity, hibernation, Spot, Auto Scaling, status checks, and stops other than through the API.

use curfew_model::{
    AUTO_SCALING_TAG, ApiAction, ApiCaller, ApiRequest, Case, DescribeQuery, Durations,
    Ec2InstanceState, Ec2StateReason, Fault, Launch, Model, ModelError, ModelResponse,
    ShutdownMode, SpotKind, StatusScope, StopMode, Symptom,
};
use jiff::ToSpan;

use crate::{code, model, start, stop, stop_by, terminate};

fn hibernate(
    ec2: &Model,
    id: &curfew_model::Ec2InstanceId,
) -> Result<Vec<String>, curfew_model::ModelError> {
    stop_by(ec2, &[id], StopMode::Hibernate, ShutdownMode::Graceful)
}

#[test]
fn a_start_beyond_the_capacity_starts_nothing() {
    let ec2 = model();
    let large = |name| {
        ec2.launch(
            Launch::new(name)
                .instance_type("m5.large")
                .zone("us-east-1b")
                .stopped(),
        )
    };
    let (one, two) = (large("one"), large("two"));
    let small = ec2.launch(Launch::new("small").stopped());
    ec2.set_capacity("m5.large", "us-east-1b", 1);

    let error = start(&ec2, &[&small, &one, &two]).unwrap_err();
    assert_eq!(
        (error.code.as_ref(), error.status),
        ("InsufficientInstanceCapacity", 500)
    );
    assert!(error.message.contains("m5.large") && error.message.contains("us-east-1b"));
    assert!(ec2.transitions().is_empty());
    start(&ec2, &[&small, &one]).unwrap();
    assert_eq!(code(start(&ec2, &[&two])), "InsufficientInstanceCapacity");

    ec2.advance(1.minute());
    stop(&ec2, &[&one]).unwrap();
    assert_eq!(
        code(start(&ec2, &[&two])),
        "InsufficientInstanceCapacity",
        "a stopping instance still has its place"
    );
    ec2.advance(30.seconds());
    start(&ec2, &[&two]).unwrap();
    ec2.clear_capacity("m5.large", "us-east-1b");
    start(&ec2, &[&one]).unwrap();
}

#[test]
fn a_launch_uses_the_free_capacity_if_it_suffices() {
    let ec2 = model();
    ec2.set_capacity("t3.micro", "us-east-1a", 3);
    let run = |min, max| {
        let launch = Box::new(Launch::new("new"));
        let request = ApiRequest::RunInstances { launch, min, max };
        ec2.call(&ApiCaller::default(), request)
    };
    assert_eq!(code(run(4, 9)), "InsufficientInstanceCapacity");
    let ModelResponse::Launched(launched) = run(2, 9).unwrap() else {
        panic!("a launch")
    };
    assert_eq!(launched.len(), 3);
    assert_eq!(code(run(1, 1)), "InsufficientInstanceCapacity");
    terminate(&ec2, &[&launched[0].id]).unwrap();
    ec2.advance(30.seconds());
    run(1, 1).unwrap();
}

#[test]
fn hibernation_needs_configuration_and_two_minutes_of_running() {
    let ec2 = model();
    let plain = ec2.launch(Launch::new("plain"));
    let able = ec2.launch(Launch::new("able").hibernation());
    let error = hibernate(&ec2, &plain).unwrap_err();
    assert_eq!(error.code, "UnsupportedHibernationConfiguration");
    assert!(error.message.ends_with(&format!(": {plain}")));

    ec2.advance(119.seconds());
    let error = hibernate(&ec2, &able).unwrap_err();
    assert_eq!(error.code, "UnsupportedOperation");
    assert!(error.message.contains("not ready to hibernate yet"));
    ec2.advance(1.second());
    assert_eq!(hibernate(&ec2, &able).unwrap(), ["running->stopping"]);
    ec2.advance(59.seconds());
    assert_eq!(ec2.state(&able), Ec2InstanceState::Stopping);
    ec2.advance(1.second());
    let instance = ec2.instance(&able);
    assert_eq!(instance.state, Ec2InstanceState::Stopped);
    assert_eq!(
        instance.state_reason.as_ref().unwrap().code,
        "Client.UserInitiatedHibernate"
    );
    assert_eq!(
        instance.transition_reason,
        "User initiated (2026-11-23 18:02:00 GMT)"
    );
}

#[test]
fn only_spot_instances_of_persistent_requests_can_be_stopped() {
    let ec2 = model();
    let once = ec2.launch(Launch::new("once").spot(SpotKind::OneTime));
    let kept = ec2.launch(Launch::new("kept").spot(SpotKind::Persistent));
    let error = stop(&ec2, &[&once]).unwrap_err();
    assert_eq!(error.code, "UnsupportedOperation");
    assert!(error.message.contains("one-time Spot Instance request"));

    let request_of = |id| {
        let spot = ec2.instance(id).spot.clone().unwrap();
        (spot.state, spot.status)
    };
    assert_eq!(request_of(&kept), ("active", "fulfilled"));
    stop(&ec2, &[&kept]).unwrap();
    assert_eq!(request_of(&kept), ("active", "marked-for-stop"));
    ec2.advance(30.seconds());
    assert_eq!(request_of(&kept), ("disabled", "instance-stopped-by-user"));
    start(&ec2, &[&kept]).unwrap();
    assert_eq!(request_of(&kept), ("active", "fulfilled"));
    terminate(&ec2, &[&once, &kept]).unwrap();
    ec2.advance(30.seconds());
    assert_eq!(request_of(&once).0, "closed");
    assert_eq!(request_of(&kept).0, "open");
}

#[test]
fn an_interrupted_spot_instance_can_not_be_started() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("spot").spot(SpotKind::Persistent));
    ec2.interrupt(&id, Ec2StateReason::spot_interruption());
    ec2.advance(30.seconds());
    let instance = ec2.instance(&id);
    assert_eq!(
        instance.state_reason.as_ref().unwrap().code,
        "Server.SpotInstanceShutdown"
    );
    assert_eq!(instance.spot.as_ref().unwrap().state, "open");
    assert_eq!(code(start(&ec2, &[&id])), "IncorrectSpotRequestState");
}

#[test]
fn a_stop_by_the_instance_or_aws_ignores_protection_and_has_a_reason() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").stop_protection());
    ec2.interrupt(&id, Ec2StateReason::instance_shutdown());
    ec2.advance(30.seconds());
    let instance = ec2.instance(&id);
    assert_eq!(instance.state, Ec2InstanceState::Stopped);
    assert_eq!(
        instance.transition_reason,
        "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
    );
    assert!(ec2.calls().is_empty(), "no API call is recorded");
}

#[test]
fn an_auto_scaling_group_is_a_tag() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").auto_scaling_group("blue"));
    assert_eq!(ec2.tag(&id, AUTO_SCALING_TAG).as_deref(), Some("blue"));
    assert_eq!(AUTO_SCALING_TAG, "aws:autoscaling:groupName");
}

#[test]
fn status_checks_take_two_minutes_and_need_a_running_instance() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").stopped());
    let statuses = |scope| {
        let request = ApiRequest::DescribeInstanceStatus(DescribeQuery::default(), scope);
        match ec2.call(&ApiCaller::default(), request) {
            Ok(ModelResponse::Statuses(page)) => {
                page.items.iter().map(|it| it.status).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(statuses(StatusScope::Running).is_empty());
    assert_eq!(statuses(StatusScope::All), ["not-applicable"]);
    start(&ec2, &[&id]).unwrap();
    ec2.advance(12.seconds());
    assert_eq!(statuses(StatusScope::Running), ["initializing"]);
    ec2.advance(2.minutes());
    assert_eq!(statuses(StatusScope::Running), ["ok"]);
}

#[test]
fn capacity_pools_are_limited_separately() {
    let ec2 = model();
    let kinds: [fn(Launch) -> Launch; 5] = [
        |plain| plain,
        |plain| plain.spot(SpotKind::Persistent),
        |plain| plain.tenancy("dedicated"),
        |plain| plain.placement_group("hpc"),
        |plain| plain.capacity_reservation("cr-1"),
    ];
    let launched = kinds.map(|kind| ec2.launch(kind(Launch::new("web").stopped())));
    for full in &launched {
        ec2.set_capacity_like(full, 0);
    }
    let refused = launched.each_ref().map(|id| code(start(&ec2, &[id])));
    assert_eq!(
        refused,
        [
            "InsufficientInstanceCapacity",
            "InsufficientInstanceCapacity",
            "InsufficientInstanceCapacity",
            "InsufficientInstanceCapacity",
            "ReservationCapacityExceeded"
        ]
    );
    ec2.set_capacity_like(&launched[2], 1);
    for id in &launched {
        let starts = start(&ec2, &[id]).is_ok();
        assert_eq!(starts, id == &launched[2]);
    }
}

fn call(ec2: &Model, request: ApiRequest) -> Result<ModelResponse, ModelError> {
    ec2.call(&ApiCaller::default(), request)
}

#[test]
fn an_error_for_one_instance_refuses_the_calls_that_name_it() {
    let ec2 = model();
    let bad = ec2.launch(Launch::new("bad").hibernation().stopped());
    let good = ec2.launch(Launch::new("good").hibernation().stopped());
    let error = ModelError::with_status(401, "OptInRequired", "'{id}' needs a subscription");
    let fault = Fault::on(ApiAction::StartInstances, Symptom::Error(error));
    ec2.fault(fault.for_instance(&bad));
    let both = ApiRequest::StartInstances(vec![good.to_string(), bad.to_string()]);
    let refusal = call(&ec2, both).unwrap_err();
    assert_eq!(
        (refusal.code.as_ref(), refusal.status),
        ("OptInRequired", 401)
    );
    assert_eq!(refusal.message, format!("'{bad}' needs a subscription"));
    assert_eq!(
        ec2.state(&good),
        Ec2InstanceState::Stopped,
        "nothing is done"
    );
    start(&ec2, &[&good]).unwrap();

    let error = ModelError::client("UnsupportedOperation", "not now");
    let fault = Fault::on(ApiAction::StopInstances, Symptom::Error(error));
    ec2.fault(fault.for_instance(&good).hibernating());
    ec2.advance(5.minutes());
    let stop =
        |mode| ApiRequest::StopInstances(vec![good.to_string()], mode, ShutdownMode::Graceful);
    assert_eq!(
        code(call(&ec2, stop(StopMode::Hibernate))),
        "UnsupportedOperation"
    );
    call(&ec2, stop(StopMode::Plain)).unwrap();
}

#[test]
fn one_instance_can_be_slow() {
    let ec2 = model();
    let (slow, usual) = (
        ec2.launch(Launch::new("slow")),
        ec2.launch(Launch::new("usual")),
    );
    let durations = Durations {
        stopping: jiff::SignedDuration::from_mins(20),
        ..Durations::default()
    };
    ec2.set_durations_of(&slow, durations);
    stop(&ec2, &[&slow, &usual]).unwrap();
    ec2.advance(19.minutes());
    assert_eq!(ec2.state(&usual), Ec2InstanceState::Stopped);
    assert_eq!(ec2.state(&slow), Ec2InstanceState::Stopping);
    ec2.advance(1.minute());
    assert_eq!(ec2.state(&slow), Ec2InstanceState::Stopped);
}

#[test]
fn a_case_defines_instances_and_their_errors() {
    let ec2 = model();
    let case = r#"{
        "0": {"tags": {"Name": "spot"}, "start_error": ["Blocked", "no", 401],
              "xml": "<instanceLifecycle>spot</instanceLifecycle><spotInstanceRequestId>sir-aaaa2222</spotInstanceRequestId><ebsOptimized>true</ebsOptimized>"},
        "2": {"replace_tags": {"Name": "alone"}, "rdt": "instance-store", "hib": "true"},
        "spot_types": {"sir-aaaa2222": "persistent"},
        "spot_error": ["UnauthorizedOperation", "no", 403]
    }"#;
    let plain = Launch::unnamed().tag("Schedule", "office");
    let case = Case::from_json(case).unwrap();
    let ids = case.put_into(&ec2, &plain, 1);
    assert_eq!(ids.len(), 4, "those between and one more");
    let spot = ec2.instance(&ids[0]);
    let request = spot.spot.as_ref().unwrap();
    assert_eq!(
        (request.id.as_str(), request.kind),
        ("sir-aaaa2222", SpotKind::Persistent)
    );
    assert_eq!(spot.xml, "<ebsOptimized>true</ebsOptimized>");
    assert_eq!(spot.tags.len(), 2);
    assert_eq!(ec2.instance(&ids[2]).tags.len(), 1);
    assert_eq!(code(start(&ec2, &[&ids[0]])), "Blocked");
    start(&ec2, &[&ids[1]]).unwrap();
    let describe = ApiRequest::DescribeSpotInstanceRequests(DescribeQuery::default());
    assert_eq!(code(call(&ec2, describe)), "UnauthorizedOperation");

    for (bad, message) in [
        (
            r#"{"0": {"colour": "red"}}"#,
            "`colour` is not understood in a case: \"red\"",
        ),
        (
            r#"{"first": {}}"#,
            "`first` is not understood in a case: {}",
        ),
        (
            r#"{"spot_error": "no"}"#,
            "`spot_error` is not understood in a case: \"no\"",
        ),
    ] {
        assert_eq!(Case::from_json(bad).unwrap_err().to_string(), message);
    }
}
