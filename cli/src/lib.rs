//! The command line: what it accepts, and where each command is.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are the help text, where backticks are noise"
)]

mod commands;
mod csv;
pub mod doctor;
mod error;
mod everywhere;
mod guard;
mod output;
mod past;
mod person;
mod printable;
pub mod progress;
mod request;
mod stack;
mod targets;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection, Trust};
use curfew_aws::organisation::Organisation;

use curfew_config::{AwsConfiguration, Configuration, Lookup, Overrides};

use self::commands::{
    apply, check, completions, deploy, destroy, document, explain, history, import, man,
    member_role, next, notify, outputs, plan, resume, rules, run, savings, schema, simulate, start,
    status, stop, template, token, up,
};
use self::request::{ChangeArgs, RequestArgs};

pub use error::{CliError, Exit};
pub use output::{Format, Output};

/// Starts and stops EC2 instances on time.
///
/// Write the working hours of your instances in a TOML file; Curfew deploys a small serverless stack that keeps them, lets people
/// override them over HTTP, and journals every change of state with its cause.
#[derive(Debug, Parser)]
#[command(name = "curfew", version, max_term_width = 110, after_help = AFTER_HELP, after_long_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Try it without an account:   curfew up
Against AWS:                 curfew check curfew.toml && curfew --config curfew.toml deploy
Exit codes:                  0 done · 1 something failed · 2 usage or configuration · 3 nothing matched
                             4 not authorised · 5 cloud unreachable";

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
struct Global {
    /// The configuration file [default: ./curfew.toml, if it is yours alone (never for `run`), else /etc/curfew/curfew.toml]
    #[arg(long, short, global = true, value_name = "FILE", env = "CURFEW_CONFIG")]
    config: Option<PathBuf>,
    /// An AWS endpoint, such as LocalStack's http://localhost:4566 [default: AWS_ENDPOINT_URL, else AWS itself]
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The AWS region [default: AWS_REGION, else the profile's]
    #[arg(long, global = true)]
    region: Option<String>,
    /// A profile of the shared AWS files [default: AWS_PROFILE]
    #[arg(long, global = true)]
    profile: Option<String>,
    /// How to print results: a table for people, or one JSON document for programs; history and savings also as jsonl and csv
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    output: Format,
    /// Say more on standard error; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything here: an emulator, a demo fleet, the stack, and the daemon, until Ctrl-C
    Up(up::UpArgs),
    /// Create or update the stack and its trigger rules
    Deploy(deploy::DeployArgs),
    /// Remove the stack, its rules, and everything else that `deploy` made
    Destroy(destroy::DestroyArgs),
    /// Print the stack's URL, ids and rules
    Outputs,
    /// Run the daemon in the foreground
    Run(run::RunArgs),
    /// Show what a pass would do now, and why not more
    Plan,
    /// Make one pass now
    Apply(apply::ApplyArgs),
    /// Show the instances: their state, their schedule, and what is next
    Status(status::StatusArgs),
    /// Start instances now
    Start(ChangeArgs),
    /// Stop instances now
    Stop(ChangeArgs),
    /// End an override, and do what the schedule wants
    Resume(RequestArgs),
    /// List the coming edges; needs no credentials
    Next(next::NextArgs),
    /// Say what a schedule or an instance should be doing, and why
    Explain(explain::ExplainArgs),
    /// Show when schedules run, over a week or more, and what that saves; needs no credentials
    Simulate(simulate::SimulateArgs),
    /// Print the journalled transitions
    History(history::HistoryArgs),
    /// Say how long instances were off, by the journal, and what that saved
    Savings(savings::SavingsArgs),
    /// Try out whether notifications get through
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Look for everything that keeps Curfew from working, and say what to do; changes nothing
    Doctor,
    /// Check a configuration file; needs no credentials
    Check(check::CheckArgs),
    /// Print the JSON schema of the configuration file, for editors
    Schema,
    /// Translate another tool's schedules into configuration; needs no credentials
    Import(import::ImportArgs),
    /// Print the trigger rules, for tools that deploy in place of `deploy`; needs no credentials
    Rules,
    /// Print the stack's CloudFormation template; needs no credentials
    Template,
    /// Print what the stack's SSM parameter holds: the configuration as the Lambda reads them; needs no credentials
    Document,
    /// Print a CloudFormation template for the role in another account that Curfew manages; needs no credentials
    MemberRole,
    /// Make tokens for the HTTP API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory, which must be there
        directory: PathBuf,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line and says how it ended.
pub async fn main(cli: Cli) -> ExitCode {
    if let Err(error) = has_format(&cli.command, cli.global.output) {
        return error.report(&mut std::io::stderr());
    }
    let mut context = Context {
        output: Output::new(cli.global.output),
        global: cli.global,
        clock: Clock::system(),
    };
    let result = match cli.command {
        Command::Up(args) => up::up(&mut context, args).await,
        Command::Deploy(args) => deploy::deploy(&mut context, args).await,
        Command::Destroy(args) => destroy::destroy(&mut context, args).await,
        Command::Outputs => outputs::outputs(&mut context).await,
        Command::Run(args) => run::run(&mut context, args).await,
        Command::Plan => plan::plan(&mut context).await,
        Command::Apply(args) => apply::apply(&mut context, args).await,
        Command::Status(args) => status::status(&mut context, args).await,
        Command::Start(args) => start::start(&mut context, args).await,
        Command::Stop(args) => stop::stop(&mut context, args).await,
        Command::Resume(args) => resume::resume(&mut context, args).await,
        Command::Next(args) => next::next(&mut context, &args),
        Command::Explain(args) => explain::explain(&mut context, args).await,
        Command::Simulate(args) => simulate::simulate(&mut context, &args),
        Command::History(args) => history::history(&mut context, &args),
        Command::Savings(args) => savings::savings(&mut context, &args),
        Command::Notify(command) => notify::notify(&mut context, command).await,
        Command::Doctor => commands::doctor::doctor(&mut context).await,
        Command::Check(args) => check::check(&mut context, args),
        Command::Schema => schema::schema(&mut context),
        Command::Import(args) => import::import(&mut context, args),
        Command::Rules => rules::rules(&mut context),
        Command::Template => template::template(&mut context),
        Command::Document => document::document(&mut context),
        Command::MemberRole => member_role::member_role(&mut context),
        Command::Token(command) => token::token(&mut context, command),
        Command::Man { directory } => man::man(&directory),
        Command::Completions { shell } => completions::completions(&mut context, shell),
    };
    warn_of_skew(&context.clock, &mut std::io::stderr());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(&mut std::io::stderr()),
    }
}

/// Tells who sits at a machine whose clock is off, once for a command. What runs for long logs it.
fn warn_of_skew(clock: &Clock, to: &mut impl std::io::Write) {
    let ahead = clock.ahead();
    if ahead.abs() < Clock::WORTH_TELLING {
        return;
    }
    let seconds = ahead.as_secs().unsigned_abs();
    let direction = if ahead.is_negative() { "fast" } else { "slow" };
    // Where nobody reads, nobody is warned.
    let _gone = writeln!(
        to,
        "warning: this machine's clock is {seconds} s {direction}; Curfew went by AWS's time\n\
         hint: set the clock, for example with `timedatectl set-ntp true`"
    );
}

/// Only lists have lines: whoever asks for them of something else is told so before anything is done.
fn has_format(command: &Command, format: Format) -> Result<(), CliError> {
    let is_list = matches!(command, Command::History(_) | Command::Savings(_));
    match format {
        Format::Jsonl | Format::Csv if !is_list => {
            let message = "only `history` and `savings` print `jsonl` and `csv`";
            Err(CliError::new(Exit::Usage, message).hint("write `-o json`"))
        }
        _ => Ok(()),
    }
}

/// What every command is given.
#[derive(Debug)]
struct Context {
    global: Global,
    output: Output,
    clock: Clock,
}

impl Context {
    /// The configuration, from all layers.
    fn configuration(&self) -> Result<Configuration, CliError> {
        Ok(curfew_config::load(&self.overrides(Lookup::Folder)?)?)
    }

