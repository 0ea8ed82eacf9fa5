//! What `curfew deploy` shows and asks before it changes anything on AWS.

use std::io::{self, IsTerminal};

use curfew_aws::connect::Connection;

use super::output::{confirmed, count};
use super::{CliError, Context, Exit};
use crate::deploy::guard::{self, GuardError};
use crate::progress::Progress;
use crate::settings::Settings;

/// Whether a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// Where it matters.
    Allowed,
    /// `--yes`.
    Answered,
}

/// Shows whose account and region it is and what the stack costs, and asks where it would govern more instances than the settings say
/// is usual.
pub(super) async fn before_deploying(
    context: &Context,
    settings: &Settings,
    connection: &Connection,
    asking: Asking,
    progress: &dyn Progress,
) -> Result<(), CliError> {
    let Some(outlook) = guard::look(connection, settings, &context.clock).await? else {
        return Ok(());
    };
    progress.note(&format!(
        "AWS account {}, {}, as {}",
        outlook.caller.account, outlook.region, outlook.caller.arn
    ));
    progress.note(&format!("the stack itself costs {}", outlook.cost));
    for error in &outlook.unseen {
        progress.note(&format!("{error}: its instances are not counted"));
    }
    let (governed, usual) = (outlook.governed, settings.stack.confirm_above);
    progress.note(&format!("{} instances are governed", count(governed)));
    if governed <= usual || asking == Asking::Answered {
        return Ok(());
    }
    let told = format!(
        "{} instances would be started and stopped by schedule, more than `stack.confirm_above` ({usual})",
        count(governed)
    );
    if !io::stdin().is_terminal() {
        let hint = "say --yes, or look first with `curfew plan`";
        return Err(CliError::new(Exit::Usage, told).hint(hint));
    }
    if confirmed(&format!("{told}. Deploy? [y/N] ")) {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Failed,
        "nothing was deployed: you said no",
    ))
}

impl From<GuardError> for CliError {
    fn from(error: GuardError) -> Self {
        match error {
            GuardError::Cloud(error) => error.into(),
            GuardError::NoCredentials(_) => {
                let hint = error.hint();
                Self::new(Exit::NotAuthorised, error.to_string()).hint(hint)
            }
            error => {
                let hint = error.hint();
                Self::new(Exit::Usage, error.to_string()).hint(hint)
            }
        }
    }
}
