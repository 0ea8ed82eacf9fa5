//! `curfew start`.

use curfew_core::request::RequestKind;

use crate::start_stop::{ChangeArgs, RequestCommand, change};
use crate::{CliError, Context};

pub(crate) async fn start(context: &mut Context, args: ChangeArgs) -> Result<(), CliError> {
    change(context, RequestCommand::Start, args, RequestKind::Start).await
}
