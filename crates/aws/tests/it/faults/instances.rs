//! EC2 refuses calls because of one or some of the instances.

use curfew_aws::execute::StepResult;
use curfew_core::state_tags::LAST_TAG;
use curfew_model::{ApiAction, Ec2InstanceState, Ec2StateReason, Fault, Launch, Symptom};
use insta::assert_snapshot;
use jiff::ToSpan;
use tokio::time::Duration;

use super::setup::Setting;

#[tokio::test(start_paused = true)]
async fn one_bad_id_in_a_hundred_fails_alone() {
    let setting = Setting::new().await;
    let gone = setting.launch(Launch::new("gone"));
    let others: Vec<_> = (0..99)
        .map(|n| setting.launch(Launch::new(format!("web-{n}"))))
        .collect();
    // It is terminated and forgotten between the observation and the call.
    let slow = Symptom::Latency(Duration::from_secs(2));
    setting
        .ec2
        .fault(Fault::on(ApiAction::DescribeInstances, slow).times(1));
    let terminate = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        setting.ec2.terminate(&gone).unwrap();
        setting.ec2.advance(2.hours());
    };
    let (done, ()) = tokio::join!(setting.pass(), terminate);
    assert_eq!(done.failures(), 1);
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-0e220a8397b1dcdaf name="gone" action=stop cause=schedule office error=`ec2:StopInstances` found nothing: The instance ID 'i-0e220a8397b1dcdaf' does not exist hint="check the id, the region and the account""#);
    assert!(
        others
            .iter()
            .all(|id| setting.ec2.state(id) == Ec2InstanceState::Stopping)
    );
    let calls = setting.ec2.calls_of(ApiAction::StopInstances).len();
    assert!(calls <= 1 + 2 * 7, "halved seven times at most: {calls}");
    setting.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_capacity_delays_only_the_instances_that_need_it() {
    let setting = Setting::new().await;
    let stopped = |name: &str| {
        let memory = "2026-11-23T19:00:00Z stop schedule office";
        setting.launch(Launch::new(name).stopped().tag(LAST_TAG, memory))
    };
    let small = stopped("small");
    let big = setting.launch(
        Launch::new("big")
            .stopped()
            .instance_type("p5.48xlarge")
            .tag(LAST_TAG, "2026-11-23T19:00:00Z stop schedule office"),
    );
    setting.ec2.set_capacity("p5.48xlarge", "eu-west-3a", 0);
    setting.ec2.set_now("2026-11-24T07:00:05Z".parse().unwrap());
    assert_eq!(setting.pass().await.failures(), 1);
    assert_eq!(setting.ec2.state(&small), Ec2InstanceState::Pending);
    assert_snapshot!(setting.logged(), @r#" WARN step failed instance=i-006c45d188009454f name="big" action=start cause=schedule office error=`ec2:StartInstances` found no capacity: We currently do not have sufficient p5.48xlarge capacity in the Availability Zone you requested (eu-west-3a). Our system will be working on provisioning additional capacity hint="AWS has no capacity at the moment; Curfew retries at each pass""#);

    // There was capacity when EC2 accepted the start, and none when it executed it.
    setting.ec2.clear_capacity("p5.48xlarge", "eu-west-3a");
    setting
        .ec2
        .fail_next_start(&big, Ec2StateReason::no_capacity());
    setting.ec2.advance(20.minutes());
    assert_eq!(setting.pass().await.failures(), 0);
    setting.ec2.advance(20.minutes());
    let again = setting.pass().await;
    let step = &again.outcomes[0];
    assert!(matches!(step.result, StepResult::Done { .. }));
    assert_snapshot!(step.step.note.as_deref().unwrap(), @"an earlier start did not lead to running: Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy the launch request");
    setting.ec2.advance(5.minutes());
    setting.pass().await;
    assert_eq!(setting.ec2.state(&big), Ec2InstanceState::Running);
    assert_eq!(
        setting.ec2.tag(&big, LAST_TAG).unwrap(),
        "2026-11-24T07:00:00Z start schedule office"
    );
    setting.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_fifty_tags_is_skipped_with_a_reason_until_a_tag_is_removed() {
    let setting = Setting::new().await;
    let full = (0..47).fold(Launch::new("full"), |launch, n| {
        launch.tag(format!("tag-{n}"), "")
    });
    let full = setting.launch(full);
    setting.ec2.remove_tag(&full, LAST_TAG);
    setting.ec2.set_tag(&full, "tag-47", "");
    let web = setting.launch(Launch::new("web"));
    assert_eq!(setting.ec2.instance(&full).tags.len(), 50);
    let done = setting.pass().await;
    assert_eq!(done.failures(), 0);
    assert_snapshot!(done.plan.skipped[0].detail, @"it has 50 tags, so that no action can be recorded on it, and its schedule is not enforced; remove one to make room for `curfew:last`");
    assert!(setting.is_stopped(&web));
    assert_eq!(setting.ec2.state(&full), Ec2InstanceState::Running);

    setting.ec2.remove_tag(&full, "tag-0");
    setting.next_pass().await;
    let known = setting.ec2.tag(&full, LAST_TAG).unwrap();
    assert_eq!(known, "2026-11-23T19:00:00Z stop adopted");
    setting.assert_settled().await;
}
