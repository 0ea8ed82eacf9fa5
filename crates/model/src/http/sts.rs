//! STS's query protocol: forms in, XML out.

use super::outgoing::OutgoingResponse;
use super::xml::Xml;
use crate::error::ModelError;
use crate::request::{ApiRequest, ModelResponse};
use crate::role::{Credentials, TokenCall};

const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The default session duration of `AssumeRole`.
const SECONDS: i64 = 3600;

pub(super) fn parse(form: &[(String, String)]) -> (String, Result<ApiRequest, ModelError>) {
    let get = |wanted: &str| {
        form.iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let name = get("Action").unwrap_or_default().to_owned();
    let required = |wanted: &str| {
        get(wanted)
            .map(str::to_owned)
            .ok_or_else(|| ModelError::missing_parameter(wanted))
    };
    let version = get("Version").unwrap_or(VERSION);
    let call = match (name.as_str(), version) {
        ("GetCallerIdentity", VERSION) => Ok(TokenCall::Identity),
        ("AssumeRole", VERSION) => required("RoleArn").and_then(|role| {
            let seconds = get("DurationSeconds").map_or(Ok(SECONDS), str::parse);
            Ok(TokenCall::AssumeRole {
                role,
                session: required("RoleSessionName")?,
                external_id: get("ExternalId").map(str::to_owned),
                seconds: seconds
                    .map_err(|_| ModelError::client("ValidationError", "no number of seconds"))?,
            })
        }),
        _ => Err(ModelError::invalid_action(&name, version)),
    };
    (name, call.map(ApiRequest::Token))
}

pub(super) fn outgoing(
    action: &str,
    request_id: &str,
    result: &Result<ModelResponse, ModelError>,
) -> OutgoingResponse {
    let mut xml = Xml::new();
    let status = match result {
        Ok(answer) => {
            xml.spaced_element(&format!("{action}Response"), Some(NAMESPACE), |xml| {
                xml.element(&format!("{action}Result"), |xml| render(xml, answer));
                xml.element("ResponseMetadata", |xml| xml.text("RequestId", request_id));
            });
            200
        }
        Err(error) => {
            xml.spaced_element("ErrorResponse", Some(NAMESPACE), |xml| {
                xml.element("Error", |xml| {
                    xml.text("Type", "Sender");
                    xml.text("Code", &error.code);
                    xml.text("Message", &error.message);
                });
                xml.text("RequestId", request_id);
            });
            error.status
        }
    };
    OutgoingResponse {
        status,
        headers: vec![("content-type", "text/xml".to_owned())],
        body: xml.finish(),
    }
}

fn render(xml: &mut Xml, answer: &ModelResponse) {
    match answer {
        ModelResponse::Credentials(issued) => credentials(xml, issued),
        ModelResponse::Identity(identity) => {
            xml.text("Arn", &identity.arn);
            xml.text("UserId", &identity.id);
            xml.text("Account", &identity.account);
        }
        _ => {}
    }
}

fn credentials(xml: &mut Xml, issued: &Credentials) {
    xml.element("AssumedRoleUser", |xml| {
        xml.text("AssumedRoleId", &issued.identity.id);
        xml.text("Arn", &issued.identity.arn);
    });
    xml.element("Credentials", |xml| {
        xml.text("AccessKeyId", &issued.key);
        xml.text("SecretAccessKey", &issued.secret);
        xml.text("SessionToken", &issued.token);
        let expires = issued.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        xml.text("Expiration", &expires);
    });
}
