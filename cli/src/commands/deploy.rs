//! `curfew deploy`.

use std::path::PathBuf;

use clap::Args;
use curfew_aws::connect::Connection;
use curfew_config::{ApiAuth, Settings};
use curfew_deploy::guard::one_cloud;
use curfew_deploy::wake_up_rules;
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
    /// Do not ask, however many instances would be governed, and whichever deployed schedules would be dropped
    #[arg(long, short)]
    yes: bool,
    /// Deploy although another stack governs the same accounts and regions
    #[arg(long)]
    allow_overlap: bool,
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
        return context.output.print(&preview, stack::preview);
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
        format!("{}\n{}", stack::outputs(outputs), stack::try_next(outputs))
    })
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