    /// How the configuration is read. Says which file counts where that was not named.
    fn overrides(&self, lookup: Lookup) -> Result<Overrides, CliError> {
        let found = curfew_config::find(self.global.config.as_deref(), lookup)?;
        if found.is_unnamed {
            let told = format!(
                "note: the configuration is those of `{}`\n",
                found.path.display()
            );
            // Nobody is left to tell when standard error is gone.
            let _gone = std::io::stderr().write_all(told.as_bytes());
        }
        Ok(Overrides {
            file: Some(found.path),
            ..self.flags()
        })
    }

    /// The layers over the file.
    fn flags(&self) -> Overrides {
        Overrides {
            file: self.global.config.clone(),
            fallback: None,
            aws: AwsConfiguration {
                endpoint: self.global.endpoint_url.clone(),
                region: self.global.region.clone(),
                profile: self.global.profile.clone(),
            },
            environment: std::env::vars()
                .filter(|(name, _)| name.starts_with("CURFEW__"))
                .collect(),
        }
    }

    /// The configuration, and the instances of every account and region that they name.
    async fn organisation(&self) -> Result<(Configuration, Organisation), CliError> {
        let configuration = self.configuration()?;
        let connection = self.connect(&configuration).await?;
        let organisation = Organisation::open(&connection, &configuration.targets);
        Ok((configuration, organisation))
    }

    /// A connection as the configuration says.
    async fn connect(&self, configuration: &Configuration) -> Result<Connection, CliError> {
        let AwsConfiguration {
            endpoint,
            region,
            profile,
        } = configuration.aws.clone();
        Ok(Connection::open(ConnectOptions {
            endpoint,
            region,
            profile,
            trust: Trust::OperatingSystem,
        })
        .await?
        .correcting(&self.clock))
    }
}
