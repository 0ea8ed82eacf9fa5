//! Stacks in states that no emulator can produce, and the messages about them.

mod fake_cloudformation;

use curfew_aws::progress::Silent;
use curfew_core::configuration::DocumentVersion;

use self::fake_cloudformation::FakeCloudFormation;
use super::*;
use crate::recorder::Recorder;

#[test]
fn the_template_fits_into_a_request_and_uses_no_aliases() {
    // The limit of a template in a request; CloudFormation does not support YAML aliases.
    assert!(TEMPLATE.len() <= 51_200);
    let aliased = |line: &&str| {
        let value = line.split_once(": ").map_or("", |(_, value)| value);
        value.starts_with(['&', '*'])
    };
    assert_eq!(TEMPLATE.lines().find(aliased), None);
}

/// Two stacks would share a queue if one's name ended like the beginning of a queue's name.
#[test]
fn no_two_stacks_have_a_queue_of_the_same_name() {
    const QUEUE: &str = "QueueName: !Sub curfew-${AWS::StackName}-";
    let queues: Vec<&str> = TEMPLATE
        .lines()
        .filter_map(|line| line.trim().strip_prefix(QUEUE))
        .collect();
    assert!(queues.len() >= 5, "{queues:?}");
    let mut shared = Vec::new();
    for long in &queues {
        for short in &queues {
            if let Some(beginning) = long.strip_suffix(&format!("-{short}")) {
                shared.push(format!("a-{beginning}"));
            }
        }
    }
    assert_eq!(shared, ["a-undone", "a-unread"].map(str::to_owned));
    for name in shared {
        assert!(name.parse::<StackName>().is_err(), "{name}");
    }
}

#[test]
fn the_template_outputs_the_document_version_of_its_function() {
    let current = DocumentVersion::CURRENT;
    let output = format!("  DocumentVersion:\n    Value: \"{current}\"\n");
    assert!(TEMPLATE.contains(&output), "{output}");
}

fn demo() -> StackName {
    "demo".parse().unwrap()
}

fn parameters() -> Parameters {
    Parameters::from([("Auth", "token".to_owned())])
}

/// Formats an error like the standard error of `curfew`.
fn formatted(error: &DeployError) -> String {
    format!("error: {error}\n  hint: {}\n", error.hint())
}

/// Deploys; returns the result and the output.
async fn deploy(cloudformation: &FakeCloudFormation) -> (Option<Applied>, String) {
    let (conn, name) = (cloudformation.connect().await, demo());
    let lines = Recorder::default();
    let stack = Stack {
        poll: Duration::from_secs(2),
        ..Stack::new(&conn, &name)
    };
    let outcome = stack.apply(&parameters(), &lines).await;
    let mut output = lines.into_text();
    let applied = match outcome {
        Ok(applied) => Some(applied),
        Err(error) => {
            output.push_str(&formatted(&error));
            None
        }
    };
    (applied, output)
}

/// Expects an update without events.
fn updates(cloudformation: &FakeCloudFormation) {
    let statuses = [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ];
    cloudformation.then("ExecuteChangeSet", &statuses, &[]);
}

const ROLLED_BACK: [&str; 3] = [
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
];

