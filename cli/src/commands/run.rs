//! `curfew run`, and how it is told to end.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_config::{Configuration, Driver, Lookup, Overrides, QueueSetting};
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

/// How the daemon runs.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// How log lines look
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log: LogLines,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLines {
    /// To journald with fields where systemd connected standard error to it, else as `human`.
    Auto,
    /// One line for people.
    Human,
    /// One JSON object a line.
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
    // Whose terminal is gone has nobody left to run for; a service is asked to read its configuration again.
    let hang_up = if io::stderr().is_terminal() {
        HangUp::Ends
    } else {
        HangUp::Reloads(Arc::clone(&reload))
    };
    let shutdown = on_signal(hang_up)?;
    let house = Daemon {
        configuration: &configuration,
        overrides,
        connection: &connection,
        reload,
    };
    house.watch_over(&context.clock, shutdown).await
}

/// What this process and its children write is its user's alone, as under systemd: the journal says who did what, and the emulator keeps
/// what is deployed.
pub(crate) fn keep_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// What the daemon is made from.
pub(crate) struct Daemon<'a> {
    pub(crate) configuration: &'a Configuration,
    /// How the configuration was read.
    pub(crate) overrides: Overrides,
    pub(crate) connection: &'a Connection,
    /// Asks it to read them again.
    pub(crate) reload: Arc<Notify>,
}

impl Daemon<'_> {
    /// The daemon itself, until `shutdown`.
    pub(crate) async fn watch_over(
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
        // Where the daemon drives, nothing is deployed.
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
                asked: reload,
            }),
            ..Dependencies::quiet(clock.clone(), organisation, configuration.state_dir())
        };
        let schedule_set = Arc::new(configuration.schedule_set.clone());
        run::run(&configuration.daemon, schedule_set, ports, shutdown).await?;
        info!("curfew has ended");
        Ok(())
    }
}

/// Where EC2's state changes are read: where the daemon drives, nothing is deployed.
fn queue(configuration: &Configuration) -> Option<QueueAddress> {
    match (&configuration.daemon.queue, configuration.daemon.driver) {
        (QueueSetting::Url(url), _) => Some(QueueAddress::Url(url.clone())),
        (QueueSetting::Stack, Driver::Cloud) => {
            Some(QueueAddress::of_stack(&configuration.stack.name))
        }
        (QueueSetting::Stack, Driver::Daemon) | (QueueSetting::Off, _) => None,
    }
}

/// What a SIGHUP means.
pub(crate) enum HangUp {
    /// The end, as SIGINT and SIGTERM.
    Ends,
    /// That the configuration is to be read again.
    Reloads(Arc<Notify>),
}

/// How a process ends that was told twice: as a shell says of one that was interrupted.
const ABORTED: i32 = 130;

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process at once.
pub(crate) fn on_signal(hang_up: HangUp) -> Result<CancellationToken, CliError> {
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
                        HangUp::Ends => return "SIGHUP",
                        HangUp::Reloads(reload) => reload.notify_one(),
                    },
                }
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
        std::process::exit(ABORTED);
    });
    Ok(token)
}
