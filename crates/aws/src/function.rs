//! Checks that a Lambda function exists.

use aws_smithy_runtime_api::box_error::BoxError;
use serde::Deserialize;

use crate::connect::Connection;
use crate::error::CloudError;
use crate::minimal_client::{Protocol, ServiceAction};

const GET_CONFIGURATION: ServiceAction = ServiceAction {
    service: "Lambda",
    host: "lambda",
    name: "GetFunctionConfiguration",
    protocol: Protocol::Get,
};

#[derive(Debug, Deserialize)]
struct FunctionConfiguration {}

/// `GetFunctionConfiguration`: fails with [`NotFound`](crate::error::CloudErrorKind::NotFound) where there is no function of this
/// name in the connection's account and region.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>
pub async fn check_exists(connection: &Connection, name: &str) -> Result<(), CloudError> {
    GET_CONFIGURATION
        .by(&connection.sdk, &connection.calls, read)
        .invoke(format!("/2015-03-31/functions/{name}/configuration"))
        .await
        .map(drop)
        .map_err(|error| CloudError::from_sdk("lambda:GetFunctionConfiguration", error))
}

fn read(body: &[u8]) -> Result<FunctionConfiguration, BoxError> {
    Ok(serde_json::from_slice(body)?)
}
