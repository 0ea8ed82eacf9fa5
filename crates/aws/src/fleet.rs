//! The instances of one account and region: observing them, and the calls that change them.

mod described_instance;
mod no_capacity_retry;
mod observe;
mod own_writes;
mod response_filter;
mod send_by;

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::client::customize::CustomizableOperation;
use aws_sdk_ec2::config::Config;
use aws_sdk_ec2::types::{AttributeValue, Tag};
use curfew_core::instance::{InstanceId, InstanceState, InstanceType, Region};
use curfew_core::state_tags::{LAST_TAG, LastApplied};

use self::no_capacity_retry::NoCapacityRetry;
pub use self::observe::{Observation, PageToken};
use self::own_writes::OwnWrites;
pub(crate) use self::send_by::SendBy;
use crate::clock_skew::RetryOnSkew;
use crate::connect::Connection;
use crate::error::CloudError;
use crate::rate_limit::RateLimiter;
use crate::truncated_response::{RejectTruncated, RetryTruncated};

/// The instances of one account in one region.
#[derive(Clone, Debug)]
pub struct Fleet {
    client: Client,
    region: Region,
    rate_limiter: RateLimiter,
    own_writes: OwnWrites,
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

/// The result of a start or stop for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The instance's id.
    pub instance: InstanceId,
    /// The state before the call, if known to Curfew.
    pub before: Option<InstanceState>,
    /// The state after the call, if known to Curfew.
    pub after: Option<InstanceState>,
}

impl Fleet {
    /// The fleet in the connection's region, with EC2's published rate limits. Clones share the rate limiter; a second fleet
    /// of the same account and region shares it by [`Self::with_rate_limiter`].
    pub fn new(connection: &Connection) -> Self {
        let configuration = aws_sdk_ec2::config::Builder::from(&connection.sdk)
            .interceptor(connection.calls.clone())
            .interceptor(connection.clock_skew_watch.clone())
            .retry_classifier(RetryOnSkew)
            .interceptor(RejectTruncated)
            .retry_classifier(RetryTruncated)
            .retry_classifier(NoCapacityRetry);
        Self {
            client: Client::from_conf(configuration.build()),
            region: Region::new(connection.region()),
            rate_limiter: RateLimiter::published(),
            own_writes: OwnWrites::default(),
            send_by: None,
        }
    }

    /// The same fleet with another rate limiter, which others may share.
    #[must_use]
    pub fn with_rate_limiter(self, rate_limiter: RateLimiter) -> Self {
        Self {
            rate_limiter,
            ..self
        }
    }

    /// The same fleet, which sends no changing call after `send_by`.
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

    /// The rate limiter of this fleet's account and region.
    pub fn rate_limiter(&self) -> &RateLimiter {
        &self.rate_limiter
    }

    /// The region of all instances.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// `StartInstances`, all or nothing. Like every changing call it is sent at once: the caller acquires the rate limiter's
    /// tokens.
    pub async fn start(&self, ids: &[InstanceId]) -> Result<Vec<StateChange>, CloudError> {
        let call = self
            .client
            .start_instances()
            .set_instance_ids(Some(strings(ids)));
        let response = self
            .limited(call.customize())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:StartInstances", error))?;
        Ok(response
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
        let response = self
            .limited(call.customize())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:StopInstances", error))?;
        Ok(response
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

    /// `CreateTags`: sets these tags, as keys and values, on all of `ids`, or on none.
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

    /// The subset of `ids` with a `curfew:last` newer than `last`, read right before it is written.
    pub(crate) async fn overtaken(
        &self,
        ids: &[InstanceId],
        last: &LastApplied,
        replaces: Option<&str>,
    ) -> Result<BTreeSet<InstanceId>, CloudError> {
        let scope = Scope::Only(ids.iter().cloned().collect());
        let present = self.observe(&scope).await?;
        let overtaken = present.instances.into_iter().filter(|instance| {
            let tag = instance.tags.get(LAST_TAG).map(String::as_str);
            !last.may_be_written_over(tag, replaces)
        });
        Ok(overtaken.map(|instance| instance.id).collect())
    }

    /// Registers that this process wrote `last` to these instances.
    pub(crate) fn wrote(&self, ids: &[InstanceId], last: &LastApplied) {
        self.own_writes.insert(ids, last);
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
