//! The work queue: an organisation of many accounts, the real function in as many environments as Lambda would make, and virtual
//! time. What is measured here is in docs/performance.md, "The organisation".

#![allow(
    clippy::print_stdout,
    reason = "the figures of docs/performance.md are read from a test's output"
)]

mod cloud;
mod permissions;

use std::time::Duration;

use curfew_testing::{Action, Denial, InstanceState};
use serde_json::{Value, json};
use tokio::time::Instant;

use cloud::{Cloud, HOME, REGIONS, office};

fn rule() -> Value {
    json!({"command": "wake", "schedule": "office"})
}

#[tokio::test(start_paused = true)]
async fn time_hardly_grows_with_an_organisation() {
    let (one, twenty) = (through(1).await, through(20).await);
    // Twenty times the work is four batches, which Lambda begins at the same time.
    assert!(twenty < one * 2, "{one:?}, {twenty:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "minutes of a development build; its figures are in docs/performance.md"]
async fn five_hundred_accounts_are_through_in_seconds() {
    let one = through(1).await;
    let all = through(500).await;
    // Most of it is Lambda adding pollers.
    assert!(all < one * 8, "{one:?}, {all:?}");
}

/// One wake-up of an organisation of so many accounts, and another a minute later that finds nothing to do; how long the first
/// one took.
async fn through(accounts: usize) -> Duration {
    let cloud = Cloud::of(accounts).await;
    let members = accounts * 2;
    let begun = Instant::now();
    let answer = cloud.invoke(&rule()).await;
    assert_eq!(answer["queued"], members);
    let handed_on = begun.elapsed().as_secs_f64();
    cloud.drain().await;
    let through = begun.elapsed();
    assert_eq!(cloud.running(), 0);
    assert_eq!(cloud.ec2.messages(&cloud.undone), []);
    let stops = || cloud.ec2.calls_of(Action::StopInstances).len();
    assert_eq!(stops(), members);
    println!(
        "{accounts} accounts: {members} members, {handed_on:.1} s to hand on, {:.1} s to the end, {} invocations in {} environments",
        through.as_secs_f64(),
        cloud.invocations(),
        cloud.environments().await,
    );
    tokio::time::sleep(Duration::from_mins(1)).await;
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(stops(), members, "a pass after a pass is empty");
    through
}

#[tokio::test(start_paused = true)]
async fn a_broken_account_ends_with_the_dead_letters_and_nobody_else_notices() {
    let cloud = Cloud::of(6).await;
    let denied = Denial::of(Action::DescribeInstances);
    cloud.ec2.deny(denied.in_account("000000000004"));
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 2, "the two of the broken account");
    let mut dead: Vec<String> = cloud
        .ec2
        .messages(&cloud.undone)
        .into_iter()
        .map(|message| message.body)
        .collect();
    dead.sort();
    insta::assert_snapshot!(dead.join("\n"), @r#"
    {"command":"wake","member":{"account":"000000000004","region":"eu-west-3"},"schedule":"office"}
    {"command":"wake","member":{"account":"000000000004","region":"us-east-1"},"schedule":"office"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_changes_nothing_twice() {
    let cloud = Cloud::of(5).await;
    cloud.invoke(&rule()).await;
    for message in cloud.ec2.messages(&cloud.work) {
        cloud.ec2.send(&cloud.work, &message.body);
    }
    cloud.ec2.send(&cloud.work, "no work at all");
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
    let transitions = cloud.ec2.transitions();
    let stopping = transitions
        .iter()
        .filter(|one| one.to == InstanceState::Stopping);
    assert_eq!(stopping.count(), 10, "each instance once");
    let dead = cloud.ec2.messages(&cloud.undone);
    assert_eq!(
        dead.iter()
            .map(|message| message.body.as_str())
            .collect::<Vec<_>>(),
        ["no work at all"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_too_large_for_one_invocation_is_continued_by_others() {
    // A busy hour: calls take their time. And EC2 lets an account stop a thousand instances at once, then twenty a second.
    let slow = [
        (Action::DescribeInstances, Duration::from_secs(2)),
        (Action::StopInstances, Duration::from_secs(1)),
    ];
    let cloud = Cloud::where_some_calls_are_slow(1, slow).await;
    for _ in 0..2_499 {
        office(&cloud.ec2, "000000000001", REGIONS[0]);
    }
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
    assert_eq!(cloud.ec2.messages(&cloud.undone), []);
    assert!(cloud.invocations() > 3, "{}", cloud.invocations());
    let transitions = cloud.ec2.transitions();
    let stopping = transitions
        .iter()
        .filter(|one| one.to == InstanceState::Stopping);
    assert_eq!(stopping.count(), 2_501, "each instance once");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_taken_out_of_the_settings_is_left_alone() {
    let cloud = Cloud::of(1).await;
    office(&cloud.ec2, HOME, REGIONS[0]);
    let work = json!({"command": "wake", "member": {"region": REGIONS[0]}});
    cloud.ec2.send(&cloud.work, &work.to_string());
    cloud.drain().await;
    assert_eq!(cloud.running(), 3);
    assert_eq!(cloud.ec2.messages(&cloud.undone), []);
}
