//! Removes the resources of a deployment. No instance is started, stopped or terminated.

use curfew_aws::connect::Connection;
use curfew_aws::progress::Progress;
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::stack_name::StackName;
use curfew_core::state_tags::{Fallback, TAGS, TYPE_TAG};

use super::DeployError;
use super::bucket::BucketRemoval;
use super::removal_plan::{InstanceTags, StackClients, StackResources, TaggedInstances};

/// Removes everything that [`deploy`](super::deploy) created. Instances are not removed. Missing resources are not an error. If this
/// account and region have no resource of this name, the state tags are kept: they may belong to a deployment in another region.
pub async fn destroy(
    connection: &Connection,
    stack: &StackName,
    tags: InstanceTags<'_>,
    progress: &dyn Progress,
) -> Result<StackResources, DeployError> {
    progress.begin(&format!("Removing `{stack}`"));
    let clients = StackClients::new(connection, stack).await?;
    // Before any removal: these calls decide which tags may be removed.
    let found = clients.find().await?;
    let other_stacks = clients.other_stacks(tags).await?;
    // First, so that no rule triggers a half-removed Lambda.
    progress.detail("rules");
    let report = clients.rules.reconcile(&[]).await?;
    let had_stack = clients.stack.remove(progress).await?;
    // The tags are removed after the Lambda, which would write them again, and before the bucket and the configuration, from which the
    // next run can tell that a removal was interrupted.
    let mut tagged = clients
        .find_tagged_instances(tags, &found, &other_stacks)
        .await;
    if !tagged.account_regions.is_empty() {
        progress.detail("state tags of instances");
    }
    let instances = tagged.remove(progress).await;
    let mut kept = report.warnings;
    let (bucket, parameters) = if tagged.failed.is_empty() {
        progress.detail("bucket and configuration");
        let bucket = clients.bucket.remove(&found.bucket).await?;
        (bucket, clients.parameter.remove().await?)
    } else {
        kept.push(
            "the bucket and the configuration are kept until the tags can be removed: the next `destroy` needs them to recognise the tags as this stack's"
                .to_owned(),
        );
        (BucketRemoval::default(), Vec::new())
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
        bucket: bucket.removed.then_some(clients.bucket.name),
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

impl TaggedInstances {
    /// The number of instances per call; the limit is a thousand.
    const BATCH: usize = 500;

    /// Removes the tags, and returns the instances that had them.
    async fn remove(&mut self, progress: &dyn Progress) -> Vec<InstanceId> {
        let mut removed = Vec::new();
        for (region_fleet, instances) in &self.account_regions {
            for instances in instances.chunks(Self::BATCH) {
                let ids: Vec<_> = instances
                    .iter()
                    .map(|instance| instance.id.clone())
                    .collect();
                match region_fleet.fleet().untag(&ids, &TAGS).await {
                    Ok(()) => {
                        let notes = instances.iter().filter_map(fallback_note);
                        notes.for_each(|note| progress.note(&note));
                        removed.extend(ids);
                    }
                    Err(error) => self.failed.push(format!(
                        "{} instances in {} keep their state tags: {error}",
                        ids.len(),
                        region_fleet.account_region
                    )),
                }
            }
        }
        removed
    }
}

/// Returns a note about an instance that runs as a fallback type: without its state tags, no start restores the configured
/// type.
fn fallback_note(instance: &Instance) -> Option<String> {
    let fallback: Fallback = instance.tags.get(TYPE_TAG)?.parse().ok()?;
    let in_force = instance.instance_type == fallback.current_type.as_str();
    in_force.then(|| {
        format!(
            "`{}` keeps its fallback type; its configured type is `{}`",
            instance.id, fallback.desired_type
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_core::instance::{
        AccountId, CapacitySource, Hibernation, InstanceState, Purchase, Region, RootDevice,
    };

    fn instance(instance_type: &str, fallback: Option<&str>) -> Instance {
        let tag = fallback.map(|value| (TYPE_TAG.to_owned(), value.to_owned()));
        Instance {
            id: "i-0abc1234def567890".parse().unwrap(),
            region: Region::new("eu-west-3"),
            account: AccountId::new("123456789012"),
            state: InstanceState::Running,
            state_word: None,
            launched_at: None,
            instance_type: instance_type.to_owned(),
            availability_zone: None,
            tags: tag.into_iter().collect(),
            purchase: Purchase::OnDemand,
            capacity: CapacitySource::default(),
            operator: None,
            root_device: RootDevice::Ebs,
            hibernation: Hibernation::NotConfigured,
            state_reason: None,
            transition_reason: None,
        }
    }

    #[test]
    fn the_note_about_a_fallback_names_the_configured_type() {
        let fallback = Some("m5.large as m5a.large");
        assert_eq!(
            fallback_note(&instance("m5a.large", fallback)).as_deref(),
            Some(
                "`i-0abc1234def567890` keeps its fallback type; its configured type is `m5.large`"
            )
        );
        assert_eq!(
            fallback_note(&instance("c5.large", fallback)),
            None,
            "changed outside Curfew"
        );
        assert_eq!(
            fallback_note(&instance("m5a.large", Some("m5.large"))),
            None
        );
        assert_eq!(fallback_note(&instance("m5.large", None)), None);
    }
}
