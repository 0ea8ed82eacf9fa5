//! Which tags are written, by how many calls, and what happens to steps if their tags can't be written.

use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::StepResult;
use curfew_aws::pass::Pass;
use curfew_model::{ApiAction, Denial, Ec2InstanceState, Launch};
use jiff::ToSpan;

use super::world::{EVENING, World, names};

/// 48 tags, the managing tag, and the state tag.
fn full(plain: Launch) -> Launch {
    // One of them is its name.
    (0..47).fold(plain, |launch, number| launch.tag(format!("t{number}"), ""))
}

fn not_remembered(pass: &Pass) -> std::collections::BTreeSet<String> {
    let outcomes = pass.outcomes.iter();
    let matching =
        outcomes.filter(|outcome| matches!(outcome.result, StepResult::TagsNotWritten { .. }));
    matching
        .map(|outcome| outcome.step.instance.to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_fleet_costs_one_call_per_page_and_two_per_batch() {
    let world = World::at(EVENING).await;
    let ids = world.launch(2_950, |plain| plain);
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 2_950);
    // Three pages, and each batch's state tags are read again right before they are written; what EC2's rate limit delays is
    // observed again, a batch at a time.
    let looks = world.ec2.calls_of(ApiAction::DescribeInstances);
    let again = looks.iter().filter(|call| !call.ids().is_empty()).count();
    assert_eq!(looks.len() - again, 3 + 30);
    assert!((19..=30).contains(&again), "{again}");
    assert_eq!(world.calls(ApiAction::StopInstances), 30);
    assert_eq!(world.calls(ApiAction::CreateTags), 30);
    world.ec2.advance(2.minutes());
    assert_eq!(world.pass().await.outcomes.len(), 2_950, "seen settled");
    assert_eq!(world.pass().await.outcomes.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_already_stopped_is_recorded_as_done() {
    let world = World::at(EVENING).await;
    let ids = [
        world.launch(250, |plain| plain),
        world.launch(250, Launch::stopped),
    ]
    .concat();
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 500);
    assert_eq!(world.calls(ApiAction::StopInstances), 3);
    assert_eq!(world.calls(ApiAction::CreateTags), 3 + 3);
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_fifty_tags_is_skipped_and_the_others_are_stopped() {
    let world = World::at(EVENING).await;
    let good = world.launch(199, |plain| plain);
    let laden = world.launch(1, full);
    world.ec2.remove_tag(&laden[0], "curfew:last");
    world.ec2.set_tag(&laden[0], "one-more", "");
    let pass = world.pass().await;
    assert_eq!(pass.failures(), 0);
    let skipped: Vec<_> = pass.plan.skipped.iter().map(|skip| &skip.reason).collect();
    assert_eq!(skipped, [&curfew_core::skip::SkipReason::TagLimitReached]);
    assert_eq!(world.count(&laden, Ec2InstanceState::Running), 1);
    assert_eq!(world.remembered(&good), 199);
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_is_recorded_before_its_first_call() {
    let world = World::at(EVENING).await;
    let ids = world.launch(250, |plain| plain);
    for id in &ids {
        world.ec2.remove_tag(id, "curfew:last");
    }
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 250);
    assert_eq!(world.calls(ApiAction::CreateTags), 3 + 3);
    assert_eq!(world.calls(ApiAction::DescribeInstances), 1 + 3 + 3);

    // If that can't be written, nothing is done.
    let world = World::at(EVENING).await;
    let ids = world.launch(250, |plain| plain);
    for id in &ids {
        world.ec2.remove_tag(id, "curfew:last");
    }
    world.ec2.deny(Denial::of(ApiAction::CreateTags));
    assert_eq!(world.pass().await.failures(), 250);
    assert_eq!(world.count(&ids, Ec2InstanceState::Running), 250);
    assert_eq!(world.calls(ApiAction::StopInstances), 0);
}

#[tokio::test(start_paused = true)]
async fn no_further_call_is_made_once_state_tags_cant_be_written() {
    let world = World::at(EVENING).await;
    let ids = world.launch(1_000, |plain| plain);
    world.ec2.deny(Denial::of(ApiAction::CreateTags));
    world.pass().await;
    let stopping = world.count(&ids, Ec2InstanceState::Stopping);
    assert!(stopping < 1_000, "{stopping}");
    let calls = world.calls(ApiAction::StopInstances);
    assert!(
        calls <= 5,
        "those under way when the first came back, {calls}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_newer_state_tag_is_never_overwritten() {
    use curfew_model::{Fault, Symptom};

    let world = World::at(EVENING).await;
    let ids = world.launch(2, |plain| plain);
    // While the stop takes its time, another pass applies a person's start to one of them.
    let newer = "2026-11-23T19:00:16Z start request by alice pending";
    let stopped = Fault::on(
        ApiAction::StopInstances,
        Symptom::Latency(std::time::Duration::from_secs(3)),
    );
    world.ec2.fault(stopped);
    let meanwhile = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        world.ec2.set_tag(&ids[0], "curfew:last", newer);
    };
    let (pass, ()) = tokio::join!(world.pass(), meanwhile);
    assert_eq!(pass.failures(), 0);
    assert_eq!(
        world.ec2.tag(&ids[0], "curfew:last").as_deref(),
        Some(newer)
    );
    assert_eq!(
        world.ec2.tag(&ids[1], "curfew:last").as_deref(),
        Some("2026-11-23T19:00:00Z stop schedule office pending")
    );
}

#[tokio::test(start_paused = true)]
async fn own_writes_have_precedence_over_a_stale_response() {
    let world = World::at(EVENING).await;
    let ids = world.launch(1, |plain| plain);
    world.pass().await;
    // EC2's response is stale: it shows the previous state tag.
    world
        .ec2
        .set_tag(&ids[0], "curfew:last", super::world::MEMORY);
    let seen = world
        .fleet
        .observe(&curfew_aws::fleet::Scope::All)
        .await
        .unwrap();
    assert_eq!(
        seen.instances[0].tags["curfew:last"],
        "2026-11-23T19:00:00Z stop schedule office pending"
    );
    tokio::time::advance(std::time::Duration::from_secs(601)).await;
    let seen = world
        .fleet
        .observe(&curfew_aws::fleet::Scope::All)
        .await
        .unwrap();
    assert_eq!(seen.instances[0].tags["curfew:last"], super::world::MEMORY);
}

#[tokio::test(start_paused = true)]
async fn without_permission_to_tag_every_step_is_executed_once_and_reported() {
    let world = World::at(EVENING).await;
    world.ec2.deny(Denial::of(ApiAction::CreateTags));
    let morning = "2026-11-23T07:00:00Z start schedule office";
    let ids = world.launch(300, |plain| plain.tag("curfew:last", morning));
    let pass = world.pass().await;
    assert_eq!(not_remembered(&pass), names(&ids));
    assert!(pass.outcomes.iter().all(|outcome| matches!(
        &outcome.result,
        StepResult::TagsNotWritten { error, .. } if error.kind == CloudErrorKind::Denied
    )));
    assert_eq!(world.count(&ids, Ec2InstanceState::Stopping), 300);
    let calls = world.calls(ApiAction::CreateTags);
    assert!(calls <= 60, "{calls}");

    world.ec2.advance(2.hours());
    let pass = world.pass().await;
    assert_eq!(world.calls(ApiAction::StopInstances), 3, "they are stopped");
    assert_eq!(pass.failures(), 300, "and that still can't be remembered");
}

#[tokio::test(start_paused = true)]
async fn an_override_that_cannot_be_recorded_changes_nothing() {
    use curfew_core::request::{RequestDuration, RequestKind};

    let world = World::at(EVENING).await;
    let laden = world.launch(1, full);
    let good = world.launch(1, |plain| plain);
    let until = "2026-11-23T23:00:00Z".parse().unwrap();
    let stop = RequestKind::Stop(RequestDuration::Until(until));
    let targets = [laden.clone(), good.clone()].concat();
    let done = world.request(stop, &targets).await;
    assert_eq!(done.failures(), 1);
    assert_eq!(world.count(&laden, Ec2InstanceState::Running), 1);
    assert_eq!(world.count(&good, Ec2InstanceState::Stopping), 1);
    let override_ = world.ec2.tag(&good[0], "curfew:override").unwrap();
    assert_eq!(
        override_,
        "stopped since 2026-11-23T19:00:15Z until 2026-11-23T23:00:00Z by alice"
    );
}
