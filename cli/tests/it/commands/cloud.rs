//! The model of EC2 behind HTTP, a configuration, and the program.

use std::process::{Command, Output};

use curfew_aws::clock::Clock;
use curfew_model::{Ec2InstanceId, Launch, Model, Server, TimeSource, serve_with};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::json_reference;

/// `night` has a stop every half hour, so that one is due and the next, at which a pass ends, is seldom close. `year` has
/// one edge, on New Year's day. `strict` wants its instances running.
pub(crate) const CONFIGURATION: &str = r#"
[schedules.night]
timezone = "Europe/Paris"
stop = "7,37 * * * *"

[schedules.year]
timezone = "Asia/Kolkata"
start = "0 0 1 1 *"

[schedules.strict]
timezone = "Europe/Paris"
running = "Mon-Sun 00:00-24:00"
enforce = true
"#;

pub(crate) struct Cloud {
    pub(crate) ec2: Model,
    pub(crate) directory: TempDir,
    server: Server,
    _runtime: Runtime,
}

impl Cloud {
    pub(crate) fn with(launches: impl IntoIterator<Item = Launch>) -> Self {
        let runtime = Runtime::new().unwrap();
        let ec2 = Model::new(now());
        for launch in launches {
            ec2.launch(launch.launched_at(now() - SignedDuration::from_hours(1)));
        }
        let server = runtime.block_on(serve_with(ec2.clone(), TimeSource::Wall));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("curfew.toml"), CONFIGURATION).unwrap();
        Self {
            ec2,
            directory,
            server,
            _runtime: runtime,
        }
    }

    pub(crate) fn id(&self, name: &str) -> Ec2InstanceId {
        let instances = self.ec2.instances();
        let found = instances
            .iter()
            .find(|one| one.tags.get("Name").map(String::as_str) == Some(name));
        found.unwrap().id.clone()
    }

    pub(crate) fn state(&self, name: &str) -> String {
        self.ec2.state(&self.id(name)).to_string()
    }

    pub(crate) fn tag(&self, name: &str, key: &str) -> Option<String> {
        self.ec2.tag(&self.id(name), key)
    }

    /// Number of calls that change or try to change something.
    pub(crate) fn changes(&self) -> usize {
        self.ec2.changes()
    }

    pub(crate) fn endpoint(&self) -> String {
        self.server.endpoint.clone()
    }

    pub(crate) fn curfew(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
        command
            .env_clear()
            .current_dir(self.directory.path())
            .env("CURFEW__DAEMON__STATE_DIR", self.directory.path())
            .env("USER", "alice")
            .env("TZ", "UTC")
            .args(["--config", "curfew.toml", "--region", "us-east-1"])
            .args(["--endpoint-url", &self.server.endpoint])
            .args(arguments);
        command
    }

    /// Runs the program. A JSON document that it prints must be in the reference.
    pub(crate) fn run(&self, arguments: &[&str]) -> CommandResult {
        let output = CommandResult::of(self.curfew(arguments).output().unwrap());
        if arguments.contains(&"json") {
            json_reference::assert_lists(arguments, &output.stdout);
        }
        output
    }

    /// Returns the JSON output of a command that succeeds.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["-o", "json"]].concat();
        let output = self.run(&arguments);
        assert_eq!(output.code, 0, "{output:?}");
        output.json()
    }
}

/// The exit code and output of a command.
#[derive(Debug)]
pub(crate) struct CommandResult {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandResult {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Returns the error of a command that fails with `-o json`.
    pub(crate) fn error(&self) -> Value {
        let document: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        document["error"].clone()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

pub(crate) fn due(name: &str) -> Launch {
    let last = now() - SignedDuration::from_hours(1);
    let last = format!("{last:.0} start schedule night");
    Launch::new(name)
        .tag("Schedule", "night")
        .tag("curfew:last", last)
}

pub(crate) fn idle(name: &str) -> Launch {
    // The newest edge, this year's in Kolkata, is applied.
    let last = format!(
        "{}-12-31T18:30:00Z start adopted",
        now().to_zoned(TimeZone::UTC).year() - 1
    );
    Launch::new(name)
        .tag("Schedule", "year")
        .tag("curfew:last", last)
}

/// The named fields of each entry, sorted by instance name.
pub(crate) fn lines(entries: &Value, fields: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let values = ["name"]
                .iter()
                .chain(fields)
                .map(|field| match &entry[*field] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
            values.collect::<Vec<_>>().join(" | ")
        })
        .collect();
    lines.sort();
    lines
}
