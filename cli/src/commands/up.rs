//! `curfew up`: runs the emulator, the demo and the daemon on this machine until Ctrl-C.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use curfew_aws::connect::{ConnectOptions, Connection, Trust};
use curfew_aws::progress::Progress;
use curfew_config::{Configuration, LoadOptions};
use curfew_daemon::logging;
use curfew_deploy::Outputs;
use curfew_emulator::{Emulator, Installed, demo};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::deploy::deployment;
use super::outputs;
use super::run::{Daemon, HangupAction, LogLines, keep_private, on_signal};
use crate::progress;
use crate::{CliError, Context, Exit};

const DEMO: &str = include_str!("../../../config/examples/demo.toml");

/// The delay before a crashed emulator is restarted: long enough to avoid a busy loop, short enough for a demo.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The options of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Local port of the emulator
    #[arg(long, default_value_t = Emulator::DEFAULT_PORT, value_name = "PORT")]
    port: u16,
    /// Python interpreter that runs the emulator
    #[arg(long, default_value = "python3", value_name = "COMMAND")]
    python: String,
    /// Install the emulator and exit
    #[arg(long)]
    install_only: bool,
    /// Format of log lines
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log: LogLines,
}

pub(crate) async fn up(context: &mut Context, args: UpArgs) -> Result<(), CliError> {
    keep_private();
    logging::init(args.log.into(), context.global.verbose);
    let mut overrides = context.flags();
    overrides.fallback = Some(("the demo configuration", DEMO));
    let configuration = curfew_config::load(&overrides)?;
    let shutdown = on_signal(HangupAction::Shutdown)?;
    let progress = progress::stderr();
    let cache = curfew_emulator::cache_directory().ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            "no directory for the emulator: neither XDG_CACHE_HOME nor HOME is set",
        )
    })?;

    let installing = Emulator::provision(&cache, &args.python, progress.as_ref());
    let Some(installed) = unless_cancelled(&shutdown, installing).await.transpose()? else {
        return Ok(());
    };
    if args.install_only {
        progress.note("The emulator is installed.");
        return Ok(());
    }
    let setup = LocalSetup {
        configuration: &configuration,
        overrides: &overrides,
        installed: &installed,
        port: args.port,
        progress: progress.as_ref(),
    };
    let Some(emulator) = unless_cancelled(&shutdown, setup.start())
        .await
        .transpose()?
    else {
        return Ok(());
    };
    let result = serve(context, &setup, emulator, &shutdown).await;
    progress.note("Stopped.");
    result
}

/// Deploys the demo and runs the daemon until the shutdown. Always stops the emulator at the end.
async fn serve(
    context: &mut Context,
    setup: &LocalSetup<'_>,
    emulator: Emulator,
    shutdown: &CancellationToken,
) -> Result<(), CliError> {
    let (result, emulator) = match setup.set_up(context, &emulator, shutdown).await {
        Ok(Some(connection)) => {
            let daemon = Daemon {
                configuration: setup.configuration,
                overrides: setup.overrides.clone(),
                connection: &connection,
                reload: Arc::default(),
            };
            let daemon = daemon.run_until(&context.clock, shutdown.clone());
            let supervision = setup.supervise(context, &connection, emulator, shutdown);
            tokio::join!(daemon, supervision)
        }
        Ok(None) => (Ok(()), Some(emulator)),
        Err(error) => (Err(error), Some(emulator)),
    };
    let Some(emulator) = emulator else {
        return result;
    };
    setup.progress.begin("Stopping the emulator");
    let stopped = emulator.stop().await;
    setup
        .progress
        .end("Stopped the emulator; its state is saved");
    let unclean = |error| {
        CliError::new(
            Exit::Failed,
            format!("the emulator did not stop cleanly: {error}"),
        )
    };
    result.and_then(|()| stopped.map_err(unclean))
}

/// The parameters of the local setup, kept for restarts of the emulator.
struct LocalSetup<'a> {
    configuration: &'a Configuration,
    overrides: &'a LoadOptions,
    installed: &'a Installed,
    port: u16,
    progress: &'a dyn Progress,
}

