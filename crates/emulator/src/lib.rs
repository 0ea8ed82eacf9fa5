//! The embedded emulator: installs it, runs it on the loopback address, and stops it. It is a child process that never
//! outlives curfew. What is deployed into it is out of scope.

pub mod demo;
mod install;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use curfew_aws::progress::Progress;
pub use install::Installed;

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    /// Its process group, until that has ended: afterwards the id may be reused.
    group: Option<Pid>,
    port: u16,
    log: PathBuf,
    /// While this pipe is open, the emulator runs.
    _leash: ChildStdin,
    /// The lock on the state directory.
    _lock: File,
}

/// An error of the embedded emulator.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// Python is missing or does not run.
    #[error("`{}` can't be run: {source}", .python.display())]
    Python {
        /// The requested interpreter.
        python: OsString,
        /// The underlying I/O error.
        source: io::Error,
    },
    /// Python is older than the emulator needs.
    #[error("`{}` is Python {version}, and the emulator needs 3.10 or newer", .python.display())]
    OldPython {
        /// The requested interpreter.
        python: OsString,
        /// The version found.
        version: String,
    },
    /// `python -m venv` failed; on Debian and Ubuntu it is a separate package.
    #[error("Python's `venv` module could not make a virtual environment (see `{}`)", .log.display())]
    VirtualEnvironment {
        /// The log of the installation.
        log: PathBuf,
    },
    /// `pip install` failed.
    #[error("the emulator could not be downloaded: {reason} (see `{}`)", .log.display())]
    Download {
        /// The error reported by pip.
        reason: String,
        /// The log of the installation.
        log: PathBuf,
    },
    /// A directory or file can't be created or written.
    #[error("`{}` can't be written: {source}", .path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// The underlying I/O error.
        source: io::Error,
    },
    /// Another program listens on the port.
    #[error("port {port} is taken by another program")]
    PortTaken {
        /// The number of the port.
        port: u16,
    },
    /// Another curfew process runs its emulator on the same state.
    #[error("another curfew is already running the emulator whose state is in `{}`", .state.display())]
    AlreadyRunning {
        /// The state directory.
        state: PathBuf,
    },
    /// The emulator exited before it was ready.
    #[error("the emulator ended while starting ({status}): {reason}")]
    EndedEarly {
        /// The exit status.
        status: ExitStatus,
        /// The last line of its log.
        reason: String,
        /// The path of its log.
        log: PathBuf,
    },
    /// The emulator did not become ready in time.
    #[error("the emulator is not ready after {} seconds", .after.as_secs())]
    NotReady {
        /// The time limit.
        after: Duration,
        /// The path of its log.
        log: PathBuf,
    },
}

impl EmulatorError {
    /// Returns a hint for the user.
    pub fn hint(&self) -> String {
        match self {
            Self::Python { .. } | Self::OldPython { .. } => {
                "install Python 3.10 or newer, or use LocalStack or AWS instead (--endpoint, --profile)".to_owned()
            }
            Self::VirtualEnvironment { .. } => {
                "on Debian and Ubuntu: `apt install python3-venv`".to_owned()
            }
            Self::Download { .. } => {
                "check the network; pip's own settings (PIP_INDEX_URL, HTTPS_PROXY) are honoured"
                    .to_owned()
            }
            Self::Directory { .. } => {
                "check its permissions and the disk's free space, or set XDG_CACHE_HOME".to_owned()
            }
            Self::PortTaken { port } => format!(
                "stop that program, or choose another port: --port {}",
                port.saturating_add(1)
            ),
            Self::AlreadyRunning { .. } => {
                "use that one, or stop it first; another stack needs another --state directory"
                    .to_owned()
            }
            Self::EndedEarly { log, .. } | Self::NotReady { log, .. } => {
                format!("its log is `{}`", log.display())
            }
        }
    }
}

/// Returns the default installation directory: `$XDG_CACHE_HOME/curfew`, else `~/.cache/curfew`.
pub fn cache_directory() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")))
        .map(|cache| cache.join("curfew"))
}

impl Emulator {
    /// The default port, which is LocalStack's.
    pub const DEFAULT_PORT: u16 = 4566;
    /// It is normally ready within 2 s; a machine under load can take ten times that.
    const START_LIMIT: Duration = Duration::from_mins(1);
    /// It saves its state in a fraction of a second, after a grace period of 3 s for open connections.
    const STOP_LIMIT: Duration = Duration::from_secs(8);
    const POLL: Duration = Duration::from_millis(50);

    /// Installs the emulator into `cache` with `python` (such as `python3`), or returns the existing installation at
    /// once.
    pub async fn provision(
        cache: &Path,
        python: impl Into<OsString>,
        progress: &dyn Progress,
    ) -> Result<Installed, EmulatorError> {
        install::provision(cache, python.into(), progress).await
    }

