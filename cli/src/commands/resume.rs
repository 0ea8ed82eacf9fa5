//! `curfew resume`.

use curfew_core::request::RequestKind;

use crate::request::{RequestArgs, carry_out};
use crate::{CliError, Context};

pub(crate) async fn resume(context: &mut Context, args: RequestArgs) -> Result<(), CliError> {
    carry_out(context, args, |_, _| Ok(RequestKind::Resume)).await
}
