//! A long-running `curfew` process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A long-running `curfew` process.
pub(crate) struct CurfewProcess {
    child: Child,
    log: PathBuf,
    outputs: Value,
}

impl CurfewProcess {
    pub(crate) fn start(mut command: Command, log: &Path, wait_for_outputs: bool) -> Self {
        let errors = File::options().create(true).append(true).open(log).unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut document = String::new();
        while wait_for_outputs && !document.ends_with("\n}\n") {
            let Some(Ok(line)) = lines.next() else {
                panic!(
                    "curfew ended before it was up:\n{}",
                    fs::read_to_string(log).unwrap_or_default()
                );
            };
            document = document + &line + "\n";
        }
        let outputs = if wait_for_outputs {
            serde_json::from_str(&document).unwrap()
        } else {
            Value::Null
        };
        Self {
            child,
            log: log.to_owned(),
            outputs,
        }
    }

    pub(crate) fn api_url(&self) -> String {
        self.outputs["api_url"].as_str().unwrap().to_owned()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends SIGINT, and waits for a successful exit.
    pub(crate) fn end(&mut self) {
        Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it did not end within 30 s of Ctrl-C:\n{}", self.log());
    }
}

impl Drop for CurfewProcess {
    /// Kills the process after a test that failed, too.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