    /// Starts the emulator on `127.0.0.1:port` with its state in `state`. Earlier deployments are restored with the
    /// same ids and URLs, if the emulator was stopped rather than killed.
    pub async fn start(
        installed: &Installed,
        state: &Path,
        port: u16,
        progress: &dyn Progress,
    ) -> Result<Self, EmulatorError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| EmulatorError::Directory { path, source }
        };
        for folder in ["home", "tmp"] {
            fs::create_dir_all(state.join(folder)).map_err(at(state))?;
        }
        let state = state.canonicalize().map_err(at(state))?;
        let lock = File::create(state.join("lock")).map_err(at(&state))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EmulatorError::AlreadyRunning { state }),
            Err(TryLockError::Error(source)) => return Err(at(&state)(source)),
        }
        progress.begin("Starting the emulator");
        port_is_free(port, progress).await?;

        let log = state.join("emulator.log");
        let output = File::create(&log).map_err(at(&log))?;
        let errors = output.try_clone().map_err(at(&log))?;
        let mut child = command(installed, &state, port)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| EmulatorError::Python {
                python: installed.python.clone().into_os_string(),
                source,
            })?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let leash = child.stdin.take();
        let (Some(pid), Some(leash)) = (pid, leash) else {
            unreachable!("a child that was just started has an id and a piped stdin");
        };
        let mut emulator = Self {
            child,
            group: Some(pid),
            port,
            log,
            _leash: leash,
            _lock: lock,
        };
        emulator.wait_until_ready().await?;
        progress.end(&format!("The emulator is up on {}", emulator.endpoint()));
        Ok(emulator)
    }

    /// Returns the endpoint, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the path of its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the emulator exits unexpectedly, then kills its child processes. Cancel-safe.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        // A killed emulator leaves the functions it was running.
        self.kill_group();
        status
    }

    /// Stops the emulator and its child processes, and waits until they have exited. Its state is saved for the next
    /// start.
    pub async fn stop(mut self) -> io::Result<()> {
        if let Some(pid) = self.group {
            // It may have exited already; its children still need to be killed.
            let _ended = kill_process(pid, Signal::TERM);
            let in_time = timeout(Self::STOP_LIMIT, self.child.wait()).await;
            self.kill_group();
            if in_time.is_err() {
                self.child.wait().await?;
            }
        }
        Ok(())
    }

    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            // An empty group is fine.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }

    async fn wait_until_ready(&mut self) -> Result<(), EmulatorError> {
        let deadline = Instant::now() + Self::START_LIMIT;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(EmulatorError::EndedEarly {
                    status,
                    reason: last_line(&self.log),
                    log: self.log.clone(),
                });
            }
            if is_healthy(self.port).await {
                return Ok(());
            }
            sleep(Self::POLL).await;
        }
        Err(EmulatorError::NotReady {
            after: Self::START_LIMIT,
            log: self.log.clone(),
        })
    }
}

impl Drop for Emulator {
    /// A last resort, since the state is lost: leaves no process behind.
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// The environment is built from scratch: the functions inherit it, and must not receive the user's AWS credentials.
fn command(installed: &Installed, state: &Path, port: u16) -> Command {
    let mut command = Command::new(&installed.python);
    command
        .args(["-I", "-u", "-c", include_str!("launch.py")])
        .current_dir(state)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", state.join("home"))
        .env("TMPDIR", state.join("tmp"))
        // By default it listens on every address, and it runs uploaded code.
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        // By default a function would call the real AWS.
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("PERSIST_STATE", "1")
        .env("STATE_DIR", state.join("services"))
        .env("S3_PERSIST", "1")
        .env("S3_DATA_DIR", state.join("s3"))
        // Disables two listeners of other services on separate ports.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .process_group(0);
    command
}

/// Waits for the port: an orphaned emulator takes a moment to exit.
async fn port_is_free(port: u16, progress: &dyn Progress) -> Result<(), EmulatorError> {
    let deadline = Instant::now() + Emulator::STOP_LIMIT;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if !is_healthy(port).await || Instant::now() >= deadline {
                    return Err(EmulatorError::PortTaken { port });
                }
                progress.detail(&format!(
                    "waiting for another MiniStack to leave port {port}"
                ));
                sleep(Emulator::POLL * 10).await;
            }
            // The emulator reports any other error itself.
            _ => return Ok(()),
        }
    }
}

/// Returns whether a MiniStack responds on this port.
async fn is_healthy(port: u16) -> bool {
    /// It normally responds within a millisecond.
    const LIMIT: Duration = Duration::from_secs(2);
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream
            .write_all(
                b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            )
            .await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        io::Result::Ok(&status == b"HTTP/1.1 200")
    };
    matches!(timeout(LIMIT, ask).await, Ok(Ok(true)))
}

fn last_line(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("its log is empty").trim().to_owned()
}
