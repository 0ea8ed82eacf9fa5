//! Updates of a deployment: they apply what differs, complete interrupted ones, and make no needless call.

use std::collections::BTreeMap;

use curfew_aws::parameter::{ParameterEditor, ParameterStore};
use curfew_aws::progress::Silent;
use curfew_core::configuration::RawScheduleSet;
use curfew_deploy::{Auth, DeployError, Deployment, OverlapPolicy, StackResources};
use curfew_model::Cut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deploy_on_emulator::lab::{
    BUCKET, Lab, deploy, deployment, destroy, executable, keys, overlapping, rule,
};

#[tokio::test]
async fn deploying_twice_changes_nothing_and_destroying_leaves_nothing() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    let stack = wanted.stack.clone();

    let first = deploy(&conn, &wanted).await;
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

    assert_eq!(curfew_deploy::outputs(&conn, &stack).await.unwrap(), first);
    let second = deploy(&conn, &wanted).await;
    assert_eq!(second, first);
    assert_eq!(calls.take_writing(), [""; 0]);

    // A restart of the emulator changes no id.
    let lab = lab.restarted().await;
    let third = deploy(&conn, &wanted).await;
    assert_eq!(third, first);
    assert_eq!(calls.take_writing(), [""; 0]);

    // A changed schedule replaces its rule and changes nothing else.
    wanted.rules[1] = rule(&stack, "cron(0 19 ? * MON-FRI *)");
    let changed = deploy(&conn, &wanted).await;
    assert_eq!(
        calls.take_writing(),
        ["PutRule", "PutTargets", "RemoveTargets", "DeleteRule"]
            .map(|call| format!("events:{call}"))
    );
    assert!(changed.rules.contains(&wanted.rules[1].name));
    assert_ne!(changed.rules, first.rules);
    assert_eq!(changed.api_url, first.api_url);

    // Other authentication updates the stack and keeps the ids.
    wanted.auth = Auth::Token(format!("alice={}", "0f".repeat(32)).parse().unwrap());
    let secured = deploy(&conn, &wanted).await;
    assert_eq!(secured, changed);

    let removed = destroy(&conn, &stack).await.unwrap();
    assert_eq!(removed.rules, changed.rules);
    assert_eq!(removed.stack, Some(stack.clone()));
    assert_eq!(removed.bucket.as_deref(), Some(BUCKET));
    assert_eq!(removed.parameters, ["/curfew/demo/configuration"]);
    assert!(matches!(
        curfew_deploy::outputs(&conn, &stack).await,
        Err(DeployError::NotDeployed { .. })
    ));
    let again = destroy(&conn, &stack).await.unwrap();
    assert_eq!(again, StackResources::default());
    lab.close().await;
}

