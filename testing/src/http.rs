//! The model behind HTTP: EC2's query protocol, close enough for the real SDKs.

mod answer;
mod query;
mod wire;
mod xml;

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::wire::Line;
use crate::fault::Symptom;
use crate::model::Model;
use crate::request::Caller;

/// How the model's time moves while calls arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSource {
    /// It doesn't: the test moves it.
    Held,
    /// Each call takes this long, so that a client that polls gets somewhere.
    Step(SignedDuration),
    /// It follows the machine's clock.
    Wall,
}

/// A model that listens on a free port of the loopback interface until this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Such as `http://127.0.0.1:40123`: what an SDK takes as its endpoint.
    pub endpoint: String,
    /// What `endpoint` says.
    pub address: SocketAddr,
    /// Everything that serves waits for this to be gone.
    _open: watch::Sender<()>,
}

/// Serves a model whose time the test moves.
///
/// # Panics
///
/// When the loopback interface has no free port.
pub async fn serve(model: Model) -> Server {
    serve_with(model, TimeSource::Held).await
}

/// Serves a model whose time moves like this.
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
    let face = Face {
        model,
        time,
        closed: closed.clone(),
    };
    let app = Router::new().fallback(answer_call).with_state(face);
    let app = app.into_make_service_with_connect_info::<Line>();
    let serving = axum::serve(wire::Listener(listener), app).with_graceful_shutdown(gone(closed));
    tokio::spawn(serving.into_future());
    Server {
        endpoint: format!("http://{address}"),
        address,
        _open: open,
    }
}

/// What a handler needs.
#[derive(Debug, Clone)]
struct Face {
    model: Model,
    time: TimeSource,
    closed: watch::Receiver<()>,
}

/// Waits until the server is dropped.
async fn gone(mut closed: watch::Receiver<()>) {
    while closed.changed().await.is_ok() {}
}

async fn answer_call(
    State(face): State<Face>,
    ConnectInfo(line): ConnectInfo<Line>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Response {
    let model = &face.model;
    match face.time {
        TimeSource::Held => {}
        TimeSource::Step(step) => model.advance(step),
        TimeSource::Wall => model.catch_up(wall_time()),
    }
    // What isn't a form names no action, and is answered so.
    let parameters = form.map_or_else(|_| Vec::new(), |Form(parameters)| parameters);
    let caller = read_caller(&headers);
    let (name, request) = query::parse(&parameters);
    let reply = model.receive(&caller, &name, request);
    match &reply.symptom {
        Some(Symptom::Latency(late)) => tokio::time::sleep(*late).await,
        Some(Symptom::Hang) => {
            gone(face.closed).await;
            line.reset();
        }
        Some(Symptom::Reset | Symptom::ResetAfter) => line.reset(),
        _ => {}
    }
    let (status, mut body) = match &reply.answer {
        Some(Ok(answer)) => (
            StatusCode::OK,
            answer::render(&name, &reply.request_id, answer, &caller.home),
        ),
        Some(Err(error)) => (
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            answer::render_error(error, &reply.request_id),
        ),
        // The line is cut or the server is gone: nobody reads this.
        None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    };
    if reply.symptom == Some(Symptom::Truncated) {
        body.truncate(body.floor_char_boundary(body.len() / 2));
    }
    let mut response = (status, [(CONTENT_TYPE, "text/xml;charset=UTF-8")], body).into_response();
    if let Some(now) = model.announced_time() {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response
            .headers_mut()
            .extend(date.parse().map(|date| (DATE, date)));
    }
    response
}

/// Reads whose call it is from the signature, which nobody verifies: `Credential=KEY/DATE/REGION/ec2/aws4_request`. A key of
/// twelve digits is the account, as on the emulators; any other key is of account 000000000000.
fn read_caller(headers: &HeaderMap) -> Caller {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let mut caller = Caller {
        signed_at: text("x-amz-date").and_then(read_signing_time),
        ..Caller::default()
    };
    let scope = text(AUTHORIZATION.as_str())
        .and_then(|value| value.split_once("Credential="))
        .map(|(_, scope)| scope);
    if let Some(scope) = scope {
        let mut parts = scope.split('/');
        let key = parts.next().unwrap_or_default();
        if key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit()) {
            key.clone_into(&mut caller.home.account);
        }
        if let Some(region) = parts.nth(1) {
            region.clone_into(&mut caller.home.region);
        }
    }
    caller
}

/// Reads `20261123T190000Z`.
fn read_signing_time(text: &str) -> Option<Timestamp> {
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|at| at.timestamp())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server that is told to follow the machine's clock has to read it, here and nowhere else"
)]
fn wall_time() -> Timestamp {
    Timestamp::now()
}
