//! Allowed state changes, durations, and the atomicity of calls.

use curfew_model::{
    ApiCaller, ApiRequest, AttributeChange, Durations, Ec2InstanceState, Ec2StateReason, Launch,
    ShutdownMode, StopMode, StopProtection,
};
use jiff::{SignedDuration, ToSpan};

use crate::{code, model, start, stop, stop_by, terminate};

#[test]
fn starting_a_running_and_stopping_a_stopped_instance_change_nothing() {
    let ec2 = model();
    let (up, down) = (
        ec2.launch(Launch::new("up")),
        ec2.launch(Launch::new("down").stopped()),
    );
    let launched = ec2.instance(&up).launch_time;
    ec2.advance(1.hour());
    assert_eq!(start(&ec2, &[&up]).unwrap(), ["running->running"]);
    assert_eq!(stop(&ec2, &[&down]).unwrap(), ["stopped->stopped"]);
    assert_eq!(ec2.instance(&up).launch_time, launched);
    assert!(ec2.transitions().is_empty());
    assert_eq!(
        start(&ec2, &[&up, &down, &up]).unwrap(),
        ["running->running", "stopped->pending"],
        "an id given twice counts once"
    );
}

#[test]
fn a_repeated_call_during_a_transition_is_no_error() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    stop(&ec2, &[&id]).unwrap();
    ec2.advance(20.seconds());
    assert_eq!(stop(&ec2, &[&id]).unwrap(), ["stopping->stopping"]);
    ec2.advance(10.seconds());
    assert_eq!(
        ec2.state(&id),
        Ec2InstanceState::Stopped,
        "the first counts"
    );
    start(&ec2, &[&id]).unwrap();
    assert_eq!(start(&ec2, &[&id]).unwrap(), ["pending->pending"]);
}

#[test]
fn a_stopping_instance_can_not_be_started() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    stop(&ec2, &[&id]).unwrap();
    let error = start(&ec2, &[&id]).unwrap_err();
    assert_eq!(error.code, "IncorrectInstanceState");
    assert_eq!(error.status, 400);
    assert_eq!(
        error.message,
        format!("The instance '{id}' is not in a state from which it can be started.")
    );
}

#[test]
fn a_terminated_instance_is_removed_after_an_hour() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    assert_eq!(terminate(&ec2, &[&id]).unwrap(), ["running->shutting-down"]);
    for _ in ["shutting-down", "terminated"] {
        assert_eq!(code(start(&ec2, &[&id])), "IncorrectInstanceState");
        let error = stop(&ec2, &[&id]).unwrap_err();
        assert_eq!(
            error.message,
            format!("This instance '{id}' is not in a state from which it can be stopped.")
        );
        ec2.advance(30.seconds());
    }
    assert_eq!(terminate(&ec2, &[&id]).unwrap(), ["terminated->terminated"]);
    ec2.advance(59.minutes());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Terminated);
    ec2.advance(1.minute());
    assert_eq!(code(start(&ec2, &[&id])), "InvalidInstanceID.NotFound");
    assert!(ec2.instances().is_empty());

    let stopped = ec2.launch(Launch::new("old").stopped());
    assert_eq!(
        terminate(&ec2, &[&stopped]).unwrap(),
        ["stopped->terminated"]
    );
}

#[test]
fn a_first_pending_can_not_be_stopped_a_later_one_can() {
    let ec2 = model();
    let run = ApiRequest::RunInstances {
        launch: Box::new(Launch::new("new")),
        min: 1,
        max: 1,
    };
    ec2.call(&ApiCaller::default(), run).unwrap();
    let id = ec2.instances()[0].id.clone();
    let error = stop(&ec2, &[&id]).unwrap_err();
    assert_eq!(error.code, "IncorrectInstanceState");
    assert!(
        error
            .message
            .ends_with("cannot be stopped as it has never reached the 'running' state.")
    );
    ec2.advance(12.seconds());
    stop(&ec2, &[&id]).unwrap();
    ec2.advance(30.seconds());
    start(&ec2, &[&id]).unwrap();
    assert_eq!(stop(&ec2, &[&id]).unwrap(), ["pending->stopping"]);
    ec2.advance(12.seconds());
    assert_eq!(
        ec2.state(&id),
        Ec2InstanceState::Stopping,
        "it is no longer on its way up"
    );
}

