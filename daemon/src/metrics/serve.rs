//! `/metrics`, and whether the daemon is alive and ready, over HTTP.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Metrics;
use crate::run::Health;

/// What the routes answer from.
#[derive(Clone)]
struct Known {
    metrics: Metrics,
    health: Health,
}

/// Answers at `address` until the shutdown. Where that can't be, the daemon goes on without.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
    shutdown: CancellationToken,
) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            let hint = "set `daemon.metrics` to another address, or to \"\" for none";
            error!(%address, %error, hint, "metrics can't be served: the daemon goes on without");
            shutdown.cancelled().await;
            return;
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    info!(%address, "metrics are served");
    let routes = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(Known { metrics, health });
    let ended = shutdown.clone().cancelled_owned();
    // Whoever is being answered does not hold up the end.
    tokio::select! {
        result = axum::serve(listener, routes) => {
            let error = result.err().map(|error| error.to_string());
            error!(error, "metrics are not served any more");
        }
        () = ended => {}
    }
}

async fn metrics_text(State(known): State<Known>) -> impl IntoResponse {
    known.metrics.ready(known.health.unready().is_empty());
    let format = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    (format, known.metrics.text())
}

/// Whether restarting it would mend anything.
async fn alive(State(known): State<Known>) -> (StatusCode, String) {
    let stuck = known.health.stuck(Instant::now());
    let reasons = stuck
        .iter()
        .map(|task| format!("the task `{task}` is stuck"));
    verdict("alive", &reasons.collect::<Vec<_>>())
}

async fn ready(State(known): State<Known>) -> (StatusCode, String) {
    verdict("ready", &known.health.unready())
}

/// A word if all is well, else the reasons, a line each.
fn verdict(good: &str, reasons: &[String]) -> (StatusCode, String) {
    if reasons.is_empty() {
        (StatusCode::OK, format!("{good}\n"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }
}
