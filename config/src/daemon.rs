//! The table `[daemon]`, which configures `curfew run`.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::SignedDuration;

use super::DaemonConfiguration;
use super::load::built_in;
use super::raw::RawDaemon;

impl Default for DaemonConfiguration {
    /// Returns the compiled-in defaults.
    fn default() -> Self {
        built_in().daemon
    }
}

/// The source of EC2's state-change events, `daemon.queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueSetting {
    /// The queue of the stack, if the driver is `cloud` and a stack is deployed.
    Stack,
    /// No events: states are only polled.
    Off,
    /// The queue at this URL, which receives the events of this account and region.
    Url(String),
}

/// Converts the table, and passes every problem to `check` with its key.
pub(super) fn resolve(
    raw: RawDaemon,
    check: &mut impl FnMut(&str, Result<(), String>),
) -> Option<DaemonConfiguration> {
    let mut checked = |key: &str, result: Result<Duration, String>| {
        let value = result.as_ref().ok().copied();
        check(key, result.map(drop));
        value
    };
    let second = Duration::from_secs(1);
    let poll = checked("daemon.poll", length(&raw.poll, second));
    let poll_quiet = checked("daemon.poll_quiet", length(&raw.poll_quiet, second));
    let grace = checked("daemon.grace", length(&raw.grace, Duration::ZERO));
    let queue = queue(&raw.queue);
    check(
        "daemon.queue",
        queue.as_ref().map(drop).map_err(Clone::clone),
    );
    if raw.journal_days == 0 {
        let message = "`0` would keep nothing; write 1 or more".to_owned();
        check("daemon.journal_days", Err(message));
    }
    Some(DaemonConfiguration {
        driver: raw.driver,
        poll: poll?,
        poll_quiet: poll_quiet?,
        queue: queue.ok()?,
        retention: SignedDuration::from_hours(24 * i64::from(raw.journal_days)),
        grace: grace?,
        state_dir: raw.state_dir,
    })
}

/// Parses the address on which metrics are served; the empty text is `None`.
pub(super) fn listening(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        format!(
            "`{}` is not an address and a port such as `127.0.0.1:9464` or `[::1]:9464`; `\"\"` is for none",
            text.escape_debug()
        )
    })
}

fn queue(text: &str) -> Result<QueueSetting, String> {
    match text {
        "stack" => Ok(QueueSetting::Stack),
        "off" => Ok(QueueSetting::Off),
        url if url.starts_with("https://") || url.starts_with("http://") => {
            Ok(QueueSetting::Url(url.to_owned()))
        }
        _ => Err(format!(
            "found `{}`; allowed is `stack`, `off`, or a queue's URL such as \
             `https://sqs.eu-west-3.amazonaws.com/123456789012/state-changes`",
            text.escape_debug()
        )),
    }
}

fn length(text: &str, least: Duration) -> Result<Duration, String> {
    let length = curfew_core::configuration::duration(text)?.unsigned_abs();
    if length < least {
        Err(format!(
            "`{text}` is too short: at least {}s",
            least.as_secs()
        ))
    } else {
        Ok(length)
    }
}
