//! Rejects truncated responses of EC2.
//!
//! The SDK parses a truncated document as a shorter one: an instance without the lost tags, or a fleet without an instance. A
//! decision on that could undo a person's change or ignore an override. A transport that knows a response's length detects
//! this; with a proxy in between, it may not.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::ErrorKind;

/// The end of the last tag of every document that EC2 responds with, such as `</DescribeInstancesResponse>`. No other closing
/// tag ends so.
const ROOT: &[u8] = b"Response>";

/// Fails calls with a truncated response.
#[derive(Debug)]
pub(crate) struct RejectTruncated;

/// The error of a truncated response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response is truncated")]
struct Truncated;

impl Intercept for RejectTruncated {
    fn name(&self) -> &'static str {
        "RejectTruncated"
    }

    // Not earlier: the body is read by the deserialization.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        Ok(check(context.response())?)
    }
}

/// Retries a call after a truncated response: all of Curfew's calls are idempotent.
#[derive(Debug)]
pub(crate) struct RetryTruncated;

impl ClassifyRetry for RetryTruncated {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response().map(check) {
            Some(Err(Truncated)) => RetryAction::retryable_error(ErrorKind::TransientError),
            Some(Ok(())) | None => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "RetryTruncated"
    }
}

/// Fails for a successful response that is truncated. One with an unreadable body has failed already.
fn check(response: &HttpResponse) -> Result<(), Truncated> {
    match response.body().bytes() {
        Some(body) if response.status().is_success() && !is_complete(body) => Err(Truncated),
        _ => Ok(()),
    }
}

fn is_complete(document: &[u8]) -> bool {
    let last_tag = document.rsplit(|byte| *byte == b'<').next();
    last_tag.is_some_and(|tag| tag.starts_with(b"/") && tag.trim_ascii_end().ends_with(ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;

    #[test]
    fn a_document_is_complete_if_its_root_is_closed() {
        let document = "<?xml version=\"1.0\"?>\n<StopInstancesResponse><requestId>1</requestId></StopInstancesResponse>";
        let response_of = |status: u16, body: &str| {
            check(&HttpResponse::new(
                status.try_into().unwrap(),
                SdkBody::from(body),
            ))
        };
        assert_eq!(response_of(200, document), Ok(()));
        assert_eq!(response_of(200, &format!("{document}\n")), Ok(()));
        for length in 0..document.len() {
            let broken = response_of(200, &document[..length]);
            assert_eq!(broken, Err(Truncated));
        }
        assert_eq!(
            response_of(503, "Service Unavailable"),
            Ok(()),
            "that is its own failure"
        );
    }
}
