//! Lack of capacity: it is found by pool in few calls, and the available capacity is used.

use curfew_aws::error::CloudErrorKind;
use curfew_model::{ApiAction, Ec2InstanceState, Fault, Launch, ModelError, SpotKind, Symptom};

use super::world::{MORNING, World, failed, names};

fn scarce(plain: Launch) -> Launch {
    plain
        .stopped()
        .instance_type("p4d.24xlarge")
        .zone("eu-west-3b")
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_capacity_costs_three_calls_and_delays_no_other_instance() {
    let world = World::at(MORNING).await;
    let good = world.launch(60, Launch::stopped);
    let elsewhere = world.launch(20, |plain| scarce(plain).zone("eu-west-3c"));
    let unlucky = world.launch(20, scarce);
    world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", 0);
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Capacity), names(&unlucky));
    assert_eq!(world.count(&good, Ec2InstanceState::Pending), 60);
    assert_eq!(world.count(&elsewhere, Ec2InstanceState::Pending), 20);
    assert_eq!(world.remembered(&unlucky), 0);
    assert_eq!(world.calls(ApiAction::StartInstances), 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn the_available_capacity_is_used() {
    for room in [1, 37, 99] {
        let world = World::at(MORNING).await;
        let ids = world.launch(100, scarce);
        world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", room);
        let pass = world.pass().await;
        let started = world.count(&ids, Ec2InstanceState::Pending);
        assert_eq!(started, usize::try_from(room).unwrap());
        assert_eq!(failed(&pass, CloudErrorKind::Capacity).len(), 100 - started);
        let calls = world.calls(ApiAction::StartInstances);
        assert!(calls <= 18, "{room}: {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_instances_without_capacity_cost_a_bounded_number_of_calls() {
    let world = World::at(MORNING).await;
    let unlucky = world.launch(1_000, scarce);
    let good = world.launch(1_000, Launch::stopped);
    world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", 0);
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Capacity), names(&unlucky));
    assert_eq!(
        world.count(&good, Ec2InstanceState::Pending)
            + world.count(&good, Ec2InstanceState::Running),
        1_000
    );
    let calls = world.calls(ApiAction::StartInstances);
    assert!(calls <= 10 + 4 + 2, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn instances_of_other_capacity_pools_are_started() {
    type Special = fn(Launch) -> Launch;
    let spot = |plain: Launch| plain.spot(SpotKind::Persistent);
    let dedicated = |plain: Launch| plain.tenancy("dedicated");
    let grouped = |plain: Launch| plain.placement_group("hpc");
    let reserved = |plain: Launch| plain.capacity_reservation("cr-0abc");
    let short: [(&str, Special); 4] = [
        ("spot", spot),
        ("dedicated", dedicated),
        ("placement group", grouped),
        ("reservation", reserved),
    ];
    for (name, special) in short {
        let world = World::at(MORNING).await;
        let plain = world.launch(5, scarce);
        let unlucky = world.launch(5, |plain| special(scarce(plain)));
        let others = short.iter().filter(|(other, _)| *other != name);
        let others: Vec<_> = others
            .flat_map(|(_, other)| world.launch(5, |plain| other(scarce(plain))))
            .collect();
        world.ec2.set_capacity_like(&unlucky[0], 0);
        let pass = world.pass().await;
        assert_eq!(
            failed(&pass, CloudErrorKind::Capacity),
            names(&unlucky),
            "{name}"
        );
        assert_eq!(world.count(&plain, Ec2InstanceState::Pending), 5, "{name}");
        assert_eq!(
            world.count(&others, Ec2InstanceState::Pending),
            15,
            "{name}"
        );
        let calls = world.calls(ApiAction::StartInstances);
        assert!(calls <= 10, "{name}: {calls}");
    }
}

/// EC2 reports no capacity for this instance alone although it could for all of its type: because of its Spot price, its
/// host, or an unknown reason.
#[tokio::test(start_paused = true)]
async fn an_instance_specific_lack_of_capacity_delays_no_other_instance() {
    for bad in [1, 3] {
        let world = World::at(MORNING).await;
        let bad = world.launch(bad, scarce);
        let good = world.launch(60, scarce);
        for id in &bad {
            let message = "We currently do not have sufficient p4d.24xlarge capacity in the Availability Zone you \
                           requested (eu-west-3b).";
            let error = ModelError::with_status(500, "InsufficientInstanceCapacity", message);
            let fault = Fault::on(ApiAction::StartInstances, Symptom::Error(error));
            world.ec2.fault(fault.for_instance(id));
        }
        // Two bad instances tried in a row end the search; the next pass tries others.
        for _ in 0..20 {
            world.pass().await;
            if world.count(&good, Ec2InstanceState::Stopped) == 0 {
                break;
            }
            world.ec2.advance(jiff::SignedDuration::from_mins(31));
        }
        assert_eq!(world.count(&good, Ec2InstanceState::Stopped), 0);
        assert_eq!(world.count(&bad, Ec2InstanceState::Stopped), bad.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_instance_in_a_pool_without_capacity_is_isolated() {
    let world = World::at(MORNING).await;
    let ids = world.launch(50, scarce);
    world.ec2.set_capacity("p4d.24xlarge", "eu-west-3b", 30);
    world
        .ec2
        .deny(curfew_model::Denial::of(ApiAction::StartInstances).if_tagged("Environment", "prod"));
    let denied = world.launch(1, |plain| scarce(plain).tag("Environment", "prod"));
    let pass = world.pass().await;
    assert_eq!(failed(&pass, CloudErrorKind::Denied), names(&denied));
    assert_eq!(failed(&pass, CloudErrorKind::Capacity).len(), 20);
    assert_eq!(world.count(&ids, Ec2InstanceState::Pending), 30);
}
