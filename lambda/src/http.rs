//! HTTP requests as API Gateway and function URLs deliver them, in payload 1.0 (REST proxy) and 2.0 (HTTP API, function URL), and
//! the response envelope that all of them accept.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// An HTTP request, independent of the payload version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method in upper case.
    pub method: String,
    /// The path as received, which may begin with the stage or an emulator's prefix.
    pub path: String,
    /// The stage of the API, which may be the first segment of the path.
    pub stage: String,
    /// The value of `{proxy+}`: the path without any prefix. Empty for the API's root, if the event identifies it.
    pub proxy: Option<String>,
    /// The decoded query parameters, with repeated keys.
    pub query: Vec<(String, String)>,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text; empty if absent.
    pub body: Result<String, BodyError>,
    /// The ARN of the IAM identity that signed the request, if API Gateway or the function URL verified a signature.
    pub caller: Option<String>,
    /// The client's IP address.
    pub source_ip: Option<String>,
}

/// Reports a body that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The event declares base64, but the body is not.
    #[error("the body is declared as base64 but is not valid base64")]
    Base64,
    /// The body is not valid UTF-8.
    #[error("the body is not UTF-8 text")]
    Utf8,
    /// The body exceeds the limit.
    #[error("the body is longer than {} bytes", HttpRequest::MAX_BODY_LENGTH)]
    TooLong,
}

impl HttpRequest {
    /// The limit in bytes. A thousand instance ids fit into 20 kB.
    const MAX_BODY_LENGTH: usize = 64 * 1024;

    /// Reads a REST proxy event, payload 1.0.
    ///
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
    pub(crate) fn from_rest_proxy(event: &Value) -> Result<Self, serde_json::Error> {
        let RestProxy {
            http_method,
            resource,
            path,
            headers,
            multi_value_headers,
            query_string_parameters,
            multi_value_query_string_parameters,
            path_parameters,
            request_context: context,
            body,
            is_base64_encoded,
        } = RestProxy::deserialize(event)?;
        let multi_value =
            multi_value_query_string_parameters.filter(|multi_value| !multi_value.is_empty());
        let multi_value = multi_value.map(|multi_value| {
            let pairs = multi_value.into_iter().flat_map(|(key, values)| {
                values.into_iter().map(move |value| (key.clone(), value))
            });
            pairs.collect()
        });
        let single = || {
            query_string_parameters
                .unwrap_or_default()
                .into_iter()
                .collect()
        };
        let last = |(name, values): (String, Vec<String>)| Some((name, values.into_iter().last()?));
        let mut all_headers: BTreeMap<String, String> = multi_value_headers
            .unwrap_or_default()
            .into_iter()
            .filter_map(last)
            .collect();
        all_headers.extend(headers.unwrap_or_default());
        let identity = context.identity.unwrap_or_default();
        Ok(Self {
            method: http_method.to_ascii_uppercase(),
            path,
            stage: context.stage,
            proxy: match resource.as_deref() {
                Some("/") => Some(String::new()),
                _ => path_parameters.and_then(|parameters| parameters.proxy),
            },
            query: multi_value.unwrap_or_else(single),
            headers: lower_case(all_headers),
            body: text(body, is_base64_encoded),
            caller: non_empty(identity.user_arn),
            source_ip: identity.source_ip,
        })
    }

