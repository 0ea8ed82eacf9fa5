//! The checks before `curfew deploy` changes anything, on a model of AWS and on emulators.

use aws_sdk_ec2::config::Credentials;
use curfew_aws::clock::Clock;
use curfew_deploy::preflight::{PreflightError, check};
use curfew_model::{ApiAction, Denial, Launch, Model};

use crate::doctor::fixtures::{aws, configuration, connect, with_keys};

fn office(count: usize) -> Model {
    let ec2 = Model::new("2026-11-23T18:00:00Z".parse().unwrap());
    for number in 0..count {
        let launch = Launch::new(format!("web-{number}")).region("eu-west-3");
        ec2.launch(launch.tag("Schedule", "office"));
    }
    ec2.launch(Launch::new("stray").region("eu-west-3"));
    ec2
}

#[tokio::test]
async fn identity_region_instances_and_cost_are_reported_without_writing() {
    let ec2 = office(51);
    let directory = tempfile::tempdir().unwrap();
    let configuration = configuration(&directory, "");
    let report = check(&aws(&ec2).await, &configuration, &Clock::system())
        .await
        .unwrap();
    let report = report.expect("this is AWS");
    assert_eq!(report.caller.arn, "arn:aws:iam::000000000000:user/curfew");
    assert_eq!(report.region, "eu-west-3");
    assert_eq!(report.managed, 51);
    assert!(report.managed > configuration.stack.confirm_above);
    assert_eq!(report.unreachable.len(), 0);
    let total = report.cost.dollars();
    assert!((0.2..0.6).contains(&total), "cents: {}", report.cost);
    for call in ec2.calls() {
        let reads = call.name.starts_with("Describe") || call.name == "GetCallerIdentity";
        assert!(reads, "{}", call.name);
    }

    // Without permission to list instances, the report lists the region as unreachable.
    ec2.deny(Denial::of(ApiAction::DescribeInstances));
    let report = check(&aws(&ec2).await, &configuration, &Clock::system())
        .await
        .unwrap();
    let report = report.unwrap();
    assert_eq!((report.managed, report.unreachable.len()), (0, 1));
}

#[tokio::test]
async fn an_emulators_keys_are_refused_on_aws() {
    let ec2 = office(1);
    let keys = Credentials::new("test", "test", None, None, "test");
    let conn = with_keys(aws(&ec2).await, keys);
    let directory = tempfile::tempdir().unwrap();
    let refused = check(&conn, &configuration(&directory, ""), &Clock::system())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, PreflightError::EmulatorKeys { .. }),
        "{refused}"
    );
    assert_eq!(
        refused.to_string(),
        "`test` is a key for emulators, and this is AWS, eu-west-3"
    );
    assert_eq!(ec2.calls().len(), 0, "no call is made");
}

#[tokio::test]
async fn a_profile_with_aws_keys_is_refused_on_an_emulator() {
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "profile");
    let conn = with_keys(connect(Some("http://127.0.0.1:4566")).await, keys);
    let directory = tempfile::tempdir().unwrap();
    let mut configuration = configuration(&directory, "");
    // Keys in the environment are accepted: an emulator that enforces IAM creates such keys.
    assert!(
        check(&conn, &configuration, &Clock::system())
            .await
            .unwrap()
            .is_none()
    );
    configuration.aws.profile = Some("production".to_owned());
    let refused = check(&conn, &configuration, &Clock::system())
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`http://127.0.0.1:4566` is an emulator on this machine, and the profile `production` has keys of AWS"
    );
}
