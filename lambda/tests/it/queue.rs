//! The work queue: an organisation of many accounts, the real function in as many environments as Lambda would make, and virtual
//! time. What is measured here is in docs/performance.md, "The organisation".

#![allow(
    clippy::print_stdout,
    reason = "the figures of docs/performance.md are read from a test's output"
)]

mod cloud;
mod permissions;
mod stampede;

use std::time::Duration;

use curfew_model::{ApiAction, Denial, Ec2InstanceState, Fault, Symptom};
use serde_json::{Value, json};
use tokio::time::Instant;

use cloud::{Cloud, REGIONS, office};

/// The rule of the office's evening, in Paris.
fn rule() -> Value {
    json!({"command": "wake", "cron": "cron(0 18,19 ? * MON-FRI *)"})
}

#[tokio::test(start_paused = true)]
async fn time_hardly_grows_with_an_organisation() {
    let (one, twenty) = (through(1).await, through(20).await);
    // Twenty times the work is forty messages, and Lambda begins with five invocations at the same time.
    assert!(twenty < one * 4, "{one:?}, {twenty:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "minutes of a development build; its figures are in docs/performance.md"]
async fn five_hundred_accounts_are_through_in_seconds() {
    let one = through(1).await;
    let all = through(500).await;
    // Most of it is Lambda adding pollers.
    assert!(all < one * 8, "{one:?}, {all:?}");
}

/// One trigger of an organisation of so many accounts, and another a minute later that finds nothing to do; how long the first
/// one took.
async fn through(accounts: usize) -> Duration {
    let cloud = Cloud::of(accounts).await;
    let account_regions = accounts * 2;
    let begun = Instant::now();
    let answer = cloud.invoke(&rule()).await;
    assert_eq!(answer["queued"], account_regions);
    let handed_on = begun.elapsed().as_secs_f64();
    cloud.drain().await;
    let through = begun.elapsed();
    assert_eq!(cloud.running(), 0);
    assert_eq!(cloud.ec2.messages(&cloud.undone), []);
    let stops = || cloud.ec2.calls_of(ApiAction::StopInstances).len();
    assert_eq!(stops(), account_regions);
    println!(
        "{accounts} accounts: {account_regions} members, {handed_on:.1} s to hand on, {:.1} s to the end, {} invocations in {} environments",
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
async fn a_broken_account_is_done_with_until_the_next_trigger_and_the_others_do_not_notice() {
    let cloud = Cloud::of(6).await;
    let denied = Denial::of(ApiAction::DescribeInstances);
    cloud.ec2.deny(denied.in_account("000000000004"));
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 2, "the two of the broken account");
    assert_eq!(
        cloud.ec2.messages(&cloud.undone),
        [],
        "a failure that was reported is no dead letter"
    );
    cloud.ec2.allow_everything();
    tokio::time::sleep(Duration::from_mins(5)).await;
    cloud.invoke(&json!({"command": "wake"})).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_region_that_never_answers_holds_up_no_other() {
    let cloud = Cloud::of(6).await;
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    cloud.fault(hangs.in_account("000000000004"));
    let begun = Instant::now();
    cloud.invoke(&rule()).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 2, "the two that never answer");
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
async fn an_invocation_that_crashes_three_times_leaves_a_dead_letter_and_the_account_region_goes_on()
 {
    let cloud = Cloud::of(2).await;
    cloud.invoke(&rule()).await;
    // The first message of the queue is taken three times and never deleted, as by an invocation that dies.
    let taken = cloud.receive();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(cloud.receive()[0].id, taken[0].id);
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 1);
    let dead = cloud.ec2.messages(&cloud.undone);
    assert_eq!(dead.len(), 1);
    insta::assert_snapshot!(dead[0].body, @r#"{"at":"2035-11-26T19:00:00Z","command":"wake","account_region":{"account":"000000000001","region":"eu-west-3"}}"#);
    cloud.invoke(&json!({"command": "wake"})).await;
    cloud.drain().await;
    assert_eq!(cloud.running(), 0, "the next trigger makes the pass");
}

#[tokio::test(start_paused = true)]
async fn triggers_that_meet_are_one_pass_over_each_account_region() {
    let cloud = Cloud::of(3).await;
    // Another rule that has the minute too, one delivered twice, and the heartbeat.
    let other = json!({"command": "wake", "cron": "cron(0 19 * * ? *)"});
    for trigger in [rule(), other, rule(), json!({"command": "wake"})] {
        let answer = cloud.invoke(&trigger).await;
        assert_eq!(answer["queued"], 6);
    }
    let looked = || cloud.ec2.calls_of(ApiAction::DescribeInstances).len();
    assert_eq!(looked(), 0, "a trigger asks nothing of EC2");
    assert_eq!(cloud.ec2.messages(&cloud.work).len(), 6);
    cloud.drain().await;
    assert_eq!(cloud.running(), 0);
    // One pass each: a look, and the tags again right before the memory is written.
    assert_eq!(looked(), 2 * 6);
}

#[tokio::test(start_paused = true)]
async fn passes_over_one_account_region_are_made_one_after_the_other() {
    let slow = [(ApiAction::DescribeInstances, Duration::from_secs(3))];
    let cloud = Cloud::where_some_calls_are_slow(1, slow).await;
    cloud.invoke(&rule()).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    cloud.invoke(&json!({"command": "wake"})).await;
    assert_eq!(cloud.ec2.messages(&cloud.work).len(), 4, "of two minutes");
    let busy = cloud.receive();
    let other = cloud.receive();
    assert_ne!(busy[0].group, other[0].group);
    assert_eq!(cloud.receive(), [], "both account-regions are worked on");
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
        .filter(|one| one.to == Ec2InstanceState::Stopping);
    assert_eq!(stopping.count(), 10, "each instance once");
    assert_eq!(
        cloud.ec2.messages(&cloud.undone),
        [],
        "what makes no sense is said in the log"
    );
}

#[tokio::test(start_paused = true)]
async fn where_the_queue_can_not_be_sent_to_the_passes_are_made_at_once() {
    let cloud = Cloud::of(3).await;
    cloud.ec2.deny(Denial::of(ApiAction::SendMessageBatch));
    let answer = cloud.invoke(&rule()).await;
    assert_eq!(
        (&answer["queued"], &answer["steps"]),
        (&Value::Null, &json!(6))
    );
    assert_eq!(cloud.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn passes_that_are_made_at_once_name_who_did_not_answer() {
    let cloud = Cloud::of(3).await;
    cloud.ec2.deny(Denial::of(ApiAction::SendMessageBatch));
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    cloud.fault(hangs.in_account("000000000002").in_region(REGIONS[0]));
    let answer = cloud.invoke(&rule()).await;
    assert_eq!(cloud.running(), 1);
    let unanswered: Vec<&str> = answer["unanswered"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["message"].as_str().unwrap())
        .collect();
    let [one] = unanswered[..] else {
        panic!("one of six: {unanswered:?}");
    };
    let named = "in `eu-west-3` of account `…`: no answer within ";
    assert!(one.starts_with(named), "{one}");
}

#[tokio::test(start_paused = true)]
async fn a_account_region_that_is_too_large_for_one_invocation_is_continued_by_others() {
    // A busy hour: calls take their time. And EC2 lets an account stop a thousand instances at once, then twenty a second.
    let slow = [
        (ApiAction::DescribeInstances, Duration::from_secs(2)),
        (ApiAction::StopInstances, Duration::from_secs(1)),
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
        .filter(|one| one.to == Ec2InstanceState::Stopping);
    assert_eq!(stopping.count(), 2_501, "each instance once");
}

#[tokio::test(start_paused = true)]
async fn a_account_region_that_is_taken_out_of_the_configuration_is_left_alone_by_messages_that_wait()
 {
    let cloud = Cloud::of(2).await;
    cloud.invoke(&rule()).await;
    assert_eq!(cloud.ec2.messages(&cloud.work).len(), 4);
    // Environments have read the configuration less than a minute ago.
    tokio::time::sleep(Duration::from_secs(6)).await;
    cloud.take_out_account("000000000002");
    cloud.drain().await;
    assert_eq!(cloud.running(), 2, "those of the account that was removed");
    assert_eq!(cloud.ec2.messages(&cloud.undone), []);
}
