//! Taking a deployment out again: what there is of it, and removing that. No instance is started, stopped or terminated.

use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{MemberFleet, Organisation};
use curfew_aws::rules::{Rules, StackName};
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::memory::{TAGS, TYPE_TAG};
use serde::Serialize;

use super::bucket::Bucket;
use super::place::Account;
use super::settings::SettingsParameter;
use super::stack::Stack;
use super::{DeployError, event_bridge};
use crate::progress::Progress;

/// What belongs to a deployment, by name: what would be removed, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Belongings {
    /// EventBridge rules.
    pub rules: Vec<String>,
    /// The CloudFormation stack, with everything in it: the Lambda and its log group, the API, the queues, the role.
    pub stack: Option<StackName>,
    /// The bucket, with the code.
    pub bucket: Option<String>,
    /// The SSM parameters with the settings.
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
    let found = place.stack.describe().await?;
    let neighbours = place.neighbours(tags).await?;
    let tagged = place.tagged(tags, &neighbours).await;
    Ok(Belongings {
        rules: place.rules.preview(&[]).await?.changes.delete,
        stack: found.map(|_| stack.clone()),
        bucket: place.bucket.exists().await?.then_some(place.bucket.name),
        parameters: place.parameter.names().await?,
        instances: tagged.ids(),
        kept: tagged.kept,
        failed: tagged.failed,
    })
}

/// Removes all that [`deploy`](super::deploy) made, and no instance. What is gone already is no error.
pub async fn destroy(
    conn: &Connection,
    stack: &StackName,
    tags: InstanceTags<'_>,
    progress: &dyn Progress,
) -> Result<Belongings, DeployError> {
    progress.begin(&format!("Removing `{stack}`"));
    let place = Place::of(conn, stack).await?;
    // Before anything goes: without this answer nobody knows which tags may go.
    let neighbours = place.neighbours(tags).await?;
    // First, so that nothing wakes what is being taken apart.
    progress.detail("rules");
    let report = place.rules.reconcile(&[]).await?;
    let had_stack = place.stack.remove(progress).await?;
    progress.detail("bucket and settings");
    let had_bucket = place.bucket.remove().await?;
    let parameters = place.parameter.remove().await?;
    // Last: the Lambda would have written them again.
    let mut tagged = place.tagged(tags, &neighbours).await;
    if !tagged.members.is_empty() {
        progress.detail("tags of instances");
    }
    let instances = tagged.remove(progress).await;
    let mut kept = report.warnings;
    kept.append(&mut tagged.kept);
    for sentence in kept.iter().chain(&tagged.failed) {
        progress.note(sentence);
    }
    let removed = Belongings {
        rules: report.changes.delete,
        stack: had_stack.then(|| stack.clone()),
        bucket: had_bucket.then_some(place.bucket.name),
        parameters,
        instances,
        kept,
        failed: tagged.failed,
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
    stack: Stack<'a>,
    rules: Rules,
    bucket: Bucket,
    parameter: SettingsParameter,
}

/// The other deployments here, whose tags may be on the same instances.
enum Neighbours {
    Known(Vec<String>),
    /// These credentials may not ask.
    Unknown(CloudError),
}

/// The instances that carry Curfew's tags.
struct Tagged {
    members: Vec<(MemberFleet, Vec<Instance>)>,
    kept: Vec<String>,
    failed: Vec<String>,
}

impl<'a> Place<'a> {
    async fn of(conn: &Connection, name: &'a StackName) -> Result<Self, DeployError> {
        let account = Account::of(conn).await?;
        let stack = Stack::new(conn, name);
        stack.check_owner().await?;
        let client = event_bridge(conn);
        Ok(Self {
            stack,
            rules: Rules::new(client, name.clone(), account.function_arn(conn, name)),
            bucket: Bucket::new(conn, name, &account),
            parameter: SettingsParameter::new(conn, name),
        })
    }

    /// The other deployments here, as far as they matter.
    async fn neighbours(&self, tags: InstanceTags<'_>) -> Result<Neighbours, CloudError> {
        let InstanceTags::Remove(_) = tags else {
            return Ok(Neighbours::Known(Vec::new()));
        };
        match self.stack.neighbours().await {
            Ok(names) => Ok(Neighbours::Known(names)),
            Err(error) if error.kind == CloudErrorKind::Denied => Ok(Neighbours::Unknown(error)),
            Err(error) => Err(error),
        }
    }

    async fn tagged(&self, tags: InstanceTags<'_>, neighbours: &Neighbours) -> Tagged {
        let mut tagged = Tagged {
            members: Vec::new(),
            kept: Vec::new(),
            failed: Vec::new(),
        };
        let InstanceTags::Remove(organisation) = tags else {
            return tagged;
        };
        let survey = organisation.observe(&Scope::All, Deadline::NONE).await;
        let failures = survey.failures.iter();
        tagged.failed.extend(failures.map(|error| {
            format!("tags of instances may stay, because nobody could look: {error}")
        }));
        for (one, mut instances) in survey.answers {
            instances.retain(|instance| TAGS.iter().any(|key| instance.tags.contains_key(*key)));
            if !instances.is_empty() {
                tagged.members.push((one, instances));
            }
        }
        if let Some(why) = neighbours.objection()
            && !tagged.members.is_empty()
        {
            tagged.members.clear();
            tagged
                .kept
                .push(format!("instances keep their `curfew:` tags, {why}"));
        }
        tagged
    }
}

impl Neighbours {
    /// Why the tags on instances stay; none if they may go.
    fn objection(&self) -> Option<String> {
        match self {
            Self::Known(names) if names.is_empty() => None,
            Self::Known(names) => Some(format!(
                "because they may be those of `{}`, which is deployed here too",
                names.join("`, `")
            )),
            Self::Unknown(refusal) => Some(format!(
                "because they may be those of another deployment, and nobody may look whether there is one: {refusal}"
            )),
        }
    }
}

impl Tagged {
    /// Fewer than the thousand that one call takes, as for every call over many instances.
    const BATCH: usize = 500;

    fn ids(&self) -> Vec<InstanceId> {
        let instances = self.members.iter().flat_map(|(_, instances)| instances);
        instances.map(|instance| instance.id.clone()).collect()
    }

    /// Removes the tags; answers with the instances that lost them.
    async fn remove(&mut self, progress: &dyn Progress) -> Vec<InstanceId> {
        let mut removed = Vec::new();
        for (one, instances) in &self.members {
            for instances in instances.chunks(Self::BATCH) {
                let ids: Vec<_> = instances.iter().map(|one| one.id.clone()).collect();
                match one.fleet().untag(&ids, &TAGS).await {
                    Ok(()) => removed.extend(ids),
                    Err(error) => self.failed.push(format!(
                        "{} instances in {} keep their `curfew:` tags: {error}",
                        ids.len(),
                        one.member
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