#[tokio::test]
async fn the_current_and_the_previous_code_are_kept() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let mut wanted = deployment("demo");
    let cloudformation = aws_sdk_cloudformation::Client::new(&conn.sdk);
    let folder = tempfile::tempdir().unwrap();
    let mut before: Option<String> = None;
    // The last one deploys the first version again.
    for (version, kept) in [(1, 1), (2, 2), (3, 2), (1, 2)] {
        wanted.lambda_zip = Some(executable(folder.path(), version));
        deploy(&conn, &wanted).await;

        let keys = keys(&conn).await.unwrap();
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

/// Returns a configuration that does not fit into one parameter, even compressed.
fn large_configuration(first: u64) -> String {
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
async fn a_large_configuration_is_replaced_by_the_last_call_and_leaves_no_parts() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    let store = ParameterEditor::new(&conn);
    let parameters = async || {
        let mut parameters = BTreeMap::new();
        for name in store.names_below("/curfew").await.unwrap() {
            let value = store.value(&name).await.unwrap().unwrap();
            parameters.insert(name, value);
        }
        parameters
    };
    let small = parameters().await;
    assert_eq!(small.len(), 1);

    wanted.configuration_document = large_configuration(1);
    calls.take();
    deploy(&conn, &wanted).await;
    let large = parameters().await;
    let parts = large.len() - 1;
    assert!(parts > 1, "{:?}", large.keys());
    assert_eq!(calls.take_writing(), vec!["ssm:PutParameter"; parts + 1]);
    deploy(&conn, &wanted).await;
    assert_eq!(calls.take_writing(), [""; 0]);

    // If the last call fails, the Lambda still reads the previous configuration.
    wanted.configuration_document = large_configuration(2);
    calls.cut(Some(Cut::AfterWriting(parts)));
    curfew_deploy::deploy(&conn, &wanted, &Silent)
        .await
        .unwrap_err();
    calls.cut(None);
    let between = parameters().await;
    assert!(
        large
            .iter()
            .all(|(name, value)| between.get(name) == Some(value))
    );
    assert_eq!(between.len(), 1 + 2 * parts);

    deploy(&conn, &wanted).await;
    let after = parameters().await;
    assert_eq!(after.len(), 1 + parts);
    assert_ne!(
        after["/curfew/demo/configuration"],
        large["/curfew/demo/configuration"]
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
    deploy(&conn, &wanted).await;
    let all = calls.take().len();
    for cut in 0..all {
        destroy(&conn, &wanted.stack).await.unwrap();
        calls.cut(Some(Cut::AfterCalls(cut)));
        let cut_off = curfew_deploy::deploy(&conn, &wanted, &Silent).await;
        calls.cut(None);
        // The number of polls varies.
        if cut < all / 2 {
            cut_off.unwrap_err();
        }
        let completed = deploy(&conn, &wanted).await;
        assert_eq!(completed.rules.len(), 3, "cut after {cut} calls");
        calls.take();
        deploy(&conn, &wanted).await;
        assert_eq!(calls.take_writing(), [""; 0], "cut after {cut} calls");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_removal_cut_off_anywhere_is_completed_by_the_next() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    calls.take();
    destroy(&conn, &wanted.stack).await.unwrap();
    let all = calls.take().len();
    for cut in 0..all {
        deploy(&conn, &wanted).await;
        calls.cut(Some(Cut::AfterCalls(cut)));
        let _cut_off = destroy(&conn, &wanted.stack).await;
        calls.cut(None);
        destroy(&conn, &wanted.stack).await.unwrap();
        let again = destroy(&conn, &wanted.stack).await.unwrap();
        assert_eq!(again, StackResources::default(), "cut after {cut} calls");
    }
    lab.close().await;
}

#[tokio::test]
async fn an_overlapping_stack_is_refused_without_allow_overlap() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let live = deployment("live");
    deploy(&conn, &live).await;
    let (elsewhere, calls) = lab.connect_to("us-east-1").await;
    let mut second = deployment("demo");
    second.configuration_document =
        r#"{"schedules":{},"managing":{"regions":["us-east-1","eu-west-3"]}}"#.to_owned();
    let refused = curfew_deploy::deploy(&elsewhere, &second, &Silent)
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`demo` would manage what another deployment manages already: the stack `live` in eu-west-3 manages eu-west-3 of account \
         000000000000"
    );
    assert_eq!(calls.take_writing(), [""; 0]);
    let shown = curfew_deploy::preview(&elsewhere, &second, &Silent)
        .await
        .unwrap();
    assert_eq!(
        shown.warnings,
        [
            "the stack `live` in eu-west-3 manages eu-west-3 of account 000000000000: `deploy` fails without --allow-overlap"
        ]
    );

    // In another region there is no overlap.
    second.configuration_document = r#"{"schedules":{}}"#.to_owned();
    deploy(&elsewhere, &second).await;
    // Overlaps from before are not checked again, for either stack.
    second.configuration_document =
        r#"{"schedules":{},"managing":{"regions":["us-east-1","eu-west-3"]}}"#.to_owned();
    let refused = curfew_deploy::deploy(&elsewhere, &second, &Silent)
        .await
        .unwrap_err();
    assert!(matches!(refused, DeployError::Overlap { .. }), "{refused}");
    let allowed = Deployment {
        overlap: OverlapPolicy::Allow,
        ..second.clone()
    };
    deploy(&elsewhere, &allowed).await;
    deploy(&elsewhere, &second).await;
    deploy(&conn, &live).await;
    // A third stack overlaps with both.
    let refused = curfew_deploy::deploy(&conn, &deployment("third"), &Silent).await;
    assert!(matches!(refused, Err(DeployError::Overlap { .. })));
    deploy(&conn, &overlapping("third")).await;
    lab.close().await;
}

/// A document from before versions existed, with every key.
const UNVERSIONED: &str =
    include_str!("../../../../crates/core/tests/documents/without-version.json");

#[tokio::test]
async fn code_is_updated_before_configuration_in_upgrades_and_rollbacks() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let folder = tempfile::tempdir().unwrap();
    let older = Deployment {
        configuration_document: UNVERSIONED.to_owned(),
        lambda_zip: Some(executable(folder.path(), 0)),
        ..deployment("demo")
    };
    let newer = Deployment {
        configuration_document: RawScheduleSet::from_json(UNVERSIONED).unwrap().to_json(),
        lambda_zip: Some(executable(folder.path(), 1)),
        ..deployment("demo")
    };
    deploy(&conn, &older).await;
    let store = ParameterStore::new(&conn);
    let published = async || store.value("/curfew/demo/configuration").await.unwrap();
    assert_eq!(published().await, UNVERSIONED);
    for wanted in [&newer, &older, &newer] {
        let before = published().await;
        // The call to CloudFormation fails.
        calls.take();
        calls.cut(Some(Cut::AfterWriting(1)));
        curfew_deploy::deploy(&conn, wanted, &Silent)
            .await
            .unwrap_err();
        calls.cut(None);
        assert_eq!(published().await, before);
        calls.take();
        curfew_deploy::deploy(&conn, wanted, &Silent).await.unwrap();
        let writing = calls.take_writing();
        let position = |call: &str| writing.iter().position(|made| made == call).unwrap();
        assert!(
            position("cloudformation:ExecuteChangeSet") < position("ssm:PutParameter"),
            "{writing:?}"
        );
        assert_eq!(published().await, wanted.configuration_document);
    }
    lab.close().await;
}

