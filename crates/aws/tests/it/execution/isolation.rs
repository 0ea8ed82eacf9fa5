//! Bad instances are found in few calls, and no other instance is affected.

use curfew_aws::clock::Clock;
use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::{Basis, Deadline, StepResult};
use curfew_aws::fleet::Scope;
use curfew_aws::pass::Pass;
use curfew_model::{
    ApiAction, ApiError, Denial, Ec2InstanceState, Fault, Launch, SpotKind, Symptom,
};
use jiff::ToSpan;

use super::world::{EVENING, MORNING, World, failed, names};

#[tokio::test(start_paused = true)]
async fn whom_ec2_names_costs_one_more_call() {
    let world = World::at(EVENING).await;
    let good = world.launch(249, |plain| plain);
    let bad = world.launch(1, Launch::stop_protection);
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Refused), names(&bad));
    assert_eq!(world.count(&good, Ec2InstanceState::Stopping), 249);
    assert_eq!((world.remembered(&good), world.remembered(&bad)), (249, 0));
    assert_eq!(world.calls(ApiAction::StopInstances), 3 + 1);
    // One for each batch, and one for when to try the refused stop again.
    assert_eq!(world.calls(ApiAction::CreateTags), 3 + 1);
}

#[tokio::test(start_paused = true)]
async fn many_bad_members_cost_a_call_or_two_each() {
    let world = World::at(EVENING).await;
    let good = world.launch(460, |plain| plain);
    let bad = world.launch(40, Launch::stop_protection);
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Refused), names(&bad));
    assert_eq!(world.count(&good, Ec2InstanceState::Running), 0);
    assert_eq!(world.remembered(&good), 460);
    let calls = world.calls(ApiAction::StopInstances);
    assert!(calls <= 5 + 2 * 40 + 5 * 8, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn whom_ec2_does_not_name_is_found_by_halves() {
    let world = World::at(EVENING).await;
    let good = world.launch(99, |plain| plain);
    let bad = world.launch(1, |plain| plain);
    let refusal = ApiError::client("UnsupportedOperation", "EC2 does not say for whom");
    let fault = Fault::on(ApiAction::StopInstances, Symptom::Error(refusal));
    world.ec2.fault(fault.for_instance(&bad[0]));
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Refused), names(&bad));
    assert_eq!(world.count(&good, Ec2InstanceState::Stopping), 99);
    let calls = world.calls(ApiAction::StopInstances);
    assert!(calls <= 1 + 2 * 7, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn instances_that_vanish_meanwhile_are_told_apart_in_one_step() {
    let world = World::at(EVENING).await;
    let good = world.launch(97, |plain| plain);
    let gone = world.launch(3, |plain| plain);
    let begun = world.ec2.now();
    let clock = Clock::telling(move || begun);
    let basis = Basis::new(&world.schedule_set, &clock);
    let seen = Pass::dry_run(&world.fleet, &Scope::All, basis).await;
    let mut seen = seen.unwrap();
    for id in &gone {
        world.ec2.terminate(id).unwrap();
    }
    world.ec2.advance(2.hours());
    seen.carry_out(&world.fleet, basis, Deadline::NONE).await;
    let lost = seen.outcomes.iter().filter(|outcome| {
        matches!(&outcome.result, StepResult::Failed(error) if error.kind == CloudErrorKind::NotFound)
    });
    assert_eq!(lost.count(), 3);
    assert_eq!(world.count(&good, Ec2InstanceState::Stopping), 97);
    assert_eq!(world.calls(ApiAction::StopInstances), 2);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_denied_to_everybody_is_not_asked_for_everybody() {
    let world = World::at(EVENING).await;
    let ids = world.launch(2_000, |plain| plain);
    world.ec2.deny(Denial::of(ApiAction::StopInstances));
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Denied), names(&ids));
    assert_eq!(world.remembered(&ids), 0);
    let calls = world.calls(ApiAction::StopInstances);
    assert!(calls <= 80, "{calls}");
    let inferred = pass.outcomes.iter().filter(|outcome| {
        matches!(&outcome.result, StepResult::Failed(error)
            if error.to_string().starts_with("`ec2:StopInstances` was denied: others were refused likewise: "))
    });
    assert!(inferred.count() > 1_900);
}

#[tokio::test(start_paused = true)]
async fn those_that_a_policy_allows_are_stopped_though_as_many_are_denied() {
    let world = World::at(EVENING).await;
    let denied = world.launch(150, |plain| plain.tag("Environment", "prod"));
    let allowed = world.launch(150, |plain| plain.tag("Environment", "dev"));
    let policy = Denial::of(ApiAction::StopInstances).unless_tagged("Environment", "dev");
    world.ec2.deny(policy);
    // Ids are random, so every batch is mixed, and so is the choice of the instances that are tried alone. A pass that gives
    // up a batch, which is one in some hundred, leaves it to the next.
    for _ in 0..4 {
        world.pass().await;
        if world.count(&allowed, Ec2InstanceState::Running) == 0 {
            break;
        }
    }
    assert_eq!(world.count(&allowed, Ec2InstanceState::Running), 0);
    assert_eq!(world.remembered(&allowed), 150);
    assert_eq!(world.count(&denied, Ec2InstanceState::Running), 150);
    assert_eq!(world.remembered(&denied), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_is_bad_for_the_most_part_costs_a_bounded_number_of_calls_a_pass() {
    let world = World::at(EVENING).await;
    world.launch(630, |plain| plain.tag("Environment", "prod"));
    let allowed = world.launch(70, |plain| plain.tag("Environment", "dev"));
    let policy = Denial::of(ApiAction::StopInstances).unless_tagged("Environment", "dev");
    world.ec2.deny(policy);
    world.pass().await;
    let first = world.calls(ApiAction::StopInstances);
    assert!(first <= 2 * (200 + 7 * 10) + 1, "{first}");
    for _ in 0..20 {
        world.pass().await;
        if world.count(&allowed, Ec2InstanceState::Running) < 35 {
            return;
        }
    }
    panic!("the good ones have no chance");
}

#[tokio::test(start_paused = true)]
async fn hundreds_that_are_refused_for_their_own_sake_do_not_keep_the_others_off() {
    let world = World::at(MORNING).await;
    let spot = world.launch(500, |plain| plain.stopped().spot(SpotKind::Persistent));
    let good = world.launch(150, Launch::stopped);
    // AWS interrupted them all, and it alone starts them again.
    for id in &spot {
        let refusal = ApiError::client("IncorrectSpotRequestState", "not in an appropriate state");
        let fault = Fault::on(ApiAction::StartInstances, Symptom::Error(refusal));
        world.ec2.fault(fault.for_instance(id));
    }
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::WrongState), names(&spot));
    assert_eq!(world.count(&good, Ec2InstanceState::Stopped), 0);
    let calls = world.calls(ApiAction::StartInstances);
    assert!(calls <= 60, "{calls}");
}