#[test]
fn one_invalid_instance_fails_the_whole_call() {
    let ec2 = model();
    let good = ec2.launch(Launch::new("good"));
    let protected = ec2.launch(Launch::new("protected").stop_protection());
    let store = ec2.launch(Launch::new("store").instance_store());
    let gone = ec2.launch(Launch::new("gone"));
    terminate(&ec2, &[&gone]).unwrap();
    let known = ec2.transitions().len();
    for (bad, expected) in [
        (&protected, "OperationNotPermitted"),
        (&store, "UnsupportedOperation"),
        (&gone, "IncorrectInstanceState"),
    ] {
        let error = stop(&ec2, &[&good, bad]).unwrap_err();
        assert_eq!(error.code, expected);
        assert!(error.message.contains(bad.as_str()), "{}", error.message);
    }
    for (bad, expected) in [
        ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("i-nonsense", "InvalidInstanceID.Malformed"),
    ] {
        let ids = vec![good.to_string(), bad.to_owned()];
        let request = ApiRequest::StopInstances(ids, StopMode::Plain, ShutdownMode::Graceful);
        let error = ec2.call(&ApiCaller::default(), request).unwrap_err();
        assert_eq!(error.code, expected);
        assert!(error.message.contains(bad), "{}", error.message);
    }
    assert_eq!(ec2.state(&good), Ec2InstanceState::Running);
    assert_eq!(ec2.transitions().len(), known);
}

#[test]
fn malformed_ids_are_checked_first_and_all_unknown_ids_are_named() {
    let ec2 = model();
    let ask = |ids: &[&str]| {
        let ids = ids.iter().map(ToString::to_string).collect();
        let request = ApiRequest::StartInstances(ids);
        ec2.call(&ApiCaller::default(), request).unwrap_err()
    };
    let error = ask(&["i-00000001", "i-bad"]);
    assert_eq!(error.code, "InvalidInstanceID.Malformed");
    let error = ask(&["i-00000001", "i-00000002"]);
    assert_eq!(
        error.message,
        "The instance IDs 'i-00000001, i-00000002' do not exist"
    );
    let many: Vec<_> = (0..1001).map(|n| format!("i-{n:08x}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(ask(&many).code, "InvalidParameterValue");
}

#[test]
fn durations_can_be_set() {
    let ec2 = model();
    ec2.set_durations(Durations {
        pending: SignedDuration::from_mins(5),
        ..Durations::default()
    });
    let id = ec2.launch(Launch::new("slow").stopped());
    start(&ec2, &[&id]).unwrap();
    assert_eq!(ec2.next_change(), Some(ec2.now() + 5.minutes()));
    ec2.advance(4.minutes().seconds(59).milliseconds(999));
    assert_eq!(ec2.state(&id), Ec2InstanceState::Pending);
    ec2.advance(1.millisecond());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Running);
    assert_eq!(ec2.next_change(), None);
}

#[test]
fn a_hanging_stop_ends_with_a_forced_one() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("stuck"));
    ec2.hang_next_stop(&id);
    stop(&ec2, &[&id]).unwrap();
    ec2.advance(5.hours());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Stopping);
    stop_by(&ec2, &[&id], StopMode::Plain, ShutdownMode::Forced).unwrap();
    ec2.advance(5.seconds());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Stopped);
    start(&ec2, &[&id]).unwrap();
    ec2.advance(1.minute());
    stop(&ec2, &[&id]).unwrap();
    ec2.advance(30.seconds());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Stopped, "it hung once");

    start(&ec2, &[&id]).unwrap();
    ec2.hang_next_stop(&id);
    stop(&ec2, &[&id]).unwrap();
    ec2.advance(5.hours());
    assert_eq!(
        ec2.state(&id),
        Ec2InstanceState::Stopping,
        "the start that it cut short does not end it"
    );
}

