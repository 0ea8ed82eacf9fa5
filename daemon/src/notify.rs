//! Notifications to webhooks and SNS topics. Slow or failing destinations delay nothing in the daemon.
//!
//! ```text
//! reconcile, watch ──▶ a bounded queue for each destination ──▶ deliver ──▶ webhook | topic
//! ```
//!
//! The journal is the record. A full queue drops its oldest notifications, counts them and reports the number. Each
//! destination has its own queue and retries.

mod deliver;
mod message;
mod notification;
mod queue;
#[cfg(test)]
mod test_sink;
mod transport;

use std::sync::{Arc, Weak};

use curfew_aws::connect::Connection;
use curfew_config::NotifyConfiguration;
use curfew_core::schedule::ScheduleName;

use self::queue::NotificationQueue;
use self::transport::Transport;

pub use deliver::Delivery;
pub use notification::{Notification, Subject};
#[cfg(test)]
pub(crate) use test_sink::TestSink;
pub use transport::{OpenError, SendError};

/// Queues notifications, and never waits. The deliveries end once every clone of it is dropped.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Subscriptions>);

#[derive(Debug)]
struct Subscriptions(Vec<Subscription>);

/// A notifier that does not keep the deliveries running, for holders that outlive them.
#[derive(Clone, Debug, Default)]
pub struct WeakNotifier(Weak<Subscriptions>);

/// A destination's queue, and the filter of notifications for it.
#[derive(Debug)]
struct Subscription {
    wanted: NotifyConfiguration,
    queue: Arc<NotificationQueue>,
}

impl Notifier {
    /// Returns a notifier without destinations.
    pub fn silent() -> Self {
        Self(Arc::new(Subscriptions(Vec::new())))
    }

    /// Returns a notifier that does not keep the deliveries running.
    pub fn weak(&self) -> WeakNotifier {
        WeakNotifier(Arc::downgrade(&self.0))
    }

    /// Adds the notification to the queue of every destination that subscribes to it.
    pub fn notify(&self, notification: &Notification) {
        for outlet in &self.0.0 {
            if wants(&outlet.wanted, notification) {
                outlet.queue.push(notification.clone());
            }
        }
    }
}

impl WeakNotifier {
    /// Queues a notification while the deliveries run.
    pub fn notify(&self, notification: &Notification) {
        if let Some(outlets) = self.0.upgrade() {
            Notifier(outlets).notify(notification);
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for outlet in &self.0 {
            outlet.queue.close();
        }
    }
}

/// Whether a destination subscribes to a notification. One without a schedule, such as one about a region that does not
/// respond, matches every schedule.
fn wants(wanted: &NotifyConfiguration, notification: &Notification) -> bool {
    let schedule = notification.schedule.as_ref().map(ScheduleName::as_str);
    let of_schedule = wanted.schedules.is_empty()
        || schedule.is_none_or(|schedule| {
            let mut names = wanted.schedules.iter();
            names.any(|name| name.as_str() == schedule)
        });
    wanted.events.contains(&notification.event) && of_schedule
}

/// Opens the destinations of the configuration, and returns the notifier and the deliveries. Reads the files that hold
/// webhooks' URLs, and makes no call.
pub fn open(
    configuration: &[NotifyConfiguration],
    connection: &Connection,
) -> Result<(Notifier, Vec<Delivery>), OpenError> {
    let mut outlets = Vec::new();
    let mut deliveries = Vec::new();
    for wanted in configuration {
        let queue = Arc::new(NotificationQueue::default());
        deliveries.push(Delivery {
            transport: Transport::open(&wanted.destination, connection)?,
            queue: Arc::clone(&queue),
        });
        outlets.push(Subscription {
            wanted: wanted.clone(),
            queue,
        });
    }
    Ok((Notifier(Arc::new(Subscriptions(outlets))), deliveries))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use curfew_config::notify::NotificationEvent;
    use curfew_config::{Destination, NotifyConfiguration};

    #[tokio::test(start_paused = true)]
    async fn a_weak_notifier_works_while_others_exist_and_keeps_no_delivery_running() {
        let (notifier, sink) = TestSink::new();
        let weak = notifier.weak();
        let trial = Notification {
            event: NotificationEvent::Failure,
            ..Notification::test("2026-11-23T19:00:00Z".parse().unwrap())
        };
        weak.notify(&trial);
        drop(notifier);
        weak.notify(&trial);
        assert_eq!(
            sink.sentences().await,
            ["Curfew: can reach you here: this is a test"]
        );
        WeakNotifier::default().notify(&trial);
    }

    #[test]
    fn a_destination_gets_the_kinds_and_schedules_it_subscribes_to() {
        let wanted = NotifyConfiguration {
            destination: Destination::Webhook("https://chat.example/x".parse().unwrap()),
            events: BTreeSet::from([NotificationEvent::Failure]),
            schedules: BTreeSet::from(["office".parse().unwrap()]),
        };
        let notification = |kind, schedule: Option<&str>| Notification {
            event: kind,
            schedule: schedule.map(|name| name.parse().unwrap()),
            ..Notification::test("2026-11-23T19:00:00Z".parse().unwrap())
        };
        assert!(wants(
            &wanted,
            &notification(NotificationEvent::Failure, Some("office"))
        ));
        assert!(
            wants(&wanted, &notification(NotificationEvent::Failure, None)),
            "a region that fails is of every schedule"
        );
        assert!(!wants(
            &wanted,
            &notification(NotificationEvent::Failure, Some("lab"))
        ));
        assert!(!wants(
            &wanted,
            &notification(NotificationEvent::Override, Some("office"))
        ));
    }
}