/// Returns the function's environment variables.
async fn environment(lab: &Lab) -> BTreeMap<String, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", lab.port)).await.unwrap();
    let request = format!(
        "GET /2015-03-31/functions/curfew-demo/configuration HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=test/20261123/eu-west-3/lambda/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
        lab.port
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let body = response.split_once("\r\n\r\n").unwrap().1;
    let body = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    let configuration: serde_json::Value = serde_json::from_str(body).unwrap();
    serde_json::from_value(configuration["Environment"]["Variables"].clone()).unwrap()
}

#[tokio::test]
async fn a_different_port_changes_the_functions_environment() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    let queue = |lab: &Lab| {
        let endpoint = lab.emulator.endpoint();
        format!("{endpoint}/000000000000/curfew-demo-work")
    };
    let named = environment(&lab).await["CURFEW_WORK_QUEUE"].clone();
    assert!(named.starts_with(&queue(&lab)), "{named}");

    let lab = lab.moved().await;
    let (conn, calls) = lab.connect().await;
    let shown = curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap();
    let changed: Vec<_> = shown.stack.parameters.iter().map(|one| &one.name).collect();
    assert_eq!(changed, ["Endpoint"]);
    deploy(&conn, &wanted).await;
    let named = environment(&lab).await["CURFEW_WORK_QUEUE"].clone();
    assert!(named.starts_with(&queue(&lab)), "{named}");
    calls.take();
    deploy(&conn, &wanted).await;
    assert_eq!(calls.take_writing(), [""; 0]);
    lab.close().await;
}
