//! Parameters of SSM, in which a function's configuration is.

use aws_smithy_runtime_api::box_error::BoxError;
use serde_json::{Value, json};

use crate::connect::Connection;
use crate::error::CloudError;
use crate::service::{Action, Call, Protocol};

const GET_PARAMETER: Action = Action {
    service: "SSM",
    host: "ssm",
    name: "GetParameter",
    protocol: Protocol::Json {
        content_type: "application/x-amz-json-1.1",
        target: "AmazonSSM",
        query_compatible: false,
    },
};

/// SSM's parameters in one account and region.
#[derive(Clone, Debug)]
pub struct ParameterStore {
    get: Call<Value>,
}

impl ParameterStore {
    /// The one of the connection's region. Nothing is read yet.
    pub fn new(connection: &Connection) -> Self {
        Self {
            get: GET_PARAMETER.by(&connection.sdk, &connection.calls, read),
        }
    }

    /// `GetParameter`: the value of the parameter of that name, or of that ARN. It is not decrypted.
    pub async fn value(&self, name: &str) -> Result<String, CloudError> {
        let question = json!({ "Name": name }).to_string();
        let answer = self
            .get
            .invoke(question)
            .await
            .map_err(|error| CloudError::from_sdk("ssm:GetParameter", error))?;
        Ok(answer["Parameter"]["Value"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }
}

fn read(body: &[u8]) -> Result<Value, BoxError> {
    Ok(serde_json::from_slice(body)?)
}
