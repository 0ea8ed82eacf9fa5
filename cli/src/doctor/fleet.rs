//! Checks that the instances can be observed and which actions are permitted on them.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Tag;
use curfew_aws::caller_identity::CallerIdentity;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::Organisation;
use curfew_config::Configuration;
use curfew_core::instance::{Instance, InstanceState};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::LAST_TAG;
use curfew_deploy::DeployedState;

use super::Check;
use crate::output::count;

/// Checks that every account and region responds. Returns the instances too.
pub(super) async fn instances(
    organisation: &Organisation,
    configuration: &Configuration,
) -> (Check, Vec<Instance>) {
    let observed = organisation.observe(&Scope::All, Deadline::NONE).await;
    let locations = observed.answers.len() + observed.failures.len();
    let seen = observed.answers.into_iter();
    let seen: Vec<Instance> = seen.flat_map(|(_, instances)| instances).collect();
    let managed = managed(&seen, &configuration.schedule_set).count();
    let found = format!("{} found, {} managed", count(seen.len()), count(managed));
    let check = match observed.failures.first() {
        Some(first) => Check::fail(
            "instances",
            format!(
                "{found}; {} of {locations} accounts and regions failed: {first}",
                observed.failures.len()
            ),
            first.hint(),
        ),
        None if managed == 0 => Check::warn(
            "instances",
            found,
            format!(
                "tag an instance with `{}` and the name of a schedule; `curfew explain INSTANCE` shows why it is not managed",
                configuration.schedule_set.tag
            ),
        ),
        None => Check::ok("instances", found),
    };
    (check, seen)
}

/// Returns the instances that a schedule manages.
fn managed<'i>(
    instances: &'i [Instance],
    schedule_set: &ScheduleSet,
) -> impl Iterator<Item = &'i Instance> {
    let is_managed = |one: &&Instance| schedule_set.schedule_for(one).is_ok();
    instances.iter().filter(is_managed)
}

/// Checks with EC2 dry runs which actions the caller may perform on the managed instances of its account.
///
/// Runs against AWS only, because most emulators ignore `DryRun`. Each call would change nothing even without it: starting a running
/// instance, stopping a stopped one, adding a tag that exists, removing one that does not.
pub(super) async fn permissions(
    conn: &Connection,
    deployed: &DeployedState<'_>,
    identity: &CallerIdentity,
    instances: &[Instance],
    schedule_set: &ScheduleSet,
) -> Check {
    if !deployed.is_aws() {
        return Check::skip(
            "permissions",
            "not checked: emulators permit everything and may ignore dry runs",
        );
    }
    let account = identity.caller.as_ref().map(|caller| &caller.account);
    let own = |state| {
        let mut candidates = managed(instances, schedule_set);
        candidates
            .find(|one| one.state == state && account.is_ok_and(|id| one.account.as_str() == id))
    };
    let running = own(InstanceState::Running);
    let stopped = own(InstanceState::Stopped);
    let (mut denied, mut granted, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let mut note = |action: &'static str, answer: Option<DryRun>| match answer {
        Some(DryRun::Granted) => granted.push(action),
        Some(DryRun::Denied(why)) => denied.push((action, why)),
        None | Some(DryRun::Unclear) => open.push(action),
    };
    note(
        "ec2:StartInstances",
        match running {
            Some(instance) => Some(start(&client(conn, instance), instance).await),
            None => None,
        },
    );
    note(
        "ec2:StopInstances",
        match stopped {
            Some(instance) => Some(stop(&client(conn, instance), instance).await),
            None => None,
        },
    );
    let tagged = |one: &&Instance| one.tags.contains_key(LAST_TAG);
    note(
        "ec2:CreateTags",
        match running.or(stopped).filter(tagged) {
            Some(instance) => Some(tag(&client(conn, instance), instance).await),
            None => None,
        },
    );
    note(
        "ec2:DeleteTags",
        match running.or(stopped) {
            Some(instance) => Some(untag(&client(conn, instance), instance).await),
            None => None,
        },
    );
    verdict(&granted, &denied, &open)
}

fn verdict(granted: &[&str], denied: &[(&'static str, String)], open: &[&'static str]) -> Check {
    const HINT: &str = "docs/reference/iam.md has the policy and the reason for each action";
    let mut parts = Vec::new();
    if !granted.is_empty() {
        parts.push(format!("granted: {}", granted.join(", ")));
    }
    if !open.is_empty() {
        parts.push(format!(
            "not checked for lack of an instance: {}",
            open.join(", ")
        ));
    }
    match denied {
        [] if granted.is_empty() => Check::skip("permissions", parts.join("; ")),
        [] => Check::ok("permissions", parts.join("; ")),
        [(_, why), ..] => {
            let names: Vec<&str> = denied.iter().map(|(action, _)| *action).collect();
            Check::fail(
                "permissions",
                format!("denied: {} ({why})", names.join(", ")),
                HINT,
            )
        }
    }
}

/// The result of a dry run.
enum DryRun {
    Granted,
    Denied(String),
    Unclear,
}

impl DryRun {
    /// Reads the answer to a dry run:
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html>, `DryRun`.
    fn of(error: &CloudError) -> Self {
        match error.code.as_deref() {
            Some("DryRunOperation") => Self::Granted,
            _ if error.kind == CloudErrorKind::Denied => Self::Denied(error.message.clone()),
            _ => Self::Unclear,
        }
    }
}

fn client(conn: &Connection, instance: &Instance) -> Client {
    Client::new(&conn.in_region(instance.region.as_str()).sdk)
}

async fn start(client: &Client, instance: &Instance) -> DryRun {
    let call = client
        .start_instances()
        .instance_ids(instance.id.to_string())
        .dry_run(true);
    match call.send().await {
        Ok(_) => DryRun::Unclear,
        Err(error) => DryRun::of(&CloudError::from_sdk("ec2:StartInstances", error)),
    }
}

async fn stop(client: &Client, instance: &Instance) -> DryRun {
    let call = client
        .stop_instances()
        .instance_ids(instance.id.to_string())
        .dry_run(true);
    match call.send().await {
        Ok(_) => DryRun::Unclear,
        Err(error) => DryRun::of(&CloudError::from_sdk("ec2:StopInstances", error)),
    }
}

async fn tag(client: &Client, instance: &Instance) -> DryRun {
    let present = instance.tags.get(LAST_TAG).cloned();
    let call = client
        .create_tags()
        .resources(instance.id.to_string())
        .tags(Tag::builder().key(LAST_TAG).set_value(present).build())
        .dry_run(true);
    match call.send().await {
        Ok(_) => DryRun::Unclear,
        Err(error) => DryRun::of(&CloudError::from_sdk("ec2:CreateTags", error)),
    }
}

async fn untag(client: &Client, instance: &Instance) -> DryRun {
    /// A key that no instance has.
    const NO_TAG: &str = "curfew:doctor";
    let call = client
        .delete_tags()
        .resources(instance.id.to_string())
        .tags(Tag::builder().key(NO_TAG).build())
        .dry_run(true);
    match call.send().await {
        Ok(_) => DryRun::Unclear,
        Err(error) => DryRun::of(&CloudError::from_sdk("ec2:DeleteTags", error)),
    }
}
