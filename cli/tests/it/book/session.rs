//! Runs the commands of a page in a directory of their own.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{CurfewProcess, Sandbox, processes_in};

use super::REPOSITORY;
use super::page::{Block, Needs, Page};
use super::sample;

const DEMO: &str = include_str!("../../../../config/examples/demo.toml");

/// Commands end at the first failure, also in a pipe. Jobs have process groups of their own, as in a terminal. What a page has
/// started ends with it.
const PREAMBLE: &str = "\
set -Eeuo pipefail -m
trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR
trap 'test $? = 0 || echo \"in the block at $where\" >&2; jobs=$(jobs -p); test -z \"$jobs\" || kill $jobs || true' EXIT
";

/// The lines before and after the output of the block at `line`.
fn marks(line: usize) -> (String, String) {
    (
        format!("--- block {line}"),
        format!("--- end of block {line}"),
    )
}

/// A page, with its ports and its directory.
pub(super) struct Session<'a> {
    page: &'a Page,
    sandbox: Sandbox,
    directory: PathBuf,
    /// How long processes may take to end after the page.
    pub(super) grace: Duration,
}

impl<'a> Session<'a> {
    pub(super) fn new(page: &'a Page) -> Self {
        let sandbox = Sandbox::new();
        let directory = sandbox.directory().join("session");
        fs::create_dir(&directory).unwrap();
        let config = Path::new(REPOSITORY).join("config");
        std::os::unix::fs::symlink(config, directory.join("config")).unwrap();
        Self {
            page,
            sandbox,
            directory,
            grace: Duration::from_secs(20),
        }
    }

    /// Runs the page. The error contains the output.
    pub(super) fn run(&self) -> Result<(), String> {
        let mut demo = None;
        match self.page.needs {
            Needs::Nothing => {}
            Needs::Demo => {
                self.sandbox.configuration(DEMO);
                let up = self.sandbox.up();
                // Pages about the journal show what the daemon has observed.
                self.sandbox
                    .eventually("the daemon is ready", || up.log().contains("curfew ready"));
                demo = Some(up);
            }
            Needs::Emulator => {
                self.sandbox.emulator();
            }
        }
        for block in &self.page.blocks {
            if let Block::File { name, text } = block {
                fs::write(self.directory.join(name), text).unwrap();
            }
        }
        let background = self.background();
        let result = self.commands();
        for mut process in background {
            process.end();
        }
        if let Some(mut demo) = demo {
            demo.end();
        }
        if self.page.needs == Needs::Emulator {
            self.sandbox.stop_emulator();
        }
        let left = self.left();
        result?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{}: left running: {left:?}", self.page.name))
        }
    }

    /// The commands of the processes that are left after the grace.
    fn left(&self) -> Vec<String> {
        let deadline = Instant::now() + self.grace;
        loop {
            let left = processes_in(self.sandbox.directory());
            if left.is_empty() || Instant::now() > deadline {
                let command = |pid: String| fs::read_to_string(format!("/proc/{pid}/cmdline"));
                return left.into_iter().flat_map(command).collect();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the commands of other terminals, and waits until each is ready.
    fn background(&self) -> Vec<CurfewProcess> {
        let mut running = Vec::new();
        for block in &self.page.blocks {
            let Block::Background { line, text } = block else {
                continue;
            };
            let log = self.directory.join(format!("terminal-{line}.log"));
            let mut command = self.bash();
            command
                .arg("-c")
                .arg(format!("exec {}", self.with_own_ports(text.trim())));
            let process = CurfewProcess::start(command, &log, false);
            self.sandbox
                .eventually(text, || process.log().contains("curfew ready"));
            running.push(process);
        }
        running
    }

    fn commands(&self) -> Result<(), String> {
        let mut script = PREAMBLE.to_owned();
        for block in &self.page.blocks {
            if let Block::Commands { line, text, .. } = block {
                let place = format!("{}:{line}", self.page.name);
                let text = self.with_own_ports(text);
                let (begin, end) = marks(*line);
                write!(
                    script,
                    "where='{place}'\necho '{begin}'\n{text}\necho '{end}'\n"
                )
                .unwrap();
            }
        }
        let file = self.directory.join("session.sh");
        fs::write(&file, script).unwrap();
        let output = self.directory.join("session.log");
        let log = fs::File::create(&output).unwrap();
        let mut command = self.bash();
        match self.page.needs {
            // Port 1 is closed: nothing may reach AWS, whatever credentials the machine has.
            Needs::Nothing => command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            Needs::Demo | Needs::Emulator => {
                let port = self.sandbox.port();
                command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            }
        };
        command.env("AWS_REGION", "us-east-1");
        if self.page.needs == Needs::Demo {
            command.env(
                "CURFEW_CONFIG",
                self.sandbox.directory().join("curfew.toml"),
            );
        }
        let status = command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        let output = fs::read_to_string(output).unwrap();
        if !status.success() {
            return Err(format!("{} failed ({status}):\n{output}", self.page.name));
        }
        for block in &self.page.blocks {
            if let Block::Commands {
                line,
                sample: Some(sample),
                ..
            } = block
            {
                let (begin, end) = marks(*line);
                let after = output.split_once(&format!("{begin}\n")).unwrap().1;
                let printed = after.split_once(&format!("{end}\n")).unwrap().0;
                sample::compare(sample, printed)
                    .map_err(|error| format!("{}:{line}: {error}", self.page.name))?;
            }
        }
        Ok(())
    }

    /// A shell that finds the program, and nothing of this machine's configuration.
    fn bash(&self) -> Command {
        let mut command = self.sandbox.program("bash");
        let program = Path::new(env!("CARGO_BIN_EXE_curfew"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [program.parent().unwrap().to_owned()];
        let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
        command
            .env("PATH", path.unwrap())
            .env_remove("CURFEW_CONFIG")
            .current_dir(&self.directory);
        command
    }

    /// The text with the ports of this session in place of the usual ones.
    fn with_own_ports(&self, text: &str) -> String {
        let port = self.sandbox.port().to_string();
        let text = text.replace("4566", &port);
        text.replace("curfew up", &format!("curfew up --port {port}"))
    }
}
