//! `curfew stop`.

use curfew_core::request::RequestKind;

use crate::request::{ChangeArgs, change};
use crate::{CliError, Context};

pub(crate) async fn stop(context: &mut Context, args: ChangeArgs) -> Result<(), CliError> {
    change(context, args, RequestKind::Stop).await
}
