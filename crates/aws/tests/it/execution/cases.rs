//! Small fleets from bug reports of similar tools (`crates/model/cases`): one instance fails, and the others are handled.

use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::StepResult;
use curfew_aws::pass::Pass;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::state_tags::{LAST_TAG, RETRY_TAG};
use curfew_core::step::StepAction;
use curfew_model::{
    ApiAction, Case, Denial, Ec2InstanceId, Ec2InstanceState, Fault, Launch, ModelError, SpotKind,
    Symptom,
};
use jiff::ToSpan;

use super::world::{EVENING, MORNING, World, failed, names};

const SPOT_WITHOUT_ROOM: &str = include_str!("../../../../model/cases/spot-without-room.json");
const SPOT_DESCRIBE_DENIED: &str =
    include_str!("../../../../model/cases/spot-describe-denied.json");
const HIBERNATE_REFUSED: &str = include_str!("../../../../model/cases/hibernate-refused.json");

/// Launches the fleet of a case, managed by `schedule`.
fn fleet(world: &World, case: &str, schedule: &str) -> Vec<Ec2InstanceId> {
    let plain = Launch::unnamed()
        .tag("Schedule", schedule)
        .region("eu-west-3")
        .launched_at("2026-11-02T15:00:00Z".parse().unwrap());
    let plain = if world.ec2.now() == MORNING.parse().unwrap() {
        plain.stopped()
    } else {
        plain
    };
    let case = Case::from_json(case).unwrap();
    case.put_into(&world.ec2, &plain, 0)
}

/// The note on the step of an instance.
fn note<'a>(pass: &'a Pass, id: &Ec2InstanceId) -> Option<&'a str> {
    let mut outcomes = pass.outcomes.iter();
    let outcome = outcomes.find(|outcome| outcome.step.instance.as_str() == id.as_str())?;
    outcome.step.note.as_deref()
}

#[tokio::test(start_paused = true)]
async fn a_spot_instance_without_capacity_delays_no_other_instance() {
    let world = World::at(MORNING).await;
    let ids = fleet(&world, SPOT_WITHOUT_ROOM, "office");
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Capacity), names(&ids[..1]));
    assert_eq!(world.count(&ids[1..], Ec2InstanceState::Pending), 2);
    let retry = world.ec2.tag(&ids[0], RETRY_TAG).unwrap();
    assert!(retry.contains("1x InsufficientInstanceCapacity"), "{retry}");
}

#[tokio::test(start_paused = true)]
async fn denied_spot_requests_skip_only_the_spot_instances() {
    let world = World::at(EVENING).await;
    let ids = fleet(&world, SPOT_DESCRIBE_DENIED, "office");
    let managed = world.launch(1, |plain| plain.spot(SpotKind::Persistent));
    let pass = world.pass().await;
    assert_eq!(pass.failures(), 0);
    assert_eq!(world.ec2.state(&ids[0]), Ec2InstanceState::Stopping);
    let skipped: Vec<(&str, String)> = pass
        .plan
        .skipped
        .iter()
        .map(|skip| {
            let reason = serde_json::to_value(&skip.reason).unwrap();
            (skip.instance.as_str(), reason["code"].to_string())
        })
        .collect();
    let expected = [
        (ids[1].as_str(), "\"unmanaged\"".to_owned()),
        (managed[0].as_str(), "\"unknown_spot\"".to_owned()),
    ];
    assert!(
        expected.iter().all(|one| skipped.contains(one)),
        "{skipped:?}"
    );
    let why =
        pass.plan.skipped.iter().find_map(|skip| {
            (skip.instance.as_str() == managed[0].as_str()).then_some(&skip.detail)
        });
    assert_eq!(
        why.unwrap(),
        "it is a Spot instance, and whether it may be stopped is unknown: \
         `ec2:DescribeSpotInstanceRequests` was denied: You are not authorized to perform this operation"
    );
    // Once the permission is granted, the missed stop is made up for.
    world.ec2.clear_faults();
    world.pass().await;
    assert_eq!(world.ec2.state(&managed[0]), Ec2InstanceState::Stopping);
}

