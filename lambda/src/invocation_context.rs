//! The context of one invocation: its request id and its deadline.

use curfew_core::error_code::ErrorCode;
use std::pin::Pin;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::execute::Deadline;
use tokio::time::Instant;

use crate::api_error::ApiError;

/// The context of one invocation.
#[derive(Clone, Debug)]
pub struct InvocationContext {
    /// The request id that Lambda assigned. Every response and every log line contains it.
    pub request_id: String,
    started: Instant,
    remaining: Duration,
}

impl InvocationContext {
    /// No step is started in the last three seconds: a call to EC2 and the state tags after it take one or two. A longer reserve wastes
    /// time of a ten-second timeout; with a shorter one an instance may be stopped without its state tag.
    const START_RESERVE: Duration = Duration::from_secs(3);
    /// The time reserved for sending the response. Work that is not finished by then is cancelled, because Lambda would otherwise
    /// cancel the response.
    const RESPONSE_RESERVE: Duration = Duration::from_millis(400);

    /// The timeout that is assumed if Lambda gives no deadline: the template's ten seconds.
    const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Creates the context of an invocation with a deadline in milliseconds since 1970, as Lambda gives it; 0 if unknown.
    pub fn until(request_id: impl Into<String>, deadline: u64, clock: &Clock) -> Self {
        // Lambda's deadline is based on this machine's uncorrected clock.
        let now = clock.uncorrected().now();
        let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let remaining = match deadline {
            0 => Self::DEFAULT_TIMEOUT,
            deadline => Duration::from_millis(deadline.saturating_sub(now)),
        };
        Self::new(request_id, remaining)
    }

    /// Creates the context of an invocation that ends in `remaining`.
    pub fn new(request_id: impl Into<String>, remaining: Duration) -> Self {
        Self {
            request_id: request_id.into(),
            started: Instant::now(),
            remaining,
        }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        let reserve = Self::START_RESERVE.min(self.remaining / 3);
        let last_start = self.started + self.remaining.saturating_sub(reserve);
        Deadline::at(last_start).ending(self.respond_by())
    }

    fn respond_by(&self) -> Instant {
        self.started + self.remaining.saturating_sub(Self::RESPONSE_RESERVE)
    }
}

/// Runs `work` until the response must be sent. Fails with `out_of_time` if it is not finished by then.
pub(crate) async fn before_deadline<T>(
    context: &InvocationContext,
    // Boxed: the nested futures exceed the compiler's layout limits.
    work: Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + '_>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout_at(context.respond_by(), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::new(
            ErrorCode::OutOfTime,
            "AWS did not answer in time",
            "retry: a repeated request changes nothing twice",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_cancelled_before_the_response_reserve() {
        let context = InvocationContext::new("c0ffee", Duration::from_secs(10));
        let refusal = before_deadline::<()>(&context, Box::pin(std::future::pending())).await;
        assert_eq!(refusal.unwrap_err().code, ErrorCode::OutOfTime);
        assert_eq!(context.started.elapsed(), Duration::from_millis(9_600));
    }

    #[test]
    fn the_remaining_time_follows_from_lambdas_deadline() {
        let clock = Clock::telling(|| "2026-11-23T18:00:00Z".parse().unwrap());
        let remaining = |deadline| InvocationContext::until("c0ffee", deadline, &clock).remaining;
        let now = 1_795_456_800_000;
        assert_eq!(remaining(now + 2_500), Duration::from_millis(2_500));
        assert_eq!(remaining(now - 1), Duration::ZERO);
        assert_eq!(
            remaining(0),
            InvocationContext::DEFAULT_TIMEOUT,
            "no deadline given"
        );
    }
}
