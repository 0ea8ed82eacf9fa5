//! The `bootstrap` that Lambda's custom runtime starts.

use curfew_lambda::boot::open;
use curfew_lambda::invocation_context::Call;
use curfew_lambda::json::Document;
use curfew_lambda::last_words::{self, UnderWay};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log();
    last_words::arrange(std::env::var("AWS_LAMBDA_RUNTIME_API").ok());
    let app = &open().inspect_err(|error| {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the function can't start"
        );
    })?;
    let events = lambda_runtime::run(service_fn(|event: LambdaEvent<Document>| async move {
        let LambdaEvent { payload, context } = event;
        let _under_way = UnderWay::begin(&payload, &context.request_id);
        let call = Call::until(context.request_id, context.deadline, &app.clock);
        // Boxed: the layers around it nest deeper than the compiler lays out in one piece.
        Box::pin(app.receive(&payload, &call))
            .await
            .map_err(|failure| Diagnostic {
                error_type: failure.kind,
                error_message: failure.message,
            })
    }));
    // The first event is asked for while the configuration is on their way.
    tokio::join!(app.warm_up(), events).1
}

/// One JSON object a line on standard output; `CURFEW_LOG` says how much, by module: `info,curfew_aws=debug`. Not an `EnvFilter`,
/// which could filter by fields too: its regular expressions are a tenth of the function's code.
fn log() {
    let filter = std::env::var("CURFEW_LOG")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        // The list of spans has it too.
        .with_current_span(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}
