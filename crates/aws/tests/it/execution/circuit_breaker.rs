//! Calls that can't succeed are not made.

use curfew_aws::error::CloudErrorKind;
use curfew_model::{ApiAction, Ec2InstanceState, Fault, Symptom};

use super::world::{EVENING, World, failed};

#[tokio::test(start_paused = true)]
async fn expired_credentials_end_the_pass_without_a_call_for_each_batch() {
    let world = World::at(EVENING).await;
    let ids = world.launch(2_000, |plain| plain);
    let expired = Fault::error(ApiAction::StopInstances, 400, "ExpiredToken");
    world.ec2.fault(expired.after(5));
    let pass = world.pass().await;
    assert_eq!(world.count(&ids, Ec2InstanceState::Running), 1_500);
    assert_eq!(failed(&pass, CloudErrorKind::Expired).len(), 1_500);
    let calls = world.calls(ApiAction::StopInstances);
    assert!(calls <= 5 + 4, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_endpoint_is_not_called_for_every_batch() {
    let world = World::at(EVENING).await;
    let ids = world.launch(2_000, |plain| plain);
    world
        .ec2
        .fault(Fault::on(ApiAction::StopInstances, Symptom::Reset));
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Unreachable).len(), ids.len());
    let calls = world.calls(ApiAction::StopInstances);
    assert!(calls <= 3 * (3 + 4), "three tries each: {calls}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_costs_one_more_call() {
    let world = World::at(EVENING).await;
    let ids = world.launch(500, |plain| plain);
    let reset = Fault::on(ApiAction::StopInstances, Symptom::Reset).times(1);
    world.ec2.fault(reset);
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 500);
    assert_eq!(world.calls(ApiAction::StopInstances), 6);
}
