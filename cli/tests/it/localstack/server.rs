//! A LocalStack to test against: a named one, or one that is started for the test and ends with it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, iter, net, thread};

use tempfile::TempDir;

use crate::support::{Sandbox, processes_in, processes_left_in};

/// Endpoint of a running LocalStack.
const ENDPOINT: &str = "CURFEW_TEST_ENDPOINT";
/// Path of a script that starts one without Docker, if it is not next to the checkout.
const SCRIPT: &str = "CURFEW_LOCALSTACK_SCRIPT";
/// `required`: missing dependencies fail the tests.
const REQUIRED: &str = "CURFEW_LOCALSTACK_TESTS";
const BESIDE_THE_CHECKOUT: &str = "shared/localstack/run-localstack.sh";

/// The source of a LocalStack.
pub(crate) enum Source {
    /// Running already, at this endpoint.
    Running(String),
    /// Started by this script.
    Script(PathBuf),
}

/// The reason why there is none.
pub(crate) struct Missing(pub(crate) String);

impl Source {
    pub(crate) fn find() -> Result<Self, Missing> {
        let found = Self::search();
        if let Err(Missing(what)) = &found {
            let required = env::var(REQUIRED).is_ok_and(|value| value == "required");
            assert!(!required, "{REQUIRED}=required, and {what}");
        }
        found
    }

    fn search() -> Result<Self, Missing> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(endpoint) = set(ENDPOINT) {
            return Ok(Self::Running(endpoint.trim_end_matches('/').to_owned()));
        }
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let beside = checkout.parent().unwrap().join(BESIDE_THE_CHECKOUT);
        let script = set(SCRIPT).map_or(beside, PathBuf::from);
        if script.is_file() {
            return Ok(Self::Script(script));
        }
        let script = script.display();
        Err(Missing(format!(
            "{ENDPOINT} names none, and there is no `{script}` to start one"
        )))
    }

    pub(crate) fn open(self) -> Server {
        match self {
            Self::Running(endpoint) => {
                assert!(healthy(&endpoint), "{ENDPOINT}={endpoint} does not answer");
                Server {
                    endpoint,
                    own: None,
                }
            }
            Self::Script(script) => {
                let own = Own::start(&script);
                Server {
                    endpoint: own.endpoint(),
                    own: Some(own),
                }
            }
        }
    }
}

/// A LocalStack that responds.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    own: Option<Own>,
}

impl Server {
    /// Stops it if the test started it, and returns its processes that are left.
    pub(crate) fn close(mut self) -> Vec<String> {
        self.own.as_mut().map(Own::end).unwrap_or_default()
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what a test prints is shown when it fails"
)]
impl Drop for Server {
    fn drop(&mut self) {
        if let (true, Some(own)) = (thread::panicking(), &self.own) {
            println!("LocalStack's log ends with:\n{}", own.log());
        }
    }
}

/// A LocalStack that was started for the test.
struct Own {
    port: u16,
    /// The directory for all its files and the working directory of its processes.
    place: TempDir,
    guard: Child,
}

impl Own {
    /// Starting takes 3 s on an idle machine.
    const TIME_LIMIT: Duration = Duration::from_mins(4);

    fn start(script: &Path) -> Self {
        // Another process may take the port between the check and the start.
        let mut failures = Vec::new();
        for _ in 0..5 {
            match Self::try_to_start(script) {
                Ok(own) => return own,
                Err(failure) => failures.push(failure),
            }
        }
        panic!("LocalStack can't be started:\n{}", failures.join("\n"))
    }

    fn try_to_start(script: &Path) -> Result<Self, String> {
        let place = tempfile::tempdir().unwrap();
        let port = free_port();
        let guard = guard(script, place.path(), port);
        let mut own = Self { port, place, guard };
        let started = Command::new(script)
            .args(["start", &port.to_string()])
            .env("DATA", own.place.path())
            // Any free port for each function, so that several can run at the same time.
            .env("LAMBDA_PROCESS_API_PORTS", "0")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let begun = Instant::now();
        // The script waits for a minute, which may be too short on a busy machine.
        while !healthy(&own.endpoint()) {
            if processes_in(own.place.path()).is_empty() || begun.elapsed() > Self::TIME_LIMIT {
                let stderr = String::from_utf8_lossy(&started.stderr).into_owned();
                let failure = format!("{stderr}\n{}", own.log());
                own.end();
                return Err(failure);
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(own)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.place.path().join("localstack.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn end(&mut self) -> Vec<String> {
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
        processes_left_in(self.place.path())
    }
}

impl Drop for Own {
    /// Stops it after a test that failed, too; its directory is deleted last.
    fn drop(&mut self) {
        self.end();
    }
}

/// Stops LocalStack when this test has ended for any reason: the guard's standard input then closes, because only this test
/// holds the other end. The guard runs in a separate process group, so that killing the test's group does not kill the
/// guard.
fn guard(script: &Path, place: &Path, port: u16) -> Child {
    Command::new("sh")
        .args(["-c", r#"cat >/dev/null; exec "$0" stop "$1""#])
        .arg(script)
        .arg(port.to_string())
        .env("DATA", place)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn healthy(endpoint: &str) -> bool {
    Sandbox::get(&format!("{endpoint}/_localstack/health")).0 == 200
}

/// A port that is free now, below the ephemeral range.
fn free_port() -> u16 {
    let mut ports = iter::repeat_with(|| fastrand::u16(10_000..30_000));
    let free = |port: &u16| net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(free).unwrap()
}
