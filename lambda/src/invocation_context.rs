//! One invocation's terms: its id, and until when it is answered.

use std::pin::Pin;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::execute::Deadline;
use tokio::time::Instant;

use crate::api_error::{ApiError, ErrorCode};

/// One invocation's terms.
#[derive(Clone, Debug)]
pub struct InvocationContext {
    /// Lambda's id for it: in every answer and every line of its log.
    pub request_id: String,
    began: Instant,
    remaining: Duration,
}

impl InvocationContext {
    /// Nothing is begun in the last three seconds: a call to EC2 that is under way and the tags that follow it take one or two.
    /// Longer wastes time of a function that has ten; shorter, and an instance can be stopped without its tag saying so.
    const MARGIN: Duration = Duration::from_secs(3);
    /// An answer needs this long to be sent; what isn't answered by then is cut off, since Lambda would cut off the answer too.
    const RESPONSE_RESERVE: Duration = Duration::from_millis(400);

    /// What a function gets that is not told its deadline; the template says ten seconds too.
    const USUAL: Duration = Duration::from_secs(10);

    /// An invocation that must be over at `deadline`, in milliseconds since 1970 as Lambda tells it; 0 where nobody told.
    pub fn until(request_id: impl Into<String>, deadline: u64, clock: &Clock) -> Self {
        // The deadline is by this machine's own clock.
        let now = clock.uncorrected().now();
        let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let remaining = match deadline {
            0 => Self::USUAL,
            deadline => Duration::from_millis(deadline.saturating_sub(now)),
        };
        Self::new(request_id, remaining)
    }

    /// An invocation that must be over in `remaining`.
    pub fn new(request_id: impl Into<String>, remaining: Duration) -> Self {
        Self {
            request_id: request_id.into(),
            began: Instant::now(),
            remaining,
        }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        let margin = Self::MARGIN.min(self.remaining / 3);
        let begin = self.began + self.remaining.saturating_sub(margin);
        Deadline::at(begin).ending(self.answer_by())
    }

    fn answer_by(&self) -> Instant {
        self.began + self.remaining.saturating_sub(Self::RESPONSE_RESERVE)
    }
}

/// Runs `work` until its time is up: whoever waits gets an answer.
pub(crate) async fn before_deadline<T>(
    context: &InvocationContext,
    // Boxed: layers nest deeper than the compiler lays out in one piece.
    work: Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + '_>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout_at(context.answer_by(), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::new(
            ErrorCode::OutOfTime,
            "AWS did not answer in time",
            "ask again: what is done already is not done twice",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_cut_off_in_time_for_an_answer() {
        let context = InvocationContext::new("c0ffee", Duration::from_secs(10));
        let refusal = before_deadline::<()>(&context, Box::pin(std::future::pending())).await;
        assert_eq!(refusal.unwrap_err().code, ErrorCode::OutOfTime);
        assert_eq!(context.began.elapsed(), Duration::from_millis(9_600));
    }

    #[test]
    fn lambdas_deadline_is_an_instant_that_may_have_passed() {
        let clock = Clock::telling(|| "2026-11-23T18:00:00Z".parse().unwrap());
        let remaining = |deadline| InvocationContext::until("c0ffee", deadline, &clock).remaining;
        let now = 1_795_456_800_000;
        assert_eq!(remaining(now + 2_500), Duration::from_millis(2_500));
        assert_eq!(remaining(now - 1), Duration::ZERO);
        assert_eq!(remaining(0), InvocationContext::USUAL, "nobody told");
    }
}
