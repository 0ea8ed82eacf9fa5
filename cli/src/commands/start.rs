//! `curfew start`.

use curfew_core::request::RequestKind;

use crate::request::{ChangeArgs, change};
use crate::{CliError, Context};

pub(crate) async fn start(context: &mut Context, args: ChangeArgs) -> Result<(), CliError> {
    change(context, args, RequestKind::Start).await
}
