//! Combines notifications into one message: as text, and as structured data.

use curfew_config::notify::NotificationEvent;
use serde_json::{Value, json};

use super::notification::Notification;
use super::queue::NotificationBatch;

/// The content of a message, in the forms that the transports need.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NotificationMessage {
    /// One line for each thing that happened.
    pub(super) text: String,
    /// How many notifications it contains.
    pub(super) notifications: usize,
    documents: Value,
    dropped: u64,
}

impl NotificationMessage {
    pub(super) fn of(batch: &NotificationBatch) -> Self {
        let mut lines: Vec<String> = grouped(&batch.notifications).iter().map(line).collect();
        if batch.dropped > 0 {
            lines.push(format!(
                "{} notifications before these were dropped; `curfew history` has the transitions",
                batch.dropped
            ));
        }
        Self {
            text: lines.join("\n"),
            notifications: batch.notifications.len(),
            documents: batch
                .notifications
                .iter()
                .map(Notification::document)
                .collect(),
            dropped: batch.dropped,
        }
    }

    /// The body for a webhook: `text` is what Slack and compatible services show, `curfew` is the structured data, and
    /// nothing else could be mistaken for one of their own keys.
    pub(super) fn slack(&self) -> Value {
        // Slack's markup begins with these characters, and a name is free text: `<!channel>` would notify a complete channel.
        let text = self
            .text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        json!({"text": text, "curfew": self.structured()})
    }

    /// Returns the structured data of all notifications.
    pub(super) fn structured(&self) -> Value {
        json!({"notifications": self.documents, "dropped": self.dropped})
    }

    /// Returns the subject of an e-mail: SNS accepts up to 100 printable ASCII characters.
    pub(super) fn subject(&self) -> String {
        const MAX_LENGTH: usize = 100;
        let first = self.text.lines().next().unwrap_or_default();
        let plain = first.chars().map(|c| match c {
            ' '..='~' => c,
            _ => '?',
        });
        plain.take(MAX_LENGTH).collect()
    }
}

/// Groups notifications of the same event and text, in the order of the first of each.
fn grouped(notifications: &[Notification]) -> Vec<Vec<&Notification>> {
    let mut groups: Vec<Vec<&Notification>> = Vec::new();
    let same = |a: &Notification, b: &Notification| (a.event, &a.what) == (b.event, &b.what);
    for notification in notifications {
        match groups.iter_mut().find(|group| same(group[0], notification)) {
            Some(group) => group.push(notification),
            None => groups.push(vec![notification]),
        }
    }
    groups
}

fn line(group: &Vec<&Notification>) -> String {
    /// The most names in a line; further ones are counted.
    const MAX_NAMES: usize = 5;
    let mark = match group[0].event {
        NotificationEvent::Failure => "Failure: ",
        NotificationEvent::Drift => "Drift: ",
        NotificationEvent::Transition | NotificationEvent::Override | NotificationEvent::Test => "",
    };
    let mut labels: Vec<String> = group
        .iter()
        .take(MAX_NAMES)
        .map(|notification| notification.subject.label())
        .collect();
    if group.len() > MAX_NAMES {
        labels.push(format!("and {} more", group.len() - MAX_NAMES));
    }
    format!("{mark}{}: {}", labels.join(", "), group[0].what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Subject;
    use curfew_core::instance::{AccountId, Region};

    fn stopped(number: u8, name: &str) -> Notification {
        Notification {
            event: NotificationEvent::Transition,
            subject: Subject::Instance {
                id: format!("i-{number:08x}").parse().unwrap(),
                name: Some(name.to_owned()),
                region: Region::new("eu-west-3"),
                account: AccountId::new("123456789012"),
            },
            what: "went from stopping to stopped: schedule office".to_owned(),
            ..Notification::test("2026-11-23T19:00:00Z".parse().unwrap())
        }
    }

    #[test]
    fn an_event_of_many_instances_is_one_line() {
        let mut notifications: Vec<Notification> = (0..7).map(|n| stopped(n, "web")).collect();
        notifications.push(Notification {
            event: NotificationEvent::Drift,
            what: "found running, which contradicts the override by alice".to_owned(),
            ..stopped(9, "db")
        });
        let message = NotificationMessage::of(&NotificationBatch {
            notifications,
            dropped: 3,
        });
        insta::assert_snapshot!(message.text, @r#"
        web (i-00000000), web (i-00000001), web (i-00000002), web (i-00000003), web (i-00000004), and 2 more: went from stopping to stopped: schedule office
        Drift: db (i-00000009): found running, which contradicts the override by alice
        3 notifications before these were dropped; `curfew history` has the transitions
        "#);
        assert_eq!(
            message.structured()["notifications"]
                .as_array()
                .unwrap()
                .len(),
            8
        );
    }

    #[test]
    fn a_webhook_gets_escaped_text_and_structured_data() {
        let notifications = vec![stopped(1, "<!channel> & co")];
        let message = NotificationMessage::of(&NotificationBatch {
            notifications,
            dropped: 0,
        });
        insta::assert_json_snapshot!(message.slack(), @r#"
        {
          "curfew": {
            "dropped": 0,
            "notifications": [
              {
                "account": "123456789012",
                "at": "2026-11-23T19:00:00Z",
                "event": "transition",
                "id": "i-00000001",
                "kind": "instance",
                "name": "<!channel> & co",
                "region": "eu-west-3",
                "schedule": null,
                "text": "<!channel> & co (i-00000001): went from stopping to stopped: schedule office"
              }
            ]
          },
          "text": "&lt;!channel&gt; &amp; co (i-00000001): went from stopping to stopped: schedule office"
        }
        "#);
        assert_eq!(message.subject(), message.text, "short and plain");
    }

    #[test]
    fn a_subject_is_short_printable_ascii() {
        let message = NotificationMessage::of(&NotificationBatch {
            notifications: vec![stopped(1, &"é".repeat(200))],
            dropped: 0,
        });
        assert_eq!(message.subject(), "?".repeat(100));
    }
}
