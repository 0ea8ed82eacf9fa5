//! Runs the program in a cleared environment.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A directory for the configuration file and the program's state.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn with(configuration: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.file(), configuration).unwrap();
        place
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.state().join("curfew.toml")
    }

    /// The state directory, which contains the journal.
    pub(crate) fn state(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn curfew(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
        command
            .env_clear()
            .current_dir(self.state())
            .env("CURFEW__DAEMON__STATE_DIR", self.state())
            // Dates without a zone are in the machine's zone.
            .env("TZ", "Europe/Paris")
            .args(["--config", "curfew.toml"])
            .args(arguments);
        command
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self
            .curfew(arguments)
            .args(["-o", "json"])
            .assert()
            .success()
            .get_output()
            .clone();
        crate::json_reference::assert_lists(arguments, &String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Returns standard output of a command that succeeds and writes nothing to standard error.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let assertion = self.curfew(arguments).assert().success();
        let output = assertion.get_output();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout.clone()).unwrap()
    }

    /// Returns the exit code and standard error of a command that fails.
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self
            .curfew(arguments)
            .assert()
            .failure()
            .get_output()
            .clone();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "",
            "results only on standard output"
        );
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// Returns the exit code, standard output and standard error.
    pub(crate) fn runs(&self, arguments: &[&str]) -> (i32, String, String) {
        result(self.curfew(arguments).output().unwrap())
    }
}

/// Returns the exit code, standard output and standard error.
pub(crate) fn result(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}
