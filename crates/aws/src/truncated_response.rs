//! An answer of EC2 that breaks off is no answer.
//!
//! The SDK reads a document that ends in its middle as one that says less: an instance without the tags that were lost, or a fleet
//! without an instance. A decision taken on that would undo what a person did, or ignore an override. A transport that knows its
//! answer's length notifications; a proxy in between may not.

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

/// How the last tag of every document ends that EC2 answers with: `</DescribeInstancesResponse>`. No other closing tag does.
const ROOT: &[u8] = b"Response>";

/// Refuses answers that break off.
#[derive(Debug)]
pub(crate) struct RejectTruncated;

/// The answer broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer breaks off")]
struct Truncated;

impl Intercept for RejectTruncated {
    fn name(&self) -> &'static str {
        "RejectTruncated"
    }

    // Not before: the body is read with the document.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        Ok(check(context.response())?)
    }
}

/// Retries a call whose answer was truncated: all of Curfew's calls may be repeated.
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

/// Fails on a successful answer that is truncated. An answer with an unreadable body has failed already.
fn check(response: &HttpResponse) -> Result<(), Truncated> {
    match response.body().bytes() {
        Some(body) if response.status().is_success() && !is_whole(body) => Err(Truncated),
        _ => Ok(()),
    }
}

fn is_whole(document: &[u8]) -> bool {
    let last_tag = document.rsplit(|byte| *byte == b'<').next();
    last_tag.is_some_and(|tag| tag.starts_with(b"/") && tag.trim_ascii_end().ends_with(ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;

    #[test]
    fn a_document_is_whole_when_its_root_is_closed() {
        let document = "<?xml version=\"1.0\"?>\n<StopInstancesResponse><requestId>1</requestId></StopInstancesResponse>";
        let answer = |status: u16, body: &str| {
            check(&HttpResponse::new(
                status.try_into().unwrap(),
                SdkBody::from(body),
            ))
        };
        assert_eq!(answer(200, document), Ok(()));
        assert_eq!(answer(200, &format!("{document}\n")), Ok(()));
        for length in 0..document.len() {
            let broken = answer(200, &document[..length]);
            assert_eq!(broken, Err(Truncated));
        }
        assert_eq!(
            answer(503, "Service Unavailable"),
            Ok(()),
            "that is its own failure"
        );
    }
}
