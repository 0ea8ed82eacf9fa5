//! The queue of state changes: long polls, and a message is deleted only when the journal has what it told.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message as Received, MessageSystemAttributeName,
};
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionFleet, Organisation};
use curfew_core::instance::{InstanceId, Region};
use curfew_core::stack_name::StackName;
use curfew_deploy::StackQueue;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::event::Message;
use super::flow::HIDDEN;
use super::{Seen, Sightings, SourceError, Told};
use crate::run::sqs::{config, queue_url};

/// Where the state changes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAddress {
    /// The stack's queue, by its name: it may not be deployed yet.
    Named(String),
    /// Somebody's own.
    Url(String),
}

impl QueueAddress {
    /// The queue that `deploy` makes for a stack.
    pub fn of_stack(stack: &StackName) -> Self {
        Self::Named(StackQueue::StateChanges.name(stack))
    }
}

/// The address of the queue and the way to it.
#[derive(Clone, Debug)]
pub struct EventQueue {
    client: Client,
    address: QueueAddress,
    region: Region,
    /// The longest of long polls: each is a call that is paid for. SQS allows 20 s.
    pub patience: Duration,
    /// For how long a message is nobody else's. After a kill -9 it is so long nobody's; what is written later than that is received
    /// twice, and known then.
    pub visibility: Duration,
}

impl EventQueue {
    /// A queue of the connection's account and region.
    pub fn new(connection: &Connection, address: QueueAddress) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(LONGEST_POLL + ANSWER)
            .build();
        Self {
            client: Client::from_conf(config(connection).timeout_config(timeouts).build()),
            address,
            region: Region::new(connection.region()),
            patience: LONGEST_POLL,
            visibility: HIDDEN.unsigned_abs(),
        }
    }

    /// The region whose events it gets.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Whether somebody named it, who knows that events come.
    pub fn is_own(&self) -> bool {
        matches!(self.address, QueueAddress::Url(_))
    }

    async fn url(&self) -> Result<Option<String>, CloudError> {
        match &self.address {
            QueueAddress::Url(url) => Ok(Some(url.clone())),
            QueueAddress::Named(name) => queue_url(&self.client, name).await,
        }
    }
}

/// What SQS allows.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// For the answer to a poll that has waited in vain. A call that says nothing for 15 s has hung, but a poll says nothing by design.
const ANSWER: Duration = Duration::from_secs(15);
/// Before a queue that does not exist is asked for again: it comes with a stack, for which nobody waits here.
const NOT_DEPLOYED: Duration = Duration::from_mins(5);
/// `ReceiveMessage` gives at most so many.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
const BATCH: i32 = 10;
/// Messages that are taken together while there are more, so that their instances are looked up by one call.
const TOGETHER: usize = 100;
/// The first poll is short: whether events wait is what everything else waits for.
const FIRST: Duration = Duration::from_secs(1);
/// What was received this often is not wanted by the dead letters either (the stack's take it after the fifth time).
const SET_ASIDE: u32 = 10;

/// Receives state changes, and looks up the instances that they are about.
#[derive(Debug)]
pub(in crate::run) struct Queue {
    events: EventQueue,
    /// Where the instances are.
    home: Option<AccountRegionFleet>,
    url: Option<String>,
    begun: bool,
    /// Whether the journal takes what is received. While it does not, messages are safer where they are.
    writable: watch::Receiver<bool>,
    receipts: mpsc::UnboundedSender<Receipt>,
}

/// What deletes a message, once its event is dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::run) enum Receipt {
    /// An event was received with it: the newest is the one that counts.
    Received {
        /// The event.
        event: String,
        /// What SQS wants to see.
        handle: String,
    },
    /// Nothing more is to become of the event.
    Finished {
        /// The event.
        event: String,
    },
    /// The message is of no use.
    Useless {
        /// What SQS wants to see.
        handle: String,
    },
}

impl Queue {
    pub(in crate::run) fn new(
        events: EventQueue,
        organisation: &Organisation,
        writable: watch::Receiver<bool>,
        receipts: mpsc::UnboundedSender<Receipt>,
    ) -> Self {
        let account_regions = organisation.account_regions().iter();
        let mut own = account_regions.filter(|one| {
            one.account_region.account.is_none() && one.account_region.region == events.region
        });
        Self {
            home: own.next().cloned(),
            events,
            url: None,
            begun: false,
            writable,
            receipts,
        }
    }

    /// The queue's address, as soon as there is a queue.
    async fn find(&mut self) -> Result<String, CloudError> {
        loop {
            if let Some(url) = &self.url {
                return Ok(url.clone());
            }
            self.url = self.events.url().await?;
            if let Some(url) = &self.url {
                info!(queue = url, "state changes are read from a queue");
            } else {
                debug!("there is no queue of state changes");
                tokio::time::sleep(NOT_DEPLOYED).await;
            }
        }
    }

