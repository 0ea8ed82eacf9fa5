//! The checks of `curfew doctor`: on the embedded emulator, before and after a deployment and with faults; and on a model of AWS, where
//! they test permissions. Each call is recorded, and none writes.

use std::net::TcpListener;

use curfew::doctor::{self, CheckVerdict, DoctorReport};
use curfew_aws::clock::Clock;
use curfew_aws::progress::Silent;
use curfew_deploy::trigger_rules;
use curfew_deploy::{Auth, Deployment, LambdaRolePolicy, OverlapPolicy};
use curfew_emulator::{Emulator, cache_directory, demo};
use curfew_model::{ApiAction, ApiRequest, Denial, Launch, Model, SdkCallRecorder};

use crate::doctor::fixtures::{aws, configuration, connect};
use crate::support::test_fleet;

/// Returns one line for each check, except for the checks of this machine.
fn verdicts(report: &DoctorReport) -> Vec<String> {
    let is_remote = |name: &str| !["configuration", "code", "daemon"].contains(&name);
    let checks = report.checks.iter().filter(|one| is_remote(one.check));
    checks
        .map(|check| format!("{} {}", check.verdict.as_str(), check.check))
        .collect()
}

fn message<'a>(report: &'a DoctorReport, check: &str) -> &'a str {
    let mut checks = report.checks.iter();
    &checks.find(|one| one.check == check).unwrap().message
}

#[tokio::test]
async fn doctor_checks_a_deployment_on_the_emulator() {
    let state = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let cache = cache_directory().expect("tests have a home or a cache directory");
    let installed = Emulator::provision(&cache, "python3", &Silent)
        .await
        .unwrap();
    let emulator = Emulator::start(&installed, state.path(), port, &Silent)
        .await
        .unwrap();
    let mut conn = connect(Some(&emulator.endpoint())).await;
    let unrecorded = conn.clone();
    let recorder = SdkCallRecorder::default();
    let http = recorder.around(conn.sdk.http_client().unwrap());
    conn.sdk = conn.sdk.into_builder().http_client(http).build();
    let directory = tempfile::tempdir().unwrap();
    let configuration = configuration(&directory, "");
    let clock = Clock::system();
    let run_checks = async || doctor::run_checks(&conn, &configuration, &clock).await;

    demo::launch(&unrecorded, &test_fleet()).await.unwrap();
    let report = run_checks().await;
    assert_eq!(
        verdicts(&report),
        [
            // The demo fleet names a schedule that this configuration does not have.
            "warn tags",
            "ok endpoint",
            "ok credentials",
            "ok clock",
            "ok instances",
            "skip permissions",
            "fail stack"
        ]
    );
    assert_eq!(message(&report, "stack"), "`curfew` is not deployed");

    let deployment = Deployment {
        stack: configuration.stack.name.clone(),
        auth: Auth::None,
        cors_origin: None,
        request_limit: 100,
        configuration_document: configuration.document.to_json(),
        rules: trigger_rules(&configuration, &clock),
        lambda_role_policy: LambdaRolePolicy::of(&configuration.schedule_set),
        // Any executable of this machine can be deployed.
        permissions_boundary: None,
        overlap: OverlapPolicy::Refuse,
        lambda_zip: Some("/bin/sh".into()),
    };
    let outputs = curfew_deploy::deploy(&unrecorded, &deployment, &Silent)
        .await
        .unwrap();
    let report = run_checks().await;
    assert_eq!(
        verdicts(&report)[6..],
        ["ok stack", "ok rules", "ok schedules", "ok queues"]
    );
    assert_eq!(
        message(&report, "rules"),
        format!("{} in place", outputs.rules.len())
    );

    // A rule is removed, a daemon could not read an event, and the configuration has changed.
    let events = aws_sdk_eventbridge::Client::new(&unrecorded.sdk);
    let rule = outputs.rules[0].as_str();
    events
        .remove_targets()
        .rule(rule)
        .ids("curfew")
        .send()
        .await
        .unwrap();
    events.delete_rule().name(rule).send().await.unwrap();
    let dead = outputs
        .queue_url
        .replace("state-changes", "unread-state-changes");
    let queues = aws_sdk_sqs::Client::new(&unrecorded.sdk);
    queues
        .send_message()
        .queue_url(dead)
        .message_body("?")
        .send()
        .await
        .unwrap();
    let more = "[schedules.night]\ntimezone = \"UTC\"\nstop = \"0 22 * * *\"";
    let changed = crate::doctor::fixtures::configuration(&directory, more);
    let report = doctor::run_checks(&conn, &changed, &clock).await;
    assert_eq!(
        verdicts(&report)[6..],
        ["ok stack", "fail rules", "fail schedules", "warn queues"]
    );
    assert_eq!(
        message(&report, "queues"),
        "0 state changes and 0 passes waiting, 1 dead letter"
    );

    assert!(recorder.calls().len() > 20, "{:?}", recorder.calls());
    assert_eq!(recorder.writing(), Vec::<String>::new());
    emulator.stop().await.unwrap();
}

