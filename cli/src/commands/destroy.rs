//! `curfew destroy`.

use std::io::{self, Write as _};

use clap::Args;
use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_core::stack_name::StackName;
use curfew_deploy::preflight::check_single_cloud;
use curfew_deploy::{InstanceTags, StackResources};

use crate::confirm::{ConfirmArgs, Confirmation, Prompt, UnconfirmedChange};
use crate::output::count;
use crate::output_target::OutputTarget;
use crate::progress;
use crate::table::Table;
use crate::view::View;
use crate::{CliError, Context, Exit};

/// The options of `destroy`.
#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// Keep the curfew:* tags on the instances, for another deployment
    #[arg(long)]
    keep_tags: bool,
}

pub(crate) async fn destroy(context: &mut Context, args: DestroyArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let connection = context.connect(&configuration).await?;
    check_single_cloud(&connection)?;
    let stack = &configuration.stack.name;
    let organisation = Organisation::open(&connection, &configuration.targets);
    let tags = if args.keep_tags {
        InstanceTags::Keep
    } else {
        InstanceTags::Remove(&organisation)
    };
    let found = curfew_deploy::stack_resources(&connection, stack, tags).await?;
    if !found.is_empty() {
        // Standard output lists the removed resources afterwards.
        let shown = format!(
            "These resources will be removed:\n{}\n",
            confirmation_table(&found).render(OutputTarget::stderr())
        );
        let _gone = io::stderr().write_all(shown.as_bytes());
        confirm(args.confirm.confirmation(), &connection, stack, &found)?;
    }
    let progress = progress::stderr();
    let removed = curfew_deploy::destroy(&connection, stack, tags, progress.as_ref()).await?;
    context.output.print(&removed, removed_table)?;
    if removed.failed.is_empty() {
        Ok(())
    } else {
        let message = format!("some resources of `{stack}` could not be removed");
        Err(CliError::new(Exit::Failed, message)
            .hint("the remaining resources and the reasons are listed above"))
    }
}

/// Asks for confirmation. Fails if the answer is not yes or standard input is not a terminal.
fn confirm(
    confirmation: Confirmation,
    connection: &Connection,
    stack: &StackName,
    found: &StackResources,
) -> Result<(), CliError> {
    let region = connection.region();
    let place = connection
        .endpoint()
        .map_or_else(|| format!("AWS, {region}"), str::to_owned);
    let mut exceptions = String::new();
    for sentence in found.kept.iter().chain(&found.failed) {
        exceptions.extend(["note: ", sentence, "\n"]);
    }
    let change = UnconfirmedChange {
        action: "destroy",
        reason: None,
        question: &format!(
            "{exceptions}Remove these resources of the stack `{stack}` in {place}? Instances are kept."
        ),
        declined: "nothing was removed",
        hint: "pass --yes",
    };
    confirmation.require(&change, &mut Prompt::stdio())
}

/// Formats the removed resources as a table.
fn removed_table(removed: &StackResources) -> View {
    if removed.is_empty() {
        return "nothing to remove".to_owned().into();
    }
    Table::of_text(&["removed", "name"], listed(removed)).into()
}

/// Formats the resources that `destroy` would remove as a table.
fn confirmation_table(found: &StackResources) -> View {
    Table::of_text(&["what", "name"], listed(found)).into()
}

fn listed(belongings: &StackResources) -> Vec<Vec<String>> {
    /// Number of instances listed by ID. The rest are counted.
    const NAMED: usize = 5;
    let row = |kind: &str, name: &str| vec![kind.to_owned(), name.to_owned()];
    let mut rows: Vec<_> = belongings
        .rules
        .iter()
        .map(|name| row("rule", name))
        .collect();
    if let Some(stack) = &belongings.stack {
        let name = format!("{stack}, with its function, API, queues, role and log group");
        rows.push(row("stack", &name));
    }
    rows.extend(belongings.objects.iter().map(|key| row("code", key)));
    rows.extend(belongings.bucket.iter().map(|name| row("bucket", name)));
    rows.extend(
        belongings
            .parameters
            .iter()
            .map(|name| row("configuration", name)),
    );
    let instances = &belongings.instances;
    if !instances.is_empty() {
        let named: Vec<_> = instances
            .iter()
            .take(NAMED)
            .map(ToString::to_string)
            .collect();
        let more = instances.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {} more", count(more))
        } else {
            String::new()
        };
        rows.push(row(
            "tags `curfew:*`",
            &format!("of {}{more}", named.join(", ")),
        ));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_resources_are_listed_and_instances_are_counted() {
        let found = StackResources {
            rules: vec!["curfew-demo-heartbeat-123456".to_owned()],
            stack: Some("demo".parse().unwrap()),
            bucket: Some("curfew-demo-000000000000-eu-west-3".to_owned()),
            objects: vec!["lambda/0f.zip".to_owned()],
            parameters: vec!["/curfew/demo/configuration".to_owned()],
            instances: (0..1200)
                .map(|number| format!("i-{number:017x}").parse().unwrap())
                .collect(),
            kept: Vec::new(),
            failed: Vec::new(),
        };
        let shown = |found| removed_table(found).render(OutputTarget::pipe(None));
        insta::assert_snapshot!(shown(&found), @"
        REMOVED          NAME
        rule             curfew-demo-heartbeat-123456
        stack            demo, with its function, API, queues, role and log group
        code             lambda/0f.zip
        bucket           curfew-demo-000000000000-eu-west-3
        configuration    /curfew/demo/configuration
        tags `curfew:*`  of i-00000000000000000, i-00000000000000001, i-00000000000000002, i-00000000000000003, i-00000000000000004 and 1,195 more
        ");
        insta::assert_snapshot!(shown(&StackResources::default()), @"nothing to remove");
    }
}
