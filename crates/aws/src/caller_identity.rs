//! The caller's identity and this machine's clock offset, from one `GetCallerIdentity`, which needs no permission.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_sdk_sts::Client;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::SignedDuration;

use crate::clock_skew::{clock_offset, server_time};
use crate::connect::Connection;
use crate::error::{CloudError, CloudErrorKind};

/// The identity of a set of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account's id, twelve digits.
    pub account: String,
    /// The ARN of the user, role session or root account.
    pub arn: String,
}

impl Caller {
    /// The partition of the caller's ARN: `aws`, `aws-cn`, `aws-us-gov`. None if AWS's ARN is malformed.
    pub fn partition(&self) -> Option<&str> {
        self.arn.split(':').nth(1)
    }
}

/// The response to `GetCallerIdentity`.
#[derive(Debug)]
pub struct CallerIdentity {
    /// The caller, or the error of the call.
    pub caller: Result<Caller, CloudError>,
    /// How far this machine's clock is ahead of the server's; negative where it is behind, zero where the difference is less than
    /// the call took. None if no response had a date. Also set by a refusal, which may be due to a wrong clock.
    pub clock_offset: Option<SignedDuration>,
}

/// Calls `GetCallerIdentity`, and measures the clock offset by the response's date.
pub async fn caller_identity(conn: &Connection) -> CallerIdentity {
    let operation = "sts:GetCallerIdentity";
    let watch = DateInterceptor::default();
    let response = Client::new(&conn.sdk)
        .get_caller_identity()
        .customize()
        .interceptor(watch.clone())
        .interceptor(conn.calls.clone())
        .send()
        .await
        .map_err(|error| CloudError::from_sdk(operation, error));
    let caller = response.and_then(|identity| match (identity.account, identity.arn) {
        (Some(account), Some(arn)) => Ok(Caller { account, arn }),
        _ => {
            let what = "the response names no account";
            Err(CloudError::new(operation, CloudErrorKind::Service, what))
        }
    });
    let clock_offset = watch.lock().offset;
    CallerIdentity {
        caller,
        clock_offset,
    }
}

#[derive(Clone, Debug, Default)]
struct DateInterceptor(Arc<Mutex<MeasuredOffset>>);

#[derive(Debug, Default)]
struct MeasuredOffset {
    /// When the request was sent, by this machine's clock.
    sent: Option<SystemTime>,
    offset: Option<SignedDuration>,
}

impl DateInterceptor {
    fn lock(&self) -> std::sync::MutexGuard<'_, MeasuredOffset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for DateInterceptor {
    fn name(&self) -> &'static str {
        "DateInterceptor"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.lock().sent = components.time_source().map(|time| time.now());
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut measured = self.lock();
        if let (Some(server), Some(sent), Some(time)) = (
            server_time(context.response()),
            measured.sent,
            components.time_source(),
        ) {
            measured.offset = Some(clock_offset(sent, server, time.now()));
        }
        Ok(())
    }
}
