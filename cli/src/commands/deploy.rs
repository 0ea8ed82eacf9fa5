//! `curfew deploy`.

use std::path::PathBuf;

use clap::Args;
use curfew_aws::connect::Connection;
use curfew_config::{ApiAuth, Configuration};
use curfew_deploy::guard::one_cloud;
use curfew_deploy::trigger_rules;
use curfew_deploy::{Auth, Deployment, Overlap, Reach};

use crate::guard::{Asking, before_deploying, before_dropping};
use crate::person::Person;
use crate::progress;
use crate::stack;
use crate::{CliError, Context, Exit};

/// What to deploy.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The Lambda's code [default: the installed one, or the one that was built with this program]
    #[arg(long, value_name = "FILE")]
    lambda_zip: Option<PathBuf>,
    /// Do not ask, however many instances would be managed, and whichever deployed schedules would be dropped
    #[arg(long, short)]
    yes: bool,
    /// Deploy although another stack manages the same accounts and regions
    #[arg(long)]
    allow_overlap: bool,
}

pub(crate) async fn deploy(context: &mut Context, args: DeployArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let connection = context.connect(&configuration).await?;
    one_cloud(&connection)?;
    let mut deployment = deployment(context, &configuration, &connection, args.lambda_zip)?;
    if args.allow_overlap {
        deployment.overlap = Overlap::Allowed;
    }
    let progress = progress::stderr();
    if args.dry_run {
        let mut preview =
            curfew_deploy::preview(&connection, &deployment, progress.as_ref()).await?;
        let document = &deployment.configuration_document;
        let loss = curfew_deploy::loss(&connection, &deployment.stack, document).await?;
        let warning = |loss| format!("this would drop {loss}: `curfew deploy` asks first");
        preview.warnings.extend(loss.map(warning));
        return context.output.print(&preview, stack::preview);
    }
    let asking = if args.yes {
        Asking::Answered
    } else {
        Asking::Allowed
    };
    before_deploying(
        &configuration,
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
        format!("{}\n{}", stack::outputs(outputs), stack::try_next(outputs))
    })
}

/// What the configuration ask for, here.
pub(crate) fn deployment(
    context: &Context,
    configuration: &Configuration,
    connection: &Connection,
    lambda_zip: Option<PathBuf>,
) -> Result<Deployment, CliError> {
    let token = || {
        let tokens = configuration.api.tokens.clone();
        if tokens.is_empty() {
            let message =
                "`api.tokens` is empty, and so is `api.token_sha256`: the API asks for a token";
            let hint = "`curfew token new` makes one; or set `[api] auth` to \"iam\"";
            return Err(CliError::new(Exit::Usage, message).hint(hint));
        }
        Ok(Auth::Token(tokens))
    };
    Ok(Deployment {
        stack: configuration.stack.name.clone(),
        auth: match configuration.api.auth {
            ApiAuth::Auto if connection.is_local() => Auth::None,
            ApiAuth::None => Auth::None,
            ApiAuth::Auto | ApiAuth::Token => token()?,
            ApiAuth::Iam => Auth::Iam,
        },
        cors_origin: configuration.api.cors_origin.clone(),
        request_limit: configuration.api.limit,
        configuration_document: configuration.publication(),
        rules: trigger_rules(configuration, &context.clock),
        reach: Reach::of(&configuration.schedule_set)
            .across(&configuration.targets)
            .starting_with(&configuration.stack.kms_keys, &configuration.stack.licenses),
        permissions_boundary: configuration.stack.permissions_boundary.clone(),
        lambda_zip,
        overlap: Overlap::Refused,
    })
}
