//! `curfew token new`: a token for the HTTP API, shown once.

use clap::Subcommand;
use curfew_core::token::Tokens;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{CliError, Context, Exit};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and show it once; only its digest goes into the configuration
    New {
        /// Who is to hold it: the name that holds, the log and the journal show [default: one token for everybody]
        name: Option<String>,
    },
}

/// A token and its digest. The token is nowhere but on this screen.
#[derive(Serialize)]
struct Made {
    name: Option<String>,
    token: String,
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
    let made = Made {
        name,
        token,
        token_sha256,
    };
    context.output.print(&made, show)
}

fn show(made: &Made) -> String {
    let Made {
        name,
        token,
        token_sha256,
    } = made;
    let configuration = match name {
        None => format!("  [api]\n  auth = \"token\"\n  token_sha256 = \"{token_sha256}\""),
        Some(name) => {
            // A dot or an at sign would need quotes; they do no harm to other names.
            format!(
                "  [api]\n  auth = \"token\"\n\n  [api.tokens]\n  \"{name}\" = \"{token_sha256}\""
            )
        }
    };
    format!(
        "The token, shown this once; keep it like a password:\n  {token}\n\nIn the configuration, before the next `curfew deploy`:\n{configuration}"
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
