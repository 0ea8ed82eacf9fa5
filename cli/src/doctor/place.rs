//! Whether AWS, or what stands in for it, is there, knows us, and has our time.

use curfew_aws::connect::Connection;
use curfew_aws::error::CloudErrorKind;
use curfew_aws::identity::Introduction;
use jiff::SignedDuration;

use super::Check;

/// From here on it is worth telling: an edge is to the minute.
const WORTH_TELLING: SignedDuration = SignedDuration::from_mins(1);
/// *Signature Version 4*: "requests must reach AWS within five minutes of the time stamp".
const REFUSED: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn endpoint(conn: &Connection, introduction: &Introduction) -> Check {
    let place = match conn.endpoint() {
        None => format!("AWS, {}", conn.region()),
        Some(url) => format!("{url}, {}", conn.region()),
    };
    match &introduction.caller {
        Err(error) if error.kind == CloudErrorKind::Unreachable => Check::fail(
            "endpoint",
            format!("{place} does not answer: {}", error.message),
            error.hint(),
        ),
        _ => Check::ok("endpoint", place),
    }
}

/// Whose credentials they are, and where they come from.
pub(super) fn credentials(introduction: &Introduction, source: Option<String>) -> Check {
    match &introduction.caller {
        Ok(caller) => {
            let source = source.map_or_else(String::new, |source| format!(", from {source}"));
            Check::ok(
                "credentials",
                format!("{}, account {}{source}", caller.arn, caller.account),
            )
        }
        Err(error) if error.kind == CloudErrorKind::Unreachable => {
            Check::skip("credentials", "not known: nobody answers")
        }
        Err(error) => Check::fail("credentials", error.to_string(), error.hint()),
    }
}

pub(super) fn clock(introduction: &Introduction) -> Check {
    const HINT: &str = "set the clock, for example with `timedatectl set-ntp true`; Curfew goes by AWS's time meanwhile";
    let Some(ahead) = introduction.clock else {
        return Check::skip("clock", "not compared: no answer told the time");
    };
    let direction = if ahead.is_negative() { "slow" } else { "fast" };
    let message = format!("{} s {direction}", ahead.abs().as_secs());
    match ahead.abs() {
        off if off < WORTH_TELLING => Check::ok("clock", "as the server's"),
        off if off < REFUSED => Check::warn("clock", message, HINT),
        _ => Check::fail(
            "clock",
            format!("{message}, and AWS refuses signatures that are five minutes off"),
            HINT,
        ),
    }
}

#[cfg(test)]
mod tests {
    use curfew_aws::identity::Caller;

    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_is_told_when_it_matters() {
        let judged = |seconds: i64| {
            let introduction = Introduction {
                caller: Ok(Caller {
                    account: "000011112222".to_owned(),
                    arn: "arn:aws:iam::000011112222:root".to_owned(),
                }),
                clock: Some(SignedDuration::from_secs(seconds)),
            };
            let check = clock(&introduction);
            (check.verdict, check.message)
        };
        assert_eq!(judged(-59).0, Verdict::Ok);
        assert_eq!(judged(90), (Verdict::Warn, "90 s fast".to_owned()));
        let (verdict, message) = judged(-300);
        assert_eq!(verdict, Verdict::Fail);
        assert!(
            message.starts_with("300 s slow, and AWS refuses"),
            "{message}"
        );
    }
}
