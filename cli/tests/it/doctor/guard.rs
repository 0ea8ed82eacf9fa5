//! What `curfew deploy` looks at before it changes anything, on what it takes for AWS and beside it.

use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use curfew_aws::clock::Clock;
use curfew_deploy::guard::{GuardError, look};
use curfew_model::{ApiAction, Denial, Launch, Model};

use crate::doctor::world::{aws, configuration, connect};

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
async fn who_where_how_many_and_how_much_is_told_before_anything_changes() {
    let ec2 = office(51);
    let place = tempfile::tempdir().unwrap();
    let configuration = configuration(&place, "");
    let outlook = look(&aws(&ec2).await, &configuration, &Clock::system())
        .await
        .unwrap();
    let outlook = outlook.expect("this is AWS");
    assert_eq!(outlook.caller.arn, "arn:aws:iam::000000000000:user/curfew");
    assert_eq!(outlook.region, "eu-west-3");
    assert_eq!(outlook.managed, 51);
    assert!(outlook.managed > configuration.stack.confirm_above);
    assert_eq!(outlook.unseen.len(), 0);
    let total = outlook.cost.total();
    assert!((0.2..0.6).contains(&total), "cents: {}", outlook.cost);
    for call in ec2.calls() {
        let reads = call.name.starts_with("Describe") || call.name == "GetCallerIdentity";
        assert!(reads, "{}", call.name);
    }

    // Who may not see them is not kept from deploying, but told.
    ec2.deny(Denial::of(ApiAction::DescribeInstances));
    let outlook = look(&aws(&ec2).await, &configuration, &Clock::system())
        .await
        .unwrap();
    let outlook = outlook.unwrap();
    assert_eq!((outlook.managed, outlook.unseen.len()), (0, 1));
}

#[tokio::test]
async fn an_emulators_keys_are_refused_on_aws() {
    let ec2 = office(1);
    let mut conn = aws(&ec2).await;
    let keys = Credentials::new("test", "test", None, None, "test");
    conn.sdk = conn
        .sdk
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build();
    let place = tempfile::tempdir().unwrap();
    let refused = look(&conn, &configuration(&place, ""), &Clock::system())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, GuardError::EmulatorKeys { .. }),
        "{refused}"
    );
    assert_eq!(
        refused.to_string(),
        "`test` is a key for emulators, and this is AWS, eu-west-3"
    );
    assert_eq!(ec2.calls().len(), 0, "nobody was asked");
}

#[tokio::test]
async fn a_profile_with_keys_of_aws_is_refused_on_an_emulator() {
    let mut conn = connect(Some("http://127.0.0.1:4566")).await;
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "profile");
    conn.sdk = conn
        .sdk
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build();
    let place = tempfile::tempdir().unwrap();
    let mut configuration = configuration(&place, "");
    // Keys in the environment were put there for this; an emulator that enforces them makes such ones.
    assert!(
        look(&conn, &configuration, &Clock::system())
            .await
            .unwrap()
            .is_none()
    );
    configuration.aws.profile = Some("production".to_owned());
    let refused = look(&conn, &configuration, &Clock::system())
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`http://127.0.0.1:4566` is an emulator on this machine, and the profile `production` has keys of AWS"
    );
}
