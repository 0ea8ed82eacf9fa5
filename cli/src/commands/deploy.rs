//! `curfew deploy`.

mod confirm;
mod preview;

use std::path::PathBuf;

use clap::Args;
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::Organisation;
use curfew_config::{ApiAuth, Configuration};
use curfew_core::instance::InstanceId;
use curfew_core::select::{Eligibility, EvaluatedInstance};
use curfew_core::world::World;
use curfew_deploy::preflight::check_single_cloud;
use curfew_deploy::trigger_rules;
use curfew_deploy::{Auth, Deployment, LambdaRolePolicy, OverlapPolicy};

use jiff::Timestamp;

use self::confirm::{before_deploying, before_dropping};
use super::outputs::{self, SampleCalls};
use crate::confirm::{ConfirmArgs, Prompt};
use crate::progress;
use crate::{CliError, Context, Exit};

/// The options of `deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Show what would change without changing it
    #[arg(long)]
    dry_run: bool,
    /// Lambda code [default: the installed package, or the one built with this program]
    #[arg(long, value_name = "FILE")]
    lambda_zip: Option<PathBuf>,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// Deploy even if another stack manages the same accounts and regions
    #[arg(long)]
    allow_overlap: bool,
}

pub(crate) async fn deploy(context: &mut Context, args: DeployArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let connection = context.connect(&configuration).await?;
    check_single_cloud(&connection)?;
    let mut deployment = deployment(context, &configuration, &connection, args.lambda_zip)?;
    if args.allow_overlap {
        deployment.overlap = OverlapPolicy::Allow;
    }
    let progress = progress::stderr();
    if args.dry_run {
        let mut changes =
            curfew_deploy::preview(&connection, &deployment, progress.as_ref()).await?;
        let document = &deployment.configuration_document;
        let loss = curfew_deploy::lost_schedules(&connection, &deployment.stack, document).await?;
        let warning =
            |loss| format!("this would drop {loss}; `curfew deploy` prompts for confirmation");
        changes.warnings.extend(loss.map(warning));
        return context.output.print(&changes, preview::render);
    }
    let confirmation = args.confirm.confirmation();
    before_deploying(
        &configuration,
        &connection,
        &context.clock,
        confirmation,
        progress.as_ref(),
        &mut Prompt::stdio(),
    )
    .await?;
    before_dropping(
        &connection,
        &deployment,
        confirmation,
        progress.as_ref(),
        &mut Prompt::stdio(),
    )
    .await?;
    let outputs = curfew_deploy::deploy(&connection, &deployment, progress.as_ref()).await?;
    let instance = if context.output.is_json() {
        None
    } else {
        managed_instance(&connection, &configuration, context.clock.now()).await
    };
    let calls = SampleCalls {
        outputs: &outputs,
        auth: &deployment.auth,
        endpoint: EndpointKind::of(&connection),
        region: connection.region(),
        instance: instance.as_ref().map(InstanceId::as_str),
    };
    context.output.print(&outputs, |outputs| {
        let list = outputs::list(outputs);
        format!("{list}\nThe API, for scripts:\n{}", calls.lines())
    })
}

/// Returns an instance that a schedule manages, for the sample calls. They do without if the instances can't be observed.
async fn managed_instance(
    connection: &Connection,
    configuration: &Configuration,
    now: Timestamp,
) -> Option<InstanceId> {
    let organisation = Organisation::open(connection, &configuration.targets);
    let observed = organisation.observe(&Scope::All, Deadline::NONE).await;
    let (fleet, _unanswered) = observed.into_fleet();
    let world = World::without_request(&configuration.schedule_set, &fleet.instances);
    let all = EvaluatedInstance::all(&world, now);
    let managed = all
        .iter()
        .filter(|one| matches!(one.eligibility(), Eligibility::Managed));
    managed.map(|one| one.instance.id.clone()).min()
}

/// Returns the deployment that the configuration describes. Fails if the API needs a token and none is configured.
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
                "the API requires a token, but `api.tokens` and `api.token_sha256` are empty";
            let hint = "create one with `curfew token new`, or set `[api] auth` to \"iam\"";
            return Err(CliError::new(Exit::Usage, message).hint(hint));
        }
        Ok(Auth::Token(tokens))
    };
    Ok(Deployment {
        stack: configuration.stack.name.clone(),
        auth: match configuration.api.auth {
            ApiAuth::Auto if EndpointKind::of(connection).is_local() => Auth::None,
            ApiAuth::None => Auth::None,
            ApiAuth::Auto | ApiAuth::Token => token()?,
            ApiAuth::Iam => Auth::Iam,
        },
        cors_origin: configuration.api.cors_origin.clone(),
        request_limit: configuration.api.limit,
        configuration_document: configuration.publication(),
        rules: trigger_rules(configuration, &context.clock),
        lambda_role_policy: LambdaRolePolicy::of(&configuration.schedule_set)
            .in_targets(&configuration.targets)
            .with_start_permissions(&configuration.stack.kms_keys, &configuration.stack.licenses),
        permissions_boundary: configuration.stack.permissions_boundary.clone(),
        lambda_zip,
        overlap: OverlapPolicy::Refuse,
    })
}
