//! `curfew up`: runs the emulator, the demo and the daemon on this machine until Ctrl-C.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use curfew_aws::connect::{ConnectOptions, Connection, Trust};
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::progress::Progress;
use curfew_config::{Configuration, ConfigurationError, LoadOptions, Lookup};
use curfew_daemon::logging;
use curfew_deploy::{Auth, Outputs};
use curfew_emulator::demo::{self, LaunchedFleet, LaunchedInstance};
use curfew_emulator::{Emulator, Installed};
use curfew_journal::Journal;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::deploy::deployment;
use super::outputs::SampleCalls;
use super::run::{Daemon, HangupAction, LogLines, keep_private, on_signal};
use crate::output::count;
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
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    /// Format of log lines
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log: LogLines,
}

pub(crate) async fn up(context: &mut Context, args: UpArgs) -> Result<(), CliError> {
    keep_private();
    logging::init(args.log.into(), context.global.verbose);
    let overrides = overrides(context)?;
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
        page: if args.open {
            Page::Opened
        } else {
            Page::Printed
        },
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

/// Returns the layers of the configuration: the named file, otherwise `./curfew.toml`, otherwise the demo's, which is written to the
/// state directory so that other commands can use it. The file of the system is not used: it may have real destinations.
fn overrides(context: &Context) -> Result<LoadOptions, CliError> {
    let mut overrides = context.flags();
    if overrides.file.is_some() {
        return Ok(overrides);
    }
    match curfew_config::find(None, Lookup::Folder) {
        Ok(found) if found.is_from_folder => overrides.file = Some(found.path),
        Ok(_) | Err(ConfigurationError::NoFile { .. }) => {
            overrides.fallback = Some(("the demo configuration", DEMO));
            let folder = curfew_config::load(&overrides)?.state_dir();
            overrides.fallback = None;
            overrides.file = Some(demo_file(&folder)?);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(overrides)
}

/// Writes the demo's configuration to `folder`, unless the user has it already and may have changed it.
fn demo_file(folder: &Path) -> Result<PathBuf, CliError> {
    let path = folder.join("demo.toml");
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = File::create_new(&path)?;
        // The first line is for editors, and relative to the examples.
        let (_, text) = DEMO.split_once('\n').unwrap_or_default();
        file.write_all(text.as_bytes())
    });
    match written {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let message = format!("`{}` can't be written: {error}", path.display());
            Err(CliError::new(Exit::Failed, message)
                .hint("name a configuration file: --config FILE"))
        }
        _ => Ok(std::path::absolute(&path).unwrap_or(path)),
    }
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
    page: Page,
    progress: &'a dyn Progress,
}

/// Whether the page is opened in the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Printed,
    Opened,
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
        let Some((outputs, fleet, auth)) =
            unless_cancelled(shutdown, self.deploy_demo(context, &connection))
                .await
                .transpose()?
        else {
            return Ok(None);
        };
        // Commands of the report read the journal. The daemon, which starts afterwards, opens it again, and reports errors.
        drop(Journal::open(&self.configuration.state_dir()));
        let report = UpReport {
            page_url: format!("{}/", outputs.api_url),
            outputs,
            endpoint: emulator.endpoint(),
            region: connection.region().to_string(),
            configuration: self.overrides.file.clone(),
            instances: fleet.instances,
        };
        context
            .output
            .print(&report, |report| report.next_steps(&auth))?;
        if self.page == Page::Opened {
            self.open(report.browser_url());
        }
        Ok(Some(connection))
    }

    /// Opens the page in the browser. A failure is only noted: the URL is printed.
    fn open(&self, url: &str) {
        if let Err(error) = open_browser(url) {
            self.progress
                .note(&format!("the browser could not be opened: {error}"));
        }
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
    ) -> Result<(Outputs, LaunchedFleet, Auth), CliError> {
        self.progress.begin("Launching the demo fleet");
        let fleet = demo::fleet(&self.configuration.schedule_set);
        let launched = demo::launch(connection, &fleet).await?;
        self.progress.end(&match launched.new.as_slice() {
            [] => "The demo fleet is there".to_owned(),
            names if names.len() > 8 => format!("Launched {} instances", count(names.len())),
            names => format!("Launched {}", names.join(", ")),
        });
        let deployment = deployment(context, self.configuration, connection, None)?;
        let outputs = curfew_deploy::deploy(connection, &deployment, self.progress).await?;
        Ok((outputs, launched, deployment.auth))
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
                Some(Ok((outputs, ..))) => info!(api_url = outputs.api_url, "emulator restarted"),
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

/// Opens `url` with the program in `$BROWSER`, which a Codespace sets, otherwise with that of the desktop.
fn open_browser(url: &str) -> io::Result<()> {
    match std::env::var("BROWSER") {
        Ok(program) if !program.is_empty() => open::with_detached(url, program),
        _ => open::that_detached(url),
    }
}

/// What runs, and how to use it.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct UpReport {
    /// The URL of the page on this machine.
    page_url: String,
    #[serde(flatten)]
    outputs: Outputs,
    /// The endpoint of the emulator.
    endpoint: String,
    /// The AWS region of the stack and the fleet.
    region: String,
    /// The configuration file that the daemon runs with; null for the defaults.
    configuration: Option<PathBuf>,
    /// The demo fleet.
    instances: Vec<LaunchedInstance>,
}

