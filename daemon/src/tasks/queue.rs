//! Long-polls the queue of state changes. A message is deleted only once the journal has its event.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{Message as Received, MessageSystemAttributeName};
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionFleet, Organisation};
use curfew_core::instance::{InstanceId, Region};
use curfew_core::stack_name::StackName;
use curfew_deploy::StackQueue;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::channels::Ack;
use super::observation_source::{ObservationSource, SourceError, forward};
use super::sqs::{config, queue_url};
use crate::active_configuration::ConfigurationReceiver;
use crate::supervisor::{Task, TaskContext, TaskError};
use crate::transitions::{EventBatch, InstanceObservation, StateChangeMessage, VISIBILITY_TIMEOUT};

/// The location of the queue of state changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAddress {
    /// The stack's queue by name, which may not be deployed yet.
    Named(String),
    /// A queue URL from the configuration.
    Url(String),
}

impl QueueAddress {
    /// Returns the name of the queue that `deploy` creates for a stack.
    pub fn of_stack(stack: &StackName) -> Self {
        Self::Named(StackQueue::StateChanges.name(stack))
    }
}

/// The queue's address and the client that reads it.
#[derive(Clone, Debug)]
pub struct EventQueue {
    pub(super) client: Client,
    address: QueueAddress,
    region: Region,
    /// The wait time of a long poll. Longer polls mean fewer billed calls; SQS allows 20 s.
    pub wait_time: Duration,
    /// How long a received message is invisible to other receivers, and to this one after a `kill -9`. An event that is
    /// recorded later than that is received twice and recognised.
    pub visibility: Duration,
}

impl EventQueue {
    /// Returns a queue in the connection's account and region.
    pub fn new(connection: &Connection, address: QueueAddress) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(LONGEST_POLL + RESPONSE_TIME)
            .build();
        Self {
            client: Client::from_conf(config(connection).timeout_config(timeouts).build()),
            address,
            region: Region::new(connection.region()),
            wait_time: LONGEST_POLL,
            visibility: VISIBILITY_TIMEOUT.unsigned_abs(),
        }
    }

    /// The region of the events in the queue.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Whether the configuration names the queue, so that it must exist.
    pub fn is_configured(&self) -> bool {
        matches!(self.address, QueueAddress::Url(_))
    }

    pub(super) async fn url(&self) -> Result<Option<String>, CloudError> {
        match &self.address {
            QueueAddress::Url(url) => Ok(Some(url.clone())),
            QueueAddress::Named(name) => queue_url(&self.client, name).await,
        }
    }
}

/// The limit of SQS.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// Time for the response after the wait time. The usual timeout of 15 s without a byte does not fit a long poll, which sends
/// nothing while it waits.
const RESPONSE_TIME: Duration = Duration::from_secs(15);
/// Delay before a missing queue is looked up again: it appears when a deployment creates it.
const LOOKUP_INTERVAL: Duration = Duration::from_mins(5);
/// The most messages that one `ReceiveMessage` returns.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
pub(super) const BATCH: i32 = 10;
/// The most messages that are processed together while more are waiting, so that one call describes their instances.
pub(super) const MAX_MESSAGES: usize = 100;
/// The wait time of the first poll. It is short because the first observations are held back until it is known whether events
/// are waiting.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A message received this often was not moved to a dead-letter queue either (the stack's queue moves it after the fifth
/// time).
const DELETE_AFTER_RECEIVES: u32 = 10;

/// Receives state changes from the queue, and forwards them to the watch task.
pub(crate) struct QueueTask {
    pub(crate) events: EventQueue,
    pub(crate) configuration: ConfigurationReceiver,
    pub(crate) writable: watch::Receiver<bool>,
    pub(crate) acks: mpsc::UnboundedSender<Ack>,
    pub(crate) observations: mpsc::Sender<InstanceObservation>,
}

impl Task for QueueTask {
    const NAME: &'static str = "queue";

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        // The queue's own region is the connection's, which only a restart changes.
        let organisation = self.configuration.borrow().organisation.clone();
        let (writable, acks) = (self.writable.clone(), self.acks.clone());
        let mut receiver = QueueReceiver::new(self.events.clone(), &organisation, writable, acks);
        forward(&mut receiver, &self.observations, ctx).await;
        Ok(())
    }
}

/// Receives state changes, and describes the instances that they are about.
#[derive(Debug)]
struct QueueReceiver {
    events: EventQueue,
    /// The account-region of the queue; `None` if it is not configured.
    home: Option<AccountRegionFleet>,
    url: Option<String>,
    begun: bool,
    /// Whether the journal can be written. While it can't, messages stay in the queue.
    writable: watch::Receiver<bool>,
    acks: mpsc::UnboundedSender<Ack>,
}

