//! The `curfew` binary: parses arguments and returns the exit code of the command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match curfew::parse(std::env::args_os()) {
        Ok(cli) => curfew::main(cli).await,
        Err(code) => code,
    }
}
