//! `curfew destroy` removes what the deployment created, and nothing else.

use aws_sdk_s3::primitives::SdkBody;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use curfew_aws::organisation::Organisation;
use curfew_aws::progress::Silent;
use curfew_core::account_regions::Targets;
use curfew_core::instance::Region;
use curfew_deploy::{DeployError, InstanceTags, StackResources};
use curfew_emulator::demo;
use curfew_model::is_writing;

use crate::deploy_on_emulator::lab::{
    BUCKET, Lab, deploy, deployment, destroy, executable, fleet, keys, overlapping, s3,
    stack_resources, write_state_tags,
};
use crate::support::test_fleet;

#[tokio::test]
async fn removing_a_stack_keeps_a_stack_whose_name_starts_the_same() {
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let (short, long) = (overlapping("a"), overlapping("a-b"));
    deploy(&conn, &long).await;
    deploy(&conn, &short).await;
    let before = curfew_deploy::outputs(&conn, &long.stack).await.unwrap();
    destroy(&conn, &short.stack).await.unwrap();
    assert_eq!(
        curfew_deploy::outputs(&conn, &long.stack).await.unwrap(),
        before
    );
    lab.close().await;
}

#[tokio::test]
async fn a_stack_without_curfews_tag_is_not_touched() {
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
    let refused = curfew_deploy::deploy(&conn, &wanted, &Silent)
        .await
        .unwrap_err();
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
async fn state_tags_are_removed_and_instances_are_kept() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    demo::launch(&conn, &test_fleet()).await.unwrap();
    let before = fleet(&conn).await;
    write_state_tags(&conn).await;
    let tagged = fleet(&conn).await;
    deploy(&conn, &wanted).await;
    let organisation = Organisation::open(&conn, &Targets::default());
    let all = InstanceTags::Remove(&organisation);

    // Another stack here may manage the same instances.
    let other = overlapping("other");
    deploy(&conn, &other).await;
    let found = curfew_deploy::stack_resources(&conn, &wanted.stack, all)
        .await
        .unwrap();
    assert!(found.instances.is_empty());
    assert_eq!(
        found.kept,
        [
            "instances in eu-west-3 keep their state tags, because the stack `other` in eu-west-3 manages them too"
        ]
    );
    destroy(&conn, &other.stack).await.unwrap();
    assert_eq!(fleet(&conn).await, tagged, "the tags were kept");

    let found = curfew_deploy::stack_resources(&conn, &wanted.stack, all)
        .await
        .unwrap();
    assert_eq!(found.instances.len(), before.len());
    calls.take();
    let removed = curfew_deploy::destroy(&conn, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    assert_eq!(removed, found);
    let instance_calls = ["Start", "Stop", "Terminate"].map(|verb| format!("ec2:{verb}Instances"));
    assert!(
        !calls
            .take()
            .iter()
            .any(|call| instance_calls.contains(call))
    );
    assert_eq!(fleet(&conn).await, before);
    assert!(
        before
            .values()
            .any(|(_, keys)| keys.contains(&"Schedule".to_owned()))
    );
    let again = curfew_deploy::destroy(&conn, &wanted.stack, all, &Silent).await;
    assert!(again.unwrap().is_empty());
    lab.close().await;
}

/// Denies listing all stacks, like CloudFormation without that permission.
fn listing_stacks(request: &HttpRequest) -> Option<HttpResponse> {
    const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: cloudformation:DescribeStacks on resource: arn:aws:cloudformation:eu-west-3:000000000000:stack/*</Message></Error></ErrorResponse>";
    let body = String::from_utf8_lossy(request.body().bytes()?);
    let all = body.starts_with("Action=DescribeStacks&") && !body.contains("&StackName=");
    let forbidden = StatusCode::try_from(403).unwrap();
    all.then(|| HttpResponse::new(forbidden, SdkBody::from(DENIED)))
}

#[tokio::test]
async fn state_tags_are_kept_without_permission_to_list_stacks() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    demo::launch(&conn, &test_fleet()).await.unwrap();
    write_state_tags(&conn).await;
    let before = fleet(&conn).await;
    deploy(&conn, &wanted).await;
    let organisation = Organisation::open(&conn, &Targets::default());
    let all = InstanceTags::Remove(&organisation);
    calls.refuse(listing_stacks);

    let found = curfew_deploy::stack_resources(&conn, &wanted.stack, all)
        .await
        .unwrap();
    assert_eq!(found.instances.len(), 0);
    assert_eq!(
        found.kept,
        [
            "instances in eu-west-3 keep their state tags, because they may belong to another deployment, and the search in \
             eu-west-3 failed: `cloudformation:DescribeStacks` was denied: User: arn:aws:iam::000000000000:user/curfew is not authorized to perform: \
             cloudformation:DescribeStacks on resource: arn:aws:cloudformation:eu-west-3:000000000000:stack/*"
        ]
    );
    calls.take();
    let removed = curfew_deploy::destroy(&conn, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    assert_eq!(removed, found);
    assert_eq!(removed.failed, [""; 0]);
    assert_eq!(fleet(&conn).await, before);
    // The denied call comes before the first removal.
    let calls = calls.take();
    let first = calls.iter().position(|call| is_writing(call)).unwrap();
    let refused = calls.iter().rposition(|call| call.ends_with(" (refused)"));
    assert!(refused.unwrap() < first, "{calls:?}");
    lab.close().await;
}

/// Returns the region of the demo fleet, as targets of a stack in another region.
fn demo_region() -> Targets {
    Targets {
        regions: Some(vec![Region::new("eu-west-3")]),
        ..Targets::default()
    }
}

#[tokio::test]
async fn state_tags_are_kept_if_no_resource_of_the_name_exists() {
    let lab = Lab::open().await;
    let (home, _) = lab.connect().await;
    let wanted = deployment("demo");
    demo::launch(&home, &test_fleet()).await.unwrap();
    deploy(&home, &wanted).await;
    write_state_tags(&home).await;
    let before = fleet(&home).await;

    // The configuration is right, and the region is wrong.
    let (wrong, calls) = lab.connect_to("us-east-1").await;
    let organisation = Organisation::open(&wrong, &demo_region());
    let all = InstanceTags::Remove(&organisation);
    calls.take();
    let removed = curfew_deploy::destroy(&wrong, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    let message = "there is no deployment `demo` in us-east-1 of account 000000000000, so the state tags are kept: they may \
                belong to a deployment in another region";
    let nothing = StackResources {
        kept: vec![message.to_owned()],
        ..StackResources::default()
    };
    assert_eq!(removed, nothing);
    let found = curfew_deploy::stack_resources(&wrong, &wanted.stack, all).await;
    assert_eq!(found.unwrap(), nothing);
    assert_eq!(calls.take_writing(), [""; 0]);
    assert_eq!(fleet(&home).await, before);

    // A stack of the same name in that region finds the one in eu-west-3.
    let mut same_name = deployment("demo");
    same_name.configuration_document =
        r#"{"schedules":{},"managing":{"regions":["us-east-1"]}}"#.to_owned();
    deploy(&wrong, &same_name).await;
    let removed = curfew_deploy::destroy(&wrong, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    assert_eq!(
        removed.kept,
        [
            "instances in eu-west-3 keep their state tags, because the stack `demo` in eu-west-3 manages them too"
        ]
    );
    assert_eq!(fleet(&home).await, before);
    lab.close().await;
}

/// Denies `ec2:DeleteTags`.
fn untagging(request: &HttpRequest) -> Option<HttpResponse> {
    const DENIED: &str = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized</Message></Error></Errors></Response>";
    let denied = request.body().bytes()?.starts_with(b"Action=DeleteTags&");
    let forbidden = StatusCode::try_from(403).unwrap();
    denied.then(|| HttpResponse::new(forbidden, SdkBody::from(DENIED)))
}

#[tokio::test]
async fn tags_that_could_not_be_removed_are_removed_by_the_next_run() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    demo::launch(&conn, &test_fleet()).await.unwrap();
    let before = fleet(&conn).await;
    write_state_tags(&conn).await;
    deploy(&conn, &wanted).await;
    let organisation = Organisation::open(&conn, &Targets::default());
    let all = InstanceTags::Remove(&organisation);
    calls.refuse(untagging);
    let removed = curfew_deploy::destroy(&conn, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    assert_eq!(removed.stack.as_ref(), Some(&wanted.stack));
    assert_eq!(removed.failed.len(), 1, "{removed:?}");
    assert_eq!(
        removed.kept,
        [
            "the bucket and the configuration are kept until the tags can be removed: the next `destroy` needs them to recognise the tags as this stack's"
        ]
    );
    calls.refuse(|_| None);
    let removed = curfew_deploy::destroy(&conn, &wanted.stack, all, &Silent)
        .await
        .unwrap();
    assert_eq!(removed.instances.len(), before.len());
    assert_eq!(removed.parameters, ["/curfew/demo/configuration"]);
    assert_eq!(removed.failed, [""; 0]);
    assert_eq!(fleet(&conn).await, before);
    lab.close().await;
}

async fn put(conn: &curfew_aws::connect::Connection, key: &str) {
    let put = s3(conn).put_object().bucket(BUCKET).key(key);
    put.body(b"{}".to_vec().into()).send().await.unwrap();
}

#[tokio::test]
async fn other_objects_and_their_bucket_are_kept() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let mut wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    let foreign = ["lambda/layer.zip", "terraform.tfstate"];
    for key in foreign {
        put(&conn, key).await;
    }
    calls.take();
    deploy(&conn, &wanted).await;
    assert_eq!(calls.take_writing(), [""; 0]);

    // Only older code is removed, as the preview shows.
    let folder = tempfile::tempdir().unwrap();
    for version in [1, 2] {
        wanted.lambda_zip = Some(executable(folder.path(), version));
        let shown = curfew_deploy::preview(&conn, &wanted, &Silent)
            .await
            .unwrap();
        let before = keys(&conn).await.unwrap();
        deploy(&conn, &wanted).await;
        let after = keys(&conn).await.unwrap();
        assert_eq!(after.len(), 4, "{after:?}");
        assert!(foreign.iter().all(|key| after.contains(&(*key).to_owned())));
        let removed: Vec<_> = before.iter().filter(|key| !after.contains(key)).collect();
        assert_eq!(removed, shown.stale_code.iter().collect::<Vec<_>>());
    }

    let message = format!(
        "the bucket `{BUCKET}` is kept, because it holds 2 objects that Curfew did not make, such as `lambda/layer.zip`"
    );
    let found = stack_resources(&conn, &wanted.stack).await;
    assert_eq!((found.objects.len(), &found.bucket), (2, &None));
    assert_eq!(found.kept, std::slice::from_ref(&message));
    let removed = destroy(&conn, &wanted.stack).await.unwrap();
    assert_eq!(removed.objects, found.objects);
    assert_eq!(removed.kept, [message]);
    assert_eq!(keys(&conn).await.unwrap(), foreign);
    // The bucket is still the stack's.
    deploy(&conn, &wanted).await;
    lab.close().await;
}

#[tokio::test]
async fn a_bucket_of_another_program_is_neither_used_nor_emptied() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    let here = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest3)
        .build();
    let create = s3(&conn).create_bucket().bucket(BUCKET);
    let create = create.create_bucket_configuration(here);
    create.send().await.unwrap();
    put(&conn, "terraform.tfstate").await;
    calls.take();
    let refused = curfew_deploy::deploy(&conn, &wanted, &Silent)
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the bucket `{BUCKET}` is not Curfew's: it has no tag `curfew:stack` and holds an object that Curfew did not make, \
             `terraform.tfstate`"
        )
    );
    let refused = curfew_deploy::preview(&conn, &wanted, &Silent)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, DeployError::ForeignBucket { .. }),
        "{refused}"
    );
    let removed = destroy(&conn, &wanted.stack).await.unwrap();
    assert!(removed.is_empty(), "{removed:?}");
    assert_eq!(removed.kept.len(), 1, "{removed:?}");
    assert_eq!(calls.take_writing(), [""; 0]);
    assert_eq!(keys(&conn).await.unwrap(), ["terraform.tfstate"]);
    lab.close().await;
}

/// An older release, or a deployment that was interrupted right after it created the bucket, leaves no tag.
#[tokio::test]
async fn an_untagged_bucket_with_only_code_gets_the_tag() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    let unmark = s3(&conn).delete_bucket_tagging().bucket(BUCKET);
    unmark.send().await.unwrap();
    calls.take();
    deploy(&conn, &wanted).await;
    assert_eq!(calls.take_writing(), ["s3:PutBucketTagging"]);
    deploy(&conn, &wanted).await;
    assert_eq!(calls.take_writing(), [""; 0]);
    lab.close().await;
}

/// Refuses removals of objects or of the bucket with `NoSuchBucket`, like S3 after a concurrent removal.
fn no_such_bucket(request: &HttpRequest) -> Option<HttpResponse> {
    const NOT_FOUND: &str = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let of_bucket = request.uri().contains(BUCKET);
    let removes = match request.method() {
        "POST" => request.uri().contains("?delete"),
        method => method == "DELETE",
    };
    let not_found = StatusCode::try_from(404).unwrap();
    (of_bucket && removes).then(|| HttpResponse::new(not_found, SdkBody::from(NOT_FOUND)))
}

#[tokio::test]
async fn a_bucket_removed_concurrently_is_no_error() {
    let lab = Lab::open().await;
    let (conn, calls) = lab.connect().await;
    let wanted = deployment("demo");
    deploy(&conn, &wanted).await;
    calls.take();
    calls.refuse(no_such_bucket);
    let removed = destroy(&conn, &wanted.stack).await.unwrap();
    assert_eq!((&removed.bucket, removed.failed.len()), (&None, 0));
    let refused = ["s3:DeleteObjects (refused)", "s3:DeleteBucket (refused)"];
    let calls = calls.take();
    for call in refused {
        assert!(calls.iter().any(|made| made == call), "{calls:?}");
    }
    lab.close().await;
}
