//! `curfew resume`.

use curfew_core::request::RequestKind;
use curfew_core::select::Selection;

use crate::start_stop::{RequestArgs, RequestCommand, carry_out};
use crate::{CliError, Context};

pub(crate) async fn resume(context: &mut Context, args: RequestArgs) -> Result<(), CliError> {
    let ask = |_: &Selection<'_, '_>, _| Ok(RequestKind::Resume);
    carry_out(context, RequestCommand::Resume, args, ask).await
}
