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
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use jiff::SignedDuration;

use crate::clock_skew::difference;
use crate::connect::Connection;
use crate::error::{CloudError, CloudErrorKind};

/// The identity of a set of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Twelve digits.
    pub account: String,
    /// The user, role session or root account.
    pub arn: String,
}

/// What the question told.
#[derive(Debug)]
pub struct CallerIdentity {
    /// The caller, or why it is not known.
    pub caller: Result<Caller, CloudError>,
    /// How far this machine's clock is ahead of the server's; negative where it is behind, zero within the time that the call took.
    /// None where no answer told the time. Known of refusals, too: a wrong clock is a reason for them.
    pub clock: Option<SignedDuration>,
}

/// ApiCalls `GetCallerIdentity`.
pub async fn caller_identity(conn: &Connection) -> CallerIdentity {
    let operation = "sts:GetCallerIdentity";
    let watch = DateWatch::default();
    let answer = Client::new(&conn.sdk)
        .get_caller_identity()
        .customize()
        .interceptor(watch.clone())
        .interceptor(conn.calls.clone())
        .send()
        .await
        .map_err(|error| CloudError::from_sdk(operation, error));
    let caller = answer.and_then(|identity| match (identity.account, identity.arn) {
        (Some(account), Some(arn)) => Ok(Caller { account, arn }),
        _ => {
            let what = "the answer names no account";
            Err(CloudError::new(operation, CloudErrorKind::Service, what))
        }
    });
    let clock = watch.seen().ahead;
    CallerIdentity { caller, clock }
}

#[derive(Clone, Debug, Default)]
struct DateWatch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// When the request went out, by this machine's clock.
    sent: Option<SystemTime>,
    ahead: Option<SignedDuration>,
}

impl DateWatch {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for DateWatch {
    fn name(&self) -> &'static str {
        "DateWatch"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.seen().sent = components.time_source().map(|time| time.now());
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let server = date
            .and_then(|date| DateTime::from_str(date, Format::HttpDate).ok())
            .and_then(|date| SystemTime::try_from(date).ok());
        let mut seen = self.seen();
        if let (Some(server), Some(sent), Some(time)) =
            (server, seen.sent, components.time_source())
        {
            let (off, direction) = difference(sent, server, time.now());
            let off = SignedDuration::try_from(off)?;
            seen.ahead = Some(if direction == "slow" { -off } else { off });
        }
        Ok(())
    }
}
