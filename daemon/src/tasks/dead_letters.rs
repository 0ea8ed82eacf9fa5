//! Dead letters: messages of the stack that failed repeatedly, in queues without a consumer. The task counts them for the
//! metrics, and sends a notification when some arrive and when all are gone.
//!
//! The task receives and deletes nothing: an operator decides about each dead letter.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_core::stack_name::StackName;
use curfew_deploy::{COUNT_INTERVAL, StackQueue};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::sqs::{config, none_without_queue, queue_url};
use crate::metrics::Metrics;
use crate::notify::{Notification, Notifier};
use crate::supervisor::{Task, TaskContext, TaskError};

/// The least time between two notifications about a rising count. While the cause lasts, every trigger may leave another dead
/// letter in each account-region.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// A stack's dead-letter queues and the client that reads them.
#[derive(Clone, Debug)]
pub struct DeadLetterQueues {
    client: Client,
    names: BTreeMap<StackQueue, String>,
    /// The interval between counts.
    pub interval: Duration,
}

impl DeadLetterQueues {
    /// Returns the queues that `deploy` creates for a stack.
    pub fn of_stack(connection: &Connection, stack: &StackName) -> Self {
        let names = StackQueue::DEAD_LETTERS.map(|queue| (queue, queue.name(stack)));
        Self {
            client: Client::from_conf(config(connection).build()),
            names: names.into(),
            interval: COUNT_INTERVAL,
        }
    }

    /// Returns the number of messages in a queue, including those that a `ReceiveMessage` has made invisible for a while;
    /// `None` if the queue does not exist.
    async fn count(&self, url: &str) -> Result<Option<u64>, CloudError> {
        const ACTION: &str = "sqs:GetQueueAttributes";
        const COUNTED: [QueueAttributeName; 2] = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = self.client.get_queue_attributes().queue_url(url);
        let asked = asked.set_attribute_names(Some(COUNTED.into()));
        let answer = asked.send().await;
        let answer = answer.map_err(|error| CloudError::from_sdk(ACTION, error));
        none_without_queue(answer.and_then(|answer| {
            let attributes = answer.attributes.unwrap_or_default();
            let counts = COUNTED.map(|name| attributes.get(&name)?.parse::<u64>().ok());
            let sum = counts.into_iter().sum::<Option<u64>>();
            let incomplete = || {
                let what = "the answer lacks the number of messages";
                CloudError::new(ACTION, CloudErrorKind::Service, what)
            };
            sum.map(Some).ok_or_else(incomplete)
        }))
    }
}

/// Counts dead letters and sends notifications about them.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    queues: DeadLetterQueues,
    urls: BTreeMap<StackQueue, String>,
    told: BTreeMap<StackQueue, ReportedCount>,
    clock: Clock,
    notifier: Notifier,
    metrics: Metrics,
}

impl Task for DeadLetters {
    const NAME: &'static str = "dead-letters";

