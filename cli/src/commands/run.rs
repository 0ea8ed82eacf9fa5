//! `curfew run`, and the signal handling of long-running commands.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_config::{Configuration, Driver, LoadOptions, Lookup, QueueSetting};
use curfew_daemon::logging::{self, LogFormat};
use curfew_daemon::metrics::Metrics;
use curfew_daemon::notify;
use curfew_daemon::run::{
    self, DeadLetterQueues, Dependencies, EventQueue, QueueAddress, Reload, RulePublication,
    Triggers,
};
use curfew_daemon::systemd::ServiceManager;
use rustix::fs::Mode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{CliError, Context, Exit};

/// The options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Format of log lines
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log: LogLines,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLines {
    /// Journald with fields if standard error is connected to it, otherwise human
    Auto,
    /// One readable line per event
    Human,
    /// One JSON object per line
    Json,
}

impl From<LogLines> for LogFormat {
    fn from(lines: LogLines) -> Self {
        match lines {
            LogLines::Auto => Self::Auto,
            LogLines::Human => Self::Human,
            LogLines::Json => Self::Json,
        }
    }
}

pub(crate) async fn run(context: &mut Context, args: RunArgs) -> Result<(), CliError> {
    keep_private();
    logging::init(args.log.into(), context.global.verbose);
    let overrides = context.overrides(Lookup::System)?;
    let configuration = curfew_config::load(&overrides)?;
    configuration.log_warnings();
    let connection = context.connect(&configuration).await?;
    let reload = Arc::new(Notify::new());
    // A SIGHUP means a closed terminal in the foreground, and a reload in a service.
    let hang_up = if io::stderr().is_terminal() {
        HangupAction::Shutdown
    } else {
        HangupAction::Reload(Arc::clone(&reload))
    };
    let shutdown = on_signal(hang_up)?;
    let daemon = Daemon {
        configuration: &configuration,
        overrides,
        connection: &connection,
        reload,
    };
    daemon.run_until(&context.clock, shutdown).await
}

/// Makes new files readable by the current user only, as the systemd unit does: the journal has the actors of requests, and the
/// emulator has the deployed configuration.
pub(crate) fn keep_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// The inputs of the daemon.
pub(crate) struct Daemon<'a> {
    pub(crate) configuration: &'a Configuration,
    /// The layers of the configuration, for reloads.
    pub(crate) overrides: LoadOptions,
    pub(crate) connection: &'a Connection,
    /// Triggers a reload of the configuration.
    pub(crate) reload: Arc<Notify>,
}

impl Daemon<'_> {
    /// Runs the daemon until `shutdown`. Fails if the daemon cannot start.
    pub(crate) async fn run_until(
        self,
        clock: &Clock,
        shutdown: CancellationToken,
    ) -> Result<(), CliError> {
        let Self {
            configuration,
            overrides,
            connection,
            reload,
        } = self;
        // The driver `daemon` needs no stack.
        let stack = match configuration.daemon.driver {
            Driver::Cloud => Some(&configuration.stack.name),
            Driver::Daemon => None,
        };
        let (notifier, deliveries) = notify::open(&configuration.notify, connection)?;
        let organisation = Organisation::open(connection, &configuration.targets);
        let ports = Dependencies {
            events: queue(configuration).map(|address| EventQueue::new(connection, address)),
            rules: stack.map(|_| RulePublication {
                connection: connection.clone(),
                configuration: configuration.clone(),
            }),
            triggers: stack.map(|stack| Triggers::of_stack(connection, stack)),
            dead_letters: stack.map(|stack| DeadLetterQueues::of_stack(connection, stack)),
            notifier,
            deliveries,
            manager: ServiceManager::from_environment(),
            metrics: Metrics::new(connection.calls.clone()),
            listen: configuration.metrics,
            reload: Some(Reload {
                overrides,
                configuration: configuration.clone(),
                connection: connection.clone(),
                requested: reload,
            }),
            ..Dependencies::quiet(clock.clone(), organisation, configuration.state_dir())
        };
        let schedule_set = Arc::new(configuration.schedule_set.clone());
        run::run(&configuration.daemon, schedule_set, ports, shutdown).await?;
        info!("curfew stopped");
        Ok(())
    }
}

/// Returns the queue of EC2 state changes, or `None` if polling is the only source.
fn queue(configuration: &Configuration) -> Option<QueueAddress> {
    match (&configuration.daemon.queue, configuration.daemon.driver) {
        (QueueSetting::Url(url), _) => Some(QueueAddress::Url(url.clone())),
        (QueueSetting::Stack, Driver::Cloud) => {
            Some(QueueAddress::of_stack(&configuration.stack.name))
        }
        (QueueSetting::Stack, Driver::Daemon) | (QueueSetting::Off, _) => None,
    }
}

/// The reaction to SIGHUP.
pub(crate) enum HangupAction {
    /// Shut down, as for SIGINT and SIGTERM.
    Shutdown,
    /// Reload the configuration.
    Reload(Arc<Notify>),
}

/// The exit code after a second signal: that of an interrupted process in a shell.
const ABORTED: i32 = 130;

/// Returns a token that the first SIGINT or SIGTERM cancels. A second signal exits at once.
pub(crate) fn on_signal(hang_up: HangupAction) -> Result<CancellationToken, CliError> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            CliError::new(Exit::Failed, format!("signals can't be handled: {error}"))
        })
    };
    let (mut interrupt, mut terminate, mut hang_ups) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
        listen(SignalKind::hangup())?,
    );
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => return "SIGINT",
                    _ = terminate.recv() => return "SIGTERM",
                    _ = hang_ups.recv() => match &hang_up {
                        HangupAction::Shutdown => return "SIGHUP",
                        HangupAction::Reload(reload) => reload.notify_one(),
                    },
                }
            }
        };
        let received = next().await;
        info!(signal = received, "shutting down; a second signal aborts");
        shutdown.cancel();
        let received = next().await;
        warn!(signal = received, "aborted");
        std::process::exit(ABORTED);
    });
    Ok(token)
}
