//! Removing takes away what a deployment made, and nothing of anybody else's.

use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use curfew::deploy::{self, DeployError, InstanceTags};
use curfew::emulator::demo;
use curfew::progress::Silent;
use curfew_aws::organisation::Organisation;
use curfew_core::membership::Membership;
use curfew_testing::is_writing;

use crate::lab::{Lab, deployment, destroy, fleet, remember};

#[tokio::test]
async fn two_stacks_with_names_that_begin_alike_leave_each_other_alone() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let (short, long) = (deployment("a"), deployment("a-b"));
    deploy::deploy(&conn, &long, &Silent).await.unwrap();
    deploy::deploy(&conn, &short, &Silent).await.unwrap();
    let before = deploy::outputs(&conn, &long.stack).await.unwrap();
    destroy(&conn, &short.stack).await.unwrap();
    assert_eq!(deploy::outputs(&conn, &long.stack).await.unwrap(), before);
    lab.close().await;
}

#[tokio::test]
async fn a_stack_of_somebody_else_is_not_touched() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let template = r#"{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}"#;
    aws_sdk_cloudformation::Client::new(&conn.sdk)
        .create_stack()
        .stack_name("shop")
        .template_body(template)
        .send()
        .await
        .unwrap();
    let wanted = deployment("shop");
    calls.take();
    let refused = deploy::deploy(&conn, &wanted, &Silent).await.unwrap_err();
    assert!(
        matches!(refused, DeployError::ForeignStack { .. }),
        "{refused}"
    );
    let refused = destroy(&conn, &wanted.stack).await.unwrap_err();
    assert!(
        matches!(refused, DeployError::ForeignStack { .. }),
        "{refused}"
    );
    assert_eq!(calls.take_writing(), [""; 0]);
    lab.close().await;
}

#[tokio::test]
async fn curfews_tags_go_and_the_instances_stay_as_they_are() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    demo::launch(&conn).await.unwrap();
    let before = fleet(&conn).await;
    remember(&conn).await;
    let tagged = fleet(&conn).await;
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let organisation = Organisation::open(&conn, &Membership::default());
    let all = InstanceTags::Remove(&organisation);

    // Another stack here may govern the same instances.
    let other = deployment("other");
    deploy::deploy(&conn, &other, &Silent).await.unwrap();
    let found = deploy::belongings(&conn, &wanted.stack, all).await.unwrap();
    assert!(found.instances.is_empty());
    assert_eq!(
        found.kept,
        [
            "instances keep their `curfew:` tags, because they may be those of `other`, which is deployed here too"
        ]
    );
    destroy(&conn, &other.stack).await.unwrap();
    assert_eq!(fleet(&conn).await, tagged, "they were to be kept");

    let found = deploy::belongings(&conn, &wanted.stack, all).await.unwrap();
    assert_eq!(found.instances.len(), before.len());
    calls.take();
    let removed = deploy::destroy(&conn, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    assert_eq!(removed, found);
    let touching = ["Start", "Stop", "Terminate"].map(|verb| format!("ec2:{verb}Instances"));
    assert!(!calls.take().iter().any(|call| touching.contains(call)));
    assert_eq!(fleet(&conn).await, before);
    assert!(
        before
            .values()
            .any(|(_, keys)| keys.contains(&"Schedule".to_owned()))
    );
    let again = deploy::destroy(&conn, &wanted.stack, all, &Silent).await;
    assert!(again.unwrap().is_empty());
    lab.close().await;
}

/// Denies a look at other stacks than the one that is named, as CloudFormation does.
fn looking_at_all_stacks(request: &HttpRequest) -> Option<HttpResponse> {
    const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: cloudformation:DescribeStacks on resource: arn:aws:cloudformation:eu-west-3:000000000000:stack/*</Message></Error></ErrorResponse>";
    let body = String::from_utf8_lossy(request.body().bytes()?);
    let all = body.starts_with("Action=DescribeStacks&") && !body.contains("&StackName=");
    let forbidden = StatusCode::try_from(403).unwrap();
    all.then(|| HttpResponse::new(forbidden, SdkBody::from(DENIED)))
}

#[tokio::test]
async fn tags_stay_where_nobody_may_look_for_other_deployments() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    demo::launch(&conn).await.unwrap();
    remember(&conn).await;
    let before = fleet(&conn).await;
    deploy::deploy(&conn, &wanted, &Silent).await.unwrap();
    let organisation = Organisation::open(&conn, &Membership::default());
    let all = InstanceTags::Remove(&organisation);
    calls.refuse(looking_at_all_stacks);

    let found = deploy::belongings(&conn, &wanted.stack, all).await.unwrap();
    assert_eq!(found.instances.len(), 0);
    assert_eq!(
        found.kept,
        [
            "instances keep their `curfew:` tags, because they may be those of another deployment, and nobody may look whether there is \
             one: `cloudformation:DescribeStacks` was denied: User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: \
             cloudformation:DescribeStacks on resource: arn:aws:cloudformation:eu-west-3:000000000000:stack/*"
        ]
    );
    calls.take();
    let removed = deploy::destroy(&conn, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    assert_eq!(removed, found);
    assert_eq!(removed.failed, [""; 0]);
    assert_eq!(fleet(&conn).await, before);
    // Nobody has to stop halfway: what may be asked is known before anything goes.
    let made = calls.take();
    let first = made.iter().position(|call| is_writing(call)).unwrap();
    let asked = made.iter().rposition(|call| call.ends_with(" (refused)"));
    assert!(asked.unwrap() < first, "{made:?}");
    lab.close().await;
}
