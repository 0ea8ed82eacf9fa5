//! `curfew up`: everything on this machine, until Ctrl-C.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use curfew_aws::connect::{ConnectOptions, Connection, Trust};
use curfew_aws::progress::Progress;
use curfew_config::{Configuration, Overrides};
use curfew_daemon::logging;
use curfew_deploy::Outputs;
use curfew_emulator::{Emulator, Installed, demo};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::deploy::deployment;
use super::run::{Daemon, HangUp, LogLines, keep_private, on_signal};
use crate::progress;
use crate::stack::try_next;
use crate::{CliError, Context, Exit};

const DEMO: &str = include_str!("../../../config/examples/demo.toml");

/// Before an emulator that ended by itself is started again: long enough not to spin, short enough not to be missed.
const RESTART: Duration = Duration::from_secs(1);

/// How to try Curfew.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The port of the emulator, on this machine only
    #[arg(long, default_value_t = Emulator::DEFAULT_PORT, value_name = "PORT")]
    port: u16,
    /// The Python that runs the emulator
    #[arg(long, default_value = "python3", value_name = "COMMAND")]
    python: String,
    /// Only install the emulator
    #[arg(long)]
    install_only: bool,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log: LogLines,
}

pub(crate) async fn up(context: &mut Context, args: UpArgs) -> Result<(), CliError> {
    keep_private();
    logging::init(args.log.into(), context.global.verbose);
    let mut overrides = context.flags();
    overrides.fallback = Some(("the demo configuration", DEMO));
    let configuration = curfew_config::load(&overrides)?;
    let shutdown = on_signal(HangUp::Ends)?;
    let progress = progress::stderr();
    let cache = curfew_emulator::cache_directory().ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            "there is no place for the emulator: neither XDG_CACHE_HOME nor HOME is set",
        )
    })?;

    let installing = Emulator::provision(&cache, &args.python, progress.as_ref());
    let Some(installed) = unless(&shutdown, installing).await.transpose()? else {
        return Ok(());
    };
    if args.install_only {
        progress.note("The emulator is installed.");
        return Ok(());
    }
    let house = House {
        configuration: &configuration,
        overrides: &overrides,
        installed: &installed,
        port: args.port,
        progress: progress.as_ref(),
    };
    let Some(emulator) = unless(&shutdown, house.start()).await.transpose()? else {
        return Ok(());
    };
    let result = live(context, &house, emulator, &shutdown).await;
    progress.note("Everything has ended.");
    result
}

/// Deploys, says what to try, and stays until the shutdown; the emulator ends with it, whatever happens.
async fn live(
    context: &mut Context,
    house: &House<'_>,
    emulator: Emulator,
    shutdown: &CancellationToken,
) -> Result<(), CliError> {
    let (result, emulator) = match house.open(context, &emulator, shutdown).await {
        Ok(Some(connection)) => {
            let daemon = Daemon {
                configuration: house.configuration,
                overrides: house.overrides.clone(),
                connection: &connection,
                reload: Arc::default(),
            };
            let daemon = daemon.watch_over(&context.clock, shutdown.clone());
            let supervision = house.supervise(context, &connection, emulator, shutdown);
            tokio::join!(daemon, supervision)
        }
        Ok(None) => (Ok(()), Some(emulator)),
        Err(error) => (Err(error), Some(emulator)),
    };
    let Some(emulator) = emulator else {
        return result;
    };
    house.progress.begin("Ending the emulator");
    let stopped = emulator.stop().await;
    house
        .progress
        .end("The emulator has ended; its state is kept for the next time");
    let unclean = |error| {
        CliError::new(
            Exit::Failed,
            format!("the emulator did not end cleanly: {error}"),
        )
    };
    result.and_then(|()| stopped.map_err(unclean))
}

/// What is needed to set everything up, and to set it up again.
struct House<'a> {
    configuration: &'a Configuration,
    overrides: &'a Overrides,
    installed: &'a Installed,
    port: u16,
    progress: &'a dyn Progress,
}

impl House<'_> {
    async fn start(&self) -> Result<Emulator, CliError> {
        let state = self.configuration.state_dir().join("emulator");
        Ok(Emulator::start(self.installed, &state, self.port, self.progress).await?)
    }

    /// Everything up to the invitation; nothing, if the shutdown comes first.
    async fn open(
        &self,
        context: &mut Context,
        emulator: &Emulator,
        shutdown: &CancellationToken,
    ) -> Result<Option<Connection>, CliError> {
        let connection = self.connect(emulator).await?;
        let connection = connection.correcting(&context.clock);
        let Some(outputs) = unless(shutdown, self.furnish(context, &connection))
            .await
            .transpose()?
        else {
            return Ok(None);
        };
        context
            .output
            .print(&outputs, |outputs| invitation(outputs, emulator))?;
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

    /// The demo fleet and the stack; what is there already stays as it is.
    async fn furnish(
        &self,
        context: &Context,
        connection: &Connection,
    ) -> Result<Outputs, CliError> {
        self.progress.begin("Launching the demo fleet");
        let launched = demo::launch(connection).await?;
        self.progress.end(&match launched.as_slice() {
            [] => "The demo fleet is there".to_owned(),
            names => format!("Launched {}", names.join(", ")),
        });
        let deployment = deployment(context, self.configuration, connection, None)?;
        Ok(curfew_deploy::deploy(connection, &deployment, self.progress).await?)
    }

    /// Starts the emulator again when it ends by itself, until the shutdown; what it had in memory is gone then, and is set up
    /// anew. Returns the emulator that is to be ended, if one runs.
    async fn supervise(
        &self,
        context: &Context,
        connection: &Connection,
        mut emulator: Emulator,
        shutdown: &CancellationToken,
    ) -> Option<Emulator> {
        loop {
            let Some(ended) = unless(shutdown, emulator.ended()).await else {
                return Some(emulator);
            };
            let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            error!(%status, log = %emulator.log().display(), "the emulator ended by itself: it is started again");
            // Whatever it left behind ends here, and its state and port are free again.
            drop(emulator);
            emulator = self.start_again(shutdown).await?;
            match unless(shutdown, self.furnish(context, connection)).await {
                Some(Ok(outputs)) => info!(api_url = outputs.api_url, "the emulator is up again"),
                Some(Err(error)) => {
                    error!(%error, "the emulator is up again, and the stack can't be deployed");
                }
                None => return Some(emulator),
            }
        }
    }

    /// Tries until it works; nothing, if the shutdown comes first.
    async fn start_again(&self, shutdown: &CancellationToken) -> Option<Emulator> {
        loop {
            unless(shutdown, tokio::time::sleep(RESTART)).await?;
            match unless(shutdown, self.start()).await? {
                Ok(emulator) => return Some(emulator),
                Err(error) => error!(%error, "the emulator can't be started again yet"),
            }
        }
    }
}

/// What `work` comes to, or nothing if the shutdown comes first.
async fn unless<T>(shutdown: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    shutdown.run_until_cancelled(work).await
}

fn invitation(outputs: &Outputs, emulator: &Emulator) -> String {
    // As it was called: built here, it is not in the PATH.
    let curfew = std::env::args()
        .next()
        .unwrap_or_else(|| "curfew".to_owned());
    format!(
        "\nCurfew is up on {}\n\n{}\nIn another terminal:\n  export AWS_ENDPOINT_URL={} CURFEW_CONFIG=config/examples/demo.toml\n  \
         {curfew} status\n  {curfew} history\n\nCtrl-C ends everything.\n",
        outputs.api_url,
        try_next(outputs),
        emulator.endpoint(),
    )
}
