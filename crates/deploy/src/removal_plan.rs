//! The resources that removing a deployment would remove, with the reasons to keep others. It changes nothing.

use curfew_aws::connect::Connection;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionFleet, Organisation};
use curfew_aws::rules::Rules;
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::stack_name::StackName;
use curfew_core::state_tags::TAGS;
use serde::Serialize;

use super::bucket::{Bucket, BucketState};
use super::caller_account::CallerAccount;
use super::configuration::ConfigurationParameter;
use super::json_forms;
use super::other_stacks::{ManagedAccountRegion, OtherStacks};
use super::stack::Stack;
use super::{DeployError, event_bridge};

/// The resources of a deployment, by name: those that would be removed, or were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct StackResources {
    /// The names of the EventBridge rules.
    pub rules: Vec<String>,
    /// The CloudFormation stack with its resources: the Lambda and its log group, the API, the queues, the role.
    pub stack: Option<StackName>,
    /// The bucket of the Lambda's code.
    pub bucket: Option<String>,
    /// The keys of the Lambda's code in the bucket.
    pub objects: Vec<String>,
    /// The names of the SSM parameters with the configuration.
    pub parameters: Vec<String>,
    /// The instances with state tags. Only these tags are removed.
    #[serde(serialize_with = "json_forms::instances")]
    #[schemars(with = "Vec<json_forms::TaggedInstance<'static>>")]
    pub instances: Vec<InstanceId>,
    /// What is kept on purpose, one sentence each.
    #[serde(serialize_with = "json_forms::sentences")]
    #[schemars(with = "Vec<json_forms::Remark<'static>>")]
    pub kept: Vec<String>,
    /// What could not be removed or checked, one sentence each.
    #[serde(serialize_with = "json_forms::sentences")]
    #[schemars(with = "Vec<json_forms::Remark<'static>>")]
    pub failed: Vec<String>,
}

impl StackResources {
    /// Whether there is nothing to remove and no failure.
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            kept: self.kept.clone(),
            ..Self::default()
        };
        *self == nothing
    }
}

/// What to do with the state tags on instances.
#[derive(Clone, Copy, Debug)]
pub enum InstanceTags<'a> {
    /// Keep the tags.
    Keep,
    /// Remove the tags in these accounts and regions.
    Remove(&'a Organisation),
}

/// Returns the resources of `stack`. Changes nothing.
pub async fn stack_resources(
    connection: &Connection,
    stack: &StackName,
    tags: InstanceTags<'_>,
) -> Result<StackResources, DeployError> {
    let clients = StackClients::new(connection, stack).await?;
    let found = clients.find().await?;
    let other_stacks = clients.other_stacks(tags).await?;
    let mut tagged = clients
        .find_tagged_instances(tags, &found, &other_stacks)
        .await;
    let bucket = clients.bucket.removal(&found.bucket);
    tagged.kept.extend(bucket.kept);
    tagged.failed.extend(bucket.failed);
    Ok(StackResources {
        rules: found.rules,
        stack: found.stack.then(|| stack.clone()),
        bucket: bucket.removed.then_some(clients.bucket.name),
        objects: bucket.objects,
        parameters: found.parameters,
        instances: tagged.ids(),
        kept: tagged.kept,
        failed: tagged.failed,
    })
}

/// Clients for the resources of a stack.
pub(super) struct StackClients<'a> {
    connection: &'a Connection,
    name: &'a StackName,
    account: CallerAccount,
    pub(super) stack: Stack<'a>,
    pub(super) rules: Rules,
    pub(super) bucket: Bucket,
    pub(super) parameter: ConfigurationParameter,
}

/// The existing resources of a deployment, apart from state tags.
pub(super) struct FoundResources {
    rules: Vec<String>,
    stack: bool,
    pub(super) bucket: BucketState,
    parameters: Vec<String>,
}

