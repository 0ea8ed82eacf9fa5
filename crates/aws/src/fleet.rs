//! The instances of one account and region: how they are observed, and the calls that change them.

mod no_room;
mod observe;
mod own_memory;
mod send_by;
mod sighting;
mod trim;

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::client::customize::CustomizableOperation;
use aws_sdk_ec2::config::Config;
use aws_sdk_ec2::types::{AttributeValue, Tag};
use curfew_core::instance::{InstanceId, InstanceState, InstanceType, Region};
use curfew_core::state_tags::{LAST_TAG, LastApplied};

use self::no_room::NoRoom;
pub use self::observe::{Observation, PageToken};
use self::own_memory::OwnMemory;
pub(crate) use self::send_by::SendBy;
use crate::connect::Connection;
use crate::error::CloudError;
use crate::pace::Pace;
use crate::skew::SignAnew;
use crate::whole::{AskAgain, WholeAnswer};

/// The instances of one account in one region.
#[derive(Clone, Debug)]
pub struct Fleet {
    client: Client,
    region: Region,
    pace: Pace,
    own_memory: OwnMemory,
    send_by: Option<SendBy>,
}

/// The instances to observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every instance that is not terminated.
    All,
    /// One page of [`All`](Self::All): the first, or the one that [`Observation::next_page`] named.
    Page(Option<PageToken>),
    /// These instances, in every state.
    Only(BTreeSet<InstanceId>),
}

/// What a state-changing call answered for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The instance.
    pub instance: InstanceId,
    /// Its state before the call.
    pub before: Option<InstanceState>,
    /// Its state right after it.
    pub after: Option<InstanceState>,
}

impl Fleet {
    /// The fleet in the connection's region, at EC2's published rate limits. Clones share the limits; a second fleet of the
    /// same account and region shares them by [`Self::at_pace`].
    pub fn new(connection: &Connection) -> Self {
        let configuration = aws_sdk_ec2::config::Builder::from(&connection.sdk)
            .interceptor(connection.calls.clone())
            .interceptor(connection.clock_watch.clone())
            .retry_classifier(SignAnew)
            .interceptor(WholeAnswer)
            .retry_classifier(AskAgain)
            .retry_classifier(NoRoom);
        Self {
            client: Client::from_conf(configuration.build()),
            region: Region::new(connection.region()),
            pace: Pace::published(),
            own_memory: OwnMemory::default(),
            send_by: None,
        }
    }

    /// The same fleet at another pace, or at one that others keep too.
    #[must_use]
    pub fn at_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// The same fleet, sending no changing call after an instant.
    #[must_use]
    pub(crate) fn sending_by(&self, send_by: &SendBy) -> Self {
        Self {
            send_by: Some(send_by.clone()),
            ..self.clone()
        }
    }

    fn limited<T, E, B>(
        &self,
        call: CustomizableOperation<T, E, B>,
    ) -> CustomizableOperation<T, E, B> {
        match &self.send_by {
            None => call,
            Some(send_by) => call
                .config_override(Config::builder().retry_classifier(send_by.clone()))
                .interceptor(send_by.clone()),
        }
    }

    /// How fast this fleet's account is called in its region.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// `StartInstances`, all or nothing. Like every changing call it is sent at once: the caller that orders several calls
    /// keeps the rate limit.
    pub async fn start(&self, ids: &[InstanceId]) -> Result<Vec<StateChange>, CloudError> {
        let call = self
            .client
            .start_instances()
            .set_instance_ids(Some(strings(ids)));
        let answer = self
            .limited(call.customize())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:StartInstances", error))?;
        Ok(answer
            .starting_instances()
            .iter()
            .filter_map(state_change)
            .collect())
    }

    /// `StopInstances`, all or nothing.
    pub async fn stop(
        &self,
        ids: &[InstanceId],
        hibernate: bool,
    ) -> Result<Vec<StateChange>, CloudError> {
        let call = self
            .client
            .stop_instances()
            .set_instance_ids(Some(strings(ids)));
        let call = if hibernate {
            call.hibernate(true)
        } else {
            call
        };
        let answer = self
            .limited(call.customize())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:StopInstances", error))?;
        Ok(answer
            .stopping_instances()
            .iter()
            .filter_map(state_change)
            .collect())
    }

    /// `ModifyInstanceAttribute`: gives a stopped instance another type.
    pub async fn set_type(&self, id: &InstanceId, to: &InstanceType) -> Result<(), CloudError> {
        let value = AttributeValue::builder().value(to.as_str()).build();
        let call = self
            .client
            .modify_instance_attribute()
            .instance_id(id.as_str())
            .instance_type(value);
        self.limited(call.customize())
            .send()
            .await
            .map(drop)
            .map_err(|error| CloudError::from_sdk("ec2:ModifyInstanceAttribute", error))
    }

    /// `CreateTags`: sets these tags, of keys and values, on all of `ids`, or on none.
    pub async fn tag<K: AsRef<str>>(
        &self,
        ids: &[InstanceId],
        tags: &[(K, String)],
    ) -> Result<(), CloudError> {
        let tags = tags
            .iter()
            .map(|(key, value)| Tag::builder().key(key.as_ref()).value(value).build());
        let call = self
            .client
            .create_tags()
            .set_resources(Some(strings(ids)))
            .set_tags(Some(tags.collect()));
        self.limited(call.customize())
            .send()
            .await
            .map(drop)
            .map_err(|error| CloudError::from_sdk("ec2:CreateTags", error))
    }

    /// Those of `ids` that have a newer `curfew:last` than this by now: read right before it is written.
    pub(crate) async fn overtaken(
        &self,
        ids: &[InstanceId],
        last: &LastApplied,
        mends: Option<&str>,
    ) -> Result<BTreeSet<InstanceId>, CloudError> {
        let scope = Scope::Only(ids.iter().cloned().collect());
        let present = self.observe(&scope).await?;
        let overtaken = present.instances.into_iter().filter(|instance| {
            let tag = instance.tags.get(LAST_TAG).map(String::as_str);
            !last.may_be_written_over(tag, mends)
        });
        Ok(overtaken.map(|instance| instance.id).collect())
    }

    /// This process has written `last` to these.
    pub(crate) fn remembered(&self, ids: &[InstanceId], last: &LastApplied) {
        self.own_memory.remember(ids, last);
    }

    /// `DeleteTags`: removes the tags of these keys, whatever their values, from all of `ids`.
    pub async fn untag<K: AsRef<str>>(
        &self,
        ids: &[InstanceId],
        keys: &[K],
    ) -> Result<(), CloudError> {
        let tags = keys
            .iter()
            .map(|key| Tag::builder().key(key.as_ref()).build());
        let call = self
            .client
            .delete_tags()
            .set_resources(Some(strings(ids)))
            .set_tags(Some(tags.collect()));
        self.limited(call.customize())
            .send()
            .await
            .map(drop)
            .map_err(|error| CloudError::from_sdk("ec2:DeleteTags", error))
    }
}

fn strings(ids: &[InstanceId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn state_change(change: &aws_sdk_ec2::types::InstanceStateChange) -> Option<StateChange> {
    let state =
        |state: Option<&aws_sdk_ec2::types::InstanceState>| state?.name()?.as_str().parse().ok();
    Some(StateChange {
        instance: change.instance_id()?.parse().ok()?,
        before: state(change.previous_state()),
        after: state(change.current_state()),
    })
}
