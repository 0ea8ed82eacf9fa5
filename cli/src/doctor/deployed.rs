//! Checks the code of the Lambda, the stack, its rules, its configuration and its queues.

use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::rules::RuleChanges;
use curfew_config::Configuration;
use curfew_core::stack_name::StackName;
use curfew_daemon::run::QueueCounter;
use curfew_deploy::trigger_rules;
use curfew_deploy::{DeployError, DeployedStack, DeployedState, Deployer, StackQueue};

use super::{Check, CheckVerdict};

const DEPLOY: &str = "run `curfew deploy` to update it";
/// A backlog above what an organisation of five hundred accounts sends at one edge. A running daemon receives ten messages at a time.
const MANY: u64 = 1000;

pub(super) async fn code(deployed: &DeployedState<'_>) -> Check {
    match deployed.code().await {
        Ok(code) => Check::ok(
            "code",
            format!("`{}`, {}", code.path.display(), code.architecture.as_str()),
        ),
        // The deployed stack works without local code.
        Err(error) => Check::warn("code", error.to_string(), error.hint()),
    }
}

/// Checks the stack and, if it works, its rules, schedules and queues.
pub(super) async fn stack(
    conn: &Connection,
    deployed: &DeployedState<'_>,
    configuration: &Configuration,
    clock: &Clock,
) -> Vec<Check> {
    let name = &configuration.stack.name;
    let stack = match deployed.stack().await {
        Err(error) => failed("stack", &error),
        Ok(None) => Check::fail(
            "stack",
            format!("`{name}` is not deployed"),
            "run `curfew deploy`, or check the endpoint, the region and the account",
        ),
        Ok(Some(standing)) => classify(name.as_str(), &standing),
    };
    if stack.verdict == CheckVerdict::Fail {
        return vec![stack];
    }
    vec![
        stack,
        rules(deployed, configuration, clock).await,
        schedules(deployed, configuration).await,
        queues(conn, deployed, name).await,
    ]
}

/// Classifies a stack status.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
fn classify(name: &str, standing: &DeployedStack) -> Check {
    let status = standing.status.as_str();
    let found = format!("`{name}` is {status}");
    if standing.deployer == Deployer::OtherTool {
        const HINT: &str = "deploy it again with the tool that created it";
        let found = format!("{found}, deployed by another tool");
        return match status {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Check::ok("stack", found),
            "UPDATE_ROLLBACK_COMPLETE" => Check::warn("stack", found, HINT),
            _ if status.ends_with("_IN_PROGRESS") => Check::warn("stack", found, HINT),
            _ => Check::fail("stack", found, HINT),
        };
    }
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Check::ok("stack", found),
        "UPDATE_ROLLBACK_COMPLETE" => Check::warn(
            "stack",
            format!("{found}: the last update failed; the previous version is running"),
            "run `curfew deploy` to try again and see the error",
        ),
        "REVIEW_IN_PROGRESS" => Check::fail(
            "stack",
            format!("{found}: a deployment was interrupted"),
            "run `curfew deploy` to complete it",
        ),
        _ if status.ends_with("_IN_PROGRESS") => Check::warn(
            "stack",
            format!("{found}: a deployment is in progress"),
            "run `curfew doctor` again when it has finished",
        ),
        _ => Check::fail(
            "stack",
            found,
            "run `curfew deploy` to repair it or to see what to do",
        ),
    }
}

async fn rules(
    deployed: &DeployedState<'_>,
    configuration: &Configuration,
    clock: &Clock,
) -> Check {
    const HINT: &str = "run `curfew deploy` or the daemon to update them";
    let wanted = trigger_rules(configuration, clock);
    let changes = match deployed.rules(&wanted).await {
        Ok(changes) => changes,
        Err(error) => return failed("rules", &error),
    };
    let RuleChanges {
        replace,
        create,
        complete,
        delete,
        keep,
    } = &changes;
    let missing = create.len() + complete.len();
    let stale = delete.len() + replace.len();
    let found = format!("{} in place, {missing} missing, {stale} stale", keep.len());
    match (missing, stale) {
        (0, 0) => Check::ok("rules", format!("{} in place", keep.len())),
        // Stale rules only cause extra invocations of the Lambda.
        (0, _) => Check::warn("rules", found, HINT),
        _ => Check::fail("rules", found, HINT),
    }
}

async fn schedules(deployed: &DeployedState<'_>, configuration: &Configuration) -> Check {
    match deployed
        .has_configuration(&configuration.document.to_json())
        .await
    {
        Ok(true) => Check::ok(
            "schedules",
            "the Lambda has the schedules of the configuration",
        ),
        Ok(false) => Check::fail(
            "schedules",
            "the Lambda has other schedules than the configuration",
            DEPLOY,
        ),
        Err(error) => failed("schedules", &error.into()),
    }
}

