//! The instances of one account and region: how they are observed, and the calls that change them.

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{DeviceType, Instance as Ec2Instance, Tag};
use aws_sdk_ec2::types::{Filter, InstanceLifecycleType, SpotInstanceType};
use curfew_core::instance::{
    AccountId, Hibernation, Instance, InstanceId, InstanceState, Purchase, Region, RootDevice,
    StateReason,
};
use jiff::Timestamp;

use crate::connect::Connection;
use crate::error::{CloudError, CloudErrorKind};
use crate::pace::Pace;
use crate::skew::{ClockWatch, SignAnew};
use crate::whole::{AskAgain, WholeAnswer};

/// The instances of one account in one region.
#[derive(Clone, Debug)]
pub struct Fleet {
    client: Client,
    region: Region,
    pace: Pace,
}

/// Which instances a pass looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that are not terminated.
    All,
    /// These, in whatever state.
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
    /// `DescribeInstances` answers at most this many instances a page.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
    const PAGE: i32 = 1000;
    /// A filter takes at most this many values.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html>
    const FILTER_VALUES: usize = 200;

    /// The fleet in the connection's region, at EC2's published pace. Clones share the pace; whoever makes a second fleet of
    /// the same account and region shares it by [`Self::at_pace`].
    pub fn new(connection: &Connection) -> Self {
        let settings = aws_sdk_ec2::config::Builder::from(&connection.sdk)
            .interceptor(ClockWatch::default())
            .retry_classifier(SignAnew)
            .interceptor(WholeAnswer)
            .retry_classifier(AskAgain);
        Self {
            client: Client::from_conf(settings.build()),
            region: Region::new(connection.region()),
            pace: Pace::published(),
        }
    }

    /// The same fleet at another pace, or at one that others keep too.
    #[must_use]
    pub fn at_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// How fast this fleet's account is called in its region.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Asks EC2 for the instances of `scope`, all pages. Ids that EC2 does not know are simply not in the answer.
    pub async fn observe(&self, scope: &Scope) -> Result<Vec<Instance>, CloudError> {
        let mut raw = Vec::new();
        match scope {
            Scope::All => {
                let alive = ["pending", "running", "stopping", "stopped"]
                    .map(String::from)
                    .to_vec();
                self.describe("instance-state-name", alive, &mut raw)
                    .await?;
            }
            Scope::Only(ids) => {
                // By filter and not by `InstanceIds`: there one unknown id fails the call for all the others.
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                for chunk in ids.chunks(Self::FILTER_VALUES) {
                    self.describe("instance-id", chunk.to_vec(), &mut raw)
                        .await?;
                }
            }
        }
        let persistent = self.persistent_spot_requests(&raw).await?;
        let mut instances = raw
            .into_iter()
            .map(|found| self.instance(found, &persistent))
            .collect::<Result<Vec<_>, _>>()?;
        // MiniStack ignores some filters, and EC2 may list an instance twice when its state changes between two pages.
        instances.retain(|instance| match scope {
            Scope::All => !matches!(
                instance.state,
                InstanceState::ShuttingDown | InstanceState::Terminated
            ),
            Scope::Only(ids) => ids.contains(&instance.id),
        });
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        instances.dedup_by(|a, b| a.id == b.id);
        Ok(instances)
    }

    /// `StartInstances`, all or nothing. Like every call that changes something, it goes out at once: keeping the pace is for
    /// whoever decides between many of them.
    pub async fn start(&self, ids: &[InstanceId]) -> Result<Vec<StateChange>, CloudError> {
        let call = self
            .client
            .start_instances()
            .set_instance_ids(Some(strings(ids)));
        let answer = call
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
        let answer = call
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:StopInstances", error))?;
        Ok(answer
            .stopping_instances()
            .iter()
            .filter_map(state_change)
            .collect())
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
        call.send()
            .await
            .map(drop)
            .map_err(|error| CloudError::from_sdk("ec2:CreateTags", error))
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
        call.send()
            .await
            .map(drop)
            .map_err(|error| CloudError::from_sdk("ec2:DeleteTags", error))
    }

    async fn describe(
        &self,
        filter: &str,
        values: Vec<String>,
        found: &mut Vec<(Option<String>, Ec2Instance)>,
    ) -> Result<(), CloudError> {
        let filter = Filter::builder()
            .name(filter)
            .set_values(Some(values))
            .build();
        let mut token = None;
        loop {
            let call = self
                .client
                .describe_instances()
                .filters(filter.clone())
                .max_results(Self::PAGE);
            let page = call.set_next_token(token).send().await;
            let page =
                page.map_err(|error| CloudError::from_sdk("ec2:DescribeInstances", error))?;
            token = page
                .next_token()
                .filter(|token| !token.is_empty())
                .map(str::to_owned);
            for reservation in page.reservations.unwrap_or_default() {
                let owner = reservation.owner_id;
                found.extend(
                    reservation
                        .instances
                        .unwrap_or_default()
                        .into_iter()
                        .map(|one| (owner.clone(), one)),
                );
            }
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// The Spot requests among `raw` that are persistent: only their instances can be stopped.
    async fn persistent_spot_requests(
        &self,
        raw: &[(Option<String>, Ec2Instance)],
    ) -> Result<BTreeSet<String>, CloudError> {
        let requests: Vec<String> = raw
            .iter()
            .filter_map(|(_, instance)| instance.spot_instance_request_id.clone())
            .collect();
        let mut persistent = BTreeSet::new();
        for chunk in requests.chunks(Self::FILTER_VALUES) {
            let filter = Filter::builder()
                .name("spot-instance-request-id")
                .set_values(Some(chunk.to_vec()))
                .build();
            let answer = self
                .client
                .describe_spot_instance_requests()
                .filters(filter)
                .send()
                .await;
            let answer = answer
                .map_err(|error| CloudError::from_sdk("ec2:DescribeSpotInstanceRequests", error))?;
            let found = answer
                .spot_instance_requests
                .unwrap_or_default()
                .into_iter();
            persistent.extend(
                found
                    .filter(|request| request.r#type == Some(SpotInstanceType::Persistent))
                    .filter_map(|request| request.spot_instance_request_id),
            );
        }
        Ok(persistent)
    }

    fn instance(
        &self,
        (owner, raw): (Option<String>, Ec2Instance),
        persistent: &BTreeSet<String>,
    ) -> Result<Instance, CloudError> {
        let broken =
            |what: String| CloudError::new("ec2:DescribeInstances", CloudErrorKind::Service, what);
        let id: InstanceId = raw
            .instance_id
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|error| broken(format!("{error}")))?;
        let state = raw
            .state
            .as_ref()
            .and_then(|state| state.name.as_ref())
            .map_or("", |name| name.as_str());
        let state = state
            .parse()
            .map_err(|error| broken(format!("`{id}`: {error}")))?;
        let spot = raw.instance_lifecycle == Some(InstanceLifecycleType::Spot);
        let may_stop = raw
            .spot_instance_request_id
            .as_ref()
            .is_some_and(|request| persistent.contains(request));
        let hibernation = raw
            .hibernation_options
            .as_ref()
            .and_then(|options| options.configured)
            .unwrap_or_default();
        let tags = raw
            .tags
            .unwrap_or_default()
            .into_iter()
            .filter_map(|tag| Some((tag.key?, tag.value?)))
            .collect();
        Ok(Instance {
            id,
            region: self.region.clone(),
            account: AccountId::new(owner.unwrap_or_default()),
            state,
            launched_at: raw
                .launch_time
                .and_then(|time| Timestamp::from_second(time.secs()).ok()),
            instance_type: raw
                .instance_type
                .map(|name| name.as_str().to_owned())
                .unwrap_or_default(),
            availability_zone: raw
                .placement
                .and_then(|placement| placement.availability_zone),
            tags,
            purchase: match (spot, may_stop) {
                (false, _) => Purchase::OnDemand,
                (true, true) => Purchase::PersistentSpot,
                (true, false) => Purchase::OneTimeSpot,
            },
            root_device: match raw.root_device_type {
                Some(DeviceType::InstanceStore) => RootDevice::InstanceStore,
                _ => RootDevice::Ebs,
            },
            hibernation: if hibernation {
                Hibernation::Configured
            } else {
                Hibernation::NotConfigured
            },
            state_reason: raw.state_reason.map(|reason| StateReason {
                code: reason.code.unwrap_or_default(),
                message: reason.message.unwrap_or_default(),
            }),
            transition_reason: raw
                .state_transition_reason
                .filter(|reason| !reason.is_empty()),
        })
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
