//! The `curfew` command: parses, wires, and maps errors to exit codes.

use std::process::ExitCode;

use clap::Parser;
use curfew::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    cli::main(Cli::parse()).await
}