/// Counts the messages as the daemon does, so that both report the same numbers.
async fn queues(conn: &Connection, deployed: &DeployedState<'_>, stack: &StackName) -> Check {
    let mut counter = QueueCounter::of_stack(conn, stack);
    let mut depth = async |queue| {
        let url = deployed.queue_url(queue).await;
        counter.set_url(queue, url.map_err(|error| failed("queues", &error))?);
        match counter.count(queue).await.map_err(DeployError::from) {
            // Stacks of earlier releases have fewer queues.
            Ok(None) if queue == StackQueue::FailedInvocations => Ok(0),
            Ok(None) => Err(Check::fail(
                "queues",
                format!("the queue `{}` does not exist", queue.name(stack)),
                DEPLOY,
            )),
            Ok(Some(messages)) => Ok(messages),
            Err(error) => Err(failed("queues", &error)),
        }
    };
    let depths = async {
        Ok::<_, Check>(Depths {
            changes: depth(StackQueue::StateChanges).await?,
            unread: depth(StackQueue::UnreadStateChanges).await?,
            work: depth(StackQueue::Work).await?,
            undone: depth(StackQueue::UndoneWork).await?,
            failed: depth(StackQueue::FailedInvocations).await?,
        })
    };
    match depths.await {
        Ok(depths) => depths.check(),
        Err(check) => check,
    }
}

/// The number of messages in each queue of the stack.
struct Depths {
    changes: u64,
    unread: u64,
    work: u64,
    undone: u64,
    failed: u64,
}

impl Depths {
    fn check(&self) -> Check {
        let Self {
            changes,
            unread,
            work,
            undone,
            failed,
        } = self;
        let counted = |number: u64, noun: &str| {
            crate::output::counted(usize::try_from(number).unwrap_or(usize::MAX), noun)
        };
        let found = format!(
            "{} and {} waiting, {}",
            counted(*changes, "state change"),
            if *work == 1 {
                "1 pass".to_owned()
            } else {
                format!("{work} passes")
            },
            counted(unread + undone + failed, "dead letter")
        );
        let most_telling = match (failed, undone, unread, work, changes) {
            (1.., ..) => StackQueue::FailedInvocations,
            (_, 1.., ..) => StackQueue::UndoneWork,
            (_, _, 1.., ..) => StackQueue::UnreadStateChanges,
            (_, _, _, MANY.., _) => StackQueue::Work,
            (.., MANY..) => StackQueue::StateChanges,
            _ => return Check::ok("queues", found),
        };
        Check::warn("queues", found, most_telling.advice())
    }
}

fn failed(check: &'static str, error: &DeployError) -> Check {
    Check::fail(check, error.to_string(), error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_statuses_are_classified() {
        let verdicts = [
            "CREATE_COMPLETE",
            "UPDATE_ROLLBACK_COMPLETE",
            "UPDATE_IN_PROGRESS",
            "REVIEW_IN_PROGRESS",
            "ROLLBACK_COMPLETE",
            "UPDATE_ROLLBACK_FAILED",
        ]
        .map(|status| {
            let by = |deployer| {
                let status = status.to_owned();
                classify("curfew", &DeployedStack { status, deployer }).verdict
            };
            (
                by(Deployer::Curfew).as_str(),
                by(Deployer::OtherTool).as_str(),
            )
        });
        assert_eq!(
            verdicts,
            [
                ("ok", "ok"),
                ("warn", "warn"),
                ("warn", "warn"),
                ("fail", "warn"),
                ("fail", "fail"),
                ("fail", "fail")
            ]
        );
    }

    #[test]
    fn dead_letters_and_backlogs_are_reported() {
        let checked = |changes, unread, work, undone| {
            let depths = Depths {
                changes,
                unread,
                work,
                undone,
                failed: 0,
            };
            let check = depths.check();
            (check.verdict.as_str(), check.hint.unwrap_or_default())
        };
        assert_eq!(checked(3, 0, 999, 0), ("ok", String::new()));
        assert!(checked(0, 0, 0, 1).1.contains("undone-work"));
        assert!(checked(0, 2, 0, 0).1.contains("unread-state-changes"));
        assert!(checked(0, 0, 1000, 0).1.contains("throttles"));
        assert_eq!(checked(1000, 0, 0, 0).0, "warn");
        let failed = Depths {
            changes: 0,
            unread: 0,
            work: 0,
            undone: 0,
            failed: 3,
        };
        let check = failed.check();
        assert_eq!(
            check.message,
            "0 state changes and 0 passes waiting, 3 dead letters"
        );
        assert!(check.hint.unwrap().contains("failed-invocations"));
    }
}
