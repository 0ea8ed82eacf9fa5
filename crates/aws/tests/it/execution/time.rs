//! EC2's rate limits, its throttling, and deadlines.

use std::time::Duration;

use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::{Deadline, StepResult};
use curfew_model::{ApiAction, Ec2InstanceState, Fault, Launch, Symptom, Throttling, TokenBucket};
use tokio::time::Instant;

use super::world::{EVENING, MORNING, World, failed, names};

fn within(seconds: u64) -> Deadline {
    Deadline::at(Instant::now() + Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn no_call_is_throttled_within_ec2s_rate_limits() {
    let world = World::at(EVENING).await;
    world.ec2.throttle(Throttling::published());
    let ids = world.launch(2_000, |plain| plain);
    let began = Instant::now();
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 2_000);
    for action in [
        ApiAction::DescribeInstances,
        ApiAction::StopInstances,
        ApiAction::CreateTags,
    ] {
        assert_eq!(world.refused(action), 0, "{action}");
    }
    // A thousand at once, the others at twenty a second.
    let took = began.elapsed().as_secs_f64();
    assert!((49.0..52.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn starts_are_limited_by_calls_and_by_instances() {
    let world = World::at(MORNING).await;
    world.ec2.throttle(Throttling::published());
    world.launch(1_200, Launch::stopped);
    let began = Instant::now();
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.refused(ApiAction::StartInstances), 0);
    let took = began.elapsed().as_secs_f64();
    assert!((99.0..103.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_emptied_by_other_processes_is_waited_for() {
    let world = World::at(EVENING).await;
    let figures = Throttling::published()
        .requests(ApiAction::StopInstances, TokenBucket::new(2, 1))
        .resources(ApiAction::StopInstances, TokenBucket::new(60, 10));
    world.ec2.throttle(figures);
    let ids = world.launch(400, |plain| plain);
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 400);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_executes_what_the_rate_limit_allows_and_reports_the_rest() {
    let world = World::at(EVENING).await;
    world.ec2.throttle(Throttling::published());
    let ids = world.launch(1_250, |plain| plain);
    let began = Instant::now();
    let pass = world.pass_until(within(7)).await;
    assert!(began.elapsed() <= Duration::from_millis(9_500));
    let left = pass
        .outcomes
        .iter()
        .filter(|outcome| matches!(outcome.result, StepResult::OutOfTime));
    let left = left.count();
    assert_eq!(pass.failures(), left);
    let stopped = 1_250 - world.count(&ids, Ec2InstanceState::Running);
    assert_eq!(stopped + left, 1_250);
    assert_eq!(
        world.remembered(&ids),
        stopped,
        "nothing is done unremembered"
    );
    assert!((1_100..=1_140).contains(&stopped), "{stopped}");
    assert_eq!(world.refused(ApiAction::StopInstances), 0);

    // Later passes execute the rest, and nothing else.
    let mut passes = 1;
    while world.pass_until(within(7)).await.failures() > 0 {
        passes += 1;
    }
    assert!(passes <= 3, "{passes}");
    assert_eq!(world.remembered(&ids), 1_250);
}

#[tokio::test(start_paused = true)]
async fn a_call_throttled_until_the_deadline_is_reported_as_throttled() {
    let world = World::at(EVENING).await;
    let ids = world.launch(10, |plain| plain);
    world.ec2.fault(Fault::error(
        ApiAction::StopInstances,
        503,
        "RequestLimitExceeded",
    ));
    let began = Instant::now();
    let pass = world.pass_until(within(7)).await;
    assert_eq!(failed(&pass, CloudErrorKind::Throttled), names(&ids));
    assert!(began.elapsed() <= Duration::from_millis(9_500));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_after_being_throttled_is_reported_as_throttled() {
    let world = World::at(EVENING).await;
    let ids = world.launch(10, |plain| plain);
    let stop = ApiAction::StopInstances;
    world
        .ec2
        .fault(Fault::error(stop, 503, "RequestLimitExceeded").times(3));
    world.ec2.fault(Fault::on(stop, Symptom::Hang));
    let pass = world.pass_until(within(7)).await;
    assert_eq!(failed(&pass, CloudErrorKind::Throttled), names(&ids));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_abandoned_in_time_and_all_others_are_recorded() {
    let world = World::at(EVENING).await;
    let ids = world.launch(300, |plain| plain);
    let hanging = Fault::on(ApiAction::StopInstances, Symptom::Hang)
        .after(1)
        .times(1);
    world.ec2.fault(hanging);
    let began = Instant::now();
    let pass = world.pass_until(within(7)).await;
    assert!(began.elapsed() <= Duration::from_millis(9_500));
    assert_eq!(failed(&pass, CloudErrorKind::Unreachable).len(), 100);
    assert_eq!(world.remembered(&ids), 200);
    assert_eq!(world.count(&ids, Ec2InstanceState::Running), 100);
}

#[tokio::test(start_paused = true)]
async fn a_step_accepted_at_the_last_moment_is_recorded_after_the_deadline() {
    let world = World::at(EVENING).await;
    let ids = world.launch(1_000, |plain| plain);
    let slow = Symptom::Latency(Duration::from_millis(1_400));
    world.ec2.fault(Fault::on(ApiAction::StopInstances, slow));
    let pass = world.pass_until(within(2)).await;
    let stopped = 1_000 - world.count(&ids, Ec2InstanceState::Running);
    assert_eq!(world.remembered(&ids), stopped);
    assert_eq!(pass.failures(), 1_000 - stopped);
    assert_eq!(stopped, 800, "two rounds of four calls");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_executed_until_its_next_edge_and_no_further() {
    let world = World::at(MORNING).await;
    world.ec2.throttle(Throttling::published());
    let ids = world.launch(1_200, Launch::stopped);
    // The schedule stops it at 8:01.
    let dawn = world.launch(1, |plain| plain.tag("Schedule", "dawn"));
    let began = Instant::now();
    let pass = world.pass().await;
    assert!(began.elapsed() <= Duration::from_secs(48));
    let left = world.count(&ids, Ec2InstanceState::Stopped);
    assert!((100..=120).contains(&left), "{left}");
    assert_eq!(pass.failures(), left);
    world.ec2.advance(jiff::SignedDuration::from_secs(3));
    let next = world.pass().await;
    assert_eq!(next.failures(), 0);
    assert_ne!(world.count(&dawn, Ec2InstanceState::Running), 1);
    assert_eq!(world.remembered(&ids), 1_200);
}