    /// Reads an HTTP API or function URL event, payload 2.0.
    ///
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
    pub(crate) fn from_http_api(event: &Value) -> Result<Self, serde_json::Error> {
        let HttpApi {
            raw_path,
            raw_query_string,
            headers,
            path_parameters,
            request_context: context,
            body,
            is_base64_encoded,
        } = HttpApi::deserialize(event)?;
        // `queryStringParameters` joins repeated keys with commas; only the raw text separates them.
        let query = form_urlencoded::parse(raw_query_string.unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let caller = context.authorizer.and_then(|authorizer| authorizer.iam);
        Ok(Self {
            method: context.http.method.to_ascii_uppercase(),
            path: raw_path,
            stage: context.stage,
            proxy: path_parameters.and_then(|parameters| parameters.proxy),
            query,
            headers: lower_case(headers.unwrap_or_default()),
            body: text(body, is_base64_encoded),
            caller: non_empty(caller.and_then(|iam| iam.user_arn)),
            source_ip: context.http.source_ip,
        })
    }

    /// Returns a header's value by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Maps an empty ARN, which an emulator may send for an unsigned request, to `None`.
fn non_empty(arn: Option<String>) -> Option<String> {
    arn.filter(|arn| !arn.is_empty())
}

fn lower_case(headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

fn text(body: Option<String>, is_base64: Option<bool>) -> Result<String, BodyError> {
    let body = body.unwrap_or_default();
    let body = if is_base64 == Some(true) {
        let bytes = BASE64_STANDARD
            .decode(body)
            .map_err(|_| BodyError::Base64)?;
        String::from_utf8(bytes).map_err(|_| BodyError::Utf8)?
    } else {
        body
    };
    if body.len() > HttpRequest::MAX_BODY_LENGTH {
        Err(BodyError::TooLong)
    } else {
        Ok(body)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestProxy {
    http_method: String,
    /// The resource path of API Gateway, such as `/{proxy+}`.
    resource: Option<String>,
    path: String,
    headers: Option<BTreeMap<String, String>>,
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    query_string_parameters: Option<BTreeMap<String, String>>,
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    path_parameters: Option<PathParameters>,
    request_context: RestContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct RestContext {
    /// Absent from a load balancer's event, which otherwise has the same shape.
    stage: String,
    identity: Option<RestIdentity>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestIdentity {
    source_ip: Option<String>,
    user_arn: Option<String>,
}

#[derive(Deserialize)]
struct PathParameters {
    proxy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpApi {
    raw_path: String,
    raw_query_string: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    path_parameters: Option<PathParameters>,
    request_context: HttpContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct HttpContext {
    stage: String,
    http: HttpDetails,
    authorizer: Option<Authorizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpDetails {
    method: String,
    source_ip: Option<String>,
}

#[derive(Deserialize)]
struct Authorizer {
    iam: Option<IamAuthorizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IamAuthorizer {
    user_arn: Option<String>,
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers, each name once.
    pub headers: BTreeMap<&'static str, String>,
    /// The body as text; empty for none.
    pub body: String,
}

impl HttpResponse {
    /// Creates a response with a JSON body.
    pub(crate) fn json(status: u16, document: &Value) -> Self {
        Self::text(
            status,
            "application/json; charset=utf-8",
            format!("{document}\n"),
        )
    }

    /// Creates a response with a text body of this content type.
    pub(crate) fn text(status: u16, content_type: &str, body: String) -> Self {
        let mut response = Self::empty(status);
        response
            .headers
            .insert("Content-Type", content_type.to_owned());
        response.body = body;
        response
    }

    /// Creates a response without a body. Responses are not cached, because the fleet's state changes at any time.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: BTreeMap::from([
                ("Cache-Control", "no-store".to_owned()),
                ("X-Content-Type-Options", "nosniff".to_owned()),
            ]),
            body: String::new(),
        }
    }

    /// Returns the response envelope that REST proxies, HTTP APIs and function URLs accept.
    pub fn envelope(&self) -> Value {
        json!({
            "statusCode": self.status,
            "headers": self.headers,
            "body": self.body,
            "isBase64Encoded": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http_api(changes: &[(&str, Value)]) -> HttpRequest {
        let mut event = json!({
            "version": "2.0", "rawPath": "/prod/status", "rawQueryString": "",
            "headers": {"User-Agent": "x"},
            "requestContext": {"stage": "prod", "http": {"method": "get", "sourceIp": "192.0.2.7"}},
        });
        for (key, value) in changes {
            event[*key] = value.clone();
        }
        HttpRequest::from_http_api(&event).unwrap()
    }

    #[test]
    fn repeated_query_keys_are_kept_and_decoded() {
        let request = http_api(&[(
            "rawQueryString",
            "instance=i-1&instance=i-2&tag=Team%3AA%26B+C".into(),
        )]);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            request.query,
            [
                pair("instance", "i-1"),
                pair("instance", "i-2"),
                pair("tag", "Team:A&B C")
            ]
        );
        assert_eq!(
            (request.method.as_str(), request.header("user-agent")),
            ("GET", Some("x"))
        );
    }

    #[test]
    fn a_body_is_decoded_from_text_or_base64() {
        let body = |body: &str, base64: bool| {
            http_api(&[
                ("body", body.into()),
                ("isBase64Encoded", Value::Bool(base64)),
            ])
            .body
        };
        assert_eq!(body("eyJhIjoxfQ==", true).as_deref(), Ok(r#"{"a":1}"#));
        assert_eq!(body("eyJhIjoxfQ==", false).as_deref(), Ok("eyJhIjoxfQ=="));
        assert_eq!(body("no base64!", true), Err(BodyError::Base64));
        assert_eq!(body("/w==", true), Err(BodyError::Utf8));
        assert_eq!(
            body(&"x".repeat(HttpRequest::MAX_BODY_LENGTH + 1), false),
            Err(BodyError::TooLong)
        );
    }

    #[test]
    fn a_load_balancer_event_is_not_a_rest_proxy_event() {
        let event = json!({"httpMethod": "GET", "path": "/", "requestContext": {"elb": {"targetGroupArn": "arn"}}});
        assert!(HttpRequest::from_rest_proxy(&event).is_err());
    }
}
