//! An HTTP/1.1 client for the SDK, over TLS by ring, with one connection pool for all clients of a
//! [`Connection`](super::Connection).
//!
//! `aws-smithy-http-client` can't use compiled-in root certificates, reads them again for every client, and always includes
//! HTTP/2, which EC2, EventBridge and SSM don't need; docs/contribute/performance.md has the figures.
//!
//! Proxies are supported with the feature `proxy`. HTTP/2 and timeouts on reading are absent on purpose: an attempt has one
//! timeout as a whole.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::Uri;
#[cfg(not(feature = "proxy"))]
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connected, HttpConnector as TcpConnector, HttpInfo, capture_connection,
};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

#[cfg(feature = "proxy")]
use super::proxy::{Proxies, ProxyConnector as StreamConnector};
use crate::error::sources;

/// Makes connections. With the feature `proxy`, the connector of the same name also makes them through proxies.
#[cfg(not(feature = "proxy"))]
type StreamConnector = HttpsConnector<TcpConnector>;

/// A client that trusts `roots` and limits the time to connect, including TLS, to `connect_timeout`.
pub(super) fn http_client(roots: RootCertStore, connect_timeout: Duration) -> SharedHttpClient {
    SharedHttpClient::new(ConnectionPool {
        connector: connector(roots, connect_timeout),
    })
}

/// The same connector for requests made without the SDK.
pub(super) fn connector(roots: RootCertStore, connect_timeout: Duration) -> SharedHttpConnector {
    #[cfg(feature = "proxy")]
    return pooled(roots, connect_timeout, Proxies::of_environment());
    #[cfg(not(feature = "proxy"))]
    return pooled(roots, connect_timeout);
}

fn pooled(
    roots: RootCertStore,
    connect_timeout: Duration,
    #[cfg(feature = "proxy")] proxies: Proxies,
) -> SharedHttpConnector {
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    // A request is sent in one piece; delaying its last packet would cost a round trip.
    tcp.set_nodelay(true);
    #[cfg(feature = "proxy")]
    let connector = StreamConnector::new(proxies.clone(), tcp, tls(roots));
    #[cfg(not(feature = "proxy"))]
    let connector = HttpsConnector::from((tcp, tls(roots)));
    let connector = InTime {
        connector,
        limit: connect_timeout,
    };
    let pool = Client::builder(TokioExecutor::new())
        // Without a timer, the pool never closes idle connections.
        .pool_timer(TokioTimer::new())
        .build(connector);
    SharedHttpConnector::new(PooledConnector {
        pool,
        #[cfg(feature = "proxy")]
        proxies,
    })
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .expect("ring does every version that rustls knows")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Returns the same connector whatever the runtime configuration: it is built with the right one.
#[derive(Debug)]
struct ConnectionPool {
    connector: SharedHttpConnector,
}

impl HttpClient for ConnectionPool {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.connector.clone()
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some("1.x".into())))
    }
}

struct PooledConnector {
    pool: Client<InTime, SdkBody>,
    #[cfg(feature = "proxy")]
    proxies: Proxies,
}

impl fmt::Debug for PooledConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnector").finish_non_exhaustive()
    }
}

