//! `curfew deploy`, `destroy`, `outputs`.

mod show;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_core::stack_name::StackName;

pub(crate) use self::show::try_next;
use crate::guard::{Asking, before_deploying, before_dropping};
use crate::output::Reader;
use crate::person::Person;
use crate::progress;
use crate::{CliError, Context, Exit};
use curfew_config::{ApiAuth, Settings};
use curfew_deploy::guard::one_cloud;
use curfew_deploy::wake_up_rules;
use curfew_deploy::{Auth, Belongings, Deployment, InstanceTags, Overlap, Reach};

/// What to deploy.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The Lambda's code [default: the installed one, or the one that was built with this program]
    #[arg(long, value_name = "FILE")]
    lambda_zip: Option<PathBuf>,
    /// Do not ask, however many instances would be governed, and whichever deployed schedules would be dropped
    #[arg(long, short)]
    yes: bool,
    /// Deploy although another stack governs the same accounts and regions
    #[arg(long)]
    allow_overlap: bool,
}

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

pub(crate) async fn deploy(context: &mut Context, args: DeployArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    one_cloud(&connection)?;
    let mut deployment = deployment(context, &settings, &connection, args.lambda_zip)?;
    if args.allow_overlap {
        deployment.overlap = Overlap::Allowed;
    }
    let progress = progress::stderr();
    if args.dry_run {
        let mut preview =
            curfew_deploy::preview(&connection, &deployment, progress.as_ref()).await?;
        let document = &deployment.settings_document;
        let loss = curfew_deploy::loss(&connection, &deployment.stack, document).await?;
        let warning = |loss| format!("this would drop {loss}: `curfew deploy` asks first");
        preview.warnings.extend(loss.map(warning));
        return context.output.print(&preview, show::preview);
    }
    let asking = if args.yes {
        Asking::Answered
    } else {
        Asking::Allowed
    };
    before_deploying(
        &settings,
        &connection,
        &context.clock,
        asking,
        progress.as_ref(),
        &mut Person::here(),
    )
    .await?;
    before_dropping(
        &connection,
        &deployment,
        asking,
        progress.as_ref(),
        &mut Person::here(),
    )
    .await?;
    let outputs = curfew_deploy::deploy(&connection, &deployment, progress.as_ref()).await?;
    context.output.print(&outputs, |outputs| {
        format!("{}\n{}", show::outputs(outputs), try_next(outputs))
    })
}

pub(crate) async fn destroy(context: &mut Context, args: DestroyArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    one_cloud(&connection)?;
    let stack = &settings.stack.name;
    let organisation = Organisation::open(&connection, &settings.membership);
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
            show::belongings(&found, Reader::stderr())
        );
        let _gone = io::stderr().write_all(shown.as_bytes());
        if !args.yes {
            ask(&connection, stack, &found)?;
        }
    }
    let progress = progress::stderr();
    let removed = curfew_deploy::destroy(&connection, stack, tags, progress.as_ref()).await?;
    context.output.print(&removed, show::removed)?;
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

pub(crate) async fn outputs(context: &mut Context) -> Result<(), CliError> {
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    let outputs = curfew_deploy::outputs(&connection, &settings.stack.name).await?;
    context.output.print(&outputs, show::outputs)
}

/// What the settings ask for, here.
pub(crate) fn deployment(
    context: &Context,
    settings: &Settings,
    connection: &Connection,
    lambda_zip: Option<PathBuf>,
) -> Result<Deployment, CliError> {
    let token = || {
        let tokens = settings.api.tokens.clone();
        if tokens.is_empty() {
            let message =
                "`api.tokens` is empty, and so is `api.token_sha256`: the API asks for a token";
            let hint = "`curfew token new` makes one; or set `[api] auth` to \"iam\"";
            return Err(CliError::new(Exit::Usage, message).hint(hint));
        }
        Ok(Auth::Token(tokens))
    };
    Ok(Deployment {
        stack: settings.stack.name.clone(),
        auth: match settings.api.auth {
            ApiAuth::Auto if connection.is_local() => Auth::None,
            ApiAuth::None => Auth::None,
            ApiAuth::Auto | ApiAuth::Token => token()?,
            ApiAuth::Iam => Auth::Iam,
        },
        cors_origin: settings.api.cors_origin.clone(),
        request_limit: settings.api.limit,
        settings_document: settings.publication(),
        rules: wake_up_rules(settings, &context.clock),
        reach: Reach::of(&settings.governance)
            .across(&settings.membership)
            .starting_with(&settings.stack.kms_keys, &settings.stack.licenses),
        permissions_boundary: settings.stack.permissions_boundary.clone(),
        lambda_zip,
        overlap: Overlap::Refused,
    })
}
