//! The `curfew` binary: parses arguments and returns the exit code of the command.

use std::process::ExitCode;

use clap::Parser;
use curfew::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    curfew::main(Cli::parse()).await
}
