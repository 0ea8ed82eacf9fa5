//! The command line: its arguments, and the dispatch to the commands.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are the help text, which has no markup"
)]

mod alike;
mod commands;
mod complete;
mod confirm;
mod csv;
pub mod doctor;
mod error;
mod fit;
mod fleet_view;
mod format;
mod help;
#[cfg(test)]
mod json_reference;
mod money;
mod output;
mod output_target;
mod printable;
pub mod progress;
mod start_stop;
mod table;
mod targets;
mod time_arg;
mod view;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, FromArgMatches as _, Parser, Subcommand};
use clap_complete::env::CompleteEnv;
use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectOptions, Connection, Trust};
use curfew_aws::organisation::Organisation;

use curfew_config::{AwsConfiguration, Configuration, LoadOptions, Lookup};

use self::commands::{
    apply, check, completions, deploy, destroy, document, explain, history, import, init, man,
    member_role, next, notify, outputs, plan, resume, rules, run, savings, schema, simulate, start,
    status, stop, template, token, up,
};
use self::fit::columns;
use self::output_target::OutputTarget;
use self::start_stop::{ChangeArgs, RequestArgs};

use self::view::View;

pub use error::{CliError, Exit};
pub use format::Format;
pub use output::Output;

/// Starts and stops EC2 instances on a schedule.
///
/// Define the working hours of your instances in a TOML file. Curfew deploys a small serverless stack that applies them, accepts
/// overrides over HTTP, and records every state transition with its cause.
#[derive(Debug, Parser)]
#[command(name = "curfew", version, max_term_width = 80)]
pub struct Cli {
    #[command(flatten, next_help_heading = "Global options")]
    global: Global,
    #[command(subcommand)]
    command: CliCommand,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
struct Global {
    /// Configuration file [default: CURFEW_CONFIG, else ./curfew.toml if only you can write it (not for run), else /etc/curfew/curfew.toml]
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "CURFEW_CONFIG",
        hide_env = true
    )]
    config: Option<PathBuf>,
    /// AWS endpoint, for example http://localhost:4566 for LocalStack [default: AWS_ENDPOINT_URL, otherwise AWS]
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
    /// AWS region [default: AWS_REGION, otherwise that of the profile]
    #[arg(long, global = true)]
    region: Option<String>,
    /// Profile of the shared AWS configuration [default: AWS_PROFILE]
    #[arg(long, global = true)]
    profile: Option<String>,
    /// Output format; wide has more columns, jsonl and csv are for history and savings only
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    output: Format,
    /// Log more to standard error (-vv for everything)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run an emulator, a demo fleet, the stack and the daemon here
    Up(up::UpArgs),
    /// Write a commented configuration file
    Init(init::InitArgs),
    /// Create or update the stack and its trigger rules
    Deploy(deploy::DeployArgs),
    /// Remove everything that deploy created
    Destroy(destroy::DestroyArgs),
    /// Print the URL, the IDs and the rules of the stack
    Outputs,
    /// Run the daemon in the foreground
    Run(run::RunArgs),
    /// Show what Curfew would start or stop now, and what it skips
    Plan,
    /// Start and stop what is due now: run one pass
    Apply(apply::ApplyArgs),
    /// Show the instances with their state, schedule and next edge
    Status(status::StatusArgs),
    /// Start instances now
    Start(ChangeArgs),
    /// Stop instances now
    Stop(ChangeArgs),
    /// End overrides and return instances to their schedule
    Resume(RequestArgs),
    /// List the next edges of schedules
    Next(next::NextArgs),
    /// Explain the desired state of a schedule or an instance
    Explain(explain::ExplainArgs),
    /// Show the running hours of schedules and what they save
    Simulate(simulate::SimulateArgs),
    /// Show the state transitions in the journal
    History(history::HistoryArgs),
    /// Report stopped hours and savings from the journal
    Savings(savings::SavingsArgs),
    /// Test the delivery of notifications
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Diagnose problems without changing anything
    Doctor,
    /// Validate a configuration file
    Check(check::CheckArgs),
    /// Print the JSON schema of the configuration file
    Schema,
    /// Convert the schedules of another tool
    Import(import::ImportArgs),
    /// Print the trigger rules for other deployment tools
    Rules,
    /// Print the CloudFormation template of the stack
    Template,
    /// Print the configuration as the Lambda reads it from SSM
    Document,
    /// Print the template of the role in member accounts
    MemberRole,
    /// Create tokens for the HTTP API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Write the man pages to a directory
    #[command(hide = true)]
    Man {
        /// An existing directory
        directory: PathBuf,
    },
    /// Print a shell completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
}

