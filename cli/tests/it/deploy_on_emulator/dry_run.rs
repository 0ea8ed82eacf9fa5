//! `curfew deploy --dry-run` shows the changes and makes none.

use aws_sdk_cloudformation::types::ExecutionStatus;
use curfew_aws::progress::Silent;
use curfew_aws::rules::RuleChanges;
use curfew_deploy::stack::{Intent, ResourceAction};
use curfew_deploy::{Auth, DataChange, StackResources};
use curfew_model::Cut;

use crate::deploy_on_emulator::lab::{Lab, deploy, deployment, rule, stack_resources};

#[tokio::test]
async fn a_dry_run_shows_what_would_be_created_and_leaves_nothing() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");

    let plan = curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap();
    assert_eq!(
        (plan.code, plan.configuration),
        (DataChange::Create, DataChange::Create)
    );
    assert_eq!(
        (plan.stack.intent, plan.stack.status),
        (Intent::Create, None)
    );
    let mut resources = plan.stack.resources.iter();
    assert!(resources.all(|resource| resource.action == ResourceAction::Create));
    let mut resources = plan.stack.resources.iter();
    assert!(resources.any(|resource| resource.resource == "Function"));
    assert_eq!(plan.rules.create, wanted.rules);
    assert_eq!(
        stack_resources(&conn, &wanted.stack).await,
        StackResources::default()
    );

    // Also if CloudFormation rejects the template,
    wanted.request_limit = 0;
    curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap_err();
    assert_eq!(
        stack_resources(&conn, &wanted.stack).await,
        StackResources::default()
    );
    wanted.request_limit = 100;

    // or if an earlier dry run was interrupted.
    calls.take();
    curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap();
    for cut in 0..calls.take().len() {
        calls.cut(Some(Cut::AfterCalls(cut)));
        curfew_deploy::preview(&conn, &wanted, &Silent)
            .await
            .unwrap_err();
        calls.cut(None);
        curfew_deploy::preview(&conn, &wanted, &Silent)
            .await
            .unwrap();
        let left = stack_resources(&conn, &wanted.stack).await;
        assert_eq!(left, StackResources::default(), "cut after {cut} calls");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_dry_run_shows_what_would_change_and_changes_nothing() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    let before = deploy(&conn, &wanted).await;
    calls.take();
    let plan = curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap();
    assert_eq!(calls.take_writing(), [""; 0]);
    assert_eq!(plan.stack.intent, Intent::Keep);
    assert_eq!(
        (plan.code, plan.configuration),
        (DataChange::Keep, DataChange::Keep)
    );
    assert!(plan.rules.is_empty());

    // Other authentication changes the stack, another schedule changes a rule.
    wanted.auth = Auth::Token(format!("alice={}", "0f".repeat(32)).parse().unwrap());
    wanted.rules[1] = rule(&wanted.stack, "cron(0 19 ? * MON-FRI *)");
    wanted.configuration_document = r#"{"schedules":{"office":{}}}"#.to_owned();
    let plan = curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap();
    assert_eq!(
        (plan.code, plan.configuration),
        (DataChange::Keep, DataChange::Change)
    );
    assert_eq!(plan.stack.intent, Intent::Update);
    let parameters: Vec<_> = plan
        .stack
        .parameters
        .iter()
        .map(|change| (change.name.as_str(), change.from.as_deref()))
        .collect();
    assert_eq!(parameters, [("Auth", Some("none")), ("Tokens", Some(""))]);
    let mut resources = plan.stack.resources.iter();
    let function = resources
        .find(|change| change.resource == "Function")
        .unwrap();
    assert_eq!(function.action, ResourceAction::Change);
    assert_eq!(function.properties, ["Environment"]);
    assert_eq!(plan.rules.create, [wanted.rules[1].clone()]);
    assert_eq!(plan.rules.delete.len(), 1);

    calls.take();
    let wanted = deployment("demo");
    let again = curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap();
    assert_eq!(again.stack.intent, Intent::Keep);
    assert_eq!(
        RuleChanges {
            keep: Vec::new(),
            ..again.rules
        },
        RuleChanges::default()
    );
    let after = deploy(&conn, &wanted).await;
    assert_eq!(after, before);
    assert_eq!(calls.take_writing(), [""; 0]);
    let cloudformation = aws_sdk_cloudformation::Client::new(&conn.sdk);
    let sets = cloudformation.list_change_sets().stack_name("demo").send();
    let sets = sets.await.unwrap().summaries.unwrap_or_default();
    let mut open = sets.iter().filter_map(|set| set.execution_status());
    assert!(
        open.all(|status| *status != ExecutionStatus::Available),
        "{sets:?}"
    );
    lab.close().await;
}
