//! The EC2 call alone: the lower bound of a response time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cloud::Cloud;

const CALL: &str = "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-state-name\
    &Filter.1.Value.1=pending&Filter.1.Value.2=running&Filter.1.Value.3=stopping&Filter.1.Value.4=stopped";

/// Measures each of `count` calls over one open connection, from a separate thread; the response is received and not
/// parsed.
pub async fn calls(cloud: &Cloud, root_pem: Option<String>, count: usize) -> Vec<Duration> {
    let port = cloud.port;
    let (done, taken) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("there are files to be had");
        let _ = done.send(runtime.block_on(over(port, root_pem, count)));
    });
    taken.await.expect("the thread does not panic")
}

async fn over(port: u16, root_pem: Option<String>, count: usize) -> Vec<Duration> {
    let tcp = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("it is served");
    tcp.set_nodelay(true).expect("it is a TCP socket");
    let Some(root_pem) = root_pem else {
        return one_by_one(tcp, count).await;
    };
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(root_pem.as_bytes()).expect("rcgen wrote it");
    roots.add(root).expect("it is a root");
    let ring = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .expect("ring does every version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("it is a name");
    let tls = TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, tcp)
        .await;
    one_by_one(tls.expect("it is our own server"), count).await
}

async fn one_by_one(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    count: usize,
) -> Vec<Duration> {
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/1 has no handshake that could fail");
    tokio::spawn(connection);
    let mut taken = Vec::new();
    for _ in 0..count {
        let request = Request::post("/")
            .header("host", "localhost")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE",
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from_static(CALL.as_bytes())))
            .expect("it is valid");
        let began = Instant::now();
        let answer = client.send_request(request).await.expect("it is served");
        answer
            .into_body()
            .collect()
            .await
            .expect("the server sends all of it");
        taken.push(began.elapsed());
    }
    taken
}
