//! The service without sockets, in tokio's time alone, so that a test on paused time is exact. With sockets, I/O takes
//! none of that time, and a runtime that waits for I/O advances a paused clock to the next timeout.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use tokio::sync::watch;

use super::exchange::{ExchangeOutcome, IncomingRequest, exchange};
use super::outgoing::OutgoingResponse;
use super::{RequestHandler, TimeSource};
use crate::model::Model;

/// Returns an HTTP client for an SDK that answers every request from the model, whatever the endpoint.
///
/// ```
/// # let ec2 = curfew_model::Model::new("2026-11-23T18:00:00Z".parse().unwrap());
/// let client = curfew_model::direct(ec2, curfew_model::TimeSource::Tokio);
/// // aws_config::SdkConfig::builder().http_client(client) …
/// ```
pub fn direct(model: Model, time: TimeSource) -> SharedHttpClient {
    let (open, closed) = watch::channel(());
    let connector = SharedHttpConnector::new(Direct {
        face: RequestHandler::new(model, time, closed),
        _open: open,
    });
    http_client_fn(move |_, _| connector.clone())
}

/// A connector to the model that stays open until it is dropped.
#[derive(Debug)]
struct Direct {
    face: RequestHandler,
    _open: watch::Sender<()>,
}

impl HttpConnector for Direct {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request.headers();
        let body = request.body().bytes().unwrap_or_default();
        let incoming = IncomingRequest::new(|name| headers.get(name), body);
        let face = self.face.clone();
        HttpConnectorFuture::new(async move {
            match exchange(&face, &incoming).await {
                ExchangeOutcome::Answered(outgoing) => Ok(response(outgoing)),
                ExchangeOutcome::Reset => Err(ConnectorError::io(
                    std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
                )),
                ExchangeOutcome::Silence => std::future::pending().await,
            }
        })
    }
}

fn response(outgoing: OutgoingResponse) -> HttpResponse {
    let status = StatusCode::try_from(outgoing.status).expect("the model answers with statuses");
    let mut response = HttpResponse::new(status, SdkBody::from(outgoing.body));
    for (name, value) in outgoing.headers {
        response.headers_mut().insert(name, value);
    }
    response
}
