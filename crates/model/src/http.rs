//! The model behind HTTP: the protocols of EC2, SQS and STS, close enough for the real SDKs.

mod cuttable_listener;
mod direct;
mod ec2_xml;
mod exchange;
mod outgoing;
mod query;
mod recorder;
mod sqs;
mod sts;
mod xml;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use self::cuttable_listener::ConnectionHandle;
pub use self::direct::direct;
use self::exchange::{ExchangeOutcome, IncomingRequest, exchange};
pub use self::recorder::{Cut, Refusing, SdkCallRecorder, is_writing};
use crate::model::Model;

/// How the model's time advances while calls arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSource {
    /// Only the test advances it.
    Held,
    /// Each call advances it by this much, so that a polling client makes progress.
    Step(SignedDuration),
    /// It follows the system clock.
    Wall,
    /// It follows tokio's time, which a paused test advances: the model sees a client's sleep. The test may advance it
    /// further.
    Tokio,
}

/// A model served on a free port of the loopback interface until this is dropped.
#[derive(Debug)]
pub struct Server {
    /// The endpoint for an SDK, such as `http://127.0.0.1:40123`.
    pub endpoint: String,
    /// The address of `endpoint`.
    pub address: SocketAddr,
    /// Dropping it stops the server.
    _open: watch::Sender<()>,
}

/// Serves a model; only the test advances its time.
///
/// # Panics
///
/// When the loopback interface has no free port.
pub async fn serve(model: Model) -> Server {
    serve_with(model, TimeSource::Held).await
}

/// Serves a model with this time source.
///
/// # Panics
///
/// When the loopback interface has no free port.
pub async fn serve_with(model: Model, time: TimeSource) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("the loopback interface has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    let (open, closed) = watch::channel(());
    let face = RequestHandler::new(model, time, closed.clone());
    let app = Router::new().fallback(answer_call).with_state(face);
    let app = app.into_make_service_with_connect_info::<ConnectionHandle>();
    let serving = axum::serve(cuttable_listener::CuttableListener(listener), app)
        .with_graceful_shutdown(closed_by_server(closed));
    tokio::spawn(serving.into_future());
    Server {
        endpoint: format!("http://{address}"),
        address,
        _open: open,
    }
}

/// The state of a handler.
#[derive(Debug, Clone)]
struct RequestHandler {
    model: Model,
    time: TimeSource,
    /// The instant of tokio's time that the model was last advanced to.
    synced_at: Arc<Mutex<Instant>>,
    closed: watch::Receiver<()>,
}

impl RequestHandler {
    fn new(model: Model, time: TimeSource, closed: watch::Receiver<()>) -> Self {
        Self {
            model,
            time,
            synced_at: Arc::new(Mutex::new(Instant::now())),
            closed,
        }
    }

    /// Advances the model's time to this call.
    fn advance_time(&self) {
        match self.time {
            TimeSource::Held => {}
            TimeSource::Step(step) => self.model.advance(step),
            TimeSource::Wall => self.model.catch_up(wall_time()),
            TimeSource::Tokio => {
                let mut synced_at = self
                    .synced_at
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                self.model.advance(now.duration_since(*synced_at));
                *synced_at = now;
            }
        }
    }
}

/// Waits until the server is dropped.
async fn closed_by_server(mut closed: watch::Receiver<()>) {
    while closed.changed().await.is_ok() {}
}

async fn answer_call(
    State(face): State<RequestHandler>,
    ConnectInfo(line): ConnectInfo<ConnectionHandle>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let outgoing = match exchange(&face, &IncomingRequest::new(text, &body)).await {
        ExchangeOutcome::Answered(outgoing) => outgoing,
        ExchangeOutcome::Silence => {
            closed_by_server(face.closed).await;
            line.reset();
            // The response is discarded.
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        ExchangeOutcome::Reset => {
            line.reset();
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let status = StatusCode::from_u16(outgoing.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, outgoing.body).into_response();
    for (name, value) in outgoing.headers {
        let value = HeaderValue::from_str(&value).expect("the model's headers are plain text");
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    response
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server with `TimeSource::Wall` reads the system clock, here only"
)]
fn wall_time() -> Timestamp {
    Timestamp::now()
}
