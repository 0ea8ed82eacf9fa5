//! A profile may name endpoints, for all services or for one. Where that leads decides what `curfew deploy` refuses, and where it deploys.

use std::fs;

use tokio::task::spawn_blocking;

use crate::deploy_on_emulator::lab::{Lab, curfew};

/// Four profiles for the emulator at this address.
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
async fn a_profiles_own_endpoints_count_like_any_other() {
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
        let told = String::from_utf8(run.stderr).unwrap();
        (run.status.code(), told)
    };

    // Keys of AWS, and an emulator.
    let (code, told) = run_as("production", DEPLOY).await;
    assert_eq!(code, Some(2), "{told}");
    assert_eq!(
        told,
        format!(
            "error: `{emulator}` is an emulator on this machine, and the profile `production` has keys of AWS\n  \
             hint: take the endpoint away to deploy into AWS (--endpoint-url, AWS_ENDPOINT_URL, `aws.endpoint`, `endpoint_url` of the \
             profile), or the profile to deploy into the emulator\n"
        )
    );
    // One service apart from the others, whichever of them it is that is on AWS.
    for (profile, apart) in [
        (
            "half",
            format!(
                "S3 is asked at `https://s3.eu-west-3.amazonaws.com`, and other services at `{emulator}`"
            ),
        ),
        (
            "stray",
            format!(
                "CloudFormation is asked at `{emulator}`, and other services at AWS, eu-west-3"
            ),
        ),
    ] {
        let expected = format!(
            "error: {apart}: one is AWS, the other is not\n  hint: name one endpoint for all services"
        );
        for arguments in [DEPLOY, &["deploy", "--dry-run"], &["destroy", "--yes"]] {
            let (code, told) = run_as(profile, arguments).await;
            assert_eq!(code, Some(2), "{told}");
            assert!(told.starts_with(&expected), "{told}");
        }
    }
    let stack = "demo".parse().unwrap();
    curfew_deploy::outputs(&conn, &stack).await.unwrap_err();

    // It is an emulator: nobody has to set a token.
    let (code, told) = run_as("lab", DEPLOY).await;
    assert_eq!(code, Some(0), "{told}");
    let outputs = curfew_deploy::outputs(&conn, &stack).await.unwrap();
    assert!(outputs.api_url.starts_with(&emulator), "{outputs:?}");
    lab.close().await;
}
