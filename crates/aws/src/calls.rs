//! Counts API calls by action and outcome, for the process's metrics. Every client made from a connection carries the
//! connection's [`ApiCalls`] as an interceptor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Parts of the error codes with which AWS's services throttle.
const THROTTLED: [&str; 4] = [
    "RequestLimitExceeded",
    "Throttling",
    "TooManyRequests",
    "SlowDown",
];

/// The number of calls by service, action and outcome. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ApiCalls(Arc<Mutex<BTreeMap<ApiCall, u64>>>);

/// The calls that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiCall {
    /// The service's name in the SDK, such as `EC2`.
    pub service: String,
    /// The action, such as `StopInstances`.
    pub action: String,
    /// The result of the attempt.
    pub outcome: CallOutcome,
}

/// The result of a call. Each attempt is counted separately, including the SDK's retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallOutcome {
    /// The service accepted the call.
    Done,
    /// The service throttled the call.
    Throttled,
    /// The service refused the call: a status of 4xx other than throttling.
    Refused,
    /// The service failed: a status of 5xx.
    Failed,
    /// No response arrived, or one that could not be read.
    Unanswered,
}

impl CallOutcome {
    /// The value of the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unanswered => "unanswered",
        }
    }

    fn of(context: &FinalizerInterceptorContextRef<'_>) -> Self {
        if context
            .output_or_error()
            .is_some_and(|result| result.is_ok())
        {
            return Self::Done;
        }
        let Some(response) = context.response() else {
            return Self::Unanswered;
        };
        let body = response.body().bytes().unwrap_or_default();
        let contains = |code: &&str| body.windows(code.len()).any(|part| part == code.as_bytes());
        match response.status().as_u16() {
            429 => Self::Throttled,
            400.. if THROTTLED.iter().any(contains) => Self::Throttled,
            500.. => Self::Failed,
            400.. => Self::Refused,
            _ => Self::Unanswered,
        }
    }
}

impl ApiCalls {
    /// All counts so far, sorted by service, action and outcome.
    pub fn counts(&self) -> Vec<(ApiCall, u64)> {
        let lock = self.lock();
        let lock = lock.iter();
        lock.map(|(call, count)| (call.clone(), *count)).collect()
    }

    /// A poisoned lock is ignored: no code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ApiCall, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for ApiCalls {
    fn name(&self) -> &'static str {
        "ApiCalls"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = configuration.load::<Metadata>() {
            let call = ApiCall {
                service: metadata.service().to_owned(),
                action: metadata.name().to_owned(),
                outcome: CallOutcome::of(context),
            };
            *self.lock().entry(call).or_default() += 1;
        }
        Ok(())
    }
}
