//! SSM parameters, which hold a function's configuration: read by the Lambda, written by a deployment.

use aws_smithy_runtime_api::box_error::BoxError;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use crate::connect::Connection;
use crate::error::{CloudError, CloudErrorKind};
use crate::minimal_client::{ActionClient, Protocol, ServiceAction};
use crate::pages::PageTokens;

const GET_PARAMETER: ServiceAction = action("GetParameter");
const PUT_PARAMETER: ServiceAction = action("PutParameter");
const DELETE_PARAMETER: ServiceAction = action("DeleteParameter");
const GET_PARAMETERS_BY_PATH: ServiceAction = action("GetParametersByPath");

const fn action(name: &'static str) -> ServiceAction {
    ServiceAction {
        service: "SSM",
        host: "ssm",
        name,
        protocol: Protocol::Json {
            content_type: "application/x-amz-json-1.1",
            target: "AmazonSSM",
            query_compatible: false,
        },
    }
}

/// Read access to SSM's parameters in one account and region, which is all that the Lambda needs.
#[derive(Clone, Debug)]
pub struct ParameterStore {
    get: ActionClient<Value>,
}

impl ParameterStore {
    /// The store in the connection's region. Makes no call.
    pub fn new(connection: &Connection) -> Self {
        Self {
            get: GET_PARAMETER.by(&connection.sdk, &connection.calls, read),
        }
    }

    /// `GetParameter`: the value of the parameter of that name, or of that ARN. It is not decrypted.
    pub async fn value(&self, name: &str) -> Result<String, CloudError> {
        Ok(self.get(name).await?.unwrap_or_default())
    }

    /// The value as SSM returned it; none if the response has none.
    async fn get(&self, name: &str) -> Result<Option<String>, CloudError> {
        let request = json!({ "Name": name }).to_string();
        let response = self
            .get
            .invoke(request)
            .await
            .map_err(|error| CloudError::from_sdk("ssm:GetParameter", error))?;
        Ok(response["Parameter"]["Value"].as_str().map(str::to_owned))
    }
}

/// Read and write access to SSM's parameters in one account and region.
#[derive(Clone, Debug)]
pub struct ParameterEditor {
    store: ParameterStore,
    put: ActionClient<IgnoredAny>,
    delete: ActionClient<IgnoredAny>,
    list: ActionClient<ParametersPage>,
}

/// A page of `GetParametersByPath`, reduced to the fields that are read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ParametersPage {
    parameters: Option<Vec<ListedParameter>>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedParameter {
    name: Option<String>,
}

impl ParameterEditor {
    /// The editor in the connection's region. Makes no call.
    pub fn new(connection: &Connection) -> Self {
        let (sdk, calls) = (&connection.sdk, &connection.calls);
        Self {
            store: ParameterStore::new(connection),
            put: PUT_PARAMETER.by(sdk, calls, discard),
            delete: DELETE_PARAMETER.by(sdk, calls, discard),
            list: GET_PARAMETERS_BY_PATH.by(sdk, calls, read),
        }
    }

    /// `GetParameter`: the value of the parameter of that name; none if there is no such parameter. It is not decrypted.
    pub async fn value(&self, name: &str) -> Result<Option<String>, CloudError> {
        match self.store.get(name).await {
            Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
            value => value,
        }
    }

    /// `PutParameter`: creates a parameter of type `String`, or replaces its value.
    pub async fn put(&self, name: &str, description: &str, value: &str) -> Result<(), CloudError> {
        let request = json!({
            "Name": name,
            "Description": description,
            "Value": value,
            "Type": "String",
            "Overwrite": true,
            // Free up to 4096 bytes, and a parameter that was larger before can become smaller again.
            "Tier": "Intelligent-Tiering",
        });
        self.put
            .invoke(request.to_string())
            .await
            .map_err(|error| CloudError::from_sdk("ssm:PutParameter", error))?;
        Ok(())
    }

    /// `DeleteParameter`. Succeeds if there is no such parameter.
    pub async fn delete(&self, name: &str) -> Result<(), CloudError> {
        let request = json!({ "Name": name }).to_string();
        let deleted = self
            .delete
            .invoke(request)
            .await
            .map_err(|error| CloudError::from_sdk("ssm:DeleteParameter", error));
        match deleted {
            Err(error) if error.kind != CloudErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// `GetParametersByPath`, recursively and to the last page: the names of the parameters below a path.
    pub async fn names_below(&self, path: &str) -> Result<Vec<String>, CloudError> {
        let operation = "ssm:GetParametersByPath";
        let mut pages = PageTokens::new(operation);
        let mut token: Option<String> = None;
        let mut names = Vec::new();
        loop {
            let mut request = json!({ "Path": path, "Recursive": true });
            if let Some(token) = token {
                request["NextToken"] = token.into();
            }
            let page = self
                .list
                .invoke(request.to_string())
                .await
                .map_err(|error| CloudError::from_sdk(operation, error))?;
            let parameters = page.parameters.unwrap_or_default();
            names.extend(parameters.into_iter().filter_map(|one| one.name));
            token = pages.follow(page.next_token)?;
            if token.is_none() {
                return Ok(names);
            }
        }
    }
}

fn read<O: DeserializeOwned>(body: &[u8]) -> Result<O, BoxError> {
    Ok(serde_json::from_slice(body)?)
}

/// Parses the response of a call without a result. An empty body is valid, as for the SDK; a truncated one is not.
fn discard(body: &[u8]) -> Result<IgnoredAny, BoxError> {
    if body.is_empty() {
        return Ok(IgnoredAny);
    }
    read(body)
}
