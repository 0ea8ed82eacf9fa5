//! No room: found out by type and zone, in few calls, and what room there is is used.

use curfew_aws::error::CloudErrorKind;
use curfew_testing::{Action, InstanceState, Launch};

use crate::world::{MORNING, World, failed, names};

fn scarce(plain: Launch) -> Launch {
    plain
        .stopped()
        .instance_type("p4d.24xlarge")
        .zone("eu-west-3b")
}

#[tokio::test(start_paused = true)]
async fn a_type_without_room_in_a_zone_costs_two_calls_and_holds_nobody_up() {
    let world = World::at(MORNING).await;
    let good = world.launch(60, Launch::stopped);
    let elsewhere = world.launch(20, |plain| scarce(plain).zone("eu-west-3c"));
    let unlucky = world.launch(20, scarce);
    world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", 0);
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Capacity), names(&unlucky));
    assert_eq!(world.count(&good, InstanceState::Pending), 60);
    assert_eq!(world.count(&elsewhere, InstanceState::Pending), 20);
    assert_eq!(world.remembered(&unlucky), 0);
    assert_eq!(world.calls(Action::StartInstances), 1 + 2);
}

#[tokio::test(start_paused = true)]
async fn what_room_there_is_is_used() {
    for room in [1, 37, 99] {
        let world = World::at(MORNING).await;
        let ids = world.launch(100, scarce);
        world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", room);
        let pass = world.pass().await;
        let started = world.count(&ids, InstanceState::Pending);
        assert_eq!(started, usize::try_from(room).unwrap());
        assert_eq!(failed(&pass, CloudErrorKind::Capacity).len(), 100 - started);
        let calls = world.calls(Action::StartInstances);
        assert!(calls <= 16, "{room}: {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_without_room_are_not_asked_for_batch_by_batch() {
    let world = World::at(MORNING).await;
    let unlucky = world.launch(1_000, scarce);
    let good = world.launch(1_000, Launch::stopped);
    world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", 0);
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Capacity), names(&unlucky));
    assert_eq!(
        world.count(&good, InstanceState::Pending) + world.count(&good, InstanceState::Running),
        1_000
    );
    let calls = world.calls(Action::StartInstances);
    assert!(calls <= 10 + 4 + 1, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_member_among_those_without_room_is_told_apart() {
    let world = World::at(MORNING).await;
    let ids = world.launch(50, scarce);
    world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", 30);
    world
        .ec2
        .deny(curfew_testing::Denial::of(Action::StartInstances).if_tagged("Environment", "prod"));
    let denied = world.launch(1, |plain| scarce(plain).tag("Environment", "prod"));
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Denied), names(&denied));
    assert_eq!(failed(&pass, CloudErrorKind::Capacity).len(), 20);
    assert_eq!(world.count(&ids, InstanceState::Pending), 30);
}
