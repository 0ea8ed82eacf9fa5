//! Prevents a call from being sent after an instant, at the first attempt (resolving credentials may take long) and by the
//! SDK's retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use tokio::time::Instant;

/// The longest wait of the SDK before the second attempt of a call is one second, before the third and last two seconds. A
/// retry that might be sent too late is not begun, so that the caller gets the error of the attempt before.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// The instant after which no attempt is sent. Clones share the flags.
#[derive(Clone, Debug)]
pub(crate) struct SendBy {
    by: Instant,
    missed: Arc<Missed>,
}

#[derive(Debug, Default)]
struct Missed {
    retry: AtomicBool,
    attempt: AtomicBool,
}

/// The error of an attempt that was not sent.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not sent in time")]
struct TooLate;

impl SendBy {
    pub(crate) fn new(by: Instant) -> Self {
        Self {
            by,
            missed: Arc::default(),
        }
    }

    /// Whether the call failed without time for a retry.
    pub(crate) fn forbade_retry(&self) -> bool {
        self.missed.retry.load(Ordering::Relaxed)
    }

    /// Whether the last attempt was not sent.
    pub(crate) fn held_back(&self) -> bool {
        self.missed.attempt.load(Ordering::Relaxed)
    }
}

impl Intercept for SendBy {
    fn name(&self) -> &'static str {
        "SendBy"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if Instant::now() < self.by {
            return Ok(());
        }
        self.missed.attempt.store(true, Ordering::Relaxed);
        Err(TooLate.into())
    }
}

impl ClassifyRetry for SendBy {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context
            .output_or_error()
            .is_some_and(|result| result.is_err());
        if !failed || Instant::now() + LONGEST_BACKOFF < self.by {
            return RetryAction::NoActionIndicated;
        }
        self.missed.retry.store(true, Ordering::Relaxed);
        RetryAction::RetryForbidden
    }

    fn name(&self) -> &'static str {
        "SendBy"
    }
}
