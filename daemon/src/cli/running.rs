//! `curfew run`, and how it is told to end.

use std::sync::Arc;

use clap::Args;
use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{CliError, Context, Exit};
use crate::journal::Journal;
use crate::logging::{self, LogFormat};
use crate::notify;
use crate::run::{self, Ports, RuleKeeper};
use crate::settings::{Driver, Settings};

/// How the daemon runs.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// How log lines look
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    log: LogFormat,
}

pub(super) async fn run(context: &mut Context, args: RunArgs) -> Result<(), CliError> {
    logging::init(args.log, context.global.verbose);
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    let shutdown = on_signal()?;
    watch_over(context, &settings, &connection, shutdown).await
}

/// The daemon itself, until `shutdown`.
pub(super) async fn watch_over(
    context: &Context,
    settings: &Settings,
    connection: &Connection,
    shutdown: CancellationToken,
) -> Result<(), CliError> {
    let rules = match settings.daemon.driver {
        Driver::Cloud => Some(RuleKeeper {
            connection: connection.clone(),
            settings: settings.clone(),
        }),
        Driver::Daemon => None,
    };
    let (notifier, deliveries) = notify::open(&settings.notify, connection)?;
    let ports = Ports {
        clock: context.clock.clone(),
        organisation: Organisation::open(connection, &settings.membership),
        journal: Journal::open(&settings.state_dir())?,
        rules,
        notifier,
        deliveries,
    };
    run::run(
        &settings.daemon,
        Arc::new(settings.governance.clone()),
        ports,
        shutdown,
    )
    .await?;
    info!("curfew has ended");
    Ok(())
}

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process at once.
pub(super) fn on_signal() -> Result<CancellationToken, CliError> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            CliError::new(Exit::Failed, format!("signals can't be handled: {error}"))
        })
    };
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        };
        let received = next().await;
        info!(
            signal = received,
            "ending: finishing what is under way; a second signal aborts"
        );
        shutdown.cancel();
        let received = next().await;
        warn!(signal = received, "aborted");
        std::process::exit(130);
    });
    Ok(token)
}
