//! The `bootstrap` that Lambda's custom runtime starts.

use curfew_lambda::boot::open;
use curfew_lambda::handler::Call;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let filter = EnvFilter::try_from_env("CURFEW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        // The list of spans has it too.
        .with_current_span(false)
        .with_env_filter(filter)
        .init();
    let app = &open().await.inspect_err(|error| {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the function can't start"
        );
    })?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        let LambdaEvent { payload, context } = event;
        let call = Call::until(context.request_id, context.deadline, &app.clock);
        // Boxed: the layers around it nest deeper than the compiler lays out in one piece.
        Box::pin(app.handle(&payload, &call))
            .await
            .map_err(|failure| Diagnostic {
                error_type: failure.kind,
                error_message: failure.message,
            })
    }))
    .await
}
