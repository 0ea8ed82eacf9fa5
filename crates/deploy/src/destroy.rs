//! Taking a deployment out again: what there is of it, and removing that. No instance is started, stopped or terminated.

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
use super::overlap::{AccountRegion, Neighbours};
use super::place::Account;
use super::stack::Stack;
use super::{DeployError, event_bridge};

/// What belongs to a deployment, by name: what would be removed, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Belongings {
    /// EventBridge rules.
    pub rules: Vec<String>,
    /// The CloudFormation stack, with everything in it: the Lambda and its log group, the API, the queues, the role.
    pub stack: Option<StackName>,
    /// The bucket of the code.
    pub bucket: Option<String>,
    /// The keys of the Lambda's code in it.
    pub objects: Vec<String>,
    /// The SSM parameters with the configuration.
    pub parameters: Vec<String>,
    /// The instances that carry Curfew's memory, in tags. They lose the tags and nothing else.
    pub instances: Vec<InstanceId>,
    /// What is left alone on purpose, one sentence each.
    pub kept: Vec<String>,
    /// What could not be removed, or not even looked for, and why, one sentence each.
    pub failed: Vec<String>,
}

impl Belongings {
    /// Whether there is nothing to remove, and nothing that failed.
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            kept: self.kept.clone(),
            ..Self::default()
        };
        *self == nothing
    }
}

/// What becomes of Curfew's tags on instances.
#[derive(Clone, Copy, Debug)]
pub enum InstanceTags<'a> {
    /// They stay.
    Keep,
    /// They go, wherever these accounts and regions have them.
    Remove(&'a Organisation),
}

/// What belongs to `stack`. Makes no writing call.
pub async fn belongings(
    conn: &Connection,
    stack: &StackName,
    tags: InstanceTags<'_>,
) -> Result<Belongings, DeployError> {
    let place = Place::of(conn, stack).await?;
    let found = place.find().await?;
    let neighbours = place.neighbours(tags).await?;
    let mut tagged = place.tagged(tags, &found, &neighbours).await;
    let bucket = place.bucket.removal(&found.bucket);
    tagged.kept.extend(bucket.kept);
    tagged.failed.extend(bucket.failed);
    Ok(Belongings {
        rules: found.rules,
        stack: found.stack.then(|| stack.clone()),
        bucket: bucket.bucket.then_some(place.bucket.name),
        objects: bucket.objects,
        parameters: found.parameters,
        instances: tagged.ids(),
        kept: tagged.kept,
        failed: tagged.failed,
    })
}

/// Removes all that [`deploy`](super::deploy) made, and no instance. What is gone already is no error. Where nothing of this name is
/// here, the tags on instances stay: they may be those of a deployment elsewhere.
pub async fn destroy(
    conn: &Connection,
    stack: &StackName,
    tags: InstanceTags<'_>,
    progress: &dyn Progress,
) -> Result<Belongings, DeployError> {
    progress.begin(&format!("Removing `{stack}`"));
    let place = Place::of(conn, stack).await?;
    // Before anything goes: without these answers it is not known which tags may go.
    let found = place.find().await?;
    let neighbours = place.neighbours(tags).await?;
    // First, so that nothing wakes what is being taken apart.
    progress.detail("rules");
    let report = place.rules.reconcile(&[]).await?;
    let had_stack = place.stack.remove(progress).await?;
    // After the Lambda, which would have written them again; and before the last that tells that the deployment was here, so that
    // an interrupted removal is completed by the next.
    let mut tagged = place.tagged(tags, &found, &neighbours).await;
    if !tagged.account_regions.is_empty() {
        progress.detail("tags of instances");
    }
    let instances = tagged.remove(progress).await;
    let mut kept = report.warnings;
    let (bucket, parameters) = if tagged.failed.is_empty() {
        progress.detail("bucket and configuration");
        let bucket = place.bucket.remove(&found.bucket).await?;
        (bucket, place.parameter.remove().await?)
    } else {
        kept.push(
            "the bucket and the configuration stays until the tags can be removed: by them the next `destroy` knows that the tags are this stack's"
                .to_owned(),
        );
        (bucket::Removed::default(), Vec::new())
    };
    kept.append(&mut tagged.kept);
    kept.extend(bucket.kept);
    let mut failed = tagged.failed;
    failed.extend(bucket.failed);
    for sentence in kept.iter().chain(&failed) {
        progress.note(sentence);
    }
    let removed = Belongings {
        rules: report.changes.delete,
        stack: had_stack.then(|| stack.clone()),
        bucket: bucket.bucket.then_some(place.bucket.name),
        objects: bucket.objects,
        parameters,
        instances,
        kept,
        failed,
    };
    progress.end(&if removed.is_empty() {
        format!("There was nothing of `{stack}` to remove")
    } else if removed.failed.is_empty() {
        format!("`{stack}` is removed")
    } else {
        format!("`{stack}` is removed, but for what is said above")
    });
    Ok(removed)
}

