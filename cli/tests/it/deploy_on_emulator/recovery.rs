//! A deployment recovers a stack from every state, and reports the state.

use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Capability, ChangeSetType, StackStatus, Tag};
use curfew::progress::Lines;
use curfew_aws::connect::Connection;
use curfew_aws::progress::Silent;
use curfew_deploy::DeployError;
use curfew_deploy::stack::Intent;

use crate::deploy_on_emulator::lab::{Lab, deploy, deployment, destroy};

/// Creates a stack with Curfew's tag from `template`, and returns the status that it ends in.
async fn create_stack(conn: &Connection, template: &str, disable_rollback: bool) -> StackStatus {
    let cloudformation = Client::new(&conn.sdk);
    cloudformation
        .create_stack()
        .stack_name("demo")
        .template_body(template)
        .disable_rollback(disable_rollback)
        .tags(stack_tag())
        .send()
        .await
        .unwrap();
    final_status(&cloudformation).await
}

fn stack_tag() -> Tag {
    Tag::builder().key("curfew:stack").value("demo").build()
}

async fn final_status(cloudformation: &Client) -> StackStatus {
    loop {
        let answer = cloudformation.describe_stacks().stack_name("demo").send();
        let status = answer.await.unwrap().stacks()[0]
            .stack_status()
            .cloned()
            .unwrap();
        if !status.as_str().ends_with("_IN_PROGRESS") {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A template that fails, because two buckets can't have one name.
const FAILING: &str = r#"{"Resources":{
    "A":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"taken"}},
    "B":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"taken"}}}}"#;

#[tokio::test]
async fn a_failed_first_deployment_is_explained_and_recreated() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    for (disable_rollback, status, meaning) in [
        (
            false,
            StackStatus::RollbackComplete,
            "its first deployment failed and was rolled back",
        ),
        (
            true,
            StackStatus::CreateFailed,
            "its first deployment failed",
        ),
    ] {
        assert_eq!(create_stack(&conn, FAILING, disable_rollback).await, status);
        let plan = curfew_deploy::preview(&conn, &wanted, &Silent)
            .await
            .unwrap();
        assert_eq!(plan.stack.intent, Intent::MakeAnew);
        let lines = Lines::new(Vec::new());
        let outputs = curfew_deploy::deploy(&conn, &wanted, &lines).await.unwrap();
        let message = String::from_utf8(lines.into_inner()).unwrap();
        let expected = format!(
            "note: the stack `demo` is in {}: {meaning}; removing and recreating it",
            status.as_str()
        );
        assert!(message.contains(&expected), "{message}");
        let found = curfew_deploy::outputs(&conn, &wanted.stack).await.unwrap();
        assert_eq!(found, outputs);
        destroy(&conn, &wanted.stack).await.unwrap();
    }
    lab.close().await;
}

#[tokio::test]
async fn a_stack_without_outputs_is_completed() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    let template = r#"{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}"#;
    assert_eq!(
        create_stack(&conn, template, false).await,
        StackStatus::CreateComplete
    );
    let error = curfew_deploy::outputs(&conn, &wanted.stack)
        .await
        .unwrap_err();
    assert!(matches!(error, DeployError::Incomplete { .. }), "{error}");
    let outputs = deploy(&conn, &wanted).await;
    let found = curfew_deploy::outputs(&conn, &wanted.stack).await.unwrap();
    assert_eq!(found, outputs);
    lab.close().await;
}

#[tokio::test]
async fn a_reserved_stack_name_is_used() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    let cloudformation = Client::new(&conn.sdk);
    for name in ["curfew-deploy", "by-hand"] {
        cloudformation
            .create_change_set()
            .stack_name("demo")
            .change_set_name(name)
            .change_set_type(ChangeSetType::Create)
            .template_body(r#"{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}"#)
            .capabilities(Capability::CapabilityIam)
            .tags(stack_tag())
            .send()
            .await
            .unwrap();
        let answer = cloudformation.describe_stacks().stack_name("demo").send();
        let status = answer.await.unwrap().stacks()[0].stack_status().cloned();
        assert_eq!(status, Some(StackStatus::ReviewInProgress));
        deploy(&conn, &wanted).await;
        destroy(&conn, &wanted.stack).await.unwrap();
    }
    lab.close().await;
}

/// A network that its stack can't remove while it has a subnet.
const NETWORK: &str =
    r#""Network":{"Type":"AWS::EC2::VPC","Properties":{"CidrBlock":"10.97.0.0/16"}}"#;

/// Returns a template with the network and a resource that fails after two seconds.
fn slow_template() -> String {
    format!(
        r#"{{"Resources":{{{NETWORK},
            "Handle":{{"Type":"AWS::CloudFormation::WaitConditionHandle","DependsOn":"Network"}},
            "Wait":{{"Type":"AWS::CloudFormation::WaitCondition","Properties":{{"Handle":{{"Ref":"Handle"}},"Timeout":"2"}}}}}}}}"#
    )
}

/// Waits for the network and creates a subnet in it.
async fn create_subnet(ec2: &aws_sdk_ec2::Client) -> String {
    loop {
        let networks = ec2.describe_vpcs().send().await.unwrap();
        let mut networks = networks.vpcs.unwrap_or_default().into_iter();
        let Some(network) = networks.find(|one| one.cidr_block() == Some("10.97.0.0/16")) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let created = ec2
            .create_subnet()
            .vpc_id(network.vpc_id().unwrap())
            .cidr_block("10.97.1.0/24");
        let created = created.send().await.unwrap();
        return created.subnet.unwrap().subnet_id.unwrap();
    }
}

async fn delete_subnet(ec2: &aws_sdk_ec2::Client, subnet: &str) {
    let deleted = ec2.delete_subnet().subnet_id(subnet).send();
    deleted.await.unwrap();
}

#[tokio::test]
async fn a_failed_removal_has_a_reason_and_is_completed_by_the_next_deployment() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    create_stack(&conn, &format!(r#"{{"Resources":{{{NETWORK}}}}}"#), false).await;
    let ec2 = aws_sdk_ec2::Client::new(&conn.sdk);
    let subnet = create_subnet(&ec2).await;
    let error = destroy(&conn, &wanted.stack).await.unwrap_err().to_string();
    assert!(
        error.starts_with("the stack `demo` ended in DELETE_FAILED: `Network`: "),
        "{error}"
    );
    let error = curfew_deploy::deploy(&conn, &wanted, &Silent)
        .await
        .unwrap_err();
    assert!(matches!(error, DeployError::Failed { .. }), "{error}");
    delete_subnet(&ec2, &subnet).await;
    deploy(&conn, &wanted).await;
    destroy(&conn, &wanted.stack).await.unwrap();
    lab.close().await;
}

#[tokio::test]
async fn a_deployment_waits_for_an_operation_in_progress() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let wanted = deployment("demo");
    let cloudformation = Client::new(&conn.sdk);
    let created = cloudformation
        .create_stack()
        .stack_name("demo")
        .template_body(slow_template())
        .tags(stack_tag());
    created.send().await.unwrap();
    let lines = Lines::new(Vec::new());
    let outputs = curfew_deploy::deploy(&conn, &wanted, &lines).await.unwrap();
    let message = String::from_utf8(lines.into_inner()).unwrap();
    assert!(
        message.contains("waiting for another deployment to end"),
        "{message}"
    );
    let found = curfew_deploy::outputs(&conn, &wanted.stack).await.unwrap();
    assert_eq!(found, outputs);
    lab.close().await;
}
