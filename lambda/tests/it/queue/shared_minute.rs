//! Schedules with edges in the same minute, against EC2's token buckets: one rule, one message, one pass. The table is in
//! docs/contribute/performance.md, "Schedules that share a minute".

use std::time::Duration;

use curfew_core::configuration::RawScheduleSet;
use curfew_core::timetable::triggers;
use curfew_model::{ApiAction, Ec2InstanceState, Launch, RecordedOutcome, Throttling};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::simulation::{HOME, REGIONS, SimulatedLambda};

/// The calls and the duration of one evening.
struct Evening {
    rules: usize,
    passes: usize,
    describes: usize,
    stops: usize,
    tags: usize,
    throttled: usize,
    took: Duration,
}

#[tokio::test(start_paused = true)]
async fn schedules_that_share_a_minute_are_one_pass_within_ec2_rate_limits() {
    println!(
        "| instances | schedules | rules | passes | calls (describe + stop + tag) | throttled | to the last stop |"
    );
    for (instances, schedules) in [(400, 8), (900, 10), (600, 3)] {
        let Evening {
            rules,
            passes,
            describes,
            stops,
            tags,
            throttled,
            took,
        } = evening(instances, schedules).await;
        println!(
            "| {instances} | {schedules} | {rules} | {passes} | {} ({describes} + {stops} + {tags}) | {throttled} | {:.1} s |",
            describes + stops + tags,
            took.as_secs_f64(),
        );
        assert_eq!((rules, passes, throttled), (1, 1, 0));
        let batches = instances.div_ceil(100);
        assert!(stops <= batches + 1, "{stops} calls for {batches} batches");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

/// Runs an evening with this many instances and schedules, which all stop at 20:00 in Paris. The rules fire as in EventBridge.
async fn evening(instances: usize, schedules: usize) -> Evening {
    let named: serde_json::Map<String, Value> = (0..schedules)
        .map(|number| {
            let hours = json!({"timezone": "Europe/Paris", "running": format!("Mon-Fri {:02}:00-20:00", 6 + number % 3)});
            (format!("team-{number}"), hours)
        })
        .collect();
    let configuration =
        json!({"managing": {"tag": "Schedule", "regions": [REGIONS[0]]}, "schedules": named});
    let cloud = SimulatedLambda::with(0, [], configuration.clone()).await;
    cloud.ec2.throttle(Throttling::published());
    for number in 0..instances {
        let launch = Launch::new(format!("web-{number}"))
            .account(HOME)
            .region(REGIONS[0])
            .tag("Schedule", format!("team-{}", number % schedules))
            .launched_at("2035-11-26T04:00:05Z".parse().unwrap());
        cloud.ec2.launch(launch);
    }
    let schedule_set = RawScheduleSet::from_json(&configuration.to_string())
        .unwrap()
        .resolve()
        .unwrap();
    let timetables = schedule_set
        .schedules
        .values()
        .map(|schedule| &schedule.timetable);
    let edge = "2035-11-26T19:00:00Z".parse().unwrap();
    let firing: Vec<String> = triggers(timetables, edge)
        .into_iter()
        .map(|rule| rule.expression)
        .collect();
    let begun = Instant::now();
    for cron in &firing {
        cloud
            .invoke(&json!({"command": "wake", "cron": cron}))
            .await;
    }
    let passes = cloud.ec2.messages(&cloud.work).len();
    cloud.drain().await;
    while cloud.running() > 0 && begun.elapsed() < Duration::from_mins(10) {
        sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed();
    let calls = |action| cloud.ec2.calls_of(action);
    let throttled = cloud
        .ec2
        .calls()
        .iter()
        .filter(|call| call.outcome == RecordedOutcome::Refused("RequestLimitExceeded".to_owned()))
        .count();
    let stopping = cloud.ec2.transitions();
    let stopping = stopping
        .iter()
        .filter(|one| one.to == Ec2InstanceState::Stopping);
    assert_eq!(stopping.count(), instances, "each instance once");
    Evening {
        rules: firing.len(),
        passes,
        describes: calls(ApiAction::DescribeInstances).len(),
        stops: calls(ApiAction::StopInstances).len(),
        tags: calls(ApiAction::CreateTags).len(),
        throttled,
        took,
    }
}
