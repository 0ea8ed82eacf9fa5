//! The queue of state changes: long polls. A message is deleted only when the journal has its event.

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

/// Where the state changes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAddress {
    /// The stack's queue, by its name: it may not be deployed yet.
    Named(String),
    /// A queue named in the configuration.
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
    pub(super) client: Client,
    address: QueueAddress,
    region: Region,
    /// The longest of long polls: each is a call that is paid for. SQS allows 20 s.
    pub patience: Duration,
    /// How long a received message is invisible to other receivers, and so also to this one after a kill -9. An event that is
    /// recorded later than that is received twice and recognised.
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
            visibility: VISIBILITY_TIMEOUT.unsigned_abs(),
        }
    }

    /// The region of the events.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Whether the configuration names the queue, so that events are expected.
    pub fn is_own(&self) -> bool {
        matches!(self.address, QueueAddress::Url(_))
    }

    pub(super) async fn url(&self) -> Result<Option<String>, CloudError> {
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
/// Delay before a missing queue is looked up again: a deployment creates it, at no time that this task could wait for.
const NOT_DEPLOYED: Duration = Duration::from_mins(5);
/// `ReceiveMessage` gives at most so many.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
pub(super) const BATCH: i32 = 10;
/// Messages that are taken together while there are more, so that their instances are looked up by one call.
pub(super) const TOGETHER: usize = 100;
/// The first poll is short: whether events wait is what everything else waits for.
const FIRST: Duration = Duration::from_secs(1);
/// What was received this often is not wanted by the dead letters either (the stack's take it after the fifth time).
const SET_ASIDE: u32 = 10;

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

/// Receives state changes, and looks up the instances that they are about.
#[derive(Debug)]
struct QueueReceiver {
    events: EventQueue,
    /// Where the instances are.
    home: Option<AccountRegionFleet>,
    url: Option<String>,
    begun: bool,
    /// Whether the journal takes what is received. While it does not, messages are safer where they are.
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

    fn read(&self, received: Vec<Received>, batch: &mut EventBatch) {
        for message in received {
            let count = receives(&message);
            let (Some(handle), Some(body)) = (message.receipt_handle, message.body) else {
                continue;
            };
            match StateChangeMessage::read(&body) {
                Ok(message) => {
                    let event = message.id().to_owned();
                    self.note(Ack::Received { event, handle });
                    match message {
                        StateChangeMessage::Changed(event) => batch.events.push(event),
                        StateChangeMessage::Called(call) => batch.calls.push(call),
                    }
                }
                Err(error) if count >= SET_ASIDE => {
                    warn!(%error, message = message.message_id, receives = count, "a message that can't be read is removed: no queue took it as a dead letter");
                    self.note(Ack::Poison { handle });
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

    fn note(&self, receipt: Ack) {
        // At the end there is no receiver any more: messages that are not deleted come again.
        let _ = self.acks.send(receipt);
    }

    /// The instances as they are by now, for their tags. Without a look, the events have to do.
    async fn look_up(&self, ids: BTreeSet<InstanceId>) -> Vec<curfew_core::instance::Instance> {
        let Some(home) = self.home.as_ref().filter(|_| !ids.is_empty()) else {
            return Vec::new();
        };
        match home.fleet().observe(&Scope::Only(ids)).await {
            Ok(observation) => observation.instances,
            Err(error) => {
                warn!(%error, hint = error.hint(), "instances that changed can't be looked at");
                Vec::new()
            }
        }
    }

    async fn listen(&mut self) -> Result<EventBatch, CloudError> {
        let url = self.find().await?;
        let (received, drained) = self.receive(&url).await.inspect_err(|_| self.url = None)?;
        let mut batch = EventBatch {
            drained,
            ..EventBatch::default()
        };
        self.read(received, &mut batch);
        let ids = batch.events.iter().map(|event| event.instance.clone());
        batch.instances = self.look_up(ids.collect()).await;
        Ok(batch)
    }
}

impl ObservationSource for QueueReceiver {
    async fn rest(&mut self) {
        if !*self.writable.borrow_and_update() {
            info!("the queue of state changes waits until the journal can be written");
            // An error means that the writer has ended, at shutdown.
            let _ = self.writable.wait_for(|writable| *writable).await;
        }
    }

    async fn next(&mut self) -> Result<InstanceObservation, SourceError> {
        let batch = self.listen().await;
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
