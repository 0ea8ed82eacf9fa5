//! `curfew token new`: creates a token for the HTTP API.

use clap::Subcommand;
use curfew_core::token::Tokens;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{CliError, Context, Exit};

/// The subcommands of `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it once; the configuration has only its digest
    New {
        /// Name of the holder, shown in overrides, the log and the journal [default: a shared token]
        name: Option<String>,
    },
}

/// A token and its digest. The token is not stored anywhere.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct NewToken {
    /// The name of the holder; null for a shared token.
    name: Option<String>,
    /// The token, which is printed only once.
    token: String,
    /// Its SHA-256 digest in hexadecimal digits, for the configuration.
    token_sha256: String,
}

pub(crate) fn token(context: &mut Context, command: TokenCommand) -> Result<(), CliError> {
    let TokenCommand::New { name } = command;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::new(Exit::Failed, format!("no random numbers: {error}")))?;
    let token = hex(&bytes);
    let token_sha256 = hex(&Sha256::digest(token.as_bytes()));
    if let Some(name) = &name {
        Tokens::default()
            .insert(name, &token_sha256)
            .map_err(|error| CliError::new(Exit::Usage, error.to_string()))?;
    }
    let made = NewToken {
        name,
        token,
        token_sha256,
    };
    context.output.print(&made, show)
}

fn show(made: &NewToken) -> String {
    let NewToken {
        name,
        token,
        token_sha256,
    } = made;
    let configuration = match name {
        None => format!("  [api]\n  auth = \"token\"\n  token_sha256 = \"{token_sha256}\""),
        Some(name) => {
            // Quotes are required for names with a dot or an at sign.
            format!(
                "  [api]\n  auth = \"token\"\n\n  [api.tokens]\n  \"{name}\" = \"{token_sha256}\""
            )
        }
    };
    format!(
        "Token (shown only once; store it like a password):\n  {token}\n\nAdd to the configuration before the next `curfew deploy`:\n{configuration}"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
