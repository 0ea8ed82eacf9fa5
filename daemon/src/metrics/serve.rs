//! The HTTP endpoints: `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::prometheus_text;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Metrics;
use crate::health::Health;

/// The most concurrent connections: enough for a few monitors and a browser. Further ones wait in the system's backlog. More
/// would let a client that opens connections and sends nothing exhaust the daemon's file descriptors.
const CONNECTIONS: usize = 32;

/// The time limit for a request's head. Less could reject the monitor of a busy machine.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The time limit for a connection, which carries one request and its response: Prometheus gives up after ten seconds too.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The state of the routes.
#[derive(Clone)]
struct EndpointState {
    metrics: Metrics,
    health: Health,
}

/// Serves the endpoints at `address` until the shutdown. If the address can't be bound, the daemon continues without them.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
    shutdown: CancellationToken,
) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            let hint = "set `daemon.metrics` to another address, or to \"\" for none";
            error!(%address, %error, hint, "metrics endpoint unavailable; continuing without it");
            shutdown.cancelled().await;
            return;
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    info!(%address, "serving metrics");
    let routes = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(EndpointState { metrics, health });
    // Requests in progress don't delay the shutdown.
    tokio::select! {
        () = accept(&listener, &routes) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Serves connections, each in a task that ends when this future is dropped.
async fn accept(listener: &TcpListener, routes: &Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                connections.spawn(async move {
                    serve_connection(stream, routes).await;
                    drop(slot);
                });
            }
            // Most likely the process is out of file descriptors, and others will be closed.
            Err(error) => {
                error!(%error, "metrics connection could not be accepted");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, routes: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    // A client that disconnects or is too slow only loses its own response.
    drop(timeout(CONNECTION_TIMEOUT, connection).await);
}

async fn metrics_text(State(state): State<EndpointState>) -> impl IntoResponse {
    state.metrics.ready(state.health.unready().is_empty());
    let format = [(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)];
    (format, state.metrics.text())
}

/// Returns whether no task is stuck, which a restart would recover.
async fn alive(State(state): State<EndpointState>) -> (StatusCode, String) {
    let stuck = state.health.stuck(Instant::now());
    let reasons = stuck
        .iter()
        .map(|task| format!("the task `{task}` is stuck"));
    response("alive", &reasons.collect::<Vec<_>>())
}

async fn ready(State(state): State<EndpointState>) -> (StatusCode, String) {
    response("ready", &state.health.unready())
}

/// Returns `good` if there are no reasons, else the reasons, a line each.
fn response(good: &str, reasons: &[String]) -> (StatusCode, String) {
    if reasons.is_empty() {
        (StatusCode::OK, format!("{good}\n"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// In real time: a paused clock would run ahead of the sockets.
    #[tokio::test]
    async fn connections_that_send_nothing_are_limited_and_closed_and_others_are_served_then() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(|| async { "served" }));
        let server = tokio::spawn(async move { accept(&listener, &routes).await });
        let began = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        late.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        late.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("served"), "{answer}");
        assert!(began.elapsed() >= HEAD_TIMEOUT, "it waits for a slot");
        for connection in &mut silent {
            assert_eq!(connection.read(&mut [0]).await.unwrap(), 0, "closed");
        }
        server.abort();
    }
}
