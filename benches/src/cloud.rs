//! EC2 and SSM on loopback: canned responses of AWS's length, over plain HTTP or TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const INSTANCE: &str = include_str!("../answers/instance.xml");
const CONFIGURATION: &str = include_str!("../answers/configuration.json");

/// The servers, which run as long as the runtime.
pub struct Cloud {
    /// The endpoint for the SDKs.
    pub endpoint: String,
    /// The port of the endpoint.
    pub port: u16,
    answers: Arc<Answers>,
}

struct Answers {
    instances: Bytes,
    configuration: Bytes,
    described: AtomicUsize,
}

impl Cloud {
    /// Serves a fleet of this many instances.
    pub async fn serve(fleet: usize, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let answers = Arc::new(Answers::of(fleet));
        tokio::spawn(accept(listener, tls, Arc::clone(&answers)));
        Self {
            endpoint: format!("{scheme}://localhost:{port}"),
            port,
            answers,
        }
    }

    /// Returns the number of `DescribeInstances` calls.
    pub fn described(&self) -> usize {
        self.answers.described.load(Ordering::Relaxed)
    }
}

impl Answers {
    fn of(fleet: usize) -> Self {
        let mut instances = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n    \
             <requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>\n    <reservationSet>\n",
        );
        for number in 0..fleet {
            instances += &INSTANCE.replace("{number}", &format!("{number:016x}"));
        }
        instances += "    </reservationSet>\n</DescribeInstancesResponse>\n";
        let configuration = serde_json::json!({"Parameter": {
            "ARN": "arn:aws:ssm:eu-west-3:123456789012:parameter/curfew/curfew/configuration",
            "DataType": "text", "LastModifiedDate": 1_795_407_075.221, "Name": "/curfew/curfew/configuration",
            "Type": "String", "Value": CONFIGURATION, "Version": 1,
        }});
        Self {
            instances: instances.into(),
            configuration: configuration.to_string().into(),
            described: AtomicUsize::new(0),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        assert!(
            head.headers.contains_key(AUTHORIZATION),
            "calls of AWS are signed"
        );
        if head.headers.contains_key("x-amz-target") {
            return Response::builder()
                .header(CONTENT_TYPE, "application/x-amz-json-1.1")
                // On AWS the services are two hosts: a connection can't be shared.
                .header(CONNECTION, "close")
                .body(Full::new(self.configuration.clone()))
                .expect("it is valid");
        }
        let body = body.collect().await.expect("clients send all of it");
        assert!(
            body.to_bytes().starts_with(b"Action=DescribeInstances&"),
            "nothing else is canned"
        );
        self.described.fetch_add(1, Ordering::Relaxed);
        Response::builder()
            .header(CONTENT_TYPE, "text/xml;charset=UTF-8")
            .body(Full::new(self.instances.clone()))
            .expect("it is valid")
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, answers: Arc<Answers>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (tls, answers) = (tls.clone(), Arc::clone(&answers));
        tokio::spawn(async move {
            tcp.set_nodelay(true).expect("it is a TCP socket");
            match tls {
                None => converse(tcp, answers).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(tcp).await {
                        converse(stream, answers).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, answers: Arc<Answers>) {
    let answer = service_fn(|request| async { Ok::<_, Infallible>(answers.answer(request).await) });
    // Fails when a measured program is killed.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}
