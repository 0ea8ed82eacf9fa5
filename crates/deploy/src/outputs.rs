//! The endpoints and names of a deployment.

use std::env;

use aws_sdk_cloudformation::types::Stack as Description;
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_core::configuration::DocumentVersion;
use serde::Serialize;

/// The endpoints and names of a deployment. Scripts rely on its JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Outputs {
    /// The URL of the API, without a `/` at the end: `…/status` is a route.
    pub api_url: String,
    /// The API's URL in a browser, in GitHub Codespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_url: Option<String>,
    /// The API's id in API Gateway.
    pub api_id: String,
    /// The name of the API's stage.
    pub stage: String,
    /// The name of the Lambda function.
    pub function: String,
    /// The URL of the queue of EC2 state changes.
    pub queue_url: String,
    /// The names of the EventBridge rules that trigger the function.
    pub rules: Vec<String>,
}

/// The outputs of the CloudFormation stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StackOutputs {
    api_id: String,
    api_url: String,
    stage: String,
    pub(super) function: String,
    pub(super) function_arn: String,
    pub(super) queue_url: String,
    /// The version of the configuration that the deployed code reads.
    pub(super) reads: DocumentVersion,
}

/// Reads the outputs of a stack; fails with the name of a missing output. MiniStack reports `CREATE_COMPLETE` even if resources could not
/// be created, and then outputs are missing.
pub(super) fn read_outputs(stack: &Description) -> Result<StackOutputs, &'static str> {
    let get = |key: &'static str| {
        let mut outputs = stack.outputs().iter();
        let found = outputs.find(|output| output.output_key() == Some(key));
        let value = found.and_then(|output| output.output_value());
        value
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .ok_or(key)
    };
    Ok(StackOutputs {
        api_id: get("ApiId")?,
        api_url: get("ApiUrl")?,
        stage: get("Stage")?,
        function: get("FunctionName")?,
        function_arn: get("FunctionArn")?,
        queue_url: get("QueueUrl")?,
        // Releases before documents had versions have no such output.
        reads: get("DocumentVersion")
            .ok()
            .and_then(|version| version.parse().ok())
            .unwrap_or(DocumentVersion::UNNAMED),
    })
}

impl StackOutputs {
    pub(super) fn with_rules(self, conn: &Connection, rules: Vec<String>) -> Outputs {
        let (api_url, forwarded_url) = match (EndpointKind::of(conn), conn.endpoint()) {
            (EndpointKind::Emulator | EndpointKind::LocalEmulator, Some(endpoint)) => {
                let path = format!("restapis/{}/{}/_user_request_", self.api_id, self.stage);
                let forwarded = Codespace::from_environment()
                    .and_then(|codespace| codespace.forwarded(endpoint, &path));
                let api_url = format!("{}/{path}", endpoint.trim_end_matches('/'));
                (api_url, forwarded)
            }
            _ => (self.api_url, None),
        };
        Outputs {
            api_url,
            forwarded_url,
            api_id: self.api_id,
            stage: self.stage,
            function: self.function,
            queue_url: self.queue_url,
            rules,
        }
    }
}

/// A GitHub Codespace, which forwards ports of this machine under another host name.
///
/// <https://docs.github.com/en/codespaces/developing-in-a-codespace/default-environment-variables-for-your-codespace>
#[derive(Clone, Debug, PartialEq, Eq)]
struct Codespace {
    name: String,
    domain: String,
}

impl Codespace {
    fn from_environment() -> Option<Self> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self {
            name: set("CODESPACE_NAME")?,
            domain: set("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")?,
        })
    }

    fn forwarded(&self, endpoint: &str, path: &str) -> Option<String> {
        let (_, port) = endpoint.trim_end_matches('/').rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        Some(format!(
            "https://{}-{port}.{}/{path}",
            self.name, self.domain
        ))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::Output;

    use super::*;

    fn stack(outputs: &[&str]) -> Description {
        let outputs = outputs.iter().map(|key| {
            Output::builder()
                .output_key(*key)
                .output_value(format!("the {key}"))
                .build()
        });
        Description::builder()
            .set_outputs(Some(outputs.collect()))
            .build()
    }

    #[test]
    fn a_missing_output_is_an_error() {
        let all = [
            "ApiId",
            "ApiUrl",
            "Stage",
            "FunctionName",
            "FunctionArn",
            "QueueUrl",
        ];
        assert!(read_outputs(&stack(&all)).is_ok());
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            let key = some.remove(missing);
            assert_eq!(read_outputs(&stack(&some)), Err(key));
        }
    }

    #[test]
    fn codespaces_forwards_the_emulators_port() {
        let codespace = Codespace {
            name: "fuzzy-disco".to_owned(),
            domain: "app.github.dev".to_owned(),
        };
        assert_eq!(
            codespace.forwarded("http://127.0.0.1:4566", "restapis/a1/prod/_user_request_"),
            Some("https://fuzzy-disco-4566.app.github.dev/restapis/a1/prod/_user_request_".into())
        );
        assert_eq!(codespace.forwarded("http://localhost", "x"), None);
    }
}
