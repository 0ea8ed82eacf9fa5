//! What is in the cloud, or would be deployed there: the Lambda's code, the stack, its rules, configuration and queues.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::rules::RuleChanges;
use curfew_config::Configuration;
use curfew_deploy::trigger_rules;
use curfew_deploy::{DeployError, Deployer, StackQueue, Standing, Survey, is_no_queue};

use super::{Check, Verdict};

const DEPLOY: &str = "`curfew deploy` brings it in step";
/// More than an organisation of five hundred accounts sends at one edge; a daemon that reads takes ten at a time.
const MANY: u64 = 1000;

pub(super) async fn code(survey: &Survey<'_>) -> Check {
    match survey.code().await {
        Ok(code) => Check::ok(
            "code",
            format!("`{}`, {}", code.path.display(), code.architecture.as_str()),
        ),
        // What is deployed works without it.
        Err(error) => Check::warn("code", error.to_string(), error.hint()),
    }
}

/// The stack, and if it is there, what belongs to it.
pub(super) async fn stack(
    conn: &Connection,
    survey: &Survey<'_>,
    configuration: &Configuration,
    clock: &Clock,
) -> Vec<Check> {
    let name = &configuration.stack.name;
    let stack = match survey.standing().await {
        Err(error) => failed("stack", &error),
        Ok(None) => Check::fail(
            "stack",
            format!("`{name}` is not deployed here"),
            "`curfew deploy`; or check the endpoint, the region and the account",
        ),
        Ok(Some(standing)) => judge(name.as_str(), &standing),
    };
    if stack.verdict == Verdict::Fail {
        return vec![stack];
    }
    vec![
        stack,
        rules(survey, configuration, clock).await,
        schedules(survey, configuration).await,
        queues(conn, survey).await,
    ]
}

/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
fn judge(name: &str, standing: &Standing) -> Check {
    let status = standing.status.as_str();
    let found = format!("`{name}` is {status}");
    if standing.deployer == Deployer::OtherTool {
        const HINT: &str = "deploy it again with the tool that made it";
        let found = format!("{found}, and was not made by `curfew deploy`");
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
            format!("{found}: the last update failed, and what was there before runs"),
            "`curfew deploy` tries again and says what fails",
        ),
        "REVIEW_IN_PROGRESS" => Check::fail(
            "stack",
            format!("{found}: an interrupted deployment left its name"),
            "`curfew deploy` completes it",
        ),
        _ if status.ends_with("_IN_PROGRESS") => Check::warn(
            "stack",
            format!("{found}: somebody deploys"),
            "ask again when it has ended",
        ),
        _ => Check::fail(
            "stack",
            found,
            "`curfew deploy` repairs it, or says what a person has to do",
        ),
    }
}

async fn rules(survey: &Survey<'_>, configuration: &Configuration, clock: &Clock) -> Check {
    const HINT: &str = "`curfew deploy`, or a daemon that runs, brings them in step";
    let wanted = trigger_rules(configuration, clock);
    let changes = match survey.rules(&wanted).await {
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
        // They wake the Lambda for nothing, which does no harm.
        (0, _) => Check::warn("rules", found, HINT),
        _ => Check::fail("rules", found, HINT),
    }
}

async fn schedules(survey: &Survey<'_>, configuration: &Configuration) -> Check {
    match survey
        .has_configuration(&configuration.document.to_json())
        .await
    {
        Ok(true) => Check::ok("schedules", "the Lambda's are those of the configuration"),
        Ok(false) => Check::fail(
            "schedules",
            "the Lambda's are others than the configuration'",
            DEPLOY,
        ),
        Err(error) => failed("schedules", &error.into()),
    }
}

async fn queues(conn: &Connection, survey: &Survey<'_>) -> Check {
    let client = Client::new(&conn.sdk);
    let depth = async |queue| -> Result<u64, DeployError> {
        let url = survey.queue_url(queue).await?;
        let answer = client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("sqs:GetQueueAttributes", error));
        let answer = match answer {
            // A stack of a release before has fewer queues.
            Err(error) if is_no_queue(&error) && queue == StackQueue::FailedInvocations => {
                return Ok(0);
            }
            answer => answer?,
        };
        let attributes = answer.attributes.unwrap_or_default();
        let number = attributes.get(&QueueAttributeName::ApproximateNumberOfMessages);
        Ok(number
            .and_then(|text| text.parse().ok())
            .unwrap_or_default())
    };
    let depths = async {
        Ok::<_, DeployError>(Depths {
            changes: depth(StackQueue::StateChanges).await?,
            unread: depth(StackQueue::UnreadStateChanges).await?,
            work: depth(StackQueue::Work).await?,
            undone: depth(StackQueue::UndoneWork).await?,
            failed: depth(StackQueue::FailedInvocations).await?,
        })
    };
    match depths.await {
        Ok(depths) => depths.judge(),
        Err(error) => failed("queues", &error),
    }
}

/// Messages in each of the stack's queues.
struct Depths {
    changes: u64,
    unread: u64,
    work: u64,
    undone: u64,
    failed: u64,
}

impl Depths {
    fn judge(&self) -> Check {
        let Self {
            changes,
            unread,
            work,
            undone,
            failed,
        } = self;
        let found = format!(
            "{changes} state changes and {work} passes wait, {} dead letters",
            unread + undone + failed
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
    fn a_stack_is_judged_by_what_it_still_does() {
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
                judge("curfew", &Standing { status, deployer }).verdict
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
    fn dead_letters_are_told_and_so_is_a_queue_that_nobody_reads() {
        let judged = |changes, unread, work, undone| {
            let depths = Depths {
                changes,
                unread,
                work,
                undone,
                failed: 0,
            };
            let check = depths.judge();
            (check.verdict.as_str(), check.hint.unwrap_or_default())
        };
        assert_eq!(judged(3, 0, 999, 0), ("ok", String::new()));
        assert!(judged(0, 0, 0, 1).1.contains("undone-work"));
        assert!(judged(0, 2, 0, 0).1.contains("unread-state-changes"));
        assert!(judged(0, 0, 1000, 0).1.contains("throttles"));
        assert_eq!(judged(1000, 0, 0, 0).0, "warn");
        let failed = Depths {
            changes: 0,
            unread: 0,
            work: 0,
            undone: 0,
            failed: 3,
        };
        let check = failed.judge();
        assert_eq!(
            check.message,
            "0 state changes and 0 passes wait, 3 dead letters"
        );
        assert!(check.hint.unwrap().contains("failed-invocations"));
    }
}
