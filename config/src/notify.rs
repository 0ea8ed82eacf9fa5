//! The tables `[[notify]]`: destinations of notifications, and the events and schedules of each.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use curfew_core::problem::Problem;
use curfew_core::schedule::{ScheduleName, known_schedules};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::string_newtype;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The events that notifications report.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum NotificationEvent {
    /// An instance has reached another state, running or stopped.
    Transition,
    /// A step failed, or something can't be read.
    Failure,
    /// The Lambda missed an edge, or the state of an instance differs from its override or its enforced schedule.
    Drift,
    /// An override was placed, or has ended.
    Override,
    /// The message of `curfew notify test`, which every destination receives.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Test,
}

impl NotificationEvent {
    /// The events that a destination without `events` receives.
    pub const ALL: [Self; 4] = [Self::Transition, Self::Failure, Self::Drift, Self::Override];
}

impl NotificationEvent {
    /// Returns the name in the configuration and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transition => "transition",
            Self::Failure => "failure",
            Self::Drift => "drift",
            Self::Override => "override",
            Self::Test => "test",
        }
    }
}

/// One destination, and the notifications that it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyConfiguration {
    /// The webhook or topic.
    pub destination: Destination,
    /// The events of which notifications are sent.
    pub events: BTreeSet<NotificationEvent>,
    /// Only notifications about these schedules are sent; an empty set means all.
    pub schedules: BTreeSet<ScheduleName>,
}

/// The target of notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A webhook (`type = "webhook"`) with its URL.
    Webhook(WebhookUrl),
    /// A webhook with its URL in this file (`url_file`). It is read when a notification is sent, because commands that only read the
    /// configuration may lack access to it.
    WebhookIn(PathBuf),
    /// An SNS topic (`type = "sns"`).
    Topic(TopicArn),
}

/// A webhook's URL. It is a secret: `Display` and `Debug` show only its host.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// Returns the complete URL, which must not be shown or logged.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        write!(f, "{scheme}://{host}/…")
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = "a webhook's URL is `https://HOST/…`, without spaces, and without a user before the host";
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
        match host {
            Some(host) if !host.is_empty() && !host.contains('@') => {}
            _ => return Err(malformed.to_owned()),
        }
        if text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(malformed.to_owned())
        }
    }
}

/// An SNS topic: `arn:aws:sns:eu-west-3:111122223333:curfew`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicArn(String);

string_newtype!(TopicArn);

impl TopicArn {
    /// Returns the region of the topic.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }

    /// Returns whether the topic is a FIFO topic, for which a message needs a group id.
    pub fn is_fifo(&self) -> bool {
        self.0.strip_suffix(".fifo").is_some()
    }
}

impl FromStr for TopicArn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_name = |name: &str| {
            let plain = name.strip_suffix(".fifo").unwrap_or(name);
            (1..=256).contains(&plain.len())
                && plain
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        match parts.as_slice() {
            ["arn", partition, "sns", region, account, name]
                if partition.starts_with("aws")
                    && !region.is_empty()
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && is_name(name) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!(
                "`{}` is not a topic's ARN, such as `arn:aws:sns:eu-west-3:111122223333:curfew`",
                text.chars().take(80).collect::<String>().escape_debug()
            )),
        }
    }
}

/// A table `[[notify]]`, as it is written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawNotify {
    /// The type of the destination.
    #[serde(rename = "type")]
    pub channel: RawChannel,
    /// A webhook's URL, such as Slack's. Treat it like a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file that contains only the webhook's URL: a path relative to the folder of the configuration file, or the name of a systemd credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The ARN of an SNS topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_arn: Option<String>,
    /// The events to notify of; the default is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<NotificationEvent>>,
    /// Only notifications about these schedules are sent; the default is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules: Option<Vec<String>>,
}

impl fmt::Debug for RawNotify {
    /// Omits the URL, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawNotify")
            .field("channel", &self.channel)
            .field("url_file", &self.url_file)
            .field("topic_arn", &self.topic_arn)
            .field("events", &self.events)
            .field("schedules", &self.schedules)
            .finish_non_exhaustive()
    }
}

/// The key `type` of `[[notify]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawChannel {
    /// JSON in Slack's format is sent to a URL.
    Webhook,
    /// Messages are published to an SNS topic.
    Sns,
}

/// Converts every destination, and appends all problems. The names of schedules are checked only if `schedule_set` is valid.
pub(super) fn resolve(
    raw: &[RawNotify],
    directory: &Path,
    schedule_set: Option<&ScheduleSet>,
    problems: &mut Vec<Problem>,
) -> Vec<NotifyConfiguration> {
    let mut resolved = Vec::new();
    for (index, one) in raw.iter().enumerate() {
        let mut found = Vec::new();
        let destination =
            destination(one, directory).map_err(|(key, message)| found.push((key, message)));
        let events = events(one).map_err(|message| found.push(("events", message)));
        let schedules =
            schedules(one, schedule_set).map_err(|message| found.push(("schedules", message)));
        if let (Ok(destination), Ok(events), Ok(schedules)) = (destination, events, schedules) {
            resolved.push(NotifyConfiguration {
                destination,
                events,
                schedules,
            });
        }
        let placed = found
            .into_iter()
            .map(|(key, message)| Problem::new(format!("notify[{index}].{key}"), message));
        problems.extend(placed);
    }
    resolved
}