#[tokio::test(start_paused = true)]
async fn a_failed_rollback_is_retried_before_the_update() {
    let cloudformation = FakeCloudFormation::with("UPDATE_ROLLBACK_FAILED");
    let events = [("Function", "UPDATE_COMPLETE", "")];
    cloudformation.then("ContinueUpdateRollback", &ROLLED_BACK, &events);
    updates(&cloudformation);
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{output}");
    insta::assert_snapshot!(output, @r"
    note: the stack `demo` is in UPDATE_ROLLBACK_FAILED: an update failed, and its rollback failed too; retrying the rollback
      Function: update complete
    ");
    assert_eq!(
        cloudformation.writing_calls(),
        [
            "ContinueUpdateRollback",
            "CreateChangeSet",
            "ExecuteChangeSet"
        ]
    );
    // Now the stack is up to date.
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!((applied, output.as_str()), (Some(Applied::Unchanged), ""));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_twice_is_an_error_with_its_reason() {
    let cloudformation = FakeCloudFormation::with("UPDATE_ROLLBACK_FAILED");
    let failed = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"];
    let events = [
        (
            "Function",
            "UPDATE_FAILED",
            "The code `lambda/0a1b.zip` is not in the bucket",
        ),
        (
            "demo",
            "UPDATE_ROLLBACK_FAILED",
            "The following resource(s) failed to update: [Function].",
        ),
    ];
    cloudformation.then("ContinueUpdateRollback", &failed, &events);
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    insta::assert_snapshot!(output, @r"
    note: the stack `demo` is in UPDATE_ROLLBACK_FAILED: an update failed, and its rollback failed too; retrying the rollback
      Function: update failed
    error: the CloudFormation stack `demo` is in UPDATE_ROLLBACK_FAILED: CloudFormation could not roll back an update, and the retry failed too: `Function`: The code `lambda/0a1b.zip` is not in the bucket
      hint: fix the cause that the reason names, and deploy again; or continue the rollback in the CloudFormation console, skipping that resource; or `curfew destroy`
    ");
    assert_eq!(cloudformation.writing_calls(), ["ContinueUpdateRollback"]);

    // After the cause is fixed, the next deployment completes.
    cloudformation.then("ContinueUpdateRollback", &ROLLED_BACK, &[]);
    updates(&cloudformation);
    assert_eq!(deploy(&cloudformation).await.0, Some(Applied::Updated));
}

#[tokio::test(start_paused = true)]
async fn a_stack_with_a_failed_rollback_is_not_previewed_and_can_be_removed() {
    let cloudformation = FakeCloudFormation::with("UPDATE_ROLLBACK_FAILED");
    let (conn, name) = (cloudformation.connect().await, demo());
    let stack = Stack::new(&conn, &name);
    let error = stack.preview(&parameters()).await.unwrap_err();
    insta::assert_snapshot!(formatted(&error), @r"
    error: the CloudFormation stack `demo` is in UPDATE_ROLLBACK_FAILED, so the changes can't be previewed
      hint: wait until it has ended, or run `curfew deploy`, which recovers the stack
    ");
    assert_eq!(cloudformation.writing_calls(), [""; 0]);

    let statuses = ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"];
    cloudformation.then("DeleteStack", &statuses, &[]);
    assert!(stack.remove(&Silent).await.unwrap());
    assert!(!stack.remove(&Silent).await.unwrap(), "it is gone");
    assert_eq!(cloudformation.writing_calls(), ["DeleteStack"]);
}

#[tokio::test(start_paused = true)]
async fn concurrent_retries_of_a_rollback_both_succeed() {
    let cloudformation = FakeCloudFormation::with("UPDATE_ROLLBACK_FAILED");
    cloudformation.then_concurrently("ContinueUpdateRollback", &ROLLED_BACK);
    updates(&cloudformation);
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{output}");
    insta::assert_snapshot!(output, @r"
    note: the stack `demo` is in UPDATE_ROLLBACK_FAILED: an update failed, and its rollback failed too; retrying the rollback
      another deployment came first: checking again
      waiting for another deployment to end
    ");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_gives_up_after_losing_every_attempt() {
    let cloudformation = FakeCloudFormation::with("UPDATE_ROLLBACK_FAILED");
    for _ in 0..Stack::MAX_ATTEMPTS {
        let statuses = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"];
        cloudformation.then_concurrently("ContinueUpdateRollback", &statuses);
    }
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    let error = output.find("error: ").unwrap();
    insta::assert_snapshot!(output[error..], @r"
    error: concurrent deployments of `demo` were in progress at every attempt
      hint: wait until it has ended, and deploy again
    ");
    assert_eq!(
        cloudformation.writing_calls().len(),
        usize::from(Stack::MAX_ATTEMPTS)
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_deployment_with_a_failed_rollback_is_recreated() {
    let cloudformation = FakeCloudFormation::with("ROLLBACK_FAILED");
    let gone = ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"];
    cloudformation.then("DeleteStack", &gone, &[("Role", "DELETE_COMPLETE", "")]);
    let made = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"];
    cloudformation.then("ExecuteChangeSet", &made, &[]);
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Created), "{output}");
    insta::assert_snapshot!(output, @r"
    note: the stack `demo` is in ROLLBACK_FAILED: its first deployment failed, and its rollback failed too; removing and recreating it
      Role: delete complete
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_rolled_back_is_retried() {
    let cloudformation = FakeCloudFormation::with("UPDATE_ROLLBACK_COMPLETE");
    let failed = [
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    ];
    let events = [("Stage", "UPDATE_FAILED", "Rate exceeded")];
    cloudformation.then("ExecuteChangeSet", &failed, &events);
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    insta::assert_snapshot!(output.trim_start(), @r"
    Stage: update failed
    error: the stack `demo` ended in UPDATE_ROLLBACK_COMPLETE: `Stage`: Rate exceeded
      hint: fix what the reason names, and run `curfew deploy` again
    ");
    updates(&cloudformation);
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{output}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_another_deployment_ends_after_ten_minutes() {
    let cloudformation = FakeCloudFormation::with("UPDATE_IN_PROGRESS");
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    insta::assert_snapshot!(output.trim_start(), @r"
    waiting for another deployment to end
    error: the CloudFormation stack `demo` is not done after 10 minutes
      hint: its events in the CloudFormation console show what it waits for; once it has ended, run `curfew deploy` again
    ");
    assert_eq!(cloudformation.writing_calls(), [""; 0]);

    // A concurrent update that ends in time is no error.
    cloudformation.passes_through(&["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]);
    updates(&cloudformation);
    let (applied, output) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{output}");
}
