//! The transports: a webhook, and an SNS topic.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use curfew_aws::connect::{Connection, Trust, TrustError};
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::topic::{Topic, TopicMessage};
use curfew_aws::webhook_client::{WebhookClient, WebhookError};
use curfew_config::{Destination, TopicArn, WebhookUrl};
use curfew_files::read_text;
use serde_json::json;

use super::message::NotificationMessage;

/// The transport of a destination.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    Webhook {
        client: WebhookClient,
        url: WebhookUrl,
    },
    Topic {
        topic: Topic,
        arn: TopicArn,
    },
}

/// A message that was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The webhook could not be reached.
    #[error("the webhook could not be reached")]
    Web(#[from] WebhookError),
    /// The webhook responded with an error status.
    #[error("the webhook answered {status}")]
    Status {
        /// The HTTP status code.
        status: u16,
        /// The delay that its `Retry-After` requests.
        retry_after: Option<Duration>,
    },
    /// SNS did not accept the message.
    #[error(transparent)]
    Topic(#[from] CloudError),
}

impl SendError {
    /// Whether the same message may be accepted later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Web(_) => true,
            // Too Early, Too Many Requests, and errors of the server.
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Self::Topic(error) => match error.kind {
                CloudErrorKind::Unreachable
                | CloudErrorKind::NotSent
                | CloudErrorKind::Credentials
                | CloudErrorKind::Expired
                | CloudErrorKind::Throttled
                | CloudErrorKind::Service => true,
                CloudErrorKind::Denied
                | CloudErrorKind::Account
                | CloudErrorKind::Quota
                | CloudErrorKind::NotFound
                | CloudErrorKind::Capacity
                | CloudErrorKind::WrongState
                | CloudErrorKind::Refused => false,
            },
        }
    }

    /// Returns the error and its sources in one line.
    pub fn display_chain(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) if !matches!(self, Self::Topic(_)) => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    /// Returns the delay that the destination requests before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Web(_) | Self::Topic(_) => None,
        }
    }
}

/// A destination that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The root certificates can't be loaded.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file with the webhook's URL can't be read.
    #[error("the webhook's `url_file` `{}` can't be read", .path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file does not contain a URL. The error omits the content, which may be a secret all the same.
    #[error("the webhook's `url_file` `{}` holds no URL: {reason}", .path.display())]
    NoUrl {
        /// The path of the file.
        path: PathBuf,
        /// Why the content is no URL.
        reason: String,
    },
}

/// Returns the URL in a file, which contains nothing else but white space.
fn url_in(path: &Path) -> Result<WebhookUrl, OpenError> {
    /// Far more than any URL.
    const LARGEST_FILE: u64 = 64 << 10;
    let path = || path.to_owned();
    let text = read_text(&path(), LARGEST_FILE);
    let text = text.map_err(|source| OpenError::Unreadable {
        path: path(),
        source,
    })?;
    let url = text.trim().parse();
    url.map_err(|reason| OpenError::NoUrl {
        path: path(),
        reason,
    })
}

impl Transport {
    pub(super) fn open(
        destination: &Destination,
        connection: &Connection,
    ) -> Result<Self, OpenError> {
        let webhook = |url: WebhookUrl| {
            let client = WebhookClient::to(url.secret(), Trust::OperatingSystem)?;
            Ok::<_, TrustError>(Self::Webhook { client, url })
        };
        Ok(match destination {
            Destination::Webhook(url) => webhook(url.clone())?,
            Destination::WebhookIn(path) => webhook(url_in(path)?)?,
            Destination::Topic(arn) => {
                let connection = connection.in_region(arn.region());
                Self::Topic {
                    topic: Topic::new(&connection, arn.as_str()),
                    arn: arn.clone(),
                }
            }
        })
    }

    /// Sends the message, without retries.
    pub(super) async fn send(&self, message: &NotificationMessage) -> Result<(), SendError> {
        match self {
            Self::Webhook { client, .. } => {
                let body = message.slack().to_string();
                let answer = client.post_json(body).await?;
                match answer.status {
                    200..300 => Ok(()),
                    status => Err(SendError::Status {
                        status,
                        retry_after: answer.retry_after,
                    }),
                }
            }
            Self::Topic { topic, arn } => {
                // E-mails and phones get the text, subscribed programs the structured data.
                let bodies = json!({
                    "default": message.structured().to_string(),
                    "email": message.text,
                    "sms": message.subject(),
                });
                let bodies = bodies.to_string();
                let message = TopicMessage {
                    subject: message.subject(),
                    // A message that is sent again has the same content.
                    deduplication: arn.is_fifo().then(|| digest(&bodies)),
                    bodies,
                };
                Ok(topic.publish(&message).await?)
            }
        }
    }
}

impl fmt::Display for Transport {
    /// Names the destination without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { url, .. } => write!(f, "{url}"),
            Self::Topic { arn, .. } => write!(f, "{arn}"),
        }
    }
}

fn digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_file_contains_only_the_url_and_errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhook");
        std::fs::write(&path, "https://hooks.example/s3cr3t\n").unwrap();
        assert_eq!(
            url_in(&path).unwrap().secret(),
            "https://hooks.example/s3cr3t"
        );
        std::fs::write(&path, "url = https://hooks.example/s3cr3t").unwrap();
        let message = url_in(&path).unwrap_err().to_string();
        assert!(message.contains("webhook` holds no URL"), "{message}");
        assert!(!message.contains("s3cr3t"), "{message}");
        let error = url_in(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
    }
}
