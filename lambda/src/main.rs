//! The `bootstrap` executable of Lambda's custom runtime.

use curfew_lambda::init::app_from_environment;
use curfew_lambda::invocation_context::InvocationContext;
use curfew_lambda::json::JsonDocument;
use curfew_lambda::panic_hook::{self, InvocationGuard};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_logging();
    panic_hook::install(std::env::var("AWS_LAMBDA_RUNTIME_API").ok());
    let app = &app_from_environment().inspect_err(|error| {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "initialisation failed"
        );
    })?;
    let events = lambda_runtime::run(service_fn(|event: LambdaEvent<JsonDocument>| async move {
        let LambdaEvent { payload, context } = event;
        let _guard = InvocationGuard::enter(&payload, &context.request_id);
        let context = InvocationContext::until(context.request_id, context.deadline, &app.clock);
        // Boxed: the nested futures exceed the compiler's layout limits.
        Box::pin(app.receive(&payload, &context))
            .await
            .map_err(|failure| Diagnostic {
                error_type: failure.kind,
                error_message: failure.message,
            })
    }));
    // Fetches the first event while the configuration is being read.
    tokio::join!(app.prefetch_configuration(), events).1
}

/// Logs one JSON object per line to standard output. `CURFEW_LOG` sets the levels by module: `info,curfew_aws=debug`. `EnvFilter`,
/// which also filters by fields, is not used: its regular expressions are a tenth of the function's code.
fn init_logging() {
    let filter = std::env::var("CURFEW_LOG")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        // The list of spans contains it too.
        .with_current_span(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}
