//! Handles a clock of this machine that differs from AWS's: retries calls refused for their signature's time, corrects
//! Curfew's clock by the dates of EC2's responses, and warns the operator.
//!
//! The SDK learns the offset from every response and signs its next call with it, but it does not retry `RequestExpired`,
//! with which EC2 refuses a signature of the wrong time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
    InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::Format;
use aws_smithy_types::retry::ErrorKind;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::clock::Clock;

/// EC2's error code for a signature of the wrong time, and for expired credentials.
const REFUSAL: &str = "RequestExpired";

/// Compares this machine's clock with the date of each response. Clones share the state of the warning.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockSkewWatch {
    warned: Arc<AtomicBool>,
    /// The clock to correct; without one, the SDK's time source is read.
    clock: Option<Clock>,
}

/// When the request was sent, by this machine's clock.
#[derive(Debug, Clone, Copy)]
struct SentAt(SystemTime);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

/// The clock offset measured by a response.
#[derive(Debug, Clone, Copy)]
struct ClockOffset(SignedDuration);

impl Intercept for ClockSkewWatch {
    fn name(&self) -> &'static str {
        "ClockSkewWatch"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(now) = self.now(components) {
            configuration.interceptor_state().store_put(SentAt(now));
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        components: &RuntimeComponents,
        configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (Some(server), Some(SentAt(sent)), Some(received)) = (
            server_time(context.response()),
            configuration.load::<SentAt>(),
            self.now(components),
        ) else {
            return Ok(());
        };
        if let Some(clock) = &self.clock {
            let [sent, date, received] = [*sent, server, received].map(Timestamp::try_from);
            clock.correct(sent?, date?, received?);
        }
        let offset = clock_offset(*sent, server, received);
        self.log_changes(offset);
        context.response_mut().add_extension(ClockOffset(offset));
        Ok(())
    }
}

impl ClockSkewWatch {
    /// An interceptor that corrects `clock`.
    pub(crate) fn correcting(clock: &Clock) -> Self {
        Self {
            warned: Arc::default(),
            clock: Some(clock.clone()),
        }
    }

    /// The current time by this machine's clock, uncorrected.
    fn now(&self, components: &RuntimeComponents) -> Option<SystemTime> {
        match &self.clock {
            Some(clock) => Some(clock.uncorrected().now().into()),
            None => Some(components.time_source()?.now()),
        }
    }

    /// Logs when the clock becomes wrong, and when it is right again.
    fn log_changes(&self, offset: SignedDuration) {
        let is_wrong = is_worth_a_warning(offset);
        if self.warned.swap(is_wrong, Ordering::Relaxed) == is_wrong {
            return;
        }
        if is_wrong {
            let hint = "set the clock, for example with `timedatectl set-ntp true`; until then Curfew uses the time of AWS";
            let direction = if offset.is_negative() { "slow" } else { "fast" };
            warn!(
                seconds = offset.abs().as_secs(),
                direction, hint, "this machine's clock is wrong"
            );
        } else {
            info!("this machine's clock is right again");
        }
    }
}

fn is_worth_a_warning(offset: SignedDuration) -> bool {
    offset.abs() >= Clock::WARN_AT
}

/// The server's time, from a response's `Date`.
pub(crate) fn server_time(response: &HttpResponse) -> Option<SystemTime> {
    let date = response.headers().get("date")?;
    let date = DateTime::from_str(date, Format::HttpDate).ok()?;
    SystemTime::try_from(date).ok()
}

/// How far this machine's clock is ahead of the server's; negative where it is behind, zero where the server's time lies between
/// the request and the response.
pub(crate) fn clock_offset(
    sent: SystemTime,
    server: SystemTime,
    received: SystemTime,
) -> SignedDuration {
    let seconds = |span: Duration| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    match (server.duration_since(received), sent.duration_since(server)) {
        (Ok(behind), _) => -seconds(behind),
        (Err(_), Ok(ahead)) => seconds(ahead),
        (Err(_), Err(_)) => SignedDuration::ZERO,
    }
}

/// Retries a call that was refused for its signature's time: the SDK signs the retry with AWS's time.
#[derive(Debug)]
pub(crate) struct RetryOnSkew;

impl ClassifyRetry for RetryOnSkew {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(response) = context.response() else {
            return RetryAction::NoActionIndicated;
        };
        let was_wrong = response
            .extension::<ClockOffset>()
            .is_some_and(|ClockOffset(offset)| is_worth_a_warning(*offset));
        let body = response.body().bytes().unwrap_or_default();
        if was_wrong && contains(body, REFUSAL) {
            return RetryAction::retryable_error(ErrorKind::ServerError);
        }
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "RetryOnSkew"
    }
}

fn contains(body: &[u8], code: &str) -> bool {
    body.windows(code.len())
        .any(|window| window == code.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_call_does_not_count_as_a_wrong_clock() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let offset =
            |sent, server, received| clock_offset(at(sent), at(server), at(received)).as_secs();
        assert_eq!(offset(1000, 1001, 1700), 0, "a Lambda was frozen meanwhile");
        assert_eq!(offset(1000, 1600, 1001), -599);
        assert_eq!(offset(1000, 400, 1001), 600);
    }
}
