//! Lambda's Runtime API for one program: serves events and records when they are requested and answered.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// A request of the program, with its time.
pub enum Moment {
    /// The program requested an event.
    Requested(Instant),
    /// The program responded to an event.
    Answered(Instant, Bytes),
    /// The program reported an error.
    Failed(Bytes),
}

/// The API, which runs until it is dropped.
pub struct RuntimeApi {
    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    pub address: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    moments: mpsc::UnboundedReceiver<Moment>,
}

struct Desk {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    moments: mpsc::UnboundedSender<Moment>,
}

impl RuntimeApi {
    /// The reported time limit: that of Curfew's function.
    const TIMEOUT: Duration = Duration::from_secs(10);
    /// A timeout for errors; callgrind makes everything fifty times slower.
    const PATIENCE: Duration = Duration::from_mins(2);

    pub async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (events, to_hand_out) = mpsc::unbounded_channel();
        let (note, moments) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            events: Mutex::new(to_hand_out),
            moments: note,
        });
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).expect("it is a TCP socket");
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    let answer = service_fn(|request| async {
                        Ok::<_, Infallible>(desk.answer(request).await)
                    });
                    // Fails when the program is killed.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(tcp), answer)
                        .await;
                });
            }
        });
        Self {
            address,
            events,
            moments,
        }
    }

    /// Serves an event at the next request.
    pub fn send(&self, event: &Bytes) {
        self.events.send(event.clone()).expect("the API is served");
    }

    /// Returns the next request of the program.
    pub async fn next(&mut self) -> Moment {
        let next = tokio::time::timeout(Self::PATIENCE, self.moments.recv()).await;
        next.expect("the program does something")
            .expect("the API is served")
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let is_next = path.ends_with("/invocation/next");
        let is_response = path.ends_with("/response");
        if is_next {
            self.note(Moment::Requested(Instant::now()));
            return self.hand_out().await;
        }
        let body = request
            .into_body()
            .collect()
            .await
            .expect("programs send all of it");
        self.note(if is_response {
            Moment::Answered(Instant::now(), body.to_bytes())
        } else {
            Moment::Failed(body.to_bytes())
        });
        Response::builder()
            .status(202)
            .body(Full::from("{\"status\":\"OK\"}"))
            .expect("it is valid")
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the deadline is in wall-clock time"
    )]
    async fn hand_out(&self) -> Response<Full<Bytes>> {
        let Some(event) = self.events.lock().await.recv().await else {
            // The measurement is over: the program is about to be stopped.
            return std::future::pending().await;
        };
        let deadline = SystemTime::now() + RuntimeApi::TIMEOUT;
        let deadline = deadline
            .duration_since(UNIX_EPOCH)
            .expect("1970 is past")
            .as_millis();
        Response::builder()
            .header("content-type", "application/json")
            .header(
                "lambda-runtime-aws-request-id",
                "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            )
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:eu-west-3:123456789012:function:curfew-curfew",
            )
            .header(
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            )
            .body(Full::new(event))
            .expect("it is valid")
    }

    fn note(&self, moment: Moment) {
        // The receiver is gone once the program is killed.
        let _ = self.moments.send(moment);
    }
}