impl LocalSetup<'_> {
    async fn start(&self) -> Result<Emulator, CliError> {
        let state = self.configuration.state_dir().join("emulator");
        Ok(Emulator::start(self.installed, &state, self.port, self.progress).await?)
    }

    /// Deploys the demo and prints the next steps. Returns `None` if the shutdown comes first.
    async fn set_up(
        &self,
        context: &mut Context,
        emulator: &Emulator,
        shutdown: &CancellationToken,
    ) -> Result<Option<Connection>, CliError> {
        let connection = self.connect(emulator).await?;
        let connection = connection.correcting(&context.clock);
        let Some(outputs) = unless_cancelled(shutdown, self.deploy_demo(context, &connection))
            .await
            .transpose()?
        else {
            return Ok(None);
        };
        context
            .output
            .print(&outputs, |outputs| next_steps(outputs, emulator))?;
        Ok(Some(connection))
    }

    async fn connect(&self, emulator: &Emulator) -> Result<Connection, CliError> {
        let endpoint = Some(emulator.endpoint());
        let region = self
            .configuration
            .aws
            .region
            .clone()
            .or_else(|| Some("us-east-1".to_owned()));
        Ok(Connection::open(ConnectOptions {
            endpoint,
            region,
            profile: None,
            trust: Trust::OperatingSystem,
        })
        .await?)
    }

    /// Launches the demo fleet and deploys the stack. Keeps existing resources.
    async fn deploy_demo(
        &self,
        context: &Context,
        connection: &Connection,
    ) -> Result<Outputs, CliError> {
        self.progress.begin("Launching the demo fleet");
        let launched = demo::launch(connection).await?;
        self.progress.end(&match launched.as_slice() {
            [] => "The demo fleet is running".to_owned(),
            names => format!("Launched {}", names.join(", ")),
        });
        let deployment = deployment(context, self.configuration, connection, None)?;
        Ok(curfew_deploy::deploy(connection, &deployment, self.progress).await?)
    }

    /// Restarts the emulator whenever it exits, until the shutdown. An exit loses the state in memory, so the demo is deployed
    /// again. Returns the running emulator, if any.
    async fn supervise(
        &self,
        context: &Context,
        connection: &Connection,
        mut emulator: Emulator,
        shutdown: &CancellationToken,
    ) -> Option<Emulator> {
        loop {
            let Some(ended) = unless_cancelled(shutdown, emulator.ended()).await else {
                return Some(emulator);
            };
            let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            error!(%status, log = %emulator.log().display(), "emulator exited; restarting");
            // Ends the remaining processes, which releases the state directory and the port.
            drop(emulator);
            emulator = self.restart(shutdown).await?;
            match unless_cancelled(shutdown, self.deploy_demo(context, connection)).await {
                Some(Ok(outputs)) => info!(api_url = outputs.api_url, "emulator restarted"),
                Some(Err(error)) => {
                    error!(%error, "emulator restarted, but the stack could not be deployed");
                }
                None => return Some(emulator),
            }
        }
    }

    /// Retries until the emulator starts. Returns `None` if the shutdown comes first.
    async fn restart(&self, shutdown: &CancellationToken) -> Option<Emulator> {
        loop {
            unless_cancelled(shutdown, tokio::time::sleep(RESTART_DELAY)).await?;
            match unless_cancelled(shutdown, self.start()).await? {
                Ok(emulator) => return Some(emulator),
                Err(error) => error!(%error, "emulator could not be restarted yet"),
            }
        }
    }
}

/// Returns the result of `work`, or `None` if the shutdown comes first.
async fn unless_cancelled<T>(
    shutdown: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    shutdown.run_until_cancelled(work).await
}

fn next_steps(outputs: &Outputs, emulator: &Emulator) -> String {
    // Uses the name of the running program: a local build is not in the PATH.
    let curfew = std::env::args()
        .next()
        .unwrap_or_else(|| "curfew".to_owned());
    format!(
        "\nCurfew is up on {}\n\n{}\nIn another terminal:\n  export AWS_ENDPOINT_URL={} CURFEW_CONFIG=config/examples/demo.toml\n  \
         {curfew} status\n  {curfew} history\n\nPress Ctrl-C to stop.\n",
        outputs.api_url,
        outputs::examples(outputs),
        emulator.endpoint(),
    )
}