#[test]
fn an_accepted_start_can_fall_back_to_stopped_with_a_reason() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("encrypted").stopped());
    ec2.fail_next_start(&id, Ec2StateReason::kms_key());
    assert_eq!(start(&ec2, &[&id]).unwrap(), ["stopped->pending"]);
    ec2.advance(12.seconds());
    let instance = ec2.instance(&id);
    assert_eq!(instance.state, Ec2InstanceState::Stopped);
    assert_eq!(
        instance.state_reason.as_ref().unwrap().code,
        "Client.InternalError"
    );
    assert_eq!(
        instance.transition_reason,
        "Client.InternalError: Client error on launch"
    );
    assert_eq!(
        instance.launch_time.to_string(),
        "2026-11-23T18:00:00Z",
        "a start that failed was a start"
    );
    start(&ec2, &[&id]).unwrap();
    ec2.advance(12.seconds());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Running, "it failed once");
}

#[test]
fn the_type_changes_only_while_stopped() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    let change = |wanted: &str| {
        let change = AttributeChange::InstanceType(wanted.to_owned());
        let request = ApiRequest::ModifyInstanceAttribute(id.to_string(), change);
        ec2.call(&ApiCaller::default(), request)
    };
    let error = change("m5.large").unwrap_err();
    assert_eq!(error.code, "IncorrectInstanceState");
    assert!(error.message.contains("not in the 'stopped' state"));
    stop(&ec2, &[&id]).unwrap();
    assert_eq!(code(change("m5.large")), "IncorrectInstanceState");
    ec2.advance(30.seconds());
    for bad in ["large", "M5.large", "m5.", "m5.la rge"] {
        assert_eq!(code(change(bad)), "InvalidInstanceAttributeValue", "{bad}");
    }
    change("u-6tb1.112xlarge").unwrap();
    assert_eq!(ec2.instance(&id).instance_type, "u-6tb1.112xlarge");
}

#[test]
fn stop_protection_can_be_lifted() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").stop_protection());
    assert_eq!(code(ec2.stop(&id)), "OperationNotPermitted");
    let change = AttributeChange::StopProtection(StopProtection::Off);
    let request = ApiRequest::ModifyInstanceAttribute(id.to_string(), change);
    ec2.call(&ApiCaller::default(), request).unwrap();
    ec2.stop(&id).unwrap();
}

#[test]
fn a_launch_starts_with_events() {
    let ec2 = model();
    let run = ApiRequest::RunInstances {
        launch: Box::new(Launch::new("new")),
        min: 1,
        max: 3,
    };
    ec2.call(&ApiCaller::new("123456789012", "eu-west-1"), run)
        .unwrap();
    let instances = ec2.instances();
    assert_eq!(instances.len(), 3);
    for instance in &instances {
        assert_eq!(instance.state, Ec2InstanceState::Pending);
        assert_eq!(instance.home.region, "eu-west-1");
        assert_eq!(instance.reservation, instances[0].reservation);
    }
    ec2.advance(12.seconds());
    let to: Vec<_> = ec2
        .transitions()
        .iter()
        .map(|it| (it.from, it.to))
        .collect();
    let up = (Some(Ec2InstanceState::Pending), Ec2InstanceState::Running);
    assert_eq!(to[..3], [(None, Ec2InstanceState::Pending); 3]);
    assert_eq!(to[3..], [up; 3]);
}

#[test]
#[should_panic(expected = "can't go back")]
fn time_does_not_go_back() {
    let ec2 = model();
    ec2.set_now(ec2.now() - 1.second());
}