impl FoundResources {
    /// Whether any resource of the deployment exists.
    fn exists(&self) -> bool {
        !self.rules.is_empty()
            || self.stack
            || self.bucket.is_owned()
            || !self.parameters.is_empty()
    }
}

/// The instances with state tags.
#[derive(Default)]
pub(super) struct TaggedInstances {
    pub(super) account_regions: Vec<(AccountRegionFleet, Vec<Instance>)>,
    pub(super) kept: Vec<String>,
    pub(super) failed: Vec<String>,
}

impl<'a> StackClients<'a> {
    pub(super) async fn new(
        connection: &'a Connection,
        name: &'a StackName,
    ) -> Result<Self, DeployError> {
        let account = CallerAccount::of(connection).await?;
        let stack = Stack::new(connection, name);
        stack.check_owner().await?;
        let client = event_bridge(connection);
        Ok(Self {
            connection,
            name,
            stack,
            rules: Rules::new(client, name.clone(), account.function_arn(connection, name)),
            bucket: Bucket::new(connection, name, &account),
            parameter: ConfigurationParameter::new(connection, name),
            account,
        })
    }

    pub(super) async fn find(&self) -> Result<FoundResources, DeployError> {
        Ok(FoundResources {
            stack: self.stack.describe().await?.is_some(),
            rules: self.rules.preview(&[]).await?.changes.delete,
            bucket: self.bucket.find().await?,
            parameters: self.parameter.names().await?,
        })
    }

    /// Returns the other deployments; none if the tags are kept.
    pub(super) async fn other_stacks(
        &self,
        tags: InstanceTags<'_>,
    ) -> Result<OtherStacks, DeployError> {
        let InstanceTags::Remove(organisation) = tags else {
            return Ok(OtherStacks::default());
        };
        let account_regions = organisation.account_regions().iter();
        let account_regions = account_regions
            .map(|region_fleet| self.account_region(region_fleet))
            .collect();
        Ok(OtherStacks::find(self.connection, self.name, &self.account, &account_regions).await?)
    }

    fn account_region(&self, region_fleet: &AccountRegionFleet) -> ManagedAccountRegion {
        ManagedAccountRegion::of(&region_fleet.account_region, &self.account.id)
    }

    /// Returns the instances with state tags to remove, and why the tags of others are kept.
    pub(super) async fn find_tagged_instances(
        &self,
        tags: InstanceTags<'_>,
        found: &FoundResources,
        other_stacks: &OtherStacks,
    ) -> TaggedInstances {
        let mut tagged = TaggedInstances::default();
        let InstanceTags::Remove(organisation) = tags else {
            return tagged;
        };
        if !found.exists() {
            tagged.kept.push(format!(
                "there is no deployment `{}` in {} of account {}, so the state tags are kept: they may belong to a deployment in another region",
                self.name,
                self.connection.region(),
                self.account.id
            ));
            return tagged;
        }
        let observed = organisation.observe(&Scope::All, Deadline::NONE).await;
        let failures = observed.failures.iter();
        tagged.failed.extend(failures.map(|error| {
            format!("state tags may remain, because the instances could not be read: {error}")
        }));
        for (region_fleet, mut instances) in observed.answers {
            instances.retain(|instance| TAGS.iter().any(|key| instance.tags.contains_key(*key)));
            if instances.is_empty() {
                continue;
            }
            match other_stacks.reason_to_keep_tags(&self.account_region(&region_fleet)) {
                None => tagged.account_regions.push((region_fleet, instances)),
                Some(why) => tagged.kept.push(format!(
                    "instances in {} keep their state tags, {why}",
                    region_fleet.account_region
                )),
            }
        }
        tagged
    }
}

impl TaggedInstances {
    fn ids(&self) -> Vec<InstanceId> {
        let instances = self
            .account_regions
            .iter()
            .flat_map(|(_, instances)| instances);
        instances.map(|instance| instance.id.clone()).collect()
    }
}