    /// Counts at once, and then every [`DeadLetterQueues::interval`].
    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        while !ctx.shutdown.is_cancelled() {
            let interval = self.queues.interval;
            let counting = async {
                self.count_all().await;
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

impl DeadLetters {
    pub(crate) fn new(
        queues: DeadLetterQueues,
        clock: Clock,
        notifier: Notifier,
        metrics: Metrics,
    ) -> Self {
        Self {
            queues,
            urls: BTreeMap::new(),
            told: BTreeMap::new(),
            clock,
            notifier,
            metrics,
        }
    }

    async fn count_all(&mut self) {
        for (queue, name) in self.queues.names.clone() {
            match self.count(queue, &name).await {
                Ok(messages) => self.counted(queue, &name, messages, self.clock.now()),
                // The previous count stays: nothing newer is known.
                Err(error) => {
                    warn!(queue = name, %error, hint = error.hint(), "dead letters could not be counted");
                }
            }
        }
    }

    async fn count(&mut self, queue: StackQueue, name: &str) -> Result<Option<u64>, CloudError> {
        if !self.urls.contains_key(&queue)
            && let Some(url) = queue_url(&self.queues.client, name).await?
        {
            self.urls.insert(queue, url);
        }
        let Some(url) = self.urls.get(&queue) else {
            return Ok(None);
        };
        let counted = self.queues.count(url).await?;
        if counted.is_none() {
            self.urls.remove(&queue);
        }
        Ok(counted)
    }

    /// Handles a count of `messages` in a queue; `None` if the queue does not exist.
    fn counted(&mut self, queue: StackQueue, name: &str, messages: Option<u64>, now: Timestamp) {
        self.metrics.dead_letters(name, messages);
        let messages = messages.unwrap_or_default();
        let before = self.told.get(&queue).copied();
        match before {
            None if messages == 0 => {}
            Some(_) if messages == 0 => {
                info!(queue = name, "dead letters are gone");
                self.notifier
                    .tell(&Notification::no_dead_letters(name, now));
                self.told.remove(&queue);
            }
            // The count fell: later arrivals are new again.
            Some(told) if messages < told.messages => {
                self.told.insert(queue, ReportedCount { messages, ..told });
            }
            Some(told) if messages == told.messages || now.duration_since(told.at) < AGAIN => {}
            None | Some(_) => {
                let new = messages - before.map_or(0, |told| told.messages);
                let hint = queue.advice();
                warn!(queue = name, messages, new, hint, "dead letters found");
                let notification = Notification::dead_letters(name, messages, new, hint, now);
                self.notifier.tell(&notification);
                self.told.insert(queue, ReportedCount { messages, at: now });
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

    async fn dead_letters(notifier: Notifier, metrics: Metrics) -> DeadLetters {
        let options = ConnectOptions {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("us-east-1".to_owned()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(options).await.unwrap();
        let queues = DeadLetterQueues::of_stack(&connection, &"curfew".parse().unwrap());
        DeadLetters::new(queues, Clock::system(), notifier, metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn dead_letters_are_told_once_for_each_rise_and_when_they_are_gone() {
        let (notifier, overheard) = TestSink::new();
        let metrics = Metrics::default();
        let mut letters = dead_letters(notifier, metrics.clone()).await;
        let mut counted = |messages, time| {
            letters.counted(StackQueue::UndoneWork, QUEUE, messages, at(time));
        };
        // First no stack, then a working one.
        counted(None, "12:00:00");
        assert!(!metrics.text().contains("curfew_dead_letters{"));
        counted(Some(0), "12:05:00");
        assert_eq!(overheard.told().await, [""; 0]);
        counted(Some(1), "12:10:00");
        counted(Some(1), "12:15:00");
        insta::assert_snapshot!(
            overheard.told().await.join("\n"),
            @"Curfew: the queue `curfew-curfew-undone-work.fifo` has 1 dead letter: the function crashed or ran out of time three times: the messages in `…-undone-work.fifo` name the account and region, its log says why"
        );
        let line = format!("curfew_dead_letters{{queue=\"{QUEUE}\"}} 1");
        assert!(metrics.text().contains(&line), "{}", metrics.text());

        // While the cause lasts the count rises, which is reported once an hour.
        counted(Some(2), "12:20:00");
        counted(Some(5), "13:09:59");
        assert_eq!(overheard.told().await, [""; 0]);
        counted(Some(6), "13:10:00");
        insta::assert_snapshot!(
            overheard.told().await.join("\n"),
            @"Curfew: the queue `curfew-curfew-undone-work.fifo` has 6 dead letters, 5 of them new: the function crashed or ran out of time three times: the messages in `…-undone-work.fifo` name the account and region, its log says why"
        );
        // A falling count is not reported; a later arrival is.
        counted(Some(2), "15:00:00");
        assert_eq!(overheard.told().await, [""; 0]);
        counted(Some(3), "15:05:00");
        let told = overheard.told().await.join("\n");
        assert!(told.contains("3 dead letters, 1 of them new"), "{told}");

        counted(Some(0), "15:10:00");
        counted(Some(0), "15:15:00");
        insta::assert_snapshot!(
            overheard.told().await.join("\n"),
            @"Curfew: the queue `curfew-curfew-undone-work.fifo` has no dead letters any more"
        );
        counted(Some(1), "15:20:00");
        assert_eq!(overheard.told().await.len(), 1, "it begins anew");
        // The queue disappears with the stack.
        counted(None, "15:25:00");
        assert_eq!(overheard.told().await.len(), 1, "they are gone");
        assert!(!metrics.text().contains("curfew_dead_letters{"));
    }

    #[tokio::test(start_paused = true)]
    async fn queues_are_told_of_apart() {
        let (notifier, overheard) = TestSink::new();
        let mut letters = dead_letters(notifier, Metrics::default()).await;
        letters.counted(StackQueue::UndoneWork, QUEUE, Some(1), at("12:00:00"));
        let other = "curfew-curfew-failed-invocations";
        letters.counted(
            StackQueue::FailedInvocations,
            other,
            Some(1),
            at("12:00:00"),
        );
        letters.counted(StackQueue::UndoneWork, QUEUE, Some(0), at("12:05:00"));
        let told = overheard.told().await;
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[1].contains(other) && told[2].contains(QUEUE),
            "{told:?}"
        );
    }
}
