//! What is written to the instances, how often, and what becomes of a step that can't be.

use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::StepResult;
use curfew_aws::pass::Pass;
use curfew_testing::{Action, Denial, InstanceState, Launch};
use jiff::ToSpan;

use crate::world::{EVENING, World, names};

/// 49 tags, and the one that governs.
fn full(plain: Launch) -> Launch {
    // Its name is one of them.
    (0..48).fold(plain, |launch, number| launch.tag(format!("t{number}"), ""))
}

fn not_remembered(pass: &Pass) -> std::collections::BTreeSet<String> {
    let outcomes = pass.outcomes.iter();
    let matching =
        outcomes.filter(|outcome| matches!(outcome.result, StepResult::NotRemembered { .. }));
    matching
        .map(|outcome| outcome.step.instance.to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_fleet_is_one_call_a_page_and_two_a_batch() {
    let world = World::at(EVENING).await;
    let ids = world.launch(2_950, |plain| plain);
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 2_950);
    assert_eq!(world.calls(Action::DescribeInstances), 3);
    assert_eq!(world.calls(Action::StopInstances), 30);
    assert_eq!(world.calls(Action::CreateTags), 30);
    assert_eq!(world.pass().await.outcomes.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_stopped_already_is_remembered_with_what_is_stopped_now() {
    let world = World::at(EVENING).await;
    let ids = [
        world.launch(250, |plain| plain),
        world.launch(250, Launch::stopped),
    ]
    .concat();
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 500);
    assert_eq!(world.calls(Action::StopInstances), 3);
    assert_eq!(world.calls(Action::CreateTags), 5);
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_room_for_a_tag_is_stopped_and_told_of_and_its_people_are_respected() {
    let world = World::at(EVENING).await;
    let good = world.launch(199, |plain| plain);
    let laden = world.launch(1, full);
    let pass = world.pass().await;
    assert_eq!(not_remembered(&pass), names(&laden));
    let told = pass
        .outcomes
        .iter()
        .find_map(|outcome| match &outcome.result {
            StepResult::NotRemembered { error, .. } => Some(error),
            _ => None,
        });
    assert!(told.unwrap().hint().contains("of the 50"), "{told:?}");
    assert_eq!(world.count(&laden, InstanceState::Stopping), 1);
    assert_eq!(world.remembered(&good), 199);

    world.ec2.advance(2.hours());
    world.ec2.start(&laden[0]).unwrap();
    world.ec2.advance(1.hours());
    for _ in 0..3 {
        world.pass().await;
        assert_eq!(world.count(&laden, InstanceState::Running), 1);
    }
    assert_eq!(world.calls(Action::StopInstances), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_tag_everything_is_done_once_and_told_of() {
    let world = World::at(EVENING).await;
    world.ec2.deny(Denial::of(Action::CreateTags));
    let morning = "2026-11-23T07:00:00Z start schedule office";
    let ids = world.launch(300, |plain| plain.tag("curfew:last", morning));
    let pass = world.pass().await;
    assert_eq!(not_remembered(&pass), names(&ids));
    assert!(pass.outcomes.iter().all(|outcome| matches!(
        &outcome.result,
        StepResult::NotRemembered { error, .. } if error.kind == CloudErrorKind::Denied
    )));
    assert_eq!(world.count(&ids, InstanceState::Stopping), 300);
    let calls = world.calls(Action::CreateTags);
    assert!(calls <= 60, "{calls}");

    world.ec2.advance(2.hours());
    let pass = world.pass().await;
    assert_eq!(world.calls(Action::StopInstances), 3, "they are stopped");
    assert_eq!(pass.failures(), 300, "and that still can't be remembered");
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_cannot_be_placed_changes_nothing() {
    use curfew_aws::clock::Clock;
    use curfew_aws::execute::Deadline;
    use curfew_aws::pass::{WakeUp, pass};
    use curfew_core::memory::Who;
    use curfew_core::request::{Ask, Lasting, Request};

    let world = World::at(EVENING).await;
    let laden = world.launch(1, full);
    let good = world.launch(1, |plain| plain);
    let targets = laden.iter().chain(&good);
    let request = Request {
        ask: Ask::Stop(Lasting::Until("2026-11-23T23:00:00Z".parse().unwrap())),
        targets: targets.map(|id| id.as_str().parse().unwrap()).collect(),
        by: Who::new("alice"),
    };
    let wake_up = WakeUp {
        request: Some(request),
        ..WakeUp::ROUTINE
    };
    let ec2 = world.ec2.clone();
    let clock = Clock::telling(move || ec2.now());
    let done = pass(
        &world.fleet,
        &world.governance,
        wake_up,
        &clock,
        Deadline::NONE,
    )
    .await
    .unwrap();
    assert_eq!(done.failures(), 1);
    assert_eq!(world.count(&laden, InstanceState::Running), 1);
    assert_eq!(world.count(&good, InstanceState::Stopping), 1);
    let hold = world.ec2.tag(&good[0], "curfew:override").unwrap();
    assert_eq!(hold, "stopped until 2026-11-23T23:00:00Z by alice");
}
