//! `curfew stop`.

use curfew_core::request::RequestKind;

use crate::start_stop::{ChangeArgs, RequestCommand, change};
use crate::{CliError, Context};

pub(crate) async fn stop(context: &mut Context, args: ChangeArgs) -> Result<(), CliError> {
    change(context, RequestCommand::Stop, args, RequestKind::Stop).await
}
