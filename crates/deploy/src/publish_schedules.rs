//! Publishes the schedules: the Lambda's configuration and the rules of the edges. A changed schedule needs no stack update.

use curfew_aws::configuration_document::StoredDocument;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::function::check_exists;
use curfew_aws::rules::{RuleReport, Rules, TriggerRule};
use curfew_core::configuration::DocumentVersion;
use curfew_core::deployed_document::{LostSchedules, PublishedDocument, have_same_content};
use curfew_core::stack_name::StackName;

use super::configuration::ConfigurationParameter;
use super::{DeployError, event_bridge, stack_outputs};

/// Updates the configuration and rules of an existing stack, and writes only what differs. Fails and writes nothing if `document` would
/// drop schedules published from another file, because there is no confirmation; also if the stack or its function does not exist, or if
/// the deployed code is too old for the document.
pub async fn publish_schedules(
    conn: &Connection,
    stack: &StackName,
    document: &str,
    wanted: &[TriggerRule],
) -> Result<RuleReport, DeployError> {
    let found = stack_outputs(conn, stack).await?;
    // Code before configuration: a daemon of a newer release writes nothing that the deployed code can't read.
    if !found.reads.reads(DocumentVersion::CURRENT) {
        return Err(DeployError::CodeTooOld {
            stack: stack.clone(),
            reads: found.reads,
            document: DocumentVersion::CURRENT,
        });
    }
    match check_exists(conn, &found.function).await {
        Err(error) if error.kind == CloudErrorKind::NotFound => {
            return Err(DeployError::FunctionMissing {
                stack: stack.clone(),
                function: found.function,
            });
        }
        // Without permission to read the function, the rules are still published.
        Err(error) if error.kind == CloudErrorKind::Denied => {}
        result => result?,
    }
    let parameter = ConfigurationParameter::new(conn, stack);
    let stored = StoredDocument::new(document)?;
    let deployed = parameter.read().await?.and_then(Result::ok);
    if let Some(loss) = schedules_lost_between(deployed.as_deref(), document) {
        let stack = stack.clone();
        return Err(DeployError::WouldDrop { stack, loss });
    }
    // The configuration first: a rule of a schedule that the Lambda does not know would trigger it for nothing. If two files have the same
    // content, the one that published first stays the publisher.
    if !deployed.is_some_and(|deployed| have_same_content(&deployed, document)) {
        parameter.put(&stored).await?;
        parameter.prune().await?;
    }
    let client = event_bridge(conn);
    let rules = Rules::new(client, stack.clone(), found.function_arn);
    Ok(rules.reconcile(wanted).await?)
}

/// Returns the schedules of another file that replacing the deployed configuration with `document` would drop.
pub async fn lost_schedules(
    conn: &Connection,
    stack: &StackName,
    document: &str,
) -> Result<Option<LostSchedules>, CloudError> {
    let deployed = ConfigurationParameter::new(conn, stack).read().await?;
    let deployed = deployed.and_then(Result::ok);
    Ok(schedules_lost_between(deployed.as_deref(), document))
}

fn schedules_lost_between(deployed: Option<&str>, document: &str) -> Option<LostSchedules> {
    let deployed = PublishedDocument::from_json(deployed?);
    deployed.lost_by_replacing_with(&PublishedDocument::from_json(document))
}
