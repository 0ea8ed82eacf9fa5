//! `curfew init`: flags without a terminal, questions on one.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::place::result;
use crate::support::terminal::Terminal;

fn curfew(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    command
        .env_clear()
        .current_dir(folder)
        .env("HOME", folder)
        .env("TZ", "Europe/Paris")
        .args(arguments);
    command
}

/// Returns the exit code, standard output and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    result(curfew(folder, arguments).output().unwrap())
}

#[test]
fn the_flags_and_defaults_make_a_valid_file() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(folder.path(), &["init"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    insta::assert_snapshot!(stdout, @r#"
    Wrote curfew.toml: instances with the tag Schedule=office
    run Mon-Fri 08:00-20:00 in Europe/Paris, and are stopped otherwise.

    Next:
      curfew check      validate it, also after changes
      curfew simulate   see when instances run
      curfew up         try it on this machine, without an AWS account
      curfew deploy     deploy it to AWS
    "#);
    let (code, stdout, stderr) = run(folder.path(), &["check"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout.lines().count(), 1, "no warnings: {stdout}");
    assert!(stdout.contains("is valid: 1 schedule (office)"), "{stdout}");
    let text = fs::read_to_string(folder.path().join("curfew.toml")).unwrap();
    assert!(text.contains("timezone = \"Europe/Paris\""), "{text}");
    assert!(
        text.lines().filter(|line| line.contains('#')).count() > 8,
        "{text}"
    );

    let flags = [
        "init",
        "nyc.toml",
        "--schedule",
        "nyc",
        "--timezone",
        "America/New_York",
        "--running",
        "Mon-Fri 07:00-19:00",
        "--tag",
        "Environment=dev*",
        "-o",
        "json",
    ];
    let (code, stdout, stderr) = run(folder.path(), &flags);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let written: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        written,
        serde_json::json!({"file": "nyc.toml", "schedules": ["nyc"]})
    );
    let (code, stdout, _) = run(
        folder.path(),
        &["--config", "nyc.toml", "next", "--count", "1"],
    );
    assert_eq!(code, 0);
    assert!(
        stdout.contains("[America/New_York]") || stdout.contains("EST") || stdout.contains("EDT"),
        "{stdout}"
    );
}

#[test]
fn an_existing_file_is_kept_and_invalid_answers_write_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("curfew.toml");
    fs::write(&file, "# mine\n").unwrap();
    let (code, _, stderr) = run(folder.path(), &["init"]);
    assert_eq!(code, 2);
    assert_eq!(
        stderr,
        "error: `curfew.toml` is there already, and is not overwritten\n  \
         hint: edit it, or name another file: `curfew init FILE`\n"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine\n");
    for flags in [
        ["--timezone", "Mars"],
        ["--running", "Mon-Fry 08:00-20:00"],
        ["--tag", "Environment"],
        ["--schedule", "none"],
    ] {
        let arguments = [&["init", "new.toml"], &flags[..]].concat();
        let (code, _, stderr) = run(folder.path(), &arguments);
        assert_eq!(code, 2, "{stderr}");
        assert!(!folder.path().join("new.toml").exists());
    }
    let (code, _, stderr) = run(folder.path(), &["init", "missing/curfew.toml"]);
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("error: `missing/curfew.toml` can't be written: "),
        "{stderr}"
    );
}

#[test]
fn a_terminal_asks_until_the_answers_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(curfew(folder.path(), &["init", "--schedule", "lab"]));
    terminal
        .until("Time zone [Europe/Paris]: ")
        .type_in("Mars\n")
        .until("`Mars` is not a time zone, such as `Europe/Paris` or `UTC`")
        .type_in("Asia/Tokyo\n")
        .until("Running [Mon-Fri 08:00-20:00]: ")
        .type_in("\n")
        .until("Environment=dev* [none]: ")
        .type_in("Team=lab\n")
        .until("Wrote curfew.toml");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    let text = fs::read_to_string(folder.path().join("curfew.toml")).unwrap();
    for line in [
        "[schedules.lab]",
        "timezone = \"Asia/Tokyo\"",
        "running = \"Mon-Fri 08:00-20:00\"",
        "match = { tags = { \"Team\" = \"lab\" } }",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!screen.contains("Name of the schedule"), "{screen}");
}
