//! `curfew destroy`.

use std::io::{self, Write as _};

use clap::Args;
use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_core::stack_name::StackName;
use curfew_deploy::guard::one_cloud;
use curfew_deploy::{Belongings, InstanceTags};

use crate::output::Reader;
use crate::person::Person;
use crate::progress;
use crate::stack::{belongings, removed as show_removed};
use crate::{CliError, Context, Exit};

/// How `destroy` asks, and what it spares.
#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Leave Curfew's own tags on the instances: another deployment goes on from there
    #[arg(long)]
    keep_tags: bool,
}

pub(crate) async fn destroy(context: &mut Context, args: DestroyArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let connection = context.connect(&configuration).await?;
    one_cloud(&connection)?;
    let stack = &configuration.stack.name;
    let organisation = Organisation::open(&connection, &configuration.targets);
    let tags = if args.keep_tags {
        InstanceTags::Keep
    } else {
        InstanceTags::Remove(&organisation)
    };
    let found = curfew_deploy::belongings(&connection, stack, tags).await?;
    if !found.is_empty() {
        // Standard output is for what was removed.
        let shown = format!(
            "This will be removed:\n{}\n",
            belongings(&found, Reader::stderr())
        );
        let _gone = io::stderr().write_all(shown.as_bytes());
        if !args.yes {
            ask(&connection, stack, &found)?;
        }
    }
    let progress = progress::stderr();
    let removed = curfew_deploy::destroy(&connection, stack, tags, progress.as_ref()).await?;
    context.output.print(&removed, show_removed)?;
    if removed.failed.is_empty() {
        Ok(())
    } else {
        let message = format!("not everything of `{stack}` could be removed");
        Err(CliError::new(Exit::Failed, message).hint("what stays, and why, is said above"))
    }
}

/// Lets a person decide; without one, nothing is removed.
fn ask(connection: &Connection, stack: &StackName, found: &Belongings) -> Result<(), CliError> {
    let refuse = |why: &str| CliError::new(Exit::Failed, format!("nothing was removed: {why}"));
    let mut person = Person::here();
    if !person.is_there() {
        return Err(refuse("there is nobody to ask").hint("say --yes"));
    }
    let region = connection.region();
    let place = connection
        .endpoint()
        .map_or_else(|| format!("AWS, {region}"), str::to_owned);
    let mut exceptions = String::new();
    for sentence in found.kept.iter().chain(&found.failed) {
        exceptions.extend(["note: ", sentence, "\n"]);
    }
    let question = format!(
        "{exceptions}Remove all this of the stack `{stack}` in {place}? Instances stay. [y/N] "
    );
    if person.confirms(&question) {
        Ok(())
    } else {
        Err(refuse("you said no"))
    }
}
