//! Selects the proxy for a request, and connects through it.
//!
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are read as by curl, in upper or lower case. A request for `https`
//! uses a tunnel (`CONNECT`); a request for `http` is sent to the proxy with its absolute URL. Loopback and link-local
//! destinations, including the metadata services, are always connected directly: a proxy can't reach them for this machine.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_runtime_api::box_error::BoxError;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector as TcpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use tower_service::Service;

use crate::endpoint_kind::is_direct;
use crate::error::innermost;

/// The proxy for each destination.
#[derive(Clone, Debug)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    /// The proxies configured by the environment.
    pub(super) fn of_environment() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    #[cfg(test)]
    pub(super) fn at(proxy: &str) -> Self {
        Self(Arc::new(Matcher::builder().all(proxy.to_owned()).build()))
    }

    fn to(&self, destination: &Uri) -> Option<Intercept> {
        if destination.host().is_none_or(is_direct) {
            return None;
        }
        self.0.intercept(destination)
    }

    /// Adds the proxy's credentials to a request that the proxy reads. Requests through a tunnel are unchanged.
    pub(super) fn authorize<B>(&self, request: &mut Request<B>) {
        if request.uri().scheme_str() != Some("http") {
            return;
        }
        let proxy = self.to(request.uri());
        if let Some(authorization) = proxy.as_ref().and_then(Intercept::basic_auth) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }
}

/// Connects directly or through a proxy.
#[derive(Clone)]
pub(super) struct ProxyConnector {
    proxies: Proxies,
    direct: HttpsConnector<TcpConnector>,
    tls: Arc<ClientConfig>,
}

impl ProxyConnector {
    pub(super) fn new(proxies: Proxies, tcp: TcpConnector, tls: ClientConfig) -> Self {
        let tls = Arc::new(tls);
        Self {
            proxies,
            direct: HttpsConnector::from((tcp, Arc::clone(&tls))),
            tls,
        }
    }

    /// Connects to `destination` through a tunnel of `proxy`.
    async fn tunnel(self, proxy: Intercept, destination: Uri) -> Result<Stream, BoxError> {
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct);
        if let Some(authorization) = proxy.basic_auth().cloned() {
            tunnel = tunnel.with_auth(authorization);
        }
        let mut tunnelled = HttpsConnector::from((tunnel, self.tls));
        let stream = tunnelled.call(destination).await?;
        Ok(Stream::new(stream, Sees::Tunnel))
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let mut connector = self.clone();
        Box::pin(async move {
            let Some(proxy) = connector.proxies.to(&destination) else {
                let stream = connector.direct.call(destination).await?;
                return Ok(Stream::new(stream, Sees::Tunnel));
            };
            let address = proxy.uri().clone();
            let connected = match (address.scheme_str(), destination.scheme_str()) {
                (Some("http" | "https"), Some("https")) => {
                    connector.tunnel(proxy, destination).await
                }
                (Some("http" | "https"), _) => {
                    let stream = connector.direct.call(address.clone()).await;
                    stream.map(|stream| Stream::new(stream, Sees::WholeRequest))
                }
                _ => {
                    Err("of the sorts of proxy only `http://` and `https://` are supported".into())
                }
            };
            connected.map_err(|error| ProxyError::new(&address, &error).into())
        })
    }
}

/// A failed connection through a proxy. The message is complete: users see the innermost error.
#[derive(Debug, thiserror::Error)]
#[error("the proxy `{proxy}` made no connection: {reason}")]
struct ProxyError {
    proxy: String,
    reason: String,
}

impl ProxyError {
    fn new(proxy: &Uri, error: &BoxError) -> Self {
        Self {
            // `Matcher` has removed a password from the URL.
            proxy: proxy.to_string(),
            reason: innermost(error.as_ref()).to_string(),
        }
    }
}

/// Which part of a request the other end of a connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// The bytes only: the destination itself, or a proxy with a tunnel.
    Tunnel,
    /// The request: a proxy, which needs its absolute URL.
    WholeRequest,
}

/// A connection, direct or through a proxy.
pub(super) struct Stream {
    stream: Box<dyn Bytes>,
    sees: Sees,
}

trait Bytes: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Bytes for T {}

impl Stream {
    fn new(stream: impl Bytes + 'static, sees: Sees) -> Self {
        Self {
            stream: Box::new(stream),
            sees,
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("sees", &self.sees)
            .finish_non_exhaustive()
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = self.stream.connected();
        connected.proxy(self.sees == Sees::WholeRequest)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no: &str) -> Proxies {
        let matcher = Matcher::builder()
            .https("http://user:secret@proxy.example:3128")
            .http("proxy.example:3128")
            .no(no);
        Proxies(Arc::new(matcher.build()))
    }

    #[test]
    fn loopback_and_link_local_destinations_are_connected_directly() {
        let proxies = proxies("internal.example, 10.0.0.0/8");
        let through = |url: &str| proxies.to(&url.parse().unwrap()).is_some();
        for remote in [
            "https://ec2.eu-west-3.amazonaws.com/",
            "http://localstack.example:4566/",
            "https://[2001:db8::1]/",
        ] {
            assert!(through(remote), "{remote}");
        }
        for direct in [
            "http://127.0.0.1:4566/",
            "http://[::1]:4566/",
            "http://localhost.localstack.cloud:4566/",
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.170.2/credentials",
            "http://[fd00:ec2::254]/latest/meta-data/",
            "http://[fe80::1]/",
            "https://sts.internal.example/",
            "https://10.1.2.3/",
        ] {
            assert!(!through(direct), "{direct}");
        }
    }

    #[test]
    fn a_proxys_password_is_in_no_message() {
        let to = "https://ec2.eu-west-3.amazonaws.com/".parse().unwrap();
        let proxy = proxies("").to(&to).unwrap();
        let error = ProxyError::new(proxy.uri(), &"refused".into());
        let message = format!("{error} {error:?} {proxy:?}");
        assert!(message.contains("proxy.example:3128"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