impl QueueReceiver {
    fn new(
        events: EventQueue,
        organisation: &Organisation,
        writable: watch::Receiver<bool>,
        acks: mpsc::UnboundedSender<Ack>,
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
            acks,
        }
    }

    /// Waits until the queue exists, and returns its address.
    async fn find(&mut self) -> Result<String, CloudError> {
        loop {
            if let Some(url) = &self.url {
                return Ok(url.clone());
            }
            self.url = self.events.url().await?;
            if let Some(url) = &self.url {
                info!(queue = url, "reading state changes from a queue");
            } else {
                debug!("no queue of state changes");
                tokio::time::sleep(LOOKUP_INTERVAL).await;
            }
        }
    }

    async fn receive(&mut self, url: &str) -> Result<(Vec<Received>, bool), CloudError> {
        let mut received = Vec::new();
        let mut wait = if self.begun {
            self.events.wait_time
        } else {
            FIRST_WAIT
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
            let response = call
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("sqs:ReceiveMessage", error))?;
            self.begun = true;
            let messages = response.messages.unwrap_or_default();
            // A short batch may come from one of many servers: only an empty response means that the queue is empty.
            let drained = messages.is_empty();
            received.extend(messages);
            if drained || received.len() >= MAX_MESSAGES {
                return Ok((received, drained));
            }
            wait = Duration::ZERO;
        }
    }

    fn read(&self, received: Vec<Received>, batch: &mut EventBatch) {
        for message in received {
            let count = receives(&message);
            let (Some(handle), Some(body)) = (message.receipt_handle, message.body) else {
                continue;
            };
            match StateChangeMessage::read(&body) {
                Ok(message) => {
                    let event = message.id().to_owned();
                    self.acknowledge(Ack::Received { event, handle });
                    match message {
                        StateChangeMessage::Changed(event) => batch.events.push(event),
                        StateChangeMessage::Called(call) => batch.calls.push(call),
                    }
                }
                Err(error) if count >= DELETE_AFTER_RECEIVES => {
                    warn!(%error, message = message.message_id, receives = count, "unreadable state-change message deleted; it was never moved to a dead-letter queue");
                    self.acknowledge(Ack::Poison { handle });
                }
                Err(error) => {
                    // The message stays invisible for a while, and becomes a dead letter at last.
                    if count <= 1 {
                        warn!(%error, message = message.message_id, "unreadable state-change message; leaving it to the dead-letter queue");
                    }
                }
            }
        }
    }

    fn acknowledge(&self, receipt: Ack) {
        // Fails at shutdown only, when the receiver is dropped: messages that are not deleted are delivered again.
        let _ = self.acks.send(receipt);
    }

    /// Describes the instances for their current tags. If the call fails, the events alone are used.
    async fn describe(&self, ids: BTreeSet<InstanceId>) -> Vec<curfew_core::instance::Instance> {
        let Some(home) = self.home.as_ref().filter(|_| !ids.is_empty()) else {
            return Vec::new();
        };
        match home.fleet().observe(&Scope::Only(ids)).await {
            Ok(observation) => observation.instances,
            Err(error) => {
                warn!(%error, hint = error.hint(), "changed instances could not be described");
                Vec::new()
            }
        }
    }

    async fn next_batch(&mut self) -> Result<EventBatch, CloudError> {
        let url = self.find().await?;
        let (received, drained) = self.receive(&url).await.inspect_err(|_| self.url = None)?;
        let mut batch = EventBatch {
            drained,
            ..EventBatch::default()
        };
        self.read(received, &mut batch);
        let ids = batch.events.iter().map(|event| event.instance.clone());
        batch.instances = self.describe(ids.collect()).await;
        Ok(batch)
    }
}

impl ObservationSource for QueueReceiver {
    async fn wait(&mut self) {
        if !*self.writable.borrow_and_update() {
            info!("state-change queue paused until the journal can be written");
            // An error means that the watch task has ended, at shutdown.
            let _ = self.writable.wait_for(|writable| *writable).await;
        }
    }

    async fn next(&mut self) -> Result<InstanceObservation, SourceError> {
        let batch = self.next_batch().await;
        batch
            .map(InstanceObservation::Events)
            .map_err(SourceError::Queue)
    }
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
    async fn an_empty_long_poll_is_shorter_than_the_call_timeout() {
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
        assert!(longest > queue.wait_time, "{longest:?}");
        assert_eq!(timeouts.operation_timeout(), None);
    }
}
