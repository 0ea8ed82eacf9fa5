//! Plain HTTP to other places than AWS, with the TLS of the calls to AWS: webhooks.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::connect::{Trust, TrustError, webhook_connector};

/// Posts documents to one URL. Follows no redirects, and reads no answer's body.
#[derive(Clone)]
pub struct WebhookClient {
    url: String,
    connector: SharedHttpConnector,
}

impl fmt::Debug for WebhookClient {
    /// Without the URL, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookClient").finish_non_exhaustive()
    }
}

/// What the other side said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookResponse {
    /// HTTP's status.
    pub status: u16,
    /// When it wants to be asked again, where it says that in seconds.
    pub retry_after: Option<Duration>,
}

/// A place that gave no answer. Says nothing of its URL, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No server answered, or it does not speak HTTP.
    #[error("no answer")]
    Unreachable(#[source] ConnectorError),
    /// The answer took too long.
    #[error("no answer within {} s", Self::TIMEOUT.as_secs())]
    TimedOut,
    /// That is no URL.
    #[error("not a URL")]
    NotAUrl,
}

impl WebhookError {
    /// Webhooks answer within a second or two; one that takes longer than this has hung.
    const TIMEOUT: Duration = Duration::from_secs(10);
}

impl WebhookClient {
    /// Reads, for `https`, the roots that `trust` names, or where set `AWS_CA_BUNDLE`. Makes no call.
    pub fn to(url: &str, trust: Trust) -> Result<Self, TrustError> {
        Ok(Self {
            url: url.to_owned(),
            connector: webhook_connector(url, trust)?,
        })
    }

    /// Posts a JSON document.
    pub async fn post_json(&self, body: String) -> Result<WebhookResponse, WebhookError> {
        let length = body.len().to_string();
        let mut request = HttpRequest::new(SdkBody::from(body));
        request
            .set_method("POST")
            .expect("POST is a method of HTTP");
        request
            .set_uri(self.url.as_str())
            .map_err(|_| WebhookError::NotAUrl)?;
        let headers = request.headers_mut();
        headers.insert("content-type", "application/json");
        headers.insert("content-length", length);
        headers.insert("user-agent", concat!("curfew/", env!("CARGO_PKG_VERSION")));
        let call = self.connector.call(request);
        let answer = tokio::time::timeout(WebhookError::TIMEOUT, call)
            .await
            .map_err(|_| WebhookError::TimedOut)?
            .map_err(WebhookError::Unreachable)?;
        let retry_after = answer.headers().get("retry-after");
        Ok(WebhookResponse {
            status: answer.status().as_u16(),
            retry_after: retry_after
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        })
    }
}
