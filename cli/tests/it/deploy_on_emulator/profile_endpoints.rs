//! Endpoints in an AWS profile, for all services or for one, decide where `curfew deploy` deploys and what it refuses.

use std::fs;

use tokio::task::spawn_blocking;

use crate::deploy_on_emulator::lab::{Lab, curfew};

/// Returns an AWS config file with four profiles for the emulator at this address.
fn profiles(emulator: &str) -> String {
    let keys = |id: &str| {
        format!("region = eu-west-3\naws_access_key_id = {id}\naws_secret_access_key = secret\n")
    };
    let (aws, test) = (keys("AKIAIOSFODNN7EXAMPLE"), keys("test"));
    format!(
        "[profile production]\n{aws}endpoint_url = {emulator}\n\
         [profile lab]\n{test}endpoint_url = {emulator}\n\
         [profile half]\n{test}endpoint_url = {emulator}\nservices = half\n\
         [services half]\ns3 =\n  endpoint_url = https://s3.eu-west-3.amazonaws.com\n\
         [profile stray]\n{aws}services = stray\n\
         [services stray]\ncloudformation =\n  endpoint_url = {emulator}\n"
    )
}

const DEPLOY: &[&str] = &["deploy", "--lambda-zip", "/bin/sh"];

#[tokio::test]
async fn endpoints_in_a_profile_are_checked_like_others() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let emulator = lab.emulator.endpoint();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    fs::write(&config, profiles(&emulator)).unwrap();
    let run_as = async |profile: &str, arguments: &[&str]| {
        let arguments = [&["--profile", profile], arguments].concat();
        let mut command = curfew(folder.path(), &arguments);
        command.env("AWS_CONFIG_FILE", &config);
        let run = spawn_blocking(move || command.output().unwrap());
        let run = run.await.unwrap();
        let message = String::from_utf8(run.stderr).unwrap();
        (run.status.code(), message)
    };

    // AWS keys and an emulator.
    let (code, message) = run_as("production", DEPLOY).await;
    assert_eq!(code, Some(2), "{message}");
    assert_eq!(
        message,
        format!(
            "error: `{emulator}` is an emulator on this machine, and the profile `production` has keys of AWS\n  \
             hint: remove the endpoint to deploy into AWS (--endpoint-url, AWS_ENDPOINT_URL, `aws.endpoint`, `endpoint_url` of the \
             profile), or the profile to deploy into the emulator\n"
        )
    );
    // One service has another endpoint than the others, which are on AWS or on the emulator.
    for (profile, apart) in [
        (
            "half",
            format!(
                "S3 has the endpoint `https://s3.eu-west-3.amazonaws.com`, and other services have `{emulator}`"
            ),
        ),
        (
            "stray",
            format!(
                "CloudFormation has the endpoint `{emulator}`, and other services have AWS, eu-west-3"
            ),
        ),
    ] {
        let expected = format!(
            "error: {apart}: one is AWS, the other is not\n  hint: set one endpoint for all services"
        );
        for arguments in [DEPLOY, &["deploy", "--dry-run"], &["destroy", "--yes"]] {
            let (code, message) = run_as(profile, arguments).await;
            assert_eq!(code, Some(2), "{message}");
            assert!(message.starts_with(&expected), "{message}");
        }
    }
    let stack = "demo".parse().unwrap();
    curfew_deploy::outputs(&conn, &stack).await.unwrap_err();

    // An emulator needs no token.
    let (code, message) = run_as("lab", DEPLOY).await;
    assert_eq!(code, Some(0), "{message}");
    let outputs = curfew_deploy::outputs(&conn, &stack).await.unwrap();
    assert!(outputs.api_url.starts_with(&emulator), "{outputs:?}");
    lab.close().await;
}