impl UpReport {
    /// The URL of the page for the browser: in a Codespace, the forwarded one.
    fn browser_url(&self) -> &str {
        self.outputs
            .forwarded_url
            .as_deref()
            .unwrap_or(&self.page_url)
    }

    fn next_steps(&self, auth: &Auth) -> String {
        let calls = SampleCalls {
            outputs: &self.outputs,
            auth,
            endpoint: EndpointKind::LocalEmulator,
            region: &self.region,
            instance: self.instances.first().map(|first| first.id.as_str()),
        };
        // Uses the name of the running program: a local build is not in the PATH.
        let curfew = std::env::args()
            .next()
            .unwrap_or_else(|| "curfew".to_owned());
        let mut text = format!("\nCurfew is up. Its page:\n  {}\n", self.page_url);
        if let Some(url) = &self.outputs.forwarded_url {
            let _infallible = write!(text, "In the browser of this Codespace:\n  {url}/\n");
        }
        let _infallible = write!(text, "\nThe API, for scripts:\n{}", calls.lines());
        let file = self.configuration.as_ref();
        let file = file.map_or_else(String::new, |path| path.display().to_string());
        let name = self
            .instances
            .first()
            .map_or("--all", |first| first.name.as_str());
        let _infallible = write!(
            text,
            "
The configuration, which is read again when you change it:
  {file}

In another terminal:
  export CURFEW_CONFIG={file}
  export AWS_ENDPOINT_URL={} AWS_REGION={}
  {curfew} status
  {curfew} stop {name}
  {curfew} history

The emulated instances are records: no machine runs. Press Ctrl-C to stop.
",
            self.endpoint, self.region
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_core::token::Tokens;

    fn report(forwarded_url: Option<&str>) -> UpReport {
        let api = "http://127.0.0.1:4566/restapis/a1b2/prod/_user_request_";
        UpReport {
            page_url: format!("{api}/"),
            outputs: Outputs {
                api_url: api.to_owned(),
                forwarded_url: forwarded_url.map(str::to_owned),
                api_id: "a1b2".to_owned(),
                stage: "prod".to_owned(),
                function: "curfew-curfew".to_owned(),
                queue_url: "http://127.0.0.1:4566/queue/q".to_owned(),
                rules: Vec::new(),
            },
            endpoint: "http://127.0.0.1:4566".to_owned(),
            region: "us-east-1".to_owned(),
            configuration: Some("/home/alice/.local/state/curfew/demo.toml".into()),
            instances: vec![LaunchedInstance {
                id: "i-0abc1234def567890".to_owned(),
                name: "office-1".to_owned(),
            }],
        }
    }

    fn shown(report: &UpReport, auth: &Auth) -> String {
        let program = std::env::args().next().unwrap();
        report.next_steps(auth).replace(&program, "curfew")
    }

    #[test]
    fn the_page_the_api_and_the_configuration_are_printed_in_this_order() {
        insta::assert_snapshot!(shown(&report(None), &Auth::None), @r#"
        Curfew is up. Its page:
          http://127.0.0.1:4566/restapis/a1b2/prod/_user_request_/

        The API, for scripts:
          curl -s 'http://127.0.0.1:4566/restapis/a1b2/prod/_user_request_/status'
          curl -s 'http://127.0.0.1:4566/restapis/a1b2/prod/_user_request_/stop?instance=i-0abc1234def567890'
          curl -s 'http://127.0.0.1:4566/restapis/a1b2/prod/_user_request_/start?instance=i-0abc1234def567890&for=2h'

        The configuration, which is read again when you change it:
          /home/alice/.local/state/curfew/demo.toml

        In another terminal:
          export CURFEW_CONFIG=/home/alice/.local/state/curfew/demo.toml
          export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_REGION=us-east-1
          curfew status
          curfew stop office-1
          curfew history

        The emulated instances are records: no machine runs. Press Ctrl-C to stop.
        "#);
    }

    #[test]
    fn curl_uses_this_machine_and_the_browser_the_forwarded_url() {
        let forwarded = "https://disco-4566.app.github.dev/restapis/a1b2/prod/_user_request_";
        let report = report(Some(forwarded));
        let text = shown(&report, &Auth::None);
        let browser = format!("In the browser of this Codespace:\n  {forwarded}/\n");
        assert!(text.contains(&browser), "{text}");
        for line in text.lines().filter(|line| line.contains("curl")) {
            assert!(line.contains("'http://127.0.0.1:4566/"), "{line}");
        }
        assert_eq!(report.browser_url(), forwarded);
    }

    #[test]
    fn curl_has_the_header_that_the_api_requires() {
        let text = shown(&report(None), &Auth::Token(Tokens::default()));
        for line in text.lines().filter(|line| line.contains("curl -s")) {
            assert!(
                line.contains(r#"-H "Authorization: Bearer $TOKEN""#),
                "{line}"
            );
        }
        assert!(text.contains("`curfew token new`"), "{text}");
        let text = shown(&report(None), &Auth::Iam);
        assert!(text.contains("--aws-sigv4"), "{text}");
    }

    #[test]
    fn a_changed_demo_configuration_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let file = demo_file(&folder).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(DEMO.starts_with("#:schema ") && DEMO.ends_with(&text));
        assert!(text.starts_with("# The schedules of `curfew up`"), "{text}");
        fs::write(&file, "[managing]\n").unwrap();
        assert_eq!(demo_file(&folder).unwrap(), file);
        assert_eq!(fs::read_to_string(&file).unwrap(), "[managing]\n");
    }
}
