//! Dead letters: messages of the stack that failed repeatedly, in queues without a consumer. The task counts them for the
//! metrics, and sends a notification when some arrive and when all are gone.
//!
//! The task receives and deletes nothing: an operator decides about each dead letter.

use std::collections::BTreeMap;
use std::time::Duration;

use curfew_aws::connect::Connection;
use curfew_core::stack_name::StackName;
use curfew_deploy::{COUNT_INTERVAL, StackQueue};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::queue_counter::QueueCounter;
use crate::metrics::Metrics;
use crate::notify::{Notification, Notifier};
use crate::supervisor::{Task, TaskContext, TaskError};

/// The least time between two notifications about a rising count. While the cause lasts, every trigger may leave another dead
/// letter in each account-region.
const REPORT_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// A stack's dead-letter queues.
#[derive(Clone, Debug)]
pub struct DeadLetterQueues {
    counter: QueueCounter,
    /// The interval between counts.
    pub interval: Duration,
}

impl DeadLetterQueues {
    /// Returns the queues that `deploy` creates for a stack.
    pub fn of_stack(connection: &Connection, stack: &StackName) -> Self {
        Self {
            counter: QueueCounter::of_stack(connection, stack),
            interval: COUNT_INTERVAL,
        }
    }
}

/// Counts dead letters and sends notifications about them.
#[derive(Debug)]
pub(crate) struct DeadLettersTask {
    queues: DeadLetterQueues,
    reported: BTreeMap<StackQueue, ReportedCount>,
    notifier: Notifier,
}

impl Task for DeadLettersTask {
    const NAME: &'static str = "dead-letters";

    /// Counts at once, and then every [`DeadLetterQueues::interval`].
    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        while !ctx.shutdown.is_cancelled() {
            let interval = self.queues.interval;
            let counting = async {
                self.count_all(ctx).await;
                tokio::time::sleep(interval).await;
            };
            ctx.shutdown.run_until_cancelled(counting).await;
        }
        Ok(())
    }
}

/// The count that the last notification about a queue reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReportedCount {
    /// The reported count, lowered when messages are removed.
    messages: u64,
    at: Timestamp,
}

impl DeadLettersTask {
    pub(crate) fn new(queues: DeadLetterQueues, notifier: Notifier) -> Self {
        Self {
            queues,
            reported: BTreeMap::new(),
            notifier,
        }
    }

    async fn count_all(&mut self, ctx: &TaskContext) {
        for queue in StackQueue::DEAD_LETTERS {
            let counter = &mut self.queues.counter;
            let name = counter.name(queue);
            match counter.count(queue).await {
                Ok(messages) => {
                    self.record(queue, &name, messages, &ctx.metrics, ctx.clock.now());
                }
                // The previous count stays: nothing newer is known.
                Err(error) => {
                    warn!(queue = name, %error, hint = error.hint(), "dead letters could not be counted");
                }
            }
        }
    }

