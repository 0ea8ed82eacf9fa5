//! Requests `/readyz` from the daemon on this machine, at its metrics address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use curfew_config::{Configuration, Driver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Check;

/// A local response takes milliseconds; a daemon that takes longer than this has a problem.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The response has a few lines. A longer one is not from a daemon.
const MAX_RESPONSE: u64 = 64 * 1024;

/// The parsed response of `/readyz`.
#[derive(Debug, PartialEq, Eq)]
enum ReadinessResponse {
    Ready,
    /// The reasons why the daemon is not ready.
    NotReady(Vec<String>),
    /// The response is not from a daemon.
    Unrecognised,
}

/// Checks whether a running daemon is ready.
pub(super) async fn daemon(found: String, configuration: &Configuration) -> Check {
    let Some(address) = configuration.metrics.filter(|address| address.port() != 0) else {
        let unknown = "readiness not checked: `daemon.metrics` is not set";
        return Check::ok("daemon", format!("{found}; {unknown}"));
    };
    let reasons = match timeout(TIMEOUT, request_readiness(connectable(address))).await {
        Ok(Ok(ReadinessResponse::Ready)) => return Check::ok("daemon", format!("{found}; ready")),
        Ok(Ok(ReadinessResponse::NotReady(reasons))) => reasons,
        Ok(Ok(ReadinessResponse::Unrecognised) | Err(_)) | Err(_) => {
            return Check::warn(
                "daemon",
                format!("{found}; did not respond to /readyz at {address}"),
                "its log has the address of its metrics; the configuration may have changed since it started",
            );
        }
    };
    let message = format!("{found}; not ready: {}", reasons.join("; "));
    let hint = "see its log: `journalctl -u curfew`";
    match configuration.daemon.driver {
        Driver::Daemon => Check::fail("daemon", message, hint),
        Driver::Cloud => Check::warn("daemon", message, hint),
    }
}

/// Replaces an unspecified address by the loopback address.
fn connectable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

async fn request_readiness(address: SocketAddr) -> io::Result<ReadinessResponse> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut answer).await?;
    Ok(parse_response(&String::from_utf8_lossy(&answer)))
}

fn parse_response(answer: &str) -> ReadinessResponse {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    match (status, body.trim()) {
        ("200", "ready") => ReadinessResponse::Ready,
        ("503", reasons) if !reasons.is_empty() => {
            ReadinessResponse::NotReady(reasons.lines().map(str::to_owned).collect())
        }
        _ => ReadinessResponse::Unrecognised,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_daemon::health::Health;
    use curfew_daemon::metrics::{self, Metrics};
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn the_response_of_a_daemon_is_parsed() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (health, end) = (Health::default(), CancellationToken::new());
        let serving = metrics::serve(address, Metrics::default(), health, end.clone());
        let serving = tokio::spawn(serving);
        let answer = loop {
            match request_readiness(address).await {
                Ok(answer) => break answer,
                // The server does not listen yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        assert_eq!(
            answer,
            ReadinessResponse::NotReady(vec!["no task has begun yet".to_owned()])
        );
        end.cancel();
        serving.await.unwrap();
    }

    #[test]
    fn other_responses_are_unrecognised() {
        let ready = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n";
        assert_eq!(parse_response(ready), ReadinessResponse::Ready);
        for response in [
            "",
            "SSH-2.0-OpenSSH_9.6\r\n",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "HTTP/1.1 404 Not Found\r\n\r\nready\n",
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        ] {
            assert_eq!(
                parse_response(response),
                ReadinessResponse::Unrecognised,
                "{response}"
            );
        }
    }

    #[test]
    fn unspecified_addresses_become_loopback() {
        let target = |address: &str| connectable(address.parse().unwrap()).to_string();
        assert_eq!(target("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(target("[::]:9464"), "[::1]:9464");
        assert_eq!(target("192.0.2.7:9464"), "192.0.2.7:9464");
    }
}
