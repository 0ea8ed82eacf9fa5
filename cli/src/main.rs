//! The `curfew` command: parses, wires, and maps errors to exit codes.

use std::process::ExitCode;

use clap::Parser;
use curfew::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    curfew::main(Cli::parse()).await
}
