//! Lists and removes the resources of a deployment. No instance is started, stopped or terminated.

use curfew_aws::connect::Connection;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionFleet, Organisation};
use curfew_aws::progress::Progress;
use curfew_aws::rules::Rules;
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::stack_name::StackName;
use curfew_core::state_tags::{TAGS, TYPE_TAG};
use serde::Serialize;

use super::bucket::{self, Bucket};
use super::configuration::ConfigurationParameter;
use super::other_stacks::{ManagedAccountRegion, OtherStacks};
use super::stack::Stack;
use super::target::CallerAccount;
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
    pub instances: Vec<InstanceId>,
    /// What is kept on purpose, one sentence each.
    pub kept: Vec<String>,
    /// What could not be removed or checked, one sentence each.
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

/// Returns the resources of `stack`. Makes no writing call.
pub async fn stack_resources(
    conn: &Connection,
    stack: &StackName,
    tags: InstanceTags<'_>,
) -> Result<StackResources, DeployError> {
    let handles = StackHandles::of(conn, stack).await?;
    let found = handles.find().await?;
    let other_stacks = handles.other_stacks(tags).await?;
    let mut tagged = handles.tagged(tags, &found, &other_stacks).await;
    let bucket = handles.bucket.removal(&found.bucket);
    tagged.kept.extend(bucket.kept);
    tagged.failed.extend(bucket.failed);
    Ok(StackResources {
        rules: found.rules,
        stack: found.stack.then(|| stack.clone()),
        bucket: bucket.bucket.then_some(handles.bucket.name),
        objects: bucket.objects,
        parameters: found.parameters,
        instances: tagged.ids(),
        kept: tagged.kept,
        failed: tagged.failed,
    })
}

/// Removes everything that [`deploy`](super::deploy) created, and no instance. Missing resources are no error. If no resource of this
/// name exists here, the state tags are kept: they may belong to a deployment in another region.
pub async fn destroy(
    conn: &Connection,
    stack: &StackName,
    tags: InstanceTags<'_>,
    progress: &dyn Progress,
) -> Result<StackResources, DeployError> {
    progress.begin(&format!("Removing `{stack}`"));
    let handles = StackHandles::of(conn, stack).await?;
    // Before any removal: these calls decide which tags may be removed.
    let found = handles.find().await?;
    let other_stacks = handles.other_stacks(tags).await?;
    // First, so that no rule triggers a half-removed Lambda.
    progress.detail("rules");
    let report = handles.rules.reconcile(&[]).await?;
    let had_stack = handles.stack.remove(progress).await?;
    // After the Lambda, which would write them again, and before the bucket and the configuration, by which the next run recognises an
    // interrupted removal.
    let mut tagged = handles.tagged(tags, &found, &other_stacks).await;
    if !tagged.account_regions.is_empty() {
        progress.detail("state tags of instances");
    }
    let instances = tagged.remove(progress).await;
    let mut kept = report.warnings;
    let (bucket, parameters) = if tagged.failed.is_empty() {
        progress.detail("bucket and configuration");
        let bucket = handles.bucket.remove(&found.bucket).await?;
        (bucket, handles.parameter.remove().await?)
    } else {
        kept.push(
            "the bucket and the configuration are kept until the tags can be removed: the next `destroy` needs them to recognise the tags as this stack's"
                .to_owned(),
        );
        (bucket::BucketRemoval::default(), Vec::new())
    };
    kept.append(&mut tagged.kept);
    kept.extend(bucket.kept);
    let mut failed = tagged.failed;
    failed.extend(bucket.failed);
    for sentence in kept.iter().chain(&failed) {
        progress.note(sentence);
    }
    let removed = StackResources {
        rules: report.changes.delete,
        stack: had_stack.then(|| stack.clone()),
        bucket: bucket.bucket.then_some(handles.bucket.name),
        objects: bucket.objects,
        parameters,
        instances,
        kept,
        failed,
    };
    progress.end(&if removed.is_empty() {
        format!("There are no resources of `{stack}` to remove")
    } else if removed.failed.is_empty() {
        format!("`{stack}` is removed")
    } else {
        format!("`{stack}` is removed, except for the resources listed above")
    });
    Ok(removed)
}

/// Clients for the resources of a stack.
struct StackHandles<'a> {
    conn: &'a Connection,
    name: &'a StackName,
    account: CallerAccount,
    stack: Stack<'a>,
    rules: Rules,
    bucket: Bucket,
    parameter: ConfigurationParameter,
}