#[tokio::test]
async fn doctor_tests_permissions_on_aws_by_dry_runs() {
    let ec2 = Model::new("2026-11-23T18:00:00Z".parse().unwrap());
    let launch = |name: &str| {
        Launch::new(name)
            .region("eu-west-3")
            .tag("Schedule", "office")
            .tag("curfew:last", "2026-11-23T07:00:00Z start schedule office")
    };
    let running = ec2.launch(launch("web")).to_string();
    let stopped = ec2.launch(launch("batch").stopped()).to_string();
    let conn = aws(&ec2).await;
    let directory = tempfile::tempdir().unwrap();
    let configuration = configuration(&directory, "");
    let clock = Clock::system();
    let permissions = async || {
        let report = doctor::run_checks(&conn, &configuration, &clock).await;
        let check = report
            .checks
            .into_iter()
            .find(|one| one.check == "permissions");
        let check = check.unwrap();
        (check.verdict, check.message)
    };

    let granted = "granted: ec2:StartInstances, ec2:StopInstances, ec2:CreateTags, ec2:DeleteTags";
    assert_eq!(permissions().await, (CheckVerdict::Ok, granted.to_owned()));
    let mut tried = 0;
    for call in ec2.calls() {
        match call.request {
            Some(ApiRequest::DryRun(request)) => {
                tried += 1;
                // Even without `DryRun` the call would change nothing.
                match *request {
                    ApiRequest::StartInstances(ids) => assert_eq!(ids, [running.as_str()]),
                    ApiRequest::StopInstances(ids, _, _) => assert_eq!(ids, [stopped.as_str()]),
                    ApiRequest::CreateTags(ids, tags) => {
                        assert_eq!(ids, [running.as_str()]);
                        assert_eq!(format!("{tags:?}").matches("curfew:last").count(), 1);
                    }
                    ApiRequest::DeleteTags(ids, tags) => {
                        assert_eq!(ids, [running.as_str()]);
                        assert!(format!("{tags:?}").contains("curfew:doctor"));
                    }
                    other => panic!("{other:?}"),
                }
            }
            _ => assert!(
                !["Start", "Stop", "Create", "Delete"]
                    .iter()
                    .any(|verb| call.name.starts_with(verb))
                    || call.request.is_none(),
                "{}",
                call.name
            ),
        }
    }
    assert_eq!(tried, 4);
    assert_eq!(ec2.transitions().len(), 0);

    ec2.deny(Denial::of(ApiAction::StopInstances));
    let (verdict, message) = permissions().await;
    assert_eq!(verdict, CheckVerdict::Fail);
    assert!(
        message.starts_with("denied: ec2:StopInstances (You are not authorized"),
        "{message}"
    );
}
