//! Deploying brings what is there to what is wanted, whatever came in between, and not a call further.

use std::collections::BTreeMap;
use std::fs;

use curfew::deploy::{self, Auth, Belongings, DeployError};
use curfew::progress::Silent;
use curfew_core::timetable::Action;
use curfew_testing::Cut;

use crate::lab::{Lab, deployment, destroy, rule};

#[tokio::test]
async fn deploying_twice_changes_nothing_and_destroying_leaves_nothing() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    let stack = wanted.stack.clone();

    let first = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let api = format!("{}/restapis/{}/prod", lab.emulator.endpoint(), first.api_id);
    assert_eq!(first.api_url, format!("{api}/_user_request_"));
    assert_eq!(first.function, "curfew-demo");
    assert!(first.queue_url.ends_with("/curfew-demo-state-changes"));
    assert_eq!(first.rules.len(), 3, "{:?}", first.rules);
    assert!(
        calls
            .take_writing()
            .contains(&"cloudformation:ExecuteChangeSet".to_owned())
    );

    assert_eq!(deploy::outputs(&conn, &stack).await.unwrap(), first);
    let second = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(calls.take_writing(), [""; 0]);

    // What is kept over a stop is the same to the last id.
    let lab = lab.restarted().await;
    let third = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(third, first);
    assert_eq!(calls.take_writing(), [""; 0]);

    // A changed schedule replaces its rule and touches nothing else.
    wanted.rules[1] = rule(&stack, Action::Stop, "cron(0 19 ? * MON-FRI *)");
    let changed = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(
        calls.take_writing(),
        ["PutRule", "PutTargets", "RemoveTargets", "DeleteRule"]
            .map(|call| format!("events:{call}"))
    );
    assert!(changed.rules.contains(&wanted.rules[1].name));
    assert_ne!(changed.rules, first.rules);
    assert_eq!(changed.api_url, first.api_url);

    // Other access is another stack, with the same ids.
    wanted.auth = Auth::Token(format!("alice={}", "0f".repeat(32)).parse().unwrap());
    let secured = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(secured, changed);

    let removed = destroy(&conn, &stack).await.unwrap();
    assert_eq!(removed.rules, changed.rules);
    assert_eq!(removed.stack, Some(stack.clone()));
    assert_eq!(
        removed.bucket.as_deref(),
        Some("curfew-demo-000000000000-eu-west-3")
    );
    assert_eq!(removed.parameters, ["/curfew/demo/settings"]);
    assert!(matches!(
        deploy::outputs(&conn, &stack).await,
        Err(DeployError::NotDeployed { .. })
    ));
    let again = destroy(&conn, &stack).await.unwrap();
    assert_eq!(again, Belongings::default());
    lab.close().await;
}

#[tokio::test]
async fn the_code_that_runs_and_the_one_before_are_kept() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let mut wanted = deployment("demo");
    let config = aws_sdk_s3::config::Builder::from(&conn.sdk).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(config.build());
    let cloudformation = aws_sdk_cloudformation::Client::new(&conn.sdk);
    let folder = tempfile::tempdir().unwrap();
    let mut before: Option<String> = None;
    // The first comes back, as after a mistake.
    for (version, kept) in [(1, 1), (2, 2), (3, 2), (1, 2)] {
        let mut program = fs::read("/bin/sh").unwrap();
        program.push(version);
        let path = folder.path().join("bootstrap");
        fs::write(&path, program).unwrap();
        wanted.lambda_zip = Some(path);
        deploy::deploy(&conn, &wanted, &Silent).await.unwrap();

        let objects = s3
            .list_objects_v2()
            .bucket("curfew-demo-000000000000-eu-west-3");
        let objects = objects.send().await.unwrap().contents.unwrap_or_default();
        let keys: Vec<_> = objects.into_iter().filter_map(|one| one.key).collect();
        let stacks = cloudformation.describe_stacks().stack_name("demo").send();
        let stack = stacks.await.unwrap().stacks.unwrap().remove(0);
        let mut parameters = stack.parameters().iter();
        let used = parameters.find(|one| one.parameter_key() == Some("CodeKey"));
        let used = used.unwrap().parameter_value().unwrap().to_owned();
        assert_eq!(keys.len(), kept, "{keys:?}");
        assert!(keys.contains(&used), "{keys:?}");
        assert!(
            before.is_none_or(|before| keys.contains(&before)),
            "{keys:?}"
        );
        before = Some(used);
    }
    lab.close().await;
}

