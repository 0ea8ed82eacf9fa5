//! The work queue: an organisation of many accounts, and the real function in as many environments as Lambda would create, in virtual
//! time. The figures are in docs/contribute/performance.md, "The organisation".

#![allow(
    clippy::print_stdout,
    reason = "the figures of docs/contribute/performance.md are read from a test's output"
)]

mod permissions;
mod shared_minute;
mod simulation;

use std::time::Duration;

use curfew_model::{ApiAction, Denial, Ec2InstanceState, Fault, Symptom};
use serde_json::{Value, json};
use tokio::time::Instant;

use simulation::{REGIONS, SimulatedLambda, office};

/// The trigger of the office's stop rule, for Paris.
fn rule() -> Value {
    json!({"command": "wake", "cron": "cron(0 18,19 ? * MON-FRI *)"})
}

#[tokio::test(start_paused = true)]
async fn the_duration_hardly_grows_with_the_number_of_accounts() {
    let (one, twenty) = (time_to_process(1).await, time_to_process(20).await);
    // Twenty accounts are forty messages, and Lambda starts with five concurrent invocations.
    assert!(twenty < one * 4, "{one:?}, {twenty:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "minutes of a development build; its figures are in docs/contribute/performance.md"]
async fn five_hundred_accounts_are_processed_in_seconds() {
    let one = time_to_process(1).await;
    let all = time_to_process(500).await;
    // Most of the time is Lambda's scaling of its pollers.
    assert!(all < one * 8, "{one:?}, {all:?}");
}

/// Triggers an organisation of this many accounts, and again a minute later, which finds nothing to do. Returns the duration of the
/// first run.
async fn time_to_process(accounts: usize) -> Duration {
    let cloud = SimulatedLambda::of(accounts).await;
    let account_regions = accounts * 2;
    let begun = Instant::now();
    let answer = cloud.invoke(&rule()).await;
    assert_eq!(answer["queued"], account_regions);
    let enqueued = begun.elapsed().as_secs_f64();
    cloud.drain().await;
    let through = begun.elapsed();
    assert_eq!(cloud.running(), 0);
    assert_eq!(cloud.ec2.messages(&cloud.dead_letters), []);
    let stops = || cloud.ec2.calls_of(ApiAction::StopInstances).len();
    assert_eq!(stops(), account_regions);
    println!(
        "{accounts} accounts: {account_regions} account-regions, {enqueued:.1} s to enqueue, {:.1} s to the end, {} invocations in {} environments",
        through.as_secs_f64(),
        cloud.invocations(),
        cloud.environments().await,
    );
    tokio::time::sleep(Duration::from_mins(1)).await;
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(stops(), account_regions, "a pass after a pass is empty");
    through
}

#[tokio::test(start_paused = true)]
async fn a_failing_account_is_retried_by_the_next_trigger_and_delays_no_other() {
    let cloud = SimulatedLambda::of(6).await;
    let denied = Denial::of(ApiAction::DescribeInstances);
    cloud.ec2.deny(denied.in_account("000000000004"));
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(
        cloud.running(),
        2,
        "the two instances of the failing account"
    );
    assert_eq!(
        cloud.ec2.messages(&cloud.dead_letters),
        [],
        "a reported failure leaves no dead letter"
    );
    cloud.ec2.allow_everything();
    tokio::time::sleep(Duration::from_mins(5)).await;
    cloud.invoke(&json!({"command": "wake"})).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unresponsive_account_region_delays_no_other() {
    let cloud = SimulatedLambda::of(6).await;
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    cloud.fault(hangs.in_account("000000000004"));
    let begun = Instant::now();
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(
        cloud.running(),
        2,
        "the two instances of the unresponsive account"
    );
    let transitions = cloud.ec2.transitions();
    let last = transitions
        .iter()
        .filter(|one| one.to == Ec2InstanceState::Stopping);
    let last = last.map(|one| one.at).max().unwrap();
    let late = last.duration_since("2035-11-26T19:00:30Z".parse().unwrap());
    assert!(late.as_secs() < 5, "{late}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn three_crashes_leave_a_dead_letter_and_the_next_trigger_continues() {
    let cloud = SimulatedLambda::of(2).await;
    cloud.invoke(&rule()).await;
    // The first message is received three times and never deleted, as by an invocation that crashes.
    let taken = cloud.receive();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(cloud.receive()[0].id, taken[0].id);
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 1);
    let dead = cloud.ec2.messages(&cloud.dead_letters);
    assert_eq!(dead.len(), 1);
    insta::assert_snapshot!(dead[0].body, @r#"{"account_region":{"account":"000000000001","region":"eu-west-3"},"at":"2035-11-26T19:00:00Z","command":"wake"}"#);
    cloud.invoke(&json!({"command": "wake"})).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 0, "the next trigger runs the pass");
}

#[tokio::test(start_paused = true)]
async fn triggers_of_one_minute_are_one_pass_for_each_account_region() {
    let cloud = SimulatedLambda::of(3).await;
    // Another rule with the same minute, a repeated delivery, and the heartbeat.
    let other = json!({"command": "wake", "cron": "cron(0 19 * * ? *)"});
    for trigger in [rule(), other, rule(), json!({"command": "wake"})] {
        let answer = cloud.invoke(&trigger).await;
        assert_eq!(answer["queued"], 6);
    }
    let describes = || cloud.ec2.calls_of(ApiAction::DescribeInstances).len();
    assert_eq!(describes(), 0, "a trigger makes no call to EC2");
    assert_eq!(cloud.ec2.messages(&cloud.work).len(), 6);
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
    // One pass each: a description, and another right before the state tags are written.
    assert_eq!(describes(), 2 * 6);
}

#[tokio::test(start_paused = true)]
async fn passes_over_one_account_region_are_sequential() {
    let slow = [(ApiAction::DescribeInstances, Duration::from_secs(3))];
    let cloud = SimulatedLambda::where_some_calls_are_slow(1, slow).await;
    cloud.invoke(&rule()).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    cloud.invoke(&json!({"command": "wake"})).await;
    assert_eq!(
        cloud.ec2.messages(&cloud.work).len(),
        4,
        "messages of two minutes"
    );
    let busy = cloud.receive();
    let other = cloud.receive();
    assert_ne!(busy[0].group, other[0].group);
    assert_eq!(
        cloud.receive(),
        [],
        "both account-regions are process_messages on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_message_changes_nothing() {
    let cloud = SimulatedLambda::of(5).await;
    cloud.invoke(&rule()).await;
    for message in cloud.ec2.messages(&cloud.work) {
        cloud.ec2.send(&cloud.work, &message.body);
    }
    cloud.ec2.send(&cloud.work, "not a work message");
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
    let transitions = cloud.ec2.transitions();
    let stopping = transitions
        .iter()
        .filter(|one| one.to == Ec2InstanceState::Stopping);
    assert_eq!(stopping.count(), 10, "each instance once");
    assert_eq!(
        cloud.ec2.messages(&cloud.dead_letters),
        [],
        "an unrecognised message is only logged"
    );
}

#[tokio::test(start_paused = true)]
async fn without_access_to_the_queue_the_passes_run_in_the_invocation() {
    let cloud = SimulatedLambda::of(3).await;
    cloud.ec2.deny(Denial::of(ApiAction::SendMessageBatch));
    let answer = cloud.invoke(&rule()).await;
    assert_eq!(
        (&answer["queued"], &answer["step_count"]),
        (&Value::Null, &json!(6))
    );
    assert_eq!(cloud.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn passes_in_the_invocation_name_an_unresponsive_account_region() {
    let cloud = SimulatedLambda::of(3).await;
    cloud.ec2.deny(Denial::of(ApiAction::SendMessageBatch));
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    cloud.fault(hangs.in_account("000000000002").in_region(REGIONS[0]));
    let answer = cloud.invoke(&rule()).await;
    assert_eq!(cloud.running(), 1);
    let errors: Vec<&str> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["message"].as_str().unwrap())
        .collect();
    let [one] = errors[..] else {
        panic!("not exactly one: {errors:?}");
    };
    let named = "in `eu-west-3` of account `…`: no answer within ";
    assert!(one.starts_with(named), "{one}");
}

#[tokio::test(start_paused = true)]
async fn a_large_account_region_is_continued_by_further_invocations() {
    // Slow calls, and EC2's limit: an account may stop a thousand instances at once, then twenty per second.
    let slow = [
        (ApiAction::DescribeInstances, Duration::from_secs(2)),
        (ApiAction::StopInstances, Duration::from_secs(1)),
    ];
    let cloud = SimulatedLambda::where_some_calls_are_slow(1, slow).await;
    for _ in 0..2_499 {
        office(&cloud.ec2, "000000000001", REGIONS[0]);
    }
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
    assert_eq!(cloud.ec2.messages(&cloud.dead_letters), []);
    assert!(cloud.invocations() > 3, "{}", cloud.invocations());
    let transitions = cloud.ec2.transitions();
    let stopping = transitions
        .iter()
        .filter(|one| one.to == Ec2InstanceState::Stopping);
    assert_eq!(stopping.count(), 2_501, "each instance once");
}

#[tokio::test(start_paused = true)]
async fn waiting_messages_skip_a_removed_account_region() {
    let cloud = SimulatedLambda::of(2).await;
    cloud.invoke(&rule()).await;
    assert_eq!(cloud.ec2.messages(&cloud.work).len(), 4);
    // The environments' cached configuration is younger than a minute.
    tokio::time::sleep(Duration::from_secs(6)).await;
    cloud.remove_account("000000000002");
    cloud.drain().await;
    assert_eq!(cloud.running(), 2, "the instances of the removed account");
    assert_eq!(cloud.ec2.messages(&cloud.dead_letters), []);
}
