//! What a daemon that runs here says of itself, at the address of its metrics.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use curfew_config::{Configuration, Driver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Check;

/// On this machine an answer takes milliseconds; a daemon that is busier than this is not well.
const PATIENCE: Duration = Duration::from_secs(2);
/// Readiness is a few lines.
const LONGEST: u64 = 64 * 1024;

/// What it said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Ready,
    /// Why not.
    Unready(Vec<String>),
    /// Nothing that a daemon says.
    Strange,
}

/// The check of a daemon that was found to run.
pub(super) async fn daemon(found: String, configuration: &Configuration) -> Check {
    let Some(address) = configuration.metrics.filter(|address| address.port() != 0) else {
        let unknown = "not asked whether it is ready, for want of `daemon.metrics`";
        return Check::ok("daemon", format!("{found}; {unknown}"));
    };
    let reasons = match timeout(PATIENCE, ask(reachable(address))).await {
        Ok(Ok(Answer::Ready)) => return Check::ok("daemon", format!("{found}; ready")),
        Ok(Ok(Answer::Unready(reasons))) => reasons,
        Ok(Ok(Answer::Strange) | Err(_)) | Err(_) => {
            return Check::warn(
                "daemon",
                format!("{found}; no word from it at {address}, whether it is ready"),
                "its log says where its metrics are served, or why not; configuration may have changed since it began",
            );
        }
    };
    let message = format!("{found}; not ready: {}", reasons.join("; "));
    let hint = "its log says more: `journalctl -u curfew`";
    match configuration.daemon.driver {
        Driver::Daemon => Check::fail("daemon", message, hint),
        Driver::Cloud => Check::warn("daemon", message, hint),
    }
}

/// Who listens everywhere is asked by way of loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

async fn ask(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(read(&String::from_utf8_lossy(&answer)))
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    match (status, body.trim()) {
        ("200", "ready") => Answer::Ready,
        ("503", reasons) if !reasons.is_empty() => {
            Answer::Unready(reasons.lines().map(str::to_owned).collect())
        }
        _ => Answer::Strange,
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
    async fn a_daemons_own_words_are_understood() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (health, end) = (Health::default(), CancellationToken::new());
        let serving = metrics::serve(address, Metrics::default(), health, end.clone());
        let serving = tokio::spawn(serving);
        let answer = loop {
            match ask(address).await {
                Ok(answer) => break answer,
                // It does not listen yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        assert_eq!(
            answer,
            Answer::Unready(vec!["no task has begun yet".to_owned()])
        );
        end.cancel();
        serving.await.unwrap();
    }

    #[test]
    fn what_is_no_daemons_word_is_none() {
        let ready = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n";
        assert_eq!(read(ready), Answer::Ready);
        for strange in [
            "",
            "SSH-2.0-OpenSSH_9.6\r\n",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "HTTP/1.1 404 Not Found\r\n\r\nready\n",
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        ] {
            assert_eq!(read(strange), Answer::Strange, "{strange}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        let reached = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(reached("[::]:9464"), "[::1]:9464");
        assert_eq!(reached("192.0.2.7:9464"), "192.0.2.7:9464");
    }
}
