//! An HTTP client for webhooks, with the same TLS as the calls to AWS.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::connect::{Trust, TrustError, webhook_connector};

/// Posts documents to one URL. Follows no redirects, and ignores the response's body.
#[derive(Clone)]
pub struct WebhookClient {
    url: String,
    connector: SharedHttpConnector,
}

impl fmt::Debug for WebhookClient {
    /// Omits the URL, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookClient").finish_non_exhaustive()
    }
}

/// The response of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookResponse {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Retry-After`, if it is in seconds.
    pub retry_after: Option<Duration>,
}

/// Why a webhook call failed. Does not contain the URL, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No connection could be made, or the server does not speak HTTP.
    #[error("no answer")]
    Unreachable(#[source] ConnectorError),
    /// No response arrived within the timeout.
    #[error("no answer within {} s", Self::TIMEOUT.as_secs())]
    TimedOut,
    /// The configured URL is invalid.
    #[error("not a URL")]
    NotAUrl,
}

impl WebhookError {
    /// Webhooks respond within a second or two; one that takes longer than this has hung.
    const TIMEOUT: Duration = Duration::from_secs(10);
}

impl WebhookClient {
    /// A client for `url`. For `https`, loads the root certificates of `trust`, or those in `AWS_CA_BUNDLE` if set. Makes no
    /// call.
    pub fn to(url: &str, trust: Trust) -> Result<Self, TrustError> {
        Ok(Self {
            url: url.to_owned(),
            connector: webhook_connector(url, trust)?,
        })
    }

    /// Posts a JSON document, and returns the response's status.
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
        let response = tokio::time::timeout(WebhookError::TIMEOUT, call)
            .await
            .map_err(|_| WebhookError::TimedOut)?
            .map_err(WebhookError::Unreachable)?;
        let retry_after = response.headers().get("retry-after");
        Ok(WebhookResponse {
            status: response.status().as_u16(),
            retry_after: retry_after
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        })
    }
}
