//! The actions of SQS.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::error::ModelError;
use crate::ids::{Home, SeededRandom, uuid};
use crate::queue::{
    BatchResult, MessageEntry, ModelQueueMessage, QueueAttributes, QueueCall, QueueCounts,
    QueueType, SqsQueue,
};
use crate::request::ModelResponse;
use crate::world::ModelWorld;

/// *Message quotas*: "The maximum is 1,048,576 bytes (1 MiB)".
const MAX_BODY: usize = 1024 * 1024;
/// The most messages of `ReceiveMessage` and the batch actions.
const MAX_MESSAGES: usize = 10;
/// The longest visibility timeout: twelve hours (`ChangeMessageVisibility`).
const MAX_VISIBILITY: u32 = 43_200;
/// The longest delay: 15 minutes (`SendMessage`).
const MAX_DELAY: u32 = 900;
/// The lifetime of a deduplication id, independent of its message (*Exactly-once processing*).
const DEDUPLICATION: SignedDuration = SignedDuration::from_mins(5);
/// The longest wait of a long poll (`ReceiveMessage`).
const MAX_WAIT: u32 = 20;

/// Returns the URL of a queue in AWS's form. A client with a custom endpoint sends it as a parameter and connects to
/// the endpoint.
fn url_of(home: &Home, name: &str) -> String {
    format!(
        "https://sqs.{}.amazonaws.com/{}/{name}",
        home.region, home.account
    )
}

impl ModelWorld {
    pub(crate) fn create_queue(
        &mut self,
        home: &Home,
        name: &str,
        configuration: QueueAttributes,
    ) -> String {
        let url = url_of(home, name);
        let queue = SqsQueue {
            home: home.clone(),
            configuration,
            subscribed: false,
            messages: Vec::new(),
            sent: HashMap::new(),
        };
        self.queues.insert(url.clone(), queue);
        url
    }

    /// Sends every state change of the queue's account and region to the queue from now on.
    pub(crate) fn subscribe_queue(&mut self, url: &str) {
        self.queues
            .get_mut(url)
            .expect("a queue that listens was created")
            .subscribed = true;
    }

