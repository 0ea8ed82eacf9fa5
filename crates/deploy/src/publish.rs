//! The part of a deployment that is data: the schedules' rules and the Lambda's configuration. A changed schedule needs no stack update.

use curfew_aws::configuration_document::StoredDocument;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::function::check_exists;
use curfew_aws::rules::{RuleReport, Rules, TriggerRule};
use curfew_core::configuration::DocumentVersion;
use curfew_core::published::{LostSchedules, PublishedDocument, have_same_content};
use curfew_core::stack_name::StackName;

use super::configuration::ConfigurationParameter;
use super::{DeployError, event_bridge, stack_outputs};

/// Brings the configuration and rules of an existing stack up to date, and writes only what differs. Runs without
/// confirmation: a document that would drop schedules published from another file is refused, and nothing is written. Fails,
/// too, where the stack or its function is gone.
pub async fn publish(
    conn: &Connection,
    stack: &StackName,
    document: &str,
    wanted: &[TriggerRule],
) -> Result<RuleReport, DeployError> {
    let found = stack_outputs(conn, stack).await?;
    // Code goes before configuration: a daemon of a newer release leaves alone what the deployed code could not read.
    if !found.reads.reads(DocumentVersion::CURRENT) {
        return Err(DeployError::OldCode {
            stack: stack.clone(),
            reads: found.reads,
            document: DocumentVersion::CURRENT,
        });
    }
    match check_exists(conn, &found.function).await {
        Err(error) if error.kind == CloudErrorKind::NotFound => {
            return Err(DeployError::NoFunction {
                stack: stack.clone(),
                function: found.function,
            });
        }
        // These credentials may not look; the rules are kept all the same.
        Err(error) if error.kind == CloudErrorKind::Denied => {}
        looked => looked?,
    }
    let parameter = ConfigurationParameter::new(conn, stack);
    let stored = StoredDocument::new(document)?;
    let deployed = parameter.read().await?.and_then(Result::ok);
    if let Some(loss) = lost(deployed.as_deref(), document) {
        let stack = stack.clone();
        return Err(DeployError::WouldDrop { stack, loss });
    }
    // The configuration first: a rule of a schedule that the Lambda does not know yet would wake it for nothing. Where two files say the
    // same, the one that published it stays its publisher.
    if !deployed.is_some_and(|deployed| have_same_content(&deployed, document)) {
        parameter.put(&stored).await?;
        parameter.prune().await?;
    }
    let client = event_bridge(conn);
    let rules = Rules::new(client, stack.clone(), found.function_arn);
    Ok(rules.reconcile(wanted).await?)
}

/// What a person has to confirm before `document` takes the place of what is deployed.
pub async fn loss(
    conn: &Connection,
    stack: &StackName,
    document: &str,
) -> Result<Option<LostSchedules>, CloudError> {
    let deployed = ConfigurationParameter::new(conn, stack).read().await?;
    let deployed = deployed.and_then(Result::ok);
    Ok(lost(deployed.as_deref(), document))
}

fn lost(deployed: Option<&str>, document: &str) -> Option<LostSchedules> {
    let deployed = PublishedDocument::from_json(deployed?);
    deployed.lost_by_replacing_with(&PublishedDocument::from_json(document))
}