/// Parses the arguments of the process. Prints help and errors, and then returns the exit code.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    // A shell that completes a command line sets an environment variable; the process then ends here.
    CompleteEnv::with_factory(help::command).complete();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = help::command();
    let matches = command.try_get_matches_from_mut(&arguments);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let error = error.format(&mut command);
        if error.use_stderr() && requests_json(&arguments) {
            return CliError::from(&error).report(Format::Json, &mut std::io::stderr());
        }
        print_usage(&error);
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

/// Prints help, or an error of the arguments. clap wraps only help.
fn print_usage(error: &clap::Error) {
    let text = error.to_string();
    let target = OutputTarget::stderr();
    let is_narrow = |width| text.lines().any(|line| columns(line) > width);
    if !error.use_stderr() || !target.width().is_some_and(is_narrow) {
        // A closed standard error leaves no place to report to.
        let _gone = error.print();
        return;
    }
    let mut view = View::default();
    for line in text.lines() {
        let sentence = line.trim_start();
        view.item(&line[..line.len() - sentence.len()], sentence);
    }
    let _gone = std::io::stderr().write_all(view.render(target).as_bytes());
}

/// Returns whether arguments that could not be parsed ask for JSON.
fn requests_json(arguments: &[OsString]) -> bool {
    let texts: Vec<&str> = arguments.iter().filter_map(|one| one.to_str()).collect();
    let has_pair = |pair: &[&str]| matches!(pair, ["-o" | "--output", "json" | "jsonl"]);
    let is_joined = |one: &&str| {
        let value = one.strip_prefix("--output=").or(one.strip_prefix("-o"));
        value.is_some_and(|value| matches!(value.trim_start_matches('='), "json" | "jsonl"))
    };
    texts.windows(2).any(has_pair) || texts.iter().any(is_joined)
}

/// Runs the command and returns its exit code. Errors are written to standard error.
pub async fn main(cli: Cli) -> ExitCode {
    let format = cli.global.output;
    if let Err(error) = check_format(&cli.command, format) {
        return error.report(format, &mut std::io::stderr());
    }
    let mut context = Context {
        output: Output::new(format),
        global: cli.global,
        clock: Clock::system(),
        found: OnceCell::new(),
    };
    let result = match cli.command {
        CliCommand::Up(args) => up::up(&mut context, args).await,
        CliCommand::Init(args) => init::init(&mut context, args),
        CliCommand::Deploy(args) => deploy::deploy(&mut context, args).await,
        CliCommand::Destroy(args) => destroy::destroy(&mut context, args).await,
        CliCommand::Outputs => outputs::outputs(&mut context).await,
        CliCommand::Run(args) => run::run(&mut context, args).await,
        CliCommand::Plan => plan::plan(&mut context).await,
        CliCommand::Apply(args) => apply::apply(&mut context, args).await,
        CliCommand::Status(args) => status::status(&mut context, args).await,
        CliCommand::Start(args) => start::start(&mut context, args).await,
        CliCommand::Stop(args) => stop::stop(&mut context, args).await,
        CliCommand::Resume(args) => resume::resume(&mut context, args).await,
        CliCommand::Next(args) => next::next(&mut context, &args),
        CliCommand::Explain(args) => explain::explain(&mut context, args).await,
        CliCommand::Simulate(args) => simulate::simulate(&mut context, &args).await,
        CliCommand::History(args) => history::history(&mut context, &args),
        CliCommand::Savings(args) => savings::savings(&mut context, &args),
        CliCommand::Notify(command) => notify::notify(&mut context, command).await,
        CliCommand::Doctor => commands::doctor::doctor(&mut context).await,
        CliCommand::Check(args) => check::check(&mut context, args),
        CliCommand::Schema => schema::schema(&mut context),
        CliCommand::Import(args) => import::import(&mut context, args),
        CliCommand::Rules => rules::rules(&mut context),
        CliCommand::Template => template::template(&mut context),
        CliCommand::Document => document::document(&mut context),
        CliCommand::MemberRole => member_role::member_role(&mut context),
        CliCommand::Token(command) => token::token(&mut context, command),
        CliCommand::Man { directory } => man::man(&directory),
        CliCommand::Completions { shell } => completions::completions(&mut context, shell),
    };
    warn_of_skew(&context.clock, &mut std::io::stderr());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.with_configuration(context.found.into_inner());
            error.report(format, &mut std::io::stderr())
        }
    }
}

