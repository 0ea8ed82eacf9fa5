//! Reads API Gateway's settings of an account and region.

use aws_smithy_runtime_api::box_error::BoxError;
use serde::Deserialize;

use crate::connect::Connection;
use crate::error::CloudError;
use crate::minimal_client::{Protocol, ServiceAction};

const GET_ACCOUNT: ServiceAction = ServiceAction {
    service: "API Gateway",
    host: "apigateway",
    name: "GetAccount",
    protocol: Protocol::Get,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayAccount {
    cloudwatch_role_arn: Option<String>,
}

/// `GetAccount`: whether API Gateway has a role to write logs with, in the connection's account and region.
/// <https://docs.aws.amazon.com/apigateway/latest/api/API_GetAccount.html>
pub async fn may_write_logs(connection: &Connection) -> Result<bool, CloudError> {
    let account = GET_ACCOUNT
        .by(&connection.sdk, &connection.calls, read)
        .invoke("/account".to_owned())
        .await
        // The IAM action, which differs from the operation's name.
        .map_err(|error| CloudError::from_sdk("apigateway:GET", error))?;
    let role = account.cloudwatch_role_arn;
    Ok(role.is_some_and(|arn| !arn.is_empty()))
}

fn read(body: &[u8]) -> Result<GatewayAccount, BoxError> {
    Ok(serde_json::from_slice(body)?)
}
