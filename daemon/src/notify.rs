//! Telling people: notices go out to webhooks and SNS topics, and whatever becomes of them there delays nothing here.
//!
//! ```text
//! reconcile, watch ──▶ a bounded queue for each destination ──▶ deliver ──▶ webhook | topic
//! ```
//!
//! The journal is the record. A queue that is full drops its oldest notices, counts them and says so; one destination's
//! trouble is not another's.

mod channel;
mod deliver;
mod message;
mod notice;
#[cfg(test)]
mod overheard;
mod queue;

use std::sync::{Arc, Weak};

use curfew_aws::connect::Connection;
use curfew_config::NotifySettings;
use curfew_core::schedule::ScheduleName;

use self::channel::Channel;
use self::queue::Queue;

pub use channel::{OpenError, SendError};
pub use deliver::Delivery;
pub use notice::{Notice, Subject};
#[cfg(test)]
pub(crate) use overheard::Overheard;

/// Takes notices, and never waits. The deliveries end once every clone of it is gone.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Outlets>);

#[derive(Debug)]
struct Outlets(Vec<Outlet>);

/// The same for those who have to outlive the deliveries: it keeps none of them waiting for more.
#[derive(Clone, Debug, Default)]
pub struct Bystander(Weak<Outlets>);

/// One destination, as those see it who have something to tell.
#[derive(Debug)]
struct Outlet {
    wanted: NotifySettings,
    queue: Arc<Queue>,
}

impl Notifier {
    /// Tells nobody anything.
    pub fn silent() -> Self {
        Self(Arc::new(Outlets(Vec::new())))
    }

    /// A way to tell that does not count.
    pub fn bystander(&self) -> Bystander {
        Bystander(Arc::downgrade(&self.0))
    }

    /// Puts the notice into the queue of every destination that wants it.
    pub fn tell(&self, notice: &Notice) {
        for outlet in &self.0.0 {
            if wants(&outlet.wanted, notice) {
                outlet.queue.push(notice.clone());
            }
        }
    }
}

impl Bystander {
    /// Likewise, while anybody else has something to tell.
    pub fn tell(&self, notice: &Notice) {
        if let Some(outlets) = self.0.upgrade() {
            Notifier(outlets).tell(notice);
        }
    }
}

impl Drop for Outlets {
    fn drop(&mut self) {
        for outlet in &self.0 {
            outlet.queue.close();
        }
    }
}

/// What is not about any schedule, such as a region that does not answer, is for everybody.
fn wants(wanted: &NotifySettings, notice: &Notice) -> bool {
    let schedule = notice.schedule.as_ref().map(ScheduleName::as_str);
    let of_schedule = wanted.schedules.is_empty()
        || schedule.is_none_or(|schedule| {
            let mut names = wanted.schedules.iter();
            names.any(|name| name.as_str() == schedule)
        });
    wanted.kinds.contains(&notice.kind) && of_schedule
}

/// The destinations of the settings: where notices go in, and the deliveries that bring them out. Reads the files that hold webhooks'
/// URLs, and makes no call.
pub fn open(
    settings: &[NotifySettings],
    connection: &Connection,
) -> Result<(Notifier, Vec<Delivery>), OpenError> {
    let mut outlets = Vec::new();
    let mut deliveries = Vec::new();
    for wanted in settings {
        let queue = Arc::new(Queue::default());
        deliveries.push(Delivery {
            channel: Channel::open(&wanted.destination, connection)?,
            queue: Arc::clone(&queue),
        });
        outlets.push(Outlet {
            wanted: wanted.clone(),
            queue,
        });
    }
    Ok((Notifier(Arc::new(Outlets(outlets))), deliveries))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use curfew_config::notify::Kind;
    use curfew_config::{Destination, NotifySettings};

    #[tokio::test(start_paused = true)]
    async fn a_bystander_tells_while_others_may_and_keeps_no_delivery_waiting() {
        let (notifier, overheard) = Overheard::new();
        let bystander = notifier.bystander();
        let trial = Notice {
            kind: Kind::Failure,
            ..Notice::test("2026-11-23T19:00:00Z".parse().unwrap())
        };
        bystander.tell(&trial);
        drop(notifier);
        bystander.tell(&trial);
        assert_eq!(
            overheard.told().await,
            ["Curfew: can reach you here: this is a test"]
        );
        Bystander::default().tell(&trial);
    }

    #[test]
    fn a_destination_gets_the_kinds_and_schedules_that_it_wants() {
        let wanted = NotifySettings {
            destination: Destination::Webhook("https://chat.example/x".parse().unwrap()),
            kinds: BTreeSet::from([Kind::Failure]),
            schedules: BTreeSet::from(["office".parse().unwrap()]),
        };
        let notice = |kind, schedule: Option<&str>| Notice {
            kind,
            schedule: schedule.map(|name| name.parse().unwrap()),
            ..Notice::test("2026-11-23T19:00:00Z".parse().unwrap())
        };
        assert!(wants(&wanted, &notice(Kind::Failure, Some("office"))));
        assert!(
            wants(&wanted, &notice(Kind::Failure, None)),
            "a region that fails is of every schedule"
        );
        assert!(!wants(&wanted, &notice(Kind::Failure, Some("lab"))));
        assert!(!wants(&wanted, &notice(Kind::Hold, Some("office"))));
    }
}