#[tokio::test(start_paused = true)]
async fn failing_spot_requests_skip_only_the_spot_instances() {
    let world = World::at(EVENING).await;
    let plain = world.launch(1, |plain| plain);
    let spot = world.launch(1, |plain| plain.spot(SpotKind::Persistent));
    let fault = Fault::error(
        ApiAction::DescribeSpotInstanceRequests,
        500,
        "InternalError",
    );
    world.ec2.fault(fault);
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.count(&plain, Ec2InstanceState::Stopping), 1);
    assert_eq!(world.count(&spot, Ec2InstanceState::Running), 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_ec2_refuses_to_hibernate_is_stopped_plainly() {
    let world = World::at(EVENING).await;
    let ids = fleet(&world, HIBERNATE_REFUSED, "lab");
    let pass = world.pass().await;
    assert_eq!(pass.failures(), 0);
    assert_eq!(
        ids.iter().map(|id| world.ec2.state(id)).collect::<Vec<_>>(),
        [
            Ec2InstanceState::Running,
            Ec2InstanceState::Stopping,
            Ec2InstanceState::Stopping
        ]
    );
    assert_eq!(
        note(&pass, &ids[1]),
        Some(
            format!(
                "stopped instead of hibernated: EC2 refused to hibernate it \
                 (The instance '{}' is not ready to hibernate yet, retry in a few minutes)",
                ids[1]
            )
            .as_str()
        )
    );
    let refused = pass.outcomes.iter().find(|outcome| {
        outcome.step.instance.as_str() == ids[1].as_str() && outcome.step.action == StepAction::Stop
    });
    assert!(refused.is_some(), "the step says what was done");
    assert_eq!(world.ec2.tag(&ids[1], RETRY_TAG), None);
    assert!(world.ec2.tag(&ids[1], LAST_TAG).is_some());
    world.ec2.clear_calls();
    world.ec2.advance(5.minutes());
    world.pass().await;
    assert_eq!(world.calls(ApiAction::StopInstances), 0, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn a_requested_stop_that_ec2_refuses_to_hibernate_is_a_plain_stop() {
    let world = World::at(MORNING).await;
    let running = world.launch(1, |plain| plain.tag("Schedule", "lab").hibernation());
    let refusal = ModelError::client("UnsupportedOperation", "not ready to hibernate");
    let fault = Fault::on(ApiAction::StopInstances, Symptom::Error(refusal)).hibernating();
    world.ec2.fault(fault);
    let pass = world
        .request(RequestKind::Stop(RequestDuration::NextEdge), &running[..1])
        .await;
    assert_eq!(pass.failures(), 0);
    assert_eq!(world.count(&running, Ec2InstanceState::Stopping), 1);
    assert!(
        note(&pass, &running[0])
            .unwrap()
            .starts_with("stopped instead of hibernated")
    );
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_can_not_hibernate_is_stopped_in_one_pass() {
    let world = World::at(EVENING).await;
    let ids = world.launch(400, |plain| plain.tag("Schedule", "lab").hibernation());
    let refusal = ModelError::client("UnsupportedHibernationConfiguration", "no hibernation here");
    let fault = Fault::on(ApiAction::StopInstances, Symptom::Error(refusal)).hibernating();
    world.ec2.fault(fault);
    let pass = world.pass().await;
    assert_eq!(pass.failures(), 0);
    assert_eq!(world.count(&ids, Ec2InstanceState::Running), 0);
    let calls = world.calls(ApiAction::StopInstances);
    assert!(calls <= 4 * 14, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_denied_hibernation_is_not_retried_as_a_plain_stop() {
    let world = World::at(EVENING).await;
    let ids = world.launch(1, |plain| plain.tag("Schedule", "lab").hibernation());
    world.ec2.deny(Denial::of(ApiAction::StopInstances));
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Denied), names(&ids));
    assert_eq!(world.calls(ApiAction::StopInstances), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_hibernation_and_plain_stop_are_reported_with_both_reasons() {
    let world = World::at(EVENING).await;
    let protected = world.launch(1, |plain| {
        plain.tag("Schedule", "lab").hibernation().stop_protection()
    });
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Refused), names(&protected));
    assert_eq!(world.calls(ApiAction::StopInstances), 2);
    let retry = world.ec2.tag(&protected[0], RETRY_TAG).unwrap();
    assert!(retry.contains("stop 1x OperationNotPermitted"), "{retry}");
    world.ec2.clear_calls();
    world.pass().await;
    assert_eq!(world.calls(ApiAction::StopInstances), 0, "it waits");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_a_person_has_to_resolve_backs_off() {
    for (code, status) in [
        ("OptInRequired", 401),
        ("IncorrectSpotRequestState", 400),
        ("IncorrectInstanceState", 400),
        ("PendingVerification", 400),
        ("VcpuLimitExceeded", 400),
        ("InvalidVolume.NotFound", 400),
        ("UnsupportedOperation", 400),
    ] {
        let world = World::at(MORNING).await;
        let bad = world.launch(1, Launch::stopped);
        let good = world.launch(9, Launch::stopped);
        let refusal = ModelError::with_status(status, code, "The instance '{id}' can't be started");
        let fault = Fault::on(ApiAction::StartInstances, Symptom::Error(refusal));
        world.ec2.fault(fault.for_instance(&bad[0]));
        let pass = world.pass().await;
        assert_eq!(pass.failures(), 1, "{code}");
        assert_eq!(world.count(&good, Ec2InstanceState::Pending), 9, "{code}");
        let retry = world.ec2.tag(&bad[0], RETRY_TAG).unwrap_or_default();
        assert!(
            retry.contains(&format!("start 1x {code} ")),
            "{code}: {retry}"
        );

        world.ec2.clear_calls();
        world.ec2.advance(30.seconds());
        world.pass().await;
        assert_eq!(world.calls(ApiAction::StartInstances), 0, "{code}");
        world.ec2.clear_faults();
        world.ec2.advance(1.minute());
        world.pass().await;
        assert_eq!(world.count(&bad, Ec2InstanceState::Pending), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unusable_image_does_not_end_the_pass() {
    let world = World::at(MORNING).await;
    let bad = world.launch(1, Launch::stopped);
    let good = world.launch(99, Launch::stopped);
    let refusal = ModelError::with_status(401, "AuthFailure", "Not authorized for images: [ami-1]");
    let fault = Fault::on(ApiAction::StartInstances, Symptom::Error(refusal));
    world.ec2.fault(fault.for_instance(&bad[0]));
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Denied), names(&bad));
    assert_eq!(world.count(&good, Ec2InstanceState::Pending), 99);
    assert!(world.ec2.tag(&bad[0], RETRY_TAG).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_blocked_account_costs_a_bounded_number_of_calls() {
    let world = World::at(MORNING).await;
    world.launch(1_000, Launch::stopped);
    world
        .ec2
        .fault(Fault::error(ApiAction::StartInstances, 401, "Blocked"));
    let pass = world.pass().await;
    let told = pass.outcomes.iter().filter(|outcome| {
        matches!(&outcome.result, StepResult::Failed(error) if error.kind == CloudErrorKind::Account)
    });
    assert_eq!(told.count(), 1_000);
    let calls = world.calls(ApiAction::StartInstances);
    assert!(calls <= 50, "{calls}");
}