    /// Records a count of `messages` in a queue, and reports a rise or the end; `None` if the queue does not exist.
    fn record(
        &mut self,
        queue: StackQueue,
        name: &str,
        messages: Option<u64>,
        metrics: &Metrics,
        now: Timestamp,
    ) {
        metrics.dead_letters(name, messages);
        let messages = messages.unwrap_or_default();
        let before = self.reported.get(&queue).copied();
        match before {
            None if messages == 0 => {}
            Some(_) if messages == 0 => {
                info!(queue = name, "dead letters are gone");
                self.notifier
                    .notify(&Notification::no_dead_letters(name, now));
                self.reported.remove(&queue);
            }
            // The count fell: later arrivals are new again.
            Some(reported) if messages < reported.messages => {
                self.reported.insert(
                    queue,
                    ReportedCount {
                        messages,
                        ..reported
                    },
                );
            }
            Some(reported)
                if messages == reported.messages
                    || now.duration_since(reported.at) < REPORT_INTERVAL => {}
            None | Some(_) => {
                let new = messages - before.map_or(0, |reported| reported.messages);
                let hint = queue.advice();
                warn!(queue = name, messages, new, hint, "dead letters found");
                let notification = Notification::dead_letters(name, messages, new, hint, now);
                self.notifier.notify(&notification);
                self.reported
                    .insert(queue, ReportedCount { messages, at: now });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use curfew_aws::connect::ConnectOptions;

    use super::*;
    use crate::notify::TestSink;
    use crate::test_support::at;

    const QUEUE: &str = "curfew-curfew-undone-work.fifo";

    async fn task(notifier: Notifier) -> DeadLettersTask {
        let options = ConnectOptions {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("us-east-1".to_owned()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(options).await.unwrap();
        let queues = DeadLetterQueues::of_stack(&connection, &"curfew".parse().unwrap());
        DeadLettersTask::new(queues, notifier)
    }

    #[tokio::test(start_paused = true)]
    async fn dead_letters_are_reported_once_for_each_rise_and_when_they_are_gone() {
        let (notifier, sink) = TestSink::new();
        let metrics = Metrics::default();
        let mut task = task(notifier).await;
        let mut counted = |messages, time| {
            task.record(StackQueue::UndoneWork, QUEUE, messages, &metrics, at(time));
        };
        // First no stack, then a working one.
        counted(None, "12:00:00");
        assert!(!metrics.text().contains("curfew_dead_letters{"));
        counted(Some(0), "12:05:00");
        assert_eq!(sink.sentences().await, [""; 0]);
        counted(Some(1), "12:10:00");
        counted(Some(1), "12:15:00");
        insta::assert_snapshot!(
            sink.sentences().await.join("\n"),
            @"Curfew: the queue `curfew-curfew-undone-work.fifo` has 1 dead letter: the function crashed or ran out of time three times: the messages in `…-undone-work.fifo` name the account and region, its log says why"
        );
        let line = format!("curfew_dead_letters{{queue=\"{QUEUE}\"}} 1");
        assert!(metrics.text().contains(&line), "{}", metrics.text());

        // While the cause lasts the count rises, which is reported once an hour.
        counted(Some(2), "12:20:00");
        counted(Some(5), "13:09:59");
        assert_eq!(sink.sentences().await, [""; 0]);
        counted(Some(6), "13:10:00");
        insta::assert_snapshot!(
            sink.sentences().await.join("\n"),
            @"Curfew: the queue `curfew-curfew-undone-work.fifo` has 6 dead letters, 5 of them new: the function crashed or ran out of time three times: the messages in `…-undone-work.fifo` name the account and region, its log says why"
        );
        // A falling count is not reported; a later arrival is.
        counted(Some(2), "15:00:00");
        assert_eq!(sink.sentences().await, [""; 0]);
        counted(Some(3), "15:05:00");
        let reported = sink.sentences().await.join("\n");
        assert!(
            reported.contains("3 dead letters, 1 of them new"),
            "{reported}"
        );

        counted(Some(0), "15:10:00");
        counted(Some(0), "15:15:00");
        insta::assert_snapshot!(
            sink.sentences().await.join("\n"),
            @"Curfew: the queue `curfew-curfew-undone-work.fifo` has no dead letters any more"
        );
        counted(Some(1), "15:20:00");
        assert_eq!(sink.sentences().await.len(), 1, "it begins anew");
        // The queue disappears with the stack.
        counted(None, "15:25:00");
        assert_eq!(sink.sentences().await.len(), 1, "they are gone");
        assert!(!metrics.text().contains("curfew_dead_letters{"));
    }

    #[tokio::test(start_paused = true)]
    async fn queues_are_reported_separately() {
        let (notifier, sink) = TestSink::new();
        let (mut task, metrics) = (task(notifier).await, Metrics::default());
        let mut counted = |queue, name, messages, time| {
            task.record(queue, name, Some(messages), &metrics, at(time));
        };
        counted(StackQueue::UndoneWork, QUEUE, 1, "12:00:00");
        let other = "curfew-curfew-failed-invocations";
        counted(StackQueue::FailedInvocations, other, 1, "12:00:00");
        counted(StackQueue::UndoneWork, QUEUE, 0, "12:05:00");
        let reported = sink.sentences().await;
        assert_eq!(reported.len(), 3, "{reported:?}");
        assert!(
            reported[1].contains(other) && reported[2].contains(QUEUE),
            "{reported:?}"
        );
    }
}