    async fn receive(&mut self, url: &str) -> Result<(Vec<Received>, bool), CloudError> {
        let mut received = Vec::new();
        let mut wait = if self.begun {
            self.events.patience
        } else {
            FIRST
        };
        loop {
            let call = self
                .events
                .client
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(BATCH)
                .wait_time_seconds(whole_seconds(wait))
                .visibility_timeout(whole_seconds(self.events.visibility))
                .message_system_attribute_names(
                    MessageSystemAttributeName::ApproximateReceiveCount,
                );
            let answer = call
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("sqs:ReceiveMessage", error))?;
            self.begun = true;
            let messages = answer.messages.unwrap_or_default();
            // A short answer may be one server's of many: only none at all says that there is nothing.
            let drained = messages.is_empty();
            received.extend(messages);
            if drained || received.len() >= TOGETHER {
                return Ok((received, drained));
            }
            wait = Duration::ZERO;
        }
    }

    fn read(&self, received: Vec<Received>, told: &mut Told) {
        for message in received {
            let count = receives(&message);
            let (Some(handle), Some(body)) = (message.receipt_handle, message.body) else {
                continue;
            };
            match Message::read(&body) {
                Ok(message) => {
                    let event = message.id().to_owned();
                    self.note(Receipt::Received { event, handle });
                    match message {
                        Message::Changed(event) => told.events.push(event),
                        Message::Called(call) => told.calls.push(call),
                    }
                }
                Err(error) if count >= SET_ASIDE => {
                    warn!(%error, message = message.message_id, receives = count, "a message that can't be read is removed: no queue took it as a dead letter");
                    self.note(Receipt::Useless { handle });
                }
                Err(error) => {
                    // It hides for a while, and becomes a dead letter.
                    if count <= 1 {
                        warn!(%error, message = message.message_id, "a message of the queue of state changes can't be read; it is left to the dead letters");
                    }
                }
            }
        }
    }

    fn note(&self, receipt: Receipt) {
        // Nobody deletes any more at the end: what is not deleted comes again.
        let _ = self.receipts.send(receipt);
    }

    /// The instances as they are by now, for their tags. Without a look, the events have to do.
    async fn look_up(&self, ids: BTreeSet<InstanceId>) -> Vec<curfew_core::instance::Instance> {
        let Some(home) = self.home.as_ref().filter(|_| !ids.is_empty()) else {
            return Vec::new();
        };
        match home.fleet().observe(&Scope::Only(ids)).await {
            Ok(instances) => instances,
            Err(error) => {
                warn!(%error, hint = error.hint(), "instances that changed can't be looked at");
                Vec::new()
            }
        }
    }

    async fn listen(&mut self) -> Result<Told, CloudError> {
        let url = self.find().await?;
        let (received, drained) = self.receive(&url).await.inspect_err(|_| self.url = None)?;
        let mut told = Told {
            drained,
            ..Told::default()
        };
        self.read(received, &mut told);
        let ids = told.events.iter().map(|event| event.instance.clone());
        told.instances = self.look_up(ids.collect()).await;
        Ok(told)
    }
}

impl Sightings for Queue {
    async fn rest(&mut self) {
        if !*self.writable.borrow_and_update() {
            info!("the queue of state changes waits until the journal can be written");
            // An error says that nobody writes any more, at the end.
            let _ = self.writable.wait_for(|writable| *writable).await;
        }
    }

    async fn next(&mut self) -> Result<Seen, SourceError> {
        let told = self.listen().await;
        told.map(Seen::Told).map_err(SourceError::Queue)
    }
}

/// Deletes messages whose events are dealt with.
#[derive(Debug)]
pub(in crate::run) struct Acknowledging {
    queue: EventQueue,
    receipts: mpsc::UnboundedReceiver<Receipt>,
    /// The newest receipt of each event that is not dealt with yet.
    handles: HashMap<String, String>,
}

impl Acknowledging {
    pub(in crate::run) fn new(
        queue: EventQueue,
        receipts: mpsc::UnboundedReceiver<Receipt>,
    ) -> Self {
        Self {
            queue,
            receipts,
            handles: HashMap::new(),
        }
    }

    /// Until nobody is left who could send anything.
    pub(in crate::run) async fn run(&mut self) {
        let mut done = Vec::new();
        while self.receipts.recv_many(&mut done, TOGETHER).await > 0 {
            let mut useless = Vec::new();
            for receipt in done.drain(..) {
                match receipt {
                    Receipt::Received { event, handle } => {
                        self.handles.insert(event, handle);
                    }
                    Receipt::Finished { event } => useless.extend(self.handles.remove(&event)),
                    Receipt::Useless { handle } => useless.push(handle),
                }
            }
            if let Err(error) = delete(&self.queue, useless).await {
                warn!(%error, hint = error.hint(), "messages that are dealt with can't be deleted; they come again");
            }
        }
    }
}

async fn delete(queue: &EventQueue, handles: Vec<String>) -> Result<(), CloudError> {
    if handles.is_empty() {
        return Ok(());
    }
    let Some(url) = queue.url().await? else {
        return Ok(());
    };
    for batch in handles.chunks(usize::try_from(BATCH).unwrap_or(1)) {
        let entries = batch.iter().enumerate().map(|(number, handle)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(handle)
                .build()
                .expect("an id and a receipt are all that an entry needs")
        });
        let call = queue.client.delete_message_batch().queue_url(&url);
        call.set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("sqs:DeleteMessage", error))?;
    }
    Ok(())
}

fn receives(message: &Received) -> u32 {
    let attributes = message.attributes.as_ref();
    let count = attributes.and_then(|attributes| {
        attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount)
    });
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

fn whole_seconds(length: Duration) -> i32 {
    i32::try_from(length.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use curfew_aws::connect::ConnectOptions;

    use super::*;

    #[tokio::test]
    async fn a_poll_that_nothing_comes_of_is_no_call_that_hangs() {
        let options = ConnectOptions {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("us-east-1".to_owned()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(options).await.unwrap();
        let queue = EventQueue::new(
            &connection,
            QueueAddress::of_stack(&"curfew".parse().unwrap()),
        );
        let timeouts = queue.client.config().timeout_config().unwrap();
        let longest = timeouts.operation_attempt_timeout().unwrap();
        assert!(longest > queue.patience, "{longest:?}");
        assert_eq!(timeouts.operation_timeout(), None);
    }
}
