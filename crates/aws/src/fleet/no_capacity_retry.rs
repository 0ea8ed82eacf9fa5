//! Prevents the SDK's retries when EC2 lacks capacity.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};

use crate::error::CAPACITY_CODES;

/// EC2 reports a lack of capacity with the status of an internal failure, which the SDK retries twice within a second or two.
/// Capacity doesn't return so soon, and `StartInstances` is limited to two calls per second.
#[derive(Debug)]
pub(super) struct NoCapacityRetry;

impl ClassifyRetry for NoCapacityRetry {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let body = context
            .response()
            .and_then(|response| response.body().bytes());
        let is_lack_of_capacity = |body: &[u8]| {
            code_in(body)
                .is_some_and(|code| CAPACITY_CODES.iter().any(|one| one.as_bytes() == code))
        };
        match context.response() {
            Some(response)
                if !response.status().is_success() && body.is_some_and(is_lack_of_capacity) =>
            {
                RetryAction::RetryForbidden
            }
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "NoCapacityRetry"
    }
}

/// The first error code in a response of EC2.
fn code_in(body: &[u8]) -> Option<&[u8]> {
    const OPENING: &[u8] = b"<Code>";
    let begin = memchr::memmem::find(body, OPENING)? + OPENING.len();
    let rest = &body[begin..];
    Some(&rest[..memchr::memchr(b'<', rest)?])
}