    /// Sends the last transition to the subscribed queues, like an `EventBridge` rule.
    pub(crate) fn deliver_to_queues(&mut self) {
        let Some(transition) = self.transitions.last() else {
            return;
        };
        let listeners: Vec<String> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.subscribed && queue.home == *transition.home)
            .map(|(url, _)| url.clone())
            .collect();
        if listeners.is_empty() {
            return;
        }
        let number = u64::try_from(self.transitions.len() - 1).unwrap_or_default();
        let event = transition.event(self.seed, number).to_string();
        for url in listeners {
            self.put(&url, event.clone(), 0);
        }
    }

    /// Returns all messages of a queue, hidden ones included.
    pub(crate) fn messages(&self, url: &str) -> Vec<ModelQueueMessage> {
        self.queues
            .get(url)
            .map(|queue| queue.messages.clone())
            .unwrap_or_default()
    }

    pub(crate) fn queue_call(
        &mut self,
        home: &Home,
        call: &QueueCall,
    ) -> Result<ModelResponse, ModelError> {
        match call {
            QueueCall::Send { url, entry } => self.send(home, url, entry).map(ModelResponse::Sent),
            QueueCall::SendBatch { url, entries } => {
                let entries = entries.iter().map(|entry| (entry.name.as_str(), entry));
                self.batch(entries, |world, entry| {
                    world.send(home, url, entry).map(Some)
                })
            }
            QueueCall::Receive {
                url,
                max,
                visibility,
                wait,
            } => self
                .receive_messages(home, url, *max, *visibility, *wait)
                .map(ModelResponse::Received),
            QueueCall::Delete { url, receipt } => self
                .delete(home, url, receipt)
                .map(|()| ModelResponse::Done),
            QueueCall::DeleteBatch { url, entries } => {
                let entries = entries
                    .iter()
                    .map(|(name, receipt)| (name.as_str(), receipt));
                self.batch(entries, |world, receipt| {
                    world.delete(home, url, receipt).map(|()| None)
                })
            }
            QueueCall::ChangeVisibility {
                url,
                receipt,
                seconds,
            } => self
                .change_visibility(home, url, receipt, *seconds)
                .map(|()| ModelResponse::Done),
            QueueCall::Url { name } => {
                let url = url_of(home, name);
                self.queue(home, &url)?;
                Ok(ModelResponse::QueueUrl(url))
            }
            QueueCall::Counts { url } => {
                let now = self.now;
                Ok(ModelResponse::Counts(self.queue(home, url)?.counts(now)))
            }
        }
    }

    fn batch<'a, T: 'a>(
        &mut self,
        entries: impl ExactSizeIterator<Item = (&'a str, &'a T)>,
        mut each: impl FnMut(&mut Self, &'a T) -> Result<Option<String>, ModelError>,
    ) -> Result<ModelResponse, ModelError> {
        match entries.len() {
            0 => return Err(ModelError::queue("EmptyBatchRequest")),
            many if many > MAX_MESSAGES => {
                return Err(ModelError::queue("TooManyEntriesInBatchRequest"));
            }
            _ => {}
        }
        let mut batch = BatchResult::default();
        for (name, entry) in entries {
            match each(self, entry) {
                Ok(id) => batch.done.push((name.to_owned(), id)),
                Err(error) => batch.failed.push((name.to_owned(), error)),
            }
        }
        Ok(ModelResponse::Batch(batch))
    }

    fn send(&mut self, home: &Home, url: &str, entry: &MessageEntry) -> Result<String, ModelError> {
        self.queue(home, url)?;
        if entry.body.is_empty() {
            return Err(ModelError::missing_parameter("MessageBody"));
        }
        if entry.body.len() > MAX_BODY {
            return Err(ModelError::invalid_value(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {MAX_BODY} bytes."
            )));
        }
        check_range("DelaySeconds", i64::from(entry.delay), 0, MAX_DELAY.into())?;
        let now = self.now;
        let queue = self.queue(home, url)?;
        if queue.configuration.order == QueueType::Standard {
            return Ok(self.put(url, entry.body.clone(), entry.delay));
        }
        let group = entry.group.clone();
        let group = group.ok_or_else(|| ModelError::missing_parameter("MessageGroupId"))?;
        let id = entry.deduplication.clone().ok_or_else(|| {
            ModelError::invalid_value(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
            )
        })?;
        let key = (group.clone(), id);
        if let Some((message, at)) = queue.sent.get(&key)
            && now.duration_since(*at) < DEDUPLICATION
        {
            return Ok(message.clone());
        }
        let message = self.put(url, entry.body.clone(), entry.delay);
        let queue = self.queue(home, url)?;
        queue.sent.insert(key, (message.clone(), now));
        if let Some(last) = queue.messages.last_mut() {
            last.group = Some(group);
        }
        Ok(message)
    }

    /// Adds a message to an existing queue.
    pub(crate) fn put(&mut self, url: &str, body: String, delay: u32) -> String {
        self.sent += 1;
        let mut names = SeededRandom::seeded(self.seed.rotate_left(32) ^ self.sent);
        let id = uuid(names.draw(), names.draw());
        let now = self.now;
        let queue = self.queues.get_mut(url).expect("the queue exists");
        queue.messages.push(ModelQueueMessage {
            id: id.clone(),
            body,
            sent_at: now,
            receives: 0,
            visible_at: now + SignedDuration::from_secs(delay.into()),
            group: None,
        });
        id
    }

    fn receive_messages(
        &mut self,
        home: &Home,
        url: &str,
        max: i64,
        visibility: Option<u32>,
        wait: u32,
    ) -> Result<Vec<ModelQueueMessage>, ModelError> {
        check_range("MaxNumberOfMessages", max, 1, 10)?;
        check_range("WaitTimeSeconds", wait.into(), 0, MAX_WAIT.into())?;
        let seconds = visibility.unwrap_or_default();
        check_range(
            "VisibilityTimeout",
            seconds.into(),
            0,
            MAX_VISIBILITY.into(),
        )?;
        let now = self.now;
        let queue = self.queue(home, url)?;
        let configuration = queue.configuration.clone();
        queue
            .messages
            .retain(|message| now.duration_since(message.sent_at) < configuration.retention);
        if let Some(redrive) = &configuration.redrive {
            let dead: Vec<ModelQueueMessage> = queue
                .messages
                .extract_if(.., |message| {
                    message.visible_at <= now && message.receives >= redrive.max_receives
                })
                .collect();
            for message in dead {
                self.put(&redrive.dead_letters, message.body, 0);
            }
        }
        let hidden = visibility.map_or(configuration.visibility, |seconds| {
            SignedDuration::from_secs(seconds.into())
        });
        let queue = self.queue(home, url)?;
        // While a message of a group is in flight, later ones of the group wait.
        let mut busy: HashSet<String> = HashSet::new();
        Ok(queue
            .messages
            .iter_mut()
            .filter(|message| {
                let Some(group) = &message.group else {
                    return message.visible_at <= now;
                };
                let free = message.visible_at <= now && !busy.contains(group);
                if !free {
                    busy.insert(group.clone());
                }
                free
            })
            .take(usize::try_from(max).unwrap_or(MAX_MESSAGES))
            .map(|message| {
                message.receives += 1;
                message.visible_at = now + hidden;
                message.clone()
            })
            .collect())
    }

    /// Deletes a message. With an old receipt, "the request succeeds, but the message might not be deleted"
    /// (`DeleteMessage`): here it is not.
    fn delete(&mut self, home: &Home, url: &str, receipt: &str) -> Result<(), ModelError> {
        check_receipt(receipt)?;
        let queue = self.queue(home, url)?;
        queue
            .messages
            .retain(|message| message.receipt() != receipt);
        Ok(())
    }

    fn change_visibility(
        &mut self,
        home: &Home,
        url: &str,
        receipt: &str,
        seconds: u32,
    ) -> Result<(), ModelError> {
        check_receipt(receipt)?;
        check_range(
            "VisibilityTimeout",
            seconds.into(),
            0,
            MAX_VISIBILITY.into(),
        )?;
        let now = self.now;
        let message = self
            .queue(home, url)?
            .messages
            .iter_mut()
            .find(|message| message.receipt() == receipt && message.visible_at > now)
            .ok_or_else(|| ModelError::queue("AWS.SimpleQueueService.MessageNotInflight"))?;
        message.visible_at = now + SignedDuration::from_secs(seconds.into());
        Ok(())
    }

    /// Returns a queue of the caller's account and region.
    fn queue(&mut self, home: &Home, url: &str) -> Result<&mut SqsQueue, ModelError> {
        self.queues
            .get_mut(url)
            .filter(|queue| queue.home == *home)
            .ok_or_else(|| ModelError::queue("AWS.SimpleQueueService.NonExistentQueue"))
    }
}

impl SqsQueue {
    fn counts(&self, now: Timestamp) -> QueueCounts {
        let count = |wanted: fn(&ModelQueueMessage, Timestamp) -> bool| {
            self.messages
                .iter()
                .filter(|message| wanted(message, now))
                .count()
        };
        QueueCounts {
            visible: count(|message, now| message.visible_at <= now),
            in_flight: count(|message, now| message.visible_at > now && message.receives > 0),
            delayed: count(|message, now| message.visible_at > now && message.receives == 0),
        }
    }
}

fn check_range(parameter: &str, value: i64, least: i64, most: i64) -> Result<(), ModelError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ModelError::invalid_value(format!(
        "Value {value} for parameter {parameter} is invalid. Reason: Must be between {least} and {most}, if provided."
    )))
}

fn check_receipt(receipt: &str) -> Result<(), ModelError> {
    let well_formed = receipt
        .split_once('/')
        .is_some_and(|(id, receives)| id.len() == 36 && receives.parse::<u32>().is_ok());
    if well_formed {
        Ok(())
    } else {
        Err(ModelError::queue("ReceiptHandleIsInvalid"))
    }
}