/// Where a stack's things are.
struct Place<'a> {
    conn: &'a Connection,
    name: &'a StackName,
    account: Account,
    stack: Stack<'a>,
    rules: Rules,
    bucket: Bucket,
    parameter: ConfigurationParameter,
}

/// What there is of a deployment, without the tags on instances.
struct Found {
    rules: Vec<String>,
    stack: bool,
    bucket: bucket::Found,
    parameters: Vec<String>,
}

impl Found {
    /// Whether the deployment was ever here, as far as can be seen now.
    fn is_anything(&self) -> bool {
        !self.rules.is_empty() || self.stack || self.bucket.is_ours() || !self.parameters.is_empty()
    }
}

/// The instances that carry Curfew's tags.
struct Tagged {
    account_regions: Vec<(AccountRegionFleet, Vec<Instance>)>,
    kept: Vec<String>,
    failed: Vec<String>,
}

impl<'a> Place<'a> {
    async fn of(conn: &'a Connection, name: &'a StackName) -> Result<Self, DeployError> {
        let account = Account::of(conn).await?;
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

    async fn find(&self) -> Result<Found, DeployError> {
        Ok(Found {
            stack: self.stack.describe().await?.is_some(),
            rules: self.rules.preview(&[]).await?.changes.delete,
            bucket: self.bucket.find().await?,
            parameters: self.parameter.names().await?,
        })
    }

    /// The other deployments, as far as they matter.
    async fn neighbours(&self, tags: InstanceTags<'_>) -> Result<Neighbours, DeployError> {
        let InstanceTags::Remove(organisation) = tags else {
            return Ok(Neighbours::default());
        };
        let account_regions = organisation.account_regions().iter();
        let places = account_regions
            .map(|one| self.account_region(one))
            .collect();
        Ok(Neighbours::find(self.conn, self.name, &self.account, &places).await?)
    }

    fn account_region(&self, one: &AccountRegionFleet) -> AccountRegion {
        let account = one.account_region.account.as_ref();
        AccountRegion {
            account: account.map_or_else(|| self.account.id.clone(), |id| id.as_str().to_owned()),
            region: one.account_region.region.as_str().to_owned(),
        }
    }

    async fn tagged(
        &self,
        tags: InstanceTags<'_>,
        found: &Found,
        neighbours: &Neighbours,
    ) -> Tagged {
        let mut tagged = Tagged {
            account_regions: Vec::new(),
            kept: Vec::new(),
            failed: Vec::new(),
        };
        let InstanceTags::Remove(organisation) = tags else {
            return tagged;
        };
        if !found.is_anything() {
            tagged.kept.push(format!(
                "nothing of a deployment `{}` is in {} of account {}, so no tag is removed from any instance: the tags may be those of a deployment elsewhere",
                self.name,
                self.conn.region(),
                self.account.id
            ));
            return tagged;
        }
        let survey = organisation.observe(&Scope::All, Deadline::NONE).await;
        let failures = survey.failures.iter();
        tagged.failed.extend(failures.map(|error| {
            format!("tags of instances may stay, because nobody could look: {error}")
        }));
        for (one, mut instances) in survey.answers {
            instances.retain(|instance| TAGS.iter().any(|key| instance.tags.contains_key(*key)));
            if instances.is_empty() {
                continue;
            }
            match neighbours.objection(&self.account_region(&one)) {
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

impl Tagged {
    /// Fewer than the thousand that one call takes, as for every call over many instances.
    const BATCH: usize = 500;

    fn ids(&self) -> Vec<InstanceId> {
        let instances = self
            .account_regions
            .iter()
            .flat_map(|(_, instances)| instances);
        instances.map(|instance| instance.id.clone()).collect()
    }

    /// Removes the tags; answers with the instances that lost them.
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
                    if let Some(meant) = instance.tags.get(TYPE_TAG) {
                        progress.note(&format!(
                            "`{}` stays of the type that it was started with for lack of room; it was meant to be `{meant}`",
                            instance.id
                        ));
                    }
                }
            }
        }
        removed
    }
}
