//! The program with a stub of the service manager and a model of EC2.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use curfew_model::{Model, Server, TimeSource, serve_with};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Long enough for a busy machine.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// The model of EC2 behind HTTP.
pub(crate) struct Ec2 {
    pub(crate) endpoint: String,
    _server: Server,
    _runtime: Runtime,
}

impl Ec2 {
    pub(crate) fn serve(model: &Model) -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(serve_with(model.clone(), TimeSource::Held));
        Self {
            endpoint: server.endpoint.clone(),
            _server: server,
            _runtime: runtime,
        }
    }
}

/// A server that accepts connections and never responds.
pub(crate) struct SilentServer {
    pub(crate) endpoint: String,
    listener: TcpListener,
}

impl SilentServer {
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        Self { endpoint, listener }
    }

    /// Waits for a connection.
    pub(crate) fn accept(&self) {
        // A dropped connection would be a failed call; the backlog keeps all later ones open.
        std::mem::forget(self.listener.accept().unwrap());
    }
}

/// `curfew run`, and the socket that receives its messages to the service manager.
pub(crate) struct Service {
    state: TempDir,
    socket: UnixDatagram,
    child: Mutex<Child>,
}

impl Service {
    pub(crate) fn start(endpoint: &str, configuration: &str, watchdog: Option<Duration>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(state.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        fs::write(state.path().join("curfew.toml"), configuration).unwrap();
        let log = fs::File::create(state.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
        command
            .arg("run")
            .env_clear()
            .env("CURFEW_CONFIG", state.path().join("curfew.toml"))
            .env("CURFEW__DAEMON__STATE_DIR", state.path())
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("NOTIFY_SOCKET", state.path().join("notify"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Self {
            child: Mutex::new(command.spawn().unwrap()),
            state,
            socket,
        }
    }

    /// Waits for a message that contains `text`, and returns all messages up to it.
    pub(crate) fn wait_for_message(&self, text: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut messages = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) if begun.elapsed() < TIME_LIMIT => length,
                Ok(_) => panic!("`{text}` was not among {messages:?}; {}", self.log()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!(
                    "{error}: `{text}` was not among {messages:?}; {}",
                    self.log()
                ),
            };
            let news = String::from_utf8(buffer[..length].to_vec()).unwrap();
            let found = news.contains(text);
            messages.push(news);
            if found {
                return messages;
            }
        }
    }

    /// Replaces the configuration file by a rename, as editors do.
    pub(crate) fn configuration(&self, text: &str) {
        self.write("curfew.toml", text);
    }

    /// Writes a file atomically into the configuration's folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child.lock().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the daemon to exit, and returns its exit code.
    pub(crate) fn wait_for_exit(&self) -> Option<i32> {
        let mut code = None;
        self.eventually_so("the daemon ends", || {
            let ended = self.child.lock().unwrap().try_wait().unwrap();
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        code
    }

    pub(crate) fn eventually(&self, what: &str, condition: impl Fn() -> bool) {
        self.eventually_so(what, condition);
    }

    fn eventually_so(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(
                begun.elapsed() < TIME_LIMIT,
                "not within {TIME_LIMIT:?}: {what}; {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns status and body of a GET.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.eventually("it listens", || self.listens_at().is_some());
        let mut stream = TcpStream::connect(self.listens_at().unwrap()).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: curfew\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn listens_at(&self) -> Option<SocketAddr> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("serving metrics"))?;
        line.rsplit_once("address=")?.1.trim().parse().ok()
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ended_already = child.kill();
        let _ = child.wait();
    }
}
