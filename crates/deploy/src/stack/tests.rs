//! What becomes of a stack in a state that no emulator gets into, and what a person reads of it.

mod cloudformation;

use curfew_aws::progress::Silent;
use curfew_core::configuration::DocumentVersion;

use self::cloudformation::CloudFormation;
use super::*;
use crate::recorder::Recorder;

#[test]
fn the_template_fits_into_a_request_and_uses_no_aliases() {
    // CloudFormation's limit for a template in the request, and what its YAML leaves out.
    assert!(TEMPLATE.len() <= 51_200);
    let aliased = |line: &&str| {
        let value = line.split_once(": ").map_or("", |(_, value)| value);
        value.starts_with(['&', '*'])
    };
    assert_eq!(TEMPLATE.lines().find(aliased), None);
}

/// Two stacks have a queue in common where one's name goes on as the beginning of a queue's does.
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
fn the_template_says_which_documents_its_function_reads() {
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

/// As it stands on a person's standard error.
fn read(error: &DeployError) -> String {
    format!("error: {error}\n  hint: {}\n", error.hint())
}

/// Deploys; answers with what that did, and all that a person reads.
async fn deploy(cloudformation: &CloudFormation) -> (Option<Applied>, String) {
    let (conn, name) = (cloudformation.connect().await, demo());
    let lines = Recorder::default();
    let stack = Stack {
        poll: Duration::from_secs(2),
        ..Stack::new(&conn, &name)
    };
    let outcome = stack.apply(&parameters(), &lines).await;
    let mut told = lines.into_text();
    let applied = match outcome {
        Ok(applied) => Some(applied),
        Err(error) => {
            told.push_str(&read(&error));
            None
        }
    };
    (applied, told)
}

/// An update, without anything to tell.
fn updates(cloudformation: &CloudFormation) {
    let statuses = [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ];
    cloudformation.then("ExecuteChangeSet", &statuses, &[]);
}

const UNDONE: [&str; 3] = [
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
];

#[tokio::test(start_paused = true)]
async fn an_update_that_could_not_be_undone_is_undone_and_made_again() {
    let cloudformation = CloudFormation::with("UPDATE_ROLLBACK_FAILED");
    let undone = [("Function", "UPDATE_COMPLETE", "")];
    cloudformation.then("ContinueUpdateRollback", &UNDONE, &undone);
    updates(&cloudformation);
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{told}");
    insta::assert_snapshot!(told, @r"
    note: the stack `demo` is in UPDATE_ROLLBACK_FAILED: an update failed, and undoing it did too; undoing it is tried once more
      Function: update complete
    ");
    assert_eq!(
        cloudformation.writing(),
        [
            "ContinueUpdateRollback",
            "CreateChangeSet",
            "ExecuteChangeSet"
        ]
    );
    // It is as it should be now.
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!((applied, told.as_str()), (Some(Applied::Unchanged), ""));
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_undone_at_a_second_try_either_is_left_to_a_person_with_the_reason() {
    let cloudformation = CloudFormation::with("UPDATE_ROLLBACK_FAILED");
    let failed = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"];
    let why = [
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
    cloudformation.then("ContinueUpdateRollback", &failed, &why);
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    insta::assert_snapshot!(told, @r"
    note: the stack `demo` is in UPDATE_ROLLBACK_FAILED: an update failed, and undoing it did too; undoing it is tried once more
      Function: update failed
    error: the CloudFormation stack `demo` is in UPDATE_ROLLBACK_FAILED: CloudFormation could not undo an update, and not at a second try either: `Function`: The code `lambda/0a1b.zip` is not in the bucket
      hint: put right what the reason names, and deploy again; or continue the rollback in the CloudFormation console, skipping that resource; or `curfew destroy`
    ");
    assert_eq!(cloudformation.writing(), ["ContinueUpdateRollback"]);

    // The reason is put right: the next deployment goes on from there.
    cloudformation.then("ContinueUpdateRollback", &UNDONE, &[]);
    updates(&cloudformation);
    assert_eq!(deploy(&cloudformation).await.0, Some(Applied::Updated));
}

#[tokio::test(start_paused = true)]
async fn what_is_stuck_is_not_previewed_and_can_be_removed() {
    let cloudformation = CloudFormation::with("UPDATE_ROLLBACK_FAILED");
    let (conn, name) = (cloudformation.connect().await, demo());
    let stack = Stack::new(&conn, &name);
    let error = stack.preview(&parameters()).await.unwrap_err();
    insta::assert_snapshot!(read(&error), @r"
    error: the CloudFormation stack `demo` is in UPDATE_ROLLBACK_FAILED, so what would change can't be told
      hint: wait until it has ended, or `curfew deploy`, which handles it
    ");
    assert_eq!(cloudformation.writing(), [""; 0]);

    let statuses = ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"];
    cloudformation.then("DeleteStack", &statuses, &[]);
    assert!(stack.remove(&Silent).await.unwrap());
    assert!(!stack.remove(&Silent).await.unwrap(), "it is gone");
    assert_eq!(cloudformation.writing(), ["DeleteStack"]);
}

#[tokio::test(start_paused = true)]
async fn two_deployments_that_undo_at_once_come_to_the_same_end() {
    let cloudformation = CloudFormation::with("UPDATE_ROLLBACK_FAILED");
    cloudformation.then_others("ContinueUpdateRollback", &UNDONE);
    updates(&cloudformation);
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{told}");
    insta::assert_snapshot!(told, @r"
    note: the stack `demo` is in UPDATE_ROLLBACK_FAILED: an update failed, and undoing it did too; undoing it is tried once more
      another deployment came first: looking again
      waiting for another deployment to end
    ");
}

#[tokio::test(start_paused = true)]
async fn who_never_gets_a_turn_gives_up_and_says_so() {
    let cloudformation = CloudFormation::with("UPDATE_ROLLBACK_FAILED");
    for _ in 0..Stack::ROUNDS {
        let theirs = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"];
        cloudformation.then_others("ContinueUpdateRollback", &theirs);
    }
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    let error = told.find("error: ").unwrap();
    insta::assert_snapshot!(told[error..], @r"
    error: another deployment of `demo` came first, again and again
      hint: let it end, and deploy again
    ");
    assert_eq!(cloudformation.writing().len(), usize::from(Stack::ROUNDS));
}

#[tokio::test(start_paused = true)]
async fn a_first_deployment_that_could_not_be_undone_is_removed_and_made_anew() {
    let cloudformation = CloudFormation::with("ROLLBACK_FAILED");
    let gone = ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"];
    cloudformation.then("DeleteStack", &gone, &[("Role", "DELETE_COMPLETE", "")]);
    let made = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"];
    cloudformation.then("ExecuteChangeSet", &made, &[]);
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Created), "{told}");
    insta::assert_snapshot!(told, @r"
    note: the stack `demo` is in ROLLBACK_FAILED: its first deployment failed, and undoing it did too; it is removed and made anew
      Role: delete complete
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_failed_and_was_undone_is_made_again() {
    let cloudformation = CloudFormation::with("UPDATE_ROLLBACK_COMPLETE");
    let failed = [
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    ];
    let why = [("Stage", "UPDATE_FAILED", "Rate exceeded")];
    cloudformation.then("ExecuteChangeSet", &failed, &why);
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    insta::assert_snapshot!(told.trim_start(), @r"
    Stage: update failed
    error: the stack `demo` ended in UPDATE_ROLLBACK_COMPLETE: `Stage`: Rate exceeded
      hint: the reason names what AWS did not accept; `curfew deploy` tries again from where it is
    ");
    updates(&cloudformation);
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{told}");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_done_after_ten_minutes_is_not_waited_for_any_longer() {
    let cloudformation = CloudFormation::with("UPDATE_IN_PROGRESS");
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, None);
    insta::assert_snapshot!(told.trim_start(), @r"
    waiting for another deployment to end
    error: the CloudFormation stack `demo` is not done after 10 minutes
      hint: its events in the CloudFormation console say what it waits for; once it has ended, `curfew deploy` goes on from there
    ");
    assert_eq!(cloudformation.writing(), [""; 0]);

    // A concurrent update that ends in time is no error.
    cloudformation.passes_through(&["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]);
    updates(&cloudformation);
    let (applied, told) = deploy(&cloudformation).await;
    assert_eq!(applied, Some(Applied::Updated), "{told}");
}