/// The existing resources of a deployment, without state tags.
struct FoundResources {
    rules: Vec<String>,
    stack: bool,
    bucket: bucket::BucketState,
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
struct TaggedInstances {
    account_regions: Vec<(AccountRegionFleet, Vec<Instance>)>,
    kept: Vec<String>,
    failed: Vec<String>,
}

impl<'a> StackHandles<'a> {
    async fn of(conn: &'a Connection, name: &'a StackName) -> Result<Self, DeployError> {
        let account = CallerAccount::of(conn).await?;
        let stack = Stack::new(conn, name);
        stack.check_owner().await?;
        let client = event_bridge(conn);
        Ok(Self {
            conn,
            name,
            stack,
            rules: Rules::new(client, name.clone(), account.function_arn(conn, name)),
            bucket: Bucket::new(conn, name, &account),
            parameter: ConfigurationParameter::new(conn, name),
            account,
        })
    }

    async fn find(&self) -> Result<FoundResources, DeployError> {
        Ok(FoundResources {
            stack: self.stack.describe().await?.is_some(),
            rules: self.rules.preview(&[]).await?.changes.delete,
            bucket: self.bucket.find().await?,
            parameters: self.parameter.names().await?,
        })
    }

    /// Returns the other deployments, if tags are to be removed.
    async fn other_stacks(&self, tags: InstanceTags<'_>) -> Result<OtherStacks, DeployError> {
        let InstanceTags::Remove(organisation) = tags else {
            return Ok(OtherStacks::default());
        };
        let account_regions = organisation.account_regions().iter();
        let account_regions = account_regions
            .map(|one| self.account_region(one))
            .collect();
        Ok(OtherStacks::find(self.conn, self.name, &self.account, &account_regions).await?)
    }

    fn account_region(&self, one: &AccountRegionFleet) -> ManagedAccountRegion {
        let account = one.account_region.account.as_ref();
        ManagedAccountRegion {
            account: account.map_or_else(|| self.account.id.clone(), |id| id.as_str().to_owned()),
            region: one.account_region.region.as_str().to_owned(),
        }
    }

    async fn tagged(
        &self,
        tags: InstanceTags<'_>,
        found: &FoundResources,
        other_stacks: &OtherStacks,
    ) -> TaggedInstances {
        let mut tagged = TaggedInstances {
            account_regions: Vec::new(),
            kept: Vec::new(),
            failed: Vec::new(),
        };
        let InstanceTags::Remove(organisation) = tags else {
            return tagged;
        };
        if !found.exists() {
            tagged.kept.push(format!(
                "no resource of a deployment `{}` is in {} of account {}, so the state tags are kept: they may belong to a deployment in another region",
                self.name,
                self.conn.region(),
                self.account.id
            ));
            return tagged;
        }
        let survey = organisation.observe(&Scope::All, Deadline::NONE).await;
        let failures = survey.failures.iter();
        tagged.failed.extend(failures.map(|error| {
            format!("state tags may remain, because the instances could not be read: {error}")
        }));
        for (one, mut instances) in survey.answers {
            instances.retain(|instance| TAGS.iter().any(|key| instance.tags.contains_key(*key)));
            if instances.is_empty() {
                continue;
            }
            match other_stacks.reason_to_keep_tags(&self.account_region(&one)) {
                None => tagged.account_regions.push((one, instances)),
                Some(why) => tagged.kept.push(format!(
                    "instances in {} keep their `curfew:` tags, {why}",
                    one.account_region
                )),
            }
        }
        tagged
    }
}

impl TaggedInstances {
    /// The number of instances per call; the limit is a thousand.
    const BATCH: usize = 500;

    fn ids(&self) -> Vec<InstanceId> {
        let instances = self
            .account_regions
            .iter()
            .flat_map(|(_, instances)| instances);
        instances.map(|instance| instance.id.clone()).collect()
    }

    /// Removes the tags, and returns the instances that had them.
    async fn remove(&mut self, progress: &dyn Progress) -> Vec<InstanceId> {
        let mut removed = Vec::new();
        for (one, instances) in &self.account_regions {
            for instances in instances.chunks(Self::BATCH) {
                let ids: Vec<_> = instances.iter().map(|one| one.id.clone()).collect();
                match one.fleet().untag(&ids, &TAGS).await {
                    Ok(()) => removed.extend(ids),
                    Err(error) => self.failed.push(format!(
                        "{} instances in {} keep their `curfew:` tags: {error}",
                        ids.len(),
                        one.account_region
                    )),
                }
                for instance in instances {
                    if let Some(original) = instance.tags.get(TYPE_TAG) {
                        progress.note(&format!(
                            "`{}` keeps its fallback type; its configured type is `{original}`",
                            instance.id
                        ));
                    }
                }
            }
        }
        removed
    }
}