fn destination(raw: &RawNotify, directory: &Path) -> Result<Destination, (&'static str, String)> {
    let only = |key, of: &str| (key, format!("`{key}` is for `type = \"{of}\"`"));
    let RawNotify {
        url,
        url_file,
        topic_arn,
        ..
    } = raw;
    match (raw.channel, url, url_file, topic_arn) {
        (RawChannel::Webhook, _, _, Some(_)) => Err(only("topic_arn", "sns")),
        (RawChannel::Sns, Some(_), _, _) => Err(only("url", "webhook")),
        (RawChannel::Sns, _, Some(_), _) => Err(only("url_file", "webhook")),
        (RawChannel::Webhook, Some(_), Some(_), None) => Err((
            "url_file",
            "`url` and `url_file` can't be combined; remove one of them".to_owned(),
        )),
        (RawChannel::Webhook, None, None, None) => Err((
            "url",
            "`url` is missing: a webhook needs it, or `url_file`".to_owned(),
        )),
        (RawChannel::Sns, None, None, None) => Err((
            "topic_arn",
            "`topic_arn` is missing: a topic needs it".to_owned(),
        )),
        (RawChannel::Webhook, Some(url), None, None) => url
            .parse()
            .map(Destination::Webhook)
            .map_err(|message| ("url", message)),
        (RawChannel::Webhook, None, Some(file), None) => {
            let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
            let path = secret_path(file, credentials.as_deref(), directory);
            Ok(Destination::WebhookIn(path))
        }
        (RawChannel::Sns, None, None, Some(arn)) => arn
            .parse()
            .map(Destination::Topic)
            .map_err(|message| ("topic_arn", message)),
    }
}

/// Returns the path of a file with a secret: in the service's credentials folder, which systemd makes readable for the service
/// alone, if it exists there; else in the configuration's folder. See <https://systemd.io/CREDENTIALS/>.
fn secret_path(file: &Path, credentials: Option<&Path>, directory: &Path) -> PathBuf {
    let credential = credentials.map(|folder| folder.join(file));
    credential
        .filter(|path| path.exists())
        .unwrap_or_else(|| directory.join(file))
}

fn events(raw: &RawNotify) -> Result<BTreeSet<NotificationEvent>, String> {
    match &raw.events {
        None => Ok(NotificationEvent::ALL.into()),
        Some(events) if events.is_empty() => {
            Err("an empty list selects nothing; remove the key to select all events".to_owned())
        }
        Some(events) => Ok(events.iter().copied().collect()),
    }
}

fn schedules(
    raw: &RawNotify,
    schedule_set: Option<&ScheduleSet>,
) -> Result<BTreeSet<ScheduleName>, String> {
    let Some(names) = &raw.schedules else {
        return Ok(BTreeSet::new());
    };
    if names.is_empty() {
        return Err(
            "an empty list selects nothing; remove the key to select all schedules".to_owned(),
        );
    }
    let mut schedules = BTreeSet::new();
    for name in names {
        let name: ScheduleName = name.parse().map_err(|error| format!("{error}"))?;
        let is_inline = name == ScheduleName::inline();
        if let Some(schedule_set) = schedule_set.filter(|_| !is_inline)
            && !schedule_set.schedules.contains_key(&name)
        {
            let known: Vec<ScheduleName> = schedule_set.schedules.keys().cloned().collect();
            return Err(format!(
                "there is no schedule `{name}`; {}",
                known_schedules(&known)
            ));
        }
        schedules.insert(name);
    }
    Ok(schedules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhooks_url_is_never_shown() {
        let url: WebhookUrl = "https://hooks.slack.com/services/T0/B0/s3cr3t?token=s3cr3t"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "https://hooks.slack.com/…");
        assert!(!format!("{url:?}").contains("s3cr3t"));
        for bad in [
            "hooks.slack.com",
            "ftp://x/y",
            "https://",
            "https:///x",
            "https://u:s3cr3t@x/",
            "https://x/a b",
        ] {
            let error = bad.parse::<WebhookUrl>().unwrap_err();
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn a_secret_file_is_a_credential_of_the_service_or_in_the_configuration_folder() {
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join("webhook"), "https://x/y").unwrap();
        let place = |file: &str, credentials: Option<&Path>| {
            secret_path(Path::new(file), credentials, Path::new("/etc/curfew"))
        };
        let given = Some(credentials.path());
        assert_eq!(place("webhook", given), credentials.path().join("webhook"));
        let in_folder = Path::new("/etc/curfew/webhook");
        assert_eq!(place("webhook", None), in_folder);
        assert_eq!(place("other", given), Path::new("/etc/curfew/other"));
        assert_eq!(
            place("/run/secrets/webhook", given),
            Path::new("/run/secrets/webhook")
        );
    }

    #[test]
    fn a_topic_arn_contains_its_region() {
        let topic: TopicArn = "arn:aws-us-gov:sns:us-gov-east-1:111122223333:ops.fifo"
            .parse()
            .unwrap();
        assert_eq!((topic.region(), topic.is_fifo()), ("us-gov-east-1", true));
        for bad in [
            "",
            "curfew",
            "arn:aws:sqs:eu-west-3:111122223333:q",
            "arn:aws:sns:eu-west-3:1:t",
            "arn:aws:sns:eu-west-3:111122223333:",
        ] {
            assert!(bad.parse::<TopicArn>().is_err(), "{bad}");
        }
    }
}