/// Settings that one parameter does not hold, even compressed.
fn large_settings(first: u64) -> String {
    let mut noise = first;
    let accounts = (0..500).map(|_| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let id = (noise >> 20) % 1_000_000_000_000;
        format!(r#"{{"id":"{id:012}","role_arn":"arn:aws:iam::{id:012}:role/x","regions":["eu-west-3"]}}"#)
    });
    let accounts: Vec<_> = accounts.collect();
    format!(r#"{{"schedules":{{}},"account":[{}]}}"#, accounts.join(","))
}

#[tokio::test]
async fn large_settings_are_switched_at_once_and_leave_no_parts_behind() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let ssm = aws_sdk_ssm::Client::new(&conn.sdk);
    let parameters = async || {
        let answer = ssm.get_parameters_by_path().path("/curfew").recursive(true);
        let answer = answer.send().await.unwrap();
        let parameters = answer.parameters.unwrap_or_default();
        parameters
            .into_iter()
            .map(|one| (one.name.unwrap(), one.value.unwrap()))
            .collect::<BTreeMap<_, _>>()
    };
    let small = parameters().await;
    assert_eq!(small.len(), 1);

    wanted.settings_document = large_settings(1);
    calls.take();
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let large = parameters().await;
    let parts = large.len() - 1;
    assert!(parts > 1, "{:?}", large.keys());
    assert_eq!(calls.take_writing(), vec!["ssm:PutParameter"; parts + 1]);
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    assert_eq!(calls.take_writing(), [""; 0]);

    // Cut off before the last call, the Lambda still reads what it read before.
    wanted.settings_document = large_settings(2);
    calls.cut(Some(Cut::AfterWriting(parts)));
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap_err();
    calls.cut(None);
    let between = parameters().await;
    assert!(
        large
            .iter()
            .all(|(name, value)| between.get(name) == Some(value))
    );
    assert_eq!(between.len(), 1 + 2 * parts);

    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let after = parameters().await;
    assert_eq!(after.len(), 1 + parts);
    assert_ne!(
        after["/curfew/demo/settings"],
        large["/curfew/demo/settings"]
    );
    let removed = destroy(&conn, &wanted.stack).await.unwrap();
    assert_eq!(removed.parameters, after.into_keys().collect::<Vec<_>>());
    assert_eq!(parameters().await.len(), 0);
    lab.close().await;
}

#[tokio::test]
async fn a_deployment_cut_off_anywhere_is_completed_by_the_next() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let all = calls.take().len();
    for cut in 0..all {
        destroy(&conn, &wanted.stack).await.unwrap();
        calls.cut(Some(Cut::AfterCalls(cut)));
        let cut_off = deploy::deploy(&conn, &wanted, &Silent).await;
        calls.cut(None);
        // Watching the stack takes more calls at one time than at another.
        if cut < all / 2 {
            cut_off.unwrap_err();
        }
        let whole = deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
        assert_eq!(whole.rules.len(), 3, "cut after {cut} calls");
        calls.take();
        deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
        assert_eq!(calls.take_writing(), [""; 0], "cut after {cut} calls");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_removal_cut_off_anywhere_is_completed_by_the_next() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    calls.take();
    destroy(&conn, &wanted.stack).await.unwrap();
    let all = calls.take().len();
    for cut in 0..all {
        deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
        calls.cut(Some(Cut::AfterCalls(cut)));
        let _cut_off = destroy(&conn, &wanted.stack).await;
        calls.cut(None);
        destroy(&conn, &wanted.stack).await.unwrap();
        let again = destroy(&conn, &wanted.stack).await.unwrap();
        assert_eq!(again, Belongings::default(), "cut after {cut} calls");
    }
    lab.close().await;
}