/// Warns once per command if the clock of this machine is wrong. Long-running commands log it themselves.
fn warn_of_skew(clock: &Clock, to: &mut impl std::io::Write) {
    let ahead = clock.ahead();
    if ahead.abs() < Clock::WARN_AT {
        return;
    }
    let seconds = ahead.as_secs().unsigned_abs();
    let direction = if ahead.is_negative() { "fast" } else { "slow" };
    // A closed standard error is not a failure.
    let _gone = writeln!(
        to,
        "warning: this machine's clock is {seconds} s {direction}; Curfew used the time of AWS\n\
         hint: set the clock, for example with `timedatectl set-ntp true`"
    );
}

/// Rejects JSON lines and CSV for commands that print no list, before the command runs.
fn check_format(command: &CliCommand, format: Format) -> Result<(), CliError> {
    let is_list = matches!(command, CliCommand::History(_) | CliCommand::Savings(_));
    match format {
        Format::Jsonl | Format::Csv if !is_list => {
            let message = "only `history` and `savings` print `jsonl` and `csv`";
            Err(CliError::new(Exit::Usage, message).hint("use `-o json`"))
        }
        _ => Ok(()),
    }
}

/// Returns the variables that set values of the configuration, except those that are not text.
fn environment() -> HashMap<String, String> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        name.starts_with("CURFEW__").then_some((name, value))
    });
    variables.collect()
}

/// The options, the output and the clock of a command.
#[derive(Debug)]
struct Context {
    global: Global,
    output: Output,
    clock: Clock,
    /// The configuration file that is used without being named.
    found: OnceCell<PathBuf>,
}

impl Context {
    /// Loads the configuration from all layers.
    fn configuration(&self) -> Result<Configuration, CliError> {
        Ok(curfew_config::load(&self.overrides(Lookup::Folder)?)?)
    }

    /// Returns the layers of the configuration. Prints the path of the file with `-v`.
    fn overrides(&self, lookup: Lookup) -> Result<LoadOptions, CliError> {
        let found = curfew_config::find(self.global.config.as_deref(), lookup)?;
        if self.global.verbose > 0 {
            let note = format!(
                "note: using the configuration in `{}`\n",
                found.path.display()
            );
            // A closed standard error is not a failure.
            let _gone = std::io::stderr().write_all(note.as_bytes());
        }
        if self.global.config.is_none() {
            let _same = self.found.set(found.path.clone());
        }
        Ok(LoadOptions {
            file: Some(found.path),
            ..self.flags()
        })
    }

    /// Returns the layers that the flags and the environment define.
    fn flags(&self) -> LoadOptions {
        LoadOptions {
            file: self.global.config.clone(),
            fallback: None,
            aws: AwsConfiguration {
                endpoint: self.global.endpoint_url.clone(),
                region: self.global.region.clone(),
                profile: self.global.profile.clone(),
            },
            environment: environment(),
        }
    }

    /// Loads the configuration and connects to its account-regions.
    async fn organisation(&self) -> Result<(Configuration, Organisation), CliError> {
        let configuration = self.configuration()?;
        let connection = self.connect(&configuration).await?;
        let organisation = Organisation::open(&connection, &configuration.targets);
        Ok((configuration, organisation))
    }

    /// Connects with the endpoint, region and profile of the configuration.
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
