//! `curfew deploy`, killed by SIGKILL between its calls.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::Notify;

use crate::deploy_on_emulator::lab::{Lab, curfew, destroy};

const SIGKILL: i32 = 9;

/// Relays calls to the emulator up to a limit, so that the deployment gets no further before it is killed.
struct Relay {
    endpoint: String,
    count: Arc<Count>,
    folder: TempDir,
}

struct Count {
    passed: AtomicUsize,
    limit: AtomicUsize,
    reached: Notify,
}

impl Count {
    fn is_reached(&self) -> bool {
        self.passed.load(Ordering::SeqCst) >= self.limit.load(Ordering::SeqCst)
    }
}

impl Relay {
    async fn in_front_of(lab: &Lab) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            count: Arc::new(Count {
                passed: AtomicUsize::new(0),
                limit: AtomicUsize::new(usize::MAX),
                reached: Notify::new(),
            }),
            folder: tempfile::tempdir().unwrap(),
        };
        let (port, count) = (lab.port, Arc::clone(&relay.count));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay_calls(client, port, Arc::clone(&count)));
            }
        });
        relay
    }

    /// Runs `curfew deploy`, and kills it once the emulator has received this many calls.
    async fn deploy(&self, kill_after: Option<usize>) -> Output {
        let limit = kill_after.unwrap_or(usize::MAX);
        self.count.limit.store(limit, Ordering::SeqCst);
        self.count.passed.store(0, Ordering::SeqCst);
        let arguments = ["deploy", "--lambda-zip", "/bin/sh"];
        let mut child = Command::from(curfew(self.folder.path(), &arguments))
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "eu-west-3")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let reached = async {
            while !self.count.is_reached() {
                self.count.reached.notified().await;
            }
        };
        let ended = tokio::select! {
            () = reached => false,
            _ = child.wait() => true,
        };
        if !ended {
            child.start_kill().unwrap();
        }
        child.wait_with_output().await.unwrap()
    }
}

async fn relay_calls(client: TcpStream, port: u16, count: Arc<Count>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        if count.is_reached() || to_server.write_all(&buffer[..length]).await.is_err() {
            break;
        }
        // A call's first line and headers arrive in one read.
        let calls = buffer[..length]
            .windows(11)
            .filter(|w| *w == b" HTTP/1.1\r\n");
        count.passed.fetch_add(calls.count(), Ordering::SeqCst);
        count.reached.notify_one();
    }
    if count.is_reached() {
        // No response either: the connection stays open until the client has ended.
        while let Ok(1..) = from_client.read(&mut buffer).await {}
    }
    drop(to_server);
    let _gone = back.await;
}

#[tokio::test]
async fn a_deployment_that_is_killed_anywhere_is_completed_by_the_next() {
    /// Each kill takes three runs of the executable.
    const KILLS: usize = 8;
    let lab = Lab::open().await;
    let (conn, _) = lab.connect().await;
    let relay = Relay::in_front_of(&lab).await;
    let stack = "demo".parse().unwrap();
    let first = relay.deploy(None).await;
    assert!(first.status.success(), "{first:?}");
    let all = relay.count.passed.load(Ordering::SeqCst);
    assert!(all > 20, "{all}");
    let expected = curfew_deploy::outputs(&conn, &stack).await.unwrap();
    destroy(&conn, &stack).await.unwrap();

    let mut killed = 0;
    for kill in 0..KILLS {
        let calls = 1 + kill * all / KILLS;
        let run = relay.deploy(Some(calls)).await;
        killed += usize::from(run.status.signal() == Some(SIGKILL));
        let completed = relay.deploy(None).await;
        assert!(
            completed.status.success(),
            "killed after {calls}: {completed:?}"
        );
        let found = curfew_deploy::outputs(&conn, &stack).await.unwrap();
        assert_eq!(found.rules, expected.rules, "killed after {calls} calls");
        let again = relay.deploy(None).await;
        let message = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(
            message.contains("nothing changed"),
            "killed after {calls}: {message}"
        );
        destroy(&conn, &stack).await.unwrap();
    }
    // The number of polls varies.
    assert!(killed >= KILLS / 2, "only {killed} were killed in time");
    lab.close().await;
}
