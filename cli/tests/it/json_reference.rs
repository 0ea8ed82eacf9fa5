//! Checks that `docs/reference/json.md` lists every field that commands print. The helpers of the other tests call it for each JSON
//! document; the tests here print the documents that no other test prints.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use curfew_model::Launch;
use serde_json::Value;

use crate::commands::cloud::{Cloud, due};

static REFERENCE: LazyLock<String> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/json.md");
    std::fs::read_to_string(file).unwrap()
});

/// Fails if the JSON output of a command has a field that the reference does not list. Other output is ignored: a command that fails
/// may print none.
pub(crate) fn assert_lists(arguments: &[&str], stdout: &str) {
    let Ok(document) = serde_json::from_str::<Value>(stdout) else {
        return;
    };
    let has = |word: &str| arguments.contains(&word);
    let command = arguments.iter().find(|word| is_command(word));
    let command = match *command.unwrap_or_else(|| panic!("no command in {arguments:?}")) {
        "deploy" if has("--dry-run") => "deploy --dry-run",
        "history" if has("--edges") => "history --edges",
        "explain" if has("--schedule") => "explain --schedule",
        // A JSON schema, not a document of the reference.
        "schema" => return,
        command => command,
    };
    assert_section(&format!("`curfew {command}`"), &document);
}

fn is_command(word: &str) -> bool {
    let mut headings = REFERENCE.lines().filter(|line| line.starts_with("## "));
    word == "schema" || headings.any(|heading| heading.contains(&format!("`curfew {word}`")))
}

fn assert_section(heading: &str, document: &Value) {
    let listed = section(heading);
    let mut printed = BTreeSet::new();
    collect(document, "", &mut printed);
    let unlisted: Vec<&String> = printed
        .iter()
        .filter(|path| !listed.iter().any(|listed| matches(listed, path)))
        .collect();
    assert!(
        unlisted.is_empty(),
        "docs/reference/json.md does not list these fields of {heading}: {unlisted:?}"
    );
}

/// Returns the fields of a section.
fn section(heading: &str) -> Vec<&'static str> {
    let is_section = |line: &&str| {
        let names = line.strip_prefix("## ");
        names.is_some_and(|names| names.split(", ").any(|name| name == heading))
    };
    let mut lines = REFERENCE.lines().skip_while(|line| !is_section(line));
    assert!(lines.next().is_some(), "no section {heading}");
    let lines = lines.take_while(|line| !line.starts_with("## "));
    lines
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split_once("` |")
                .map(|(path, _)| path)
        })
        .collect()
}

/// Collects the paths of all fields of a document.
fn collect(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}\u{1f}{name}")
                };
                collect(value, &path, paths);
                paths.insert(path);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, &format!("{path}[]"), paths);
            }
        }
        _ => {}
    }
}

/// Whether a listed field is the printed one; `*` is any key. The names of printed fields may contain dots and are separated otherwise.
fn matches(listed: &str, printed: &str) -> bool {
    let (mut listed, mut printed) = (listed.split('.'), printed.split('\u{1f}'));
    loop {
        match (listed.next(), printed.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[test]
fn unlisted_fields_and_commands_are_found() {
    let unlisted = |arguments: &'static [&str], text: &'static str| {
        std::panic::catch_unwind(|| assert_lists(arguments, text)).is_err()
    };
    assert!(!unlisted(
        &["token", "new"],
        r#"{"token": "a", "name": null}"#
    ));
    assert!(unlisted(
        &["token", "new"],
        r#"{"token": "a", "secret": 1}"#
    ));
    assert!(unlisted(
        &["doctor"],
        r#"{"checks": [{"check": {"more": 1}}]}"#
    ));
    assert!(unlisted(&["teapot"], "{}"));
    assert!(!unlisted(&["doctor"], "error: no document"));
}

#[test]
fn the_reference_lists_the_fields_of_every_command_that_a_model_of_ec2_can_answer() {
    let cloud = Cloud::with([
        due("web"),
        Launch::new("tagged").tag("Schedule", "strict"),
        Launch::new("misspelt").tag("Schedule", "nigth"),
        Launch::new("broken").tag("Schedule", "at night"),
        due("of-a-group").auto_scaling_group("web-asg"),
        Launch::new("stray"),
    ]);
    let more = "\n[prices]\n't3.micro' = 0.0118\n[daemon]\ndriver = \"daemon\"\nmetrics = \"\"\n";
    let file = cloud.directory.path().join("curfew.toml");
    let configuration = std::fs::read_to_string(&file).unwrap() + more;
    std::fs::write(&file, configuration).unwrap();
    let web = cloud.id("web").to_string();
    let stray = cloud.id("stray").to_string();
    // Each prints a document; some of them fail, such as `doctor` without a daemon.
    for arguments in [
        ["check"].as_slice(),
        &["rules"],
        &["document"],
        &["template"],
        &["member-role"],
        &["schema"],
        &["token", "new", "alice"],
        &["next"],
        &["simulate"],
        &["simulate", "--count", "strict=3"],
        &["simulate", "--fleet"],
        &["explain", "--schedule", "strict"],
        &["explain", &web],
        &["explain", &stray],
        &["status", "--all"],
        &["plan"],
        &["doctor"],
        &["stop", "--dry-run", &web],
        &["start", &web, "--for", "2h"],
        &["status"],
        &["plan"],
        &["explain", &web],
        &["resume", &web],
        &["apply", "--yes"],
    ] {
        let output = cloud.run(&[arguments, ["-o", "json"].as_slice()].concat());
        let document = serde_json::from_str::<Value>(&output.stdout);
        assert!(document.is_ok(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn errors_are_json_documents_on_standard_error() {
    let error = |arguments: &[&str]| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_curfew"))
            .env_clear()
            .args(["--config", "/nonexistent/curfew.toml"])
            .args(arguments)
            .args(["-o", "json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(output.stdout, b"");
        let text = String::from_utf8(output.stderr).unwrap();
        let document = serde_json::from_str(&text);
        document.unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    for arguments in [["next"].as_slice(), &["simulate"], &["history"], &["check"]] {
        let document = error(arguments);
        assert_section("Errors", &document);
        assert_eq!(
            document["error"]["code"], "invalid_configuration",
            "{document}"
        );
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("/nonexistent/curfew.toml"), "{message}");
    }
}
