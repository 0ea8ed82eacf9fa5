//! `curfew deploy`, `destroy`, `outputs`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use curfew_aws::connect::Connection;

use super::guard::{Asking, before_deploying};
use super::output::{confirmed, table};
use super::{CliError, Context, Exit};
use crate::deploy::{self, Auth, Deployment, Outputs, Preview, Reach, Removed};
use crate::progress;
use crate::run::wake_up_rules;
use crate::settings::{ApiAuth, Settings};

/// What to deploy.
#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The Lambda's code [default: the installed one, or the one that was built with this program]
    #[arg(long, value_name = "FILE")]
    lambda_zip: Option<PathBuf>,
    /// Do not ask, however many instances would be governed
    #[arg(long, short)]
    yes: bool,
}

/// How `destroy` asks.
#[derive(Debug, Args)]
pub(super) struct DestroyArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn deploy(context: &mut Context, args: DeployArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    let deployment = deployment(context, &settings, &connection, args.lambda_zip)?;
    let progress = progress::stderr();
    if args.dry_run {
        let preview = deploy::preview(&connection, &deployment, progress.as_ref()).await?;
        return context.output.print(&preview, describe);
    }
    let asking = if args.yes {
        Asking::Answered
    } else {
        Asking::Allowed
    };
    before_deploying(context, &settings, &connection, asking, progress.as_ref()).await?;
    let outputs = deploy::deploy(&connection, &deployment, progress.as_ref()).await?;
    context.output.print(&outputs, |outputs| {
        format!("{}\n{}", show(outputs), try_next(outputs))
    })
}

pub(super) async fn destroy(context: &mut Context, args: DestroyArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    let stack = &settings.stack.name;
    if !args.yes {
        let refuse = |why: &str| CliError::new(Exit::Failed, format!("nothing was removed: {why}"));
        if !io::stdin().is_terminal() {
            return Err(refuse("there is nobody to ask").hint("say --yes"));
        }
        let place = connection
            .endpoint()
            .map_or_else(|| format!("AWS, {}", connection.region()), str::to_owned);
        let question = format!(
            "Remove the stack `{stack}` in {place}, with its rules, bucket and settings? Instances stay. [y/N] "
        );
        if !confirmed(&question) {
            return Err(refuse("you said no"));
        }
    }
    let removed = deploy::destroy(&connection, stack, progress::stderr().as_ref()).await?;
    context.output.print(&removed, list)
}

pub(super) async fn outputs(context: &mut Context) -> Result<(), CliError> {
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    let outputs = deploy::outputs(&connection, &settings.stack.name).await?;
    context.output.print(&outputs, show)
}

/// What the settings ask for, here.
pub(super) fn deployment(
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
        settings_document: settings.document.to_json(),
        rules: wake_up_rules(settings, &context.clock),
        reach: Reach::of(&settings.governance).across(&settings.membership),
        permissions_boundary: settings.stack.permissions_boundary.clone(),
        lambda_zip,
    })
}

fn show(outputs: &Outputs) -> String {
    let mut lines = vec![("api url", outputs.api_url.clone())];
    lines.extend(outputs.forwarded_url.clone().map(|url| ("forwarded", url)));
    lines.extend([
        ("api id", outputs.api_id.clone()),
        ("stage", outputs.stage.clone()),
        ("function", outputs.function.clone()),
        ("queue", outputs.queue_url.clone()),
        ("rules", outputs.rules.join("\n           ")),
    ]);
    let line = |(name, value): (&str, String)| format!("{name:<10} {value}");
    lines.into_iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Commands to paste.
pub(super) fn try_next(outputs: &Outputs) -> String {
    let url = outputs.forwarded_url.as_ref().unwrap_or(&outputs.api_url);
    let curl = |what: &str, path: &str| format!("  {what:<28} curl -s '{url}/{path}'\n");
    format!(
        "Try:\n{}{}{}",
        curl("what runs, and why", "status"),
        curl("stop an instance", "stop?instance=i-…"),
        curl("keep it running for 2 hours", "start?instance=i-…&for=2h"),
    )
}

fn describe(preview: &Preview) -> String {
    let resources = preview.resources.iter().map(|change| {
        vec![
            change.action.clone(),
            change.resource.clone(),
            change.kind.clone(),
            change.properties.join(", "),
        ]
    });
    let created = preview
        .rules
        .create
        .iter()
        .chain(&preview.rules.complete)
        .map(|rule| ("create", &rule.name));
    let deleted = preview
        .rules
        .delete
        .iter()
        .chain(&preview.rules.replace)
        .map(|name| ("delete", name));
    let rules = created.chain(deleted).map(|(action, name)| {
        vec![
            action.to_owned(),
            name.clone(),
            "wake-up rule".into(),
            String::new(),
        ]
    });
    let data = [
        (preview.code, "the Lambda's code"),
        (preview.settings, "the Lambda's settings"),
    ];
    let data = data
        .into_iter()
        .filter(|(changes, _)| *changes)
        .map(|(_, what)| {
            vec![
                "update".into(),
                what.to_owned(),
                "data".into(),
                String::new(),
            ]
        });
    let rows: Vec<Vec<String>> = resources.chain(rules).chain(data).collect();
    if rows.is_empty() {
        "nothing would change".into()
    } else {
        table(&["action", "what", "kind", "properties"], rows)
    }
}

fn list(removed: &Removed) -> String {
    let one =
        |kind: &str, name: Option<&String>| name.map(|name| vec![kind.to_owned(), name.clone()]);
    let stack = removed.stack.as_ref().map(ToString::to_string);
    let rules = removed
        .rules
        .iter()
        .map(|name| vec!["rule".to_owned(), name.clone()]);
    let rest = [
        one("stack", stack.as_ref()),
        one("bucket", removed.bucket.as_ref()),
    ];
    let parameters = removed.parameters.iter();
    let parameters = parameters.map(|name| vec!["settings".to_owned(), name.clone()]);
    let rest = rest.into_iter().flatten().chain(parameters);
    let rows: Vec<Vec<String>> = rules.chain(rest).collect();
    if rows.is_empty() {
        "there was nothing to remove".into()
    } else {
        table(&["removed", "name"], rows)
    }
}