impl HttpConnector for PooledConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        #[cfg(feature = "proxy")]
        self.proxies.authorize(&mut request);
        let connection = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || described(&connection));
        }
        let response = self.pool.request(request);
        HttpConnectorFuture::new(async move {
            let response = response.await.map_err(sorted)?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The metadata of a request's connection, with which the SDK closes a connection that seems broken.
fn described(connection: &CaptureConnection) -> Option<ConnectionMetadata> {
    let mut extras = http::Extensions::new();
    connection
        .connection_metadata()
        .as_ref()?
        .get_extras(&mut extras);
    let proxied = connection
        .connection_metadata()
        .as_ref()
        .is_some_and(Connected::is_proxied);
    let addresses = extras.get::<HttpInfo>();
    let connection = connection.clone();
    let mut described = ConnectionMetadata::builder()
        .proxied(proxied)
        .poison_fn(move || {
            if let Some(connection) = connection.connection_metadata().as_ref() {
                connection.poison();
            }
        });
    described
        .set_local_addr(addresses.map(HttpInfo::local_addr))
        .set_remote_addr(addresses.map(HttpInfo::remote_addr));
    Some(described.build())
}

/// Classifies a failure for the SDK's retries: all but invalid requests are network errors, which are retried.
fn sorted(error: ClientError) -> ConnectorError {
    let is_user = sources(&error)
        .filter_map(|source| source.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_user);
    let is_late = sources(&error).any(<dyn StdError>::is::<NoConnectionInTime>);
    if is_late {
        ConnectorError::timeout(error.into()).never_connected()
    } else if is_user {
        ConnectorError::user(error.into())
    } else if error.is_connect() {
        ConnectorError::io(error.into()).never_connected()
    } else {
        ConnectorError::io(error.into())
    }
}

/// A connector with a time limit for TCP and TLS together.
#[derive(Clone)]
struct InTime {
    connector: StreamConnector,
    limit: Duration,
}

/// The connection was not established within the limit.
#[derive(Debug, thiserror::Error)]
#[error("no connection to `{host}` within {} s", limit.as_secs_f32())]
struct NoConnectionInTime {
    host: String,
    limit: Duration,
}

impl Service<Uri> for InTime {
    type Response = <StreamConnector as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let limit = self.limit;
        let host = to.host().unwrap_or_default().to_owned();
        let connecting = self.connector.call(to);
        Box::pin(async move {
            tokio::time::timeout(limit, connecting)
                .await
                .map_err(|_| NoConnectionInTime { host, limit })?
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A server on loopback that says "yes" to everything, and how many connections it has accepted.
    struct Server {
        address: SocketAddr,
        connections: Arc<AtomicUsize>,
    }

    impl Server {
        async fn start(tls: Option<TlsAcceptor>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = Self {
                address: listener.local_addr().unwrap(),
                connections: Arc::default(),
            };
            let connections = Arc::clone(&server.connections);
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let tls = tls.clone();
                    tokio::spawn(async move {
                        match tls {
                            None => say_yes(tcp).await,
                            Some(tls) => {
                                // A client that does not believe us hangs up.
                                if let Ok(stream) = tls.accept(tcp).await {
                                    say_yes(stream).await;
                                }
                            }
                        }
                    });
                }
            });
            server
        }

        fn connections(&self) -> usize {
            self.connections.load(Ordering::Relaxed)
        }
    }

    async fn say_yes(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        while stream.read_buf(&mut request).await.unwrap_or_default() > 0 {
            if request.ends_with(b"\r\n\r\n") {
                request.clear();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";
                stream.write_all(answer).await.unwrap();
            }
        }
    }

    /// A certificate authority that certifies `localhost`, and a server with its certificate.
    fn authority() -> (RootCertStore, TlsAcceptor) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        certified(&cert, &signing_key)
    }

    fn certified(
        cert: &rcgen::Certificate,
        signing_key: &rcgen::KeyPair,
    ) -> (RootCertStore, TlsAcceptor) {
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        (roots, TlsAcceptor::from(Arc::new(server)))
    }

    fn request(url: String) -> HttpRequest {
        let mut request = HttpRequest::empty();
        request.set_uri(url).unwrap();
        request
    }

    async fn send(
        client: &SharedHttpClient,
        request: HttpRequest,
    ) -> Result<String, ConnectorError> {
        let components = RuntimeComponentsBuilder::for_tests().build().unwrap();
        let configuration = HttpConnectorSettings::default();
        let connector = client.http_connector(&configuration, &components);
        let answer = connector.call(request).await?;
        let body = aws_smithy_types::byte_stream::ByteStream::new(answer.into_body());
        let bytes = body.collect().await.unwrap().into_bytes();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn one_connection_serves_every_client_in_turn() {
        let server = Server::start(None).await;
        let client = http_client(RootCertStore::empty(), PATIENCE);
        for path in ["/first", "/second", "/third"] {
            let url = format!("http://{}{path}", server.address);
            assert_eq!(send(&client, request(url)).await.unwrap(), "yes");
        }
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn a_broken_connection_is_not_reused() {
        let server = Server::start(None).await;
        let client = http_client(RootCertStore::empty(), PATIENCE);
        let url = format!("http://{}/", server.address);
        let mut first = request(url.clone());
        let connection = CaptureSmithyConnection::new();
        first.add_extension(connection.clone());
        send(&client, first).await.unwrap();
        let connection = connection.get().unwrap();
        assert_eq!(connection.remote_addr(), Some(server.address));
        connection.poison();
        send(&client, request(url)).await.unwrap();
        assert_eq!(server.connections(), 2);
    }

    #[tokio::test]
    async fn a_server_is_trusted_only_with_a_trusted_root() {
        let (root, tls) = authority();
        let server = Server::start(Some(tls)).await;
        let url = || format!("https://localhost:{}/", server.address.port());
        let client = http_client(root, PATIENCE);
        assert_eq!(send(&client, request(url())).await.unwrap(), "yes");

        let (other, _) = authority();
        let client = http_client(other, PATIENCE);
        let error = send(&client, request(url())).await.unwrap_err();
        assert!(error.is_io(), "{error:?}");
        let message = aws_smithy_types::error::display::DisplayErrorContext(&error).to_string();
        assert!(message.contains("invalid peer certificate"), "{message}");
    }

    #[tokio::test]
    async fn a_tls_handshake_that_hangs_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = http_client(RootCertStore::empty(), Duration::from_millis(20));
        let url = format!("https://localhost:{port}/");
        let error = send(&client, request(url)).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
    }

    #[tokio::test]
    async fn a_refused_connection_is_a_network_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let client = http_client(RootCertStore::empty(), PATIENCE);
        let error = send(&client, request(url)).await.unwrap_err();
        assert!(error.is_io(), "{error:?}");
    }

    /// A proxy on loopback: passes on what it was asked for, and answers itself for every destination.
    #[cfg(feature = "proxy")]
    async fn proxy(tls: TlsAcceptor) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, questions) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let (tls, asked) = (tls.clone(), asked.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        tcp.read_buf(&mut head).await.unwrap();
                    }
                    let head = String::from_utf8(head).unwrap();
                    let is_tunnel = head.starts_with("CONNECT ");
                    asked.send(head).unwrap();
                    if is_tunnel {
                        tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                        say_yes(tls.accept(tcp).await.unwrap()).await;
                    } else {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";
                        tcp.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        (address, questions)
    }

    #[cfg(feature = "proxy")]
    #[tokio::test]
    async fn https_uses_a_tunnel_and_http_an_absolute_url() {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["ec2.example".to_owned()]).unwrap();
        let (roots, tls) = certified(&cert, &signing_key);
        let (address, mut questions) = proxy(tls).await;
        let proxies = Proxies::at(&format!("http://user:secret@{address}"));
        let client = SharedHttpClient::new(ConnectionPool {
            connector: pooled(roots, PATIENCE, proxies),
        });
        // No such name can be resolved: the proxy does that.
        let url = "https://ec2.example/".to_owned();
        assert_eq!(send(&client, request(url)).await.unwrap(), "yes");
        let head = questions.recv().await.unwrap().to_lowercase();
        assert!(
            head.starts_with("connect ec2.example:443 http/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.contains("\r\nproxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"),
            "{head}"
        );

        let url = "http://ec2.example:4566/path".to_owned();
        assert_eq!(send(&client, request(url)).await.unwrap(), "yes");
        let head = questions.recv().await.unwrap().to_lowercase();
        assert!(
            head.starts_with("get http://ec2.example:4566/path http/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nproxy-authorization: basic "), "{head}");
    }

    #[cfg(feature = "proxy")]
    #[tokio::test]
    async fn an_unreachable_proxy_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://user:secret@{}", listener.local_addr().unwrap());
        drop(listener);
        for (proxy, expected) in [
            (proxy.as_str(), "made no connection"),
            ("socks5://127.0.0.1:1080", "only `http://` and `https://`"),
        ] {
            let client = SharedHttpClient::new(ConnectionPool {
                connector: pooled(RootCertStore::empty(), PATIENCE, Proxies::at(proxy)),
            });
            let url = "https://ec2.example/".to_owned();
            let error = send(&client, request(url)).await.unwrap_err();
            assert!(error.is_io(), "{error:?}");
            let message = aws_smithy_types::error::display::DisplayErrorContext(&error).to_string();
            assert!(message.contains("the proxy `"), "{message}");
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
