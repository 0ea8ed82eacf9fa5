//! A state directory, a port, and the `curfew` program in a cleared environment.

pub(crate) mod minute;
mod place;
mod process;
pub(crate) mod terminal;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use curfew_aws::progress::Silent;
use curfew_emulator::demo::DemoInstance;
use curfew_emulator::{Emulator, cache_directory};
use curfew_journal::Journal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) use self::place::Place;
pub(crate) use self::process::CurfewProcess;

/// The instances of tests that need no `curfew up`: `web-1` and `batch-1` name a schedule, `lab-1` has the tag of a `match`.
pub(crate) fn test_fleet() -> Vec<DemoInstance> {
    let instance = |name: &str, key: &str, value: &str| DemoInstance {
        name: name.to_owned(),
        tags: [("Name", name), (key, value)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    };
    vec![
        instance("web-1", "Schedule", "office"),
        instance("batch-1", "Schedule", "night-stop"),
        instance("lab-1", "Environment", "lab"),
    ]
}

/// The files, port and emulator of one test.
pub(crate) struct Sandbox {
    state: TempDir,
    port: u16,
    endpoint: String,
    emulator: Mutex<Option<(Emulator, Runtime)>>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self::with_endpoint(port, format!("http://127.0.0.1:{port}"))
    }

    /// An environment for commands against another endpoint.
    pub(crate) fn at(endpoint: &str) -> Self {
        Self::with_endpoint(0, endpoint.to_owned())
    }

    fn with_endpoint(port: u16, endpoint: String) -> Self {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("curfew.toml"), "[managing]\n").unwrap();
        Self {
            state,
            port,
            endpoint,
            emulator: Mutex::new(None),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn configuration(&self, text: &str) {
        fs::write(self.state.path().join("curfew.toml"), text).unwrap();
    }

    /// The directory of all files of the test.
    pub(crate) fn directory(&self) -> &Path {
        self.state.path()
    }

    fn curfew(&self) -> Command {
        self.program(env!("CARGO_BIN_EXE_curfew"))
    }

    /// Returns a command in a cleared environment, without the cloud's variables.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for name in ["HOME", "XDG_CACHE_HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("CURFEW_CONFIG", self.state.path().join("curfew.toml"))
            .env("CURFEW__DAEMON__STATE_DIR", self.state.path())
            // All tests would share the default metrics port.
            .env("CURFEW__DAEMON__METRICS", "")
            // The emulator sends no events: the daemon has to poll.
            .env("CURFEW__DAEMON__POLL_QUIET", "5s");
        command
    }

    fn with_aws(&self) -> Command {
        let mut command = self.curfew();
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "us-east-1");
        command
    }

    /// Starts `curfew up` and waits until it is ready.
    pub(crate) fn up(&self) -> CurfewProcess {
        let mut command = self.curfew();
        command.args(["up", "-o", "json", "--port", &self.port.to_string()]);
        CurfewProcess::start(command, &self.state.path().join("up.log"), true)
    }

    /// Starts `curfew run`.
    pub(crate) fn run(&self) -> CurfewProcess {
        self.run_with(&[])
    }

    /// The same with additional environment variables.
    pub(crate) fn run_with(&self, environment: &[(&str, &str)]) -> CurfewProcess {
        let mut command = self.curfew();
        command.envs(environment.iter().copied()).arg("run");
        let running = CurfewProcess::start(command, &self.state.path().join("run.log"), false);
        self.eventually("the daemon runs", || {
            running.log().contains("curfew started")
        });
        running
    }

    /// Returns the JSON output of a command that must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.json_and_stderr(arguments).0
    }

    /// Returns the JSON output and standard error of a command that must succeed.
    pub(crate) fn json_and_stderr(&self, arguments: &[&str]) -> (Value, String) {
        let output = self
            .with_aws()
            .args(arguments)
            .args(["-o", "json"])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "curfew {arguments:?}: {stderr}");
        let document = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("curfew {arguments:?}: {error}"));
        crate::json_reference::assert_lists(arguments, &String::from_utf8_lossy(&output.stdout));
        (document, stderr)
    }

    /// Returns the JSON output of a command with additional environment variables.
    pub(crate) fn json_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Value {
        let mut command = self.with_aws();
        command.envs(environment.iter().copied());
        let output = command
            .args(arguments)
            .args(["-o", "json"])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("curfew {arguments:?}: {error}"))
    }

    /// Returns the exit code and standard output of a command.
    pub(crate) fn prints(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.with_aws().args(arguments).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    /// Returns the output of a command, successful or not.
    pub(crate) fn run_to_end(&self, arguments: &[&str]) {
        let _ = self.with_aws().args(arguments).output();
    }

    /// Returns the exit code and standard error of a command that must fail.
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.with_aws().args(arguments).output().unwrap();
        assert!(
            !output.status.success(),
            "curfew {arguments:?} should have failed"
        );
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    pub(crate) fn history(&self) -> Vec<Value> {
        self.json(&["history"])["transitions"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Whether the journal contains an observation of the instance.
    pub(crate) fn has_observed(&self, id: &str) -> bool {
        let journal = Journal::read(self.state.path());
        let known = journal.and_then(|journal| journal.known_states());
        known.is_ok_and(|known| known.contains_key(&id.parse().unwrap()))
    }

    /// The files below the state directory that contain `text`: the journal, logs, and the emulator's files.
    pub(crate) fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let holds = |path: &Path| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        let mut found = Vec::new();
        let mut directories = vec![self.state.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => directories.push(entry.path()),
                    kind if kind.is_file() && holds(&entry.path()) => found.push(entry.path()),
                    _ => {}
                }
            }
        }
        found
    }

    fn instances(&self) -> Vec<Value> {
        self.json(&["status", "--all"])["instances"]
            .as_array()
            .unwrap()
            .clone()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.instances()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn id(&self, name: &str) -> String {
        let instances = self.instances();
        instances.iter().find(|it| it["name"] == name).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn state(&self, id: &str) -> String {
        let instances = self.instances();
        instances.iter().find(|it| it["id"] == id).unwrap()["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// GET over a plain connection, without an HTTP library: returns status and JSON body.
    pub(crate) fn get(url: &str) -> (u16, Value) {
        Self::get_with(url, "")
    }

    /// The same with a bearer token.
    pub(crate) fn get_by(url: &str, token: &str) -> (u16, Value) {
        Self::get_with(url, &format!("Authorization: Bearer {token}\r\n"))
    }

    fn get_with(url: &str, headers: &str) -> (u16, Value) {
        Self::ask("GET", url, headers, "")
    }

    fn ask(method: &str, url: &str, headers: &str, body: &str) -> (u16, Value) {
        let (status, body) = Self::fetch(method, url, headers, body);
        let json = body
            .find('{')
            .zip(body.rfind('}'))
            .map_or(Value::Null, |(from, to)| {
                serde_json::from_str(&body[from..=to])
                    .unwrap_or_else(|error| panic!("{url}: {error}: {body}"))
            });
        (status, json)
    }

    /// Returns status and body of a response; status 0 without a response.
    pub(crate) fn fetch(method: &str, url: &str, headers: &str, body: &str) -> (u16, String) {
        let (authority, path) = url
            .strip_prefix("http://")
            .unwrap()
            .split_once('/')
            .unwrap();
        let Ok(mut stream) = TcpStream::connect(authority) else {
            return (0, String::new());
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        write!(
            stream,
            "{method} /{path} HTTP/1.0\r\nHost: {authority}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        if stream.read_to_string(&mut answer).is_err() {
            return (0, String::new());
        }
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    pub(crate) fn eventually(&self, what: &str, condition: impl Fn() -> bool) {
        let limit = Duration::from_mins(4);
        let begun = Instant::now();
        let mut pause = Duration::from_millis(50);
        while !condition() {
            let log = || fs::read_to_string(self.state.path().join("up.log")).unwrap_or_default();
            assert!(
                begun.elapsed() < limit,
                "not within {limit:?}: {what}\n{}",
                log()
            );
            std::thread::sleep(pause);
            // Most conditions run the program, which takes a tenth of a second of CPU time: not five times a second for a minute.
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Log lines of the function of the stack `curfew`, as JSON objects.
    pub(crate) fn function_log(&self) -> Vec<Value> {
        self.log_of("curfew-curfew")
    }

    /// The same for another function.
    pub(crate) fn log_of(&self, function: &str) -> Vec<Value> {
        let url = format!("{}/", self.endpoint);
        let headers = "X-Amz-Target: Logs_20140328.FilterLogEvents\r\nContent-Type: application/x-amz-json-1.1\r\n";
        let body = format!(r#"{{"logGroupName":"/aws/lambda/{function}"}}"#);
        let (status, answer) = Self::ask("POST", &url, headers, &body);
        assert_eq!(status, 200, "{answer}");
        let events = answer["events"].as_array().unwrap();
        let messages = events.iter().filter_map(|event| event["message"].as_str());
        // Lines of the Lambda runtime are not JSON objects and are left out.
        messages
            .flat_map(str::lines)
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Starts the test's emulator with the demo fleet and without a stack.
    pub(crate) fn emulator_with_the_demo_fleet(&self) -> String {
        let endpoint = self.emulator();
        let own = Place::new(&endpoint, None, "us-east-1");
        own.launch_the_demo_fleet();
        endpoint
    }

    /// Starts the test's emulator, empty.
    pub(crate) fn emulator(&self) -> String {
        let runtime = Runtime::new().unwrap();
        let emulator = runtime.block_on(async {
            let installed = Emulator::provision(&cache_directory().unwrap(), "python3", &Silent)
                .await
                .unwrap();
            let state = self.state.path().join("emulator");
            Emulator::start(&installed, &state, self.port, &Silent)
                .await
                .unwrap()
        });
        let endpoint = emulator.endpoint();
        *self.emulator.lock().unwrap() = Some((emulator, runtime));
        endpoint
    }

    pub(crate) fn stop_emulator(&self) {
        let (emulator, runtime) = self.emulator.lock().unwrap().take().unwrap();
        runtime.block_on(emulator.stop()).unwrap();
    }

    /// Kills the emulator's processes.
    pub(crate) fn kill_emulator(&self) {
        let pids = self.pids();
        assert!(!pids.is_empty(), "there is an emulator to kill");
        for pid in pids {
            Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        }
    }

    /// The remaining processes of this test's emulator, functions included: their working directories are below the state
    /// directory.
    pub(crate) fn processes(&self) -> Vec<String> {
        processes_left_in(self.state.path())
    }

    fn pids(&self) -> Vec<String> {
        processes_in(self.state.path())
    }
}

/// The processes with a working directory in `directory` or below.
pub(crate) fn processes_in(directory: &Path) -> Vec<String> {
    let below = |path: PathBuf| fs::read_link(path).is_ok_and(|at| at.starts_with(directory));
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter(|pid| below(format!("/proc/{pid}/cwd").into()))
        .collect()
}

/// The commands of the processes that are left a minute after they were terminated.
pub(crate) fn processes_left_in(directory: &Path) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !processes_in(directory).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let command =
        |pid: String| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    processes_in(directory).into_iter().map(command).collect()
}
