//! The part of a deployment that is data: the schedules' rules and the Lambda's settings. A changed schedule needs no stack update.

use curfew_aws::connect::Connection;
use curfew_aws::document::Stored;
use curfew_aws::rules::{RuleReport, Rules, StackName, WakeUpRule};

use super::settings::SettingsParameter;
use super::{DeployError, event_bridge, stack_outputs};

/// Brings the settings and rules of a stack that is there up to date, and writes only what differs.
pub async fn publish(
    conn: &Connection,
    stack: &StackName,
    document: &str,
    wanted: &[WakeUpRule],
) -> Result<RuleReport, DeployError> {
    let found = stack_outputs(conn, stack).await?;
    let parameter = SettingsParameter::new(conn, stack);
    let stored = Stored::new(document)?;
    // The settings first: a rule of a schedule that the Lambda does not know yet would wake it for nothing.
    if !parameter.holds(document).await? {
        parameter.put(&stored).await?;
        parameter.prune().await?;
    }
    let client = event_bridge(conn);
    let rules = Rules::new(client, stack.clone(), found.function_arn);
    Ok(rules.reconcile(wanted).await?)
}
