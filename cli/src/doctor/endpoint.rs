//! Checks the endpoint, the credentials and the clock.

use curfew_aws::caller_identity::CallerIdentity;
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudErrorKind;
use jiff::SignedDuration;

use super::Check;

/// Edges have a precision of one minute, so smaller offsets do not matter.
const WARN_AT: SignedDuration = SignedDuration::from_mins(1);
/// *Signature Version 4*: "requests must reach AWS within five minutes of the time stamp".
const FAIL_AT: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn endpoint(conn: &Connection, identity: &CallerIdentity) -> Check {
    let place = match conn.endpoint() {
        None => format!("AWS, {}", conn.region()),
        Some(url) => format!("{url}, {}", conn.region()),
    };
    match &identity.caller {
        Err(error) if error.kind == CloudErrorKind::Unreachable => Check::fail(
            "endpoint",
            format!("{place} does not respond: {}", error.message),
            error.hint(),
        ),
        _ => Check::ok("endpoint", place),
    }
}

/// Reports the caller identity and the source of the credentials.
pub(super) fn credentials(identity: &CallerIdentity, source: Option<String>) -> Check {
    match &identity.caller {
        Ok(caller) => {
            let source = source.map_or_else(String::new, |source| format!(", from {source}"));
            Check::ok(
                "credentials",
                format!("{}, account {}{source}", caller.arn, caller.account),
            )
        }
        Err(error) if error.kind == CloudErrorKind::Unreachable => {
            Check::skip("credentials", "not checked: the endpoint does not respond")
        }
        Err(error) => Check::fail("credentials", error.to_string(), error.hint()),
    }
}

pub(super) fn clock(identity: &CallerIdentity) -> Check {
    const HINT: &str = "set the clock, for example with `timedatectl set-ntp true`; until then Curfew uses the time of AWS";
    let Some(ahead) = identity.clock_offset else {
        return Check::skip("clock", "not checked: no response had a date");
    };
    let direction = if ahead.is_negative() { "slow" } else { "fast" };
    let message = format!("{} s {direction}", ahead.abs().as_secs());
    match ahead.abs() {
        off if off < WARN_AT => Check::ok("clock", "in sync with AWS"),
        off if off < FAIL_AT => Check::warn("clock", message, HINT),
        _ => Check::fail(
            "clock",
            format!("{message}; AWS rejects signatures that are five minutes off"),
            HINT,
        ),
    }
}

#[cfg(test)]
mod tests {
    use curfew_aws::caller_identity::Caller;

    use super::*;
    use crate::doctor::CheckVerdict;

    #[test]
    fn clock_offsets_from_one_minute_are_reported() {
        let checked = |seconds: i64| {
            let identity = CallerIdentity {
                caller: Ok(Caller {
                    account: "000011112222".to_owned(),
                    arn: "arn:aws:iam::000011112222:root".to_owned(),
                }),
                clock_offset: Some(SignedDuration::from_secs(seconds)),
            };
            let check = clock(&identity);
            (check.verdict, check.message)
        };
        assert_eq!(checked(-59).0, CheckVerdict::Ok);
        assert_eq!(checked(90), (CheckVerdict::Warn, "90 s fast".to_owned()));
        let (verdict, message) = checked(-300);
        assert_eq!(verdict, CheckVerdict::Fail);
        assert!(message.starts_with("300 s slow; AWS rejects"), "{message}");
    }
}
