//! Lookup of the configuration file when none is named. Commands fail without one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::OFFICE;
use super::place::result;

/// Runs the program in `folder` without naming a configuration file.
fn curfew(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_curfew"))
        .env_clear()
        .current_dir(folder)
        .env("HOME", folder)
        .env("CURFEW__DAEMON__STATE_DIR", folder.join("state"))
        // No process listens at port 1, so that commands that call AWS fail with another error.
        .args(["--endpoint-url", "http://127.0.0.1:1"])
        .args(arguments)
        .output()
        .unwrap();
    let (code, stdout, stderr) = result(output);
    let stderr = stderr.replace(folder.to_str().unwrap(), "/folder");
    (code, stdout, stderr)
}

/// These tests assume that Curfew is not installed on the machine.
fn is_installed_here() -> bool {
    Path::new(curfew_config::DEFAULT_FILE).exists()
}

#[test]
fn commands_fail_without_a_configuration_file() {
    if is_installed_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "deploy",
        "destroy",
        "run",
        "plan",
        "apply --yes",
        "status",
        "next",
        "outputs",
        "rules",
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let (code, stdout, stderr) = curfew(folder.path(), &arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{command}");
        assert_eq!(
            stderr,
            "error: there is no configuration file: none is named (--config, CURFEW_CONFIG), and `/etc/curfew/curfew.toml` is not there\n  \
             hint: `curfew init` writes one; name another file with --config\n",
            "{command}"
        );
    }
    let (code, stdout, _) = curfew(folder.path(), &["doctor"]);
    assert_eq!(code, 2);
    assert!(
        stdout.starts_with("1 check failed\n\nfail  configuration  there is no configuration file"),
        "{stdout}"
    );
}

#[test]
fn the_file_in_the_current_folder_is_used_and_named_with_v_and_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("curfew.toml"), OFFICE).unwrap();
    let note = "note: using the configuration in `/folder/curfew.toml`\n";
    let (code, _, stderr) = curfew(folder.path(), &["-v", "rules"]);
    assert_eq!((code, stderr.as_str()), (0, note));
    let (code, _, stderr) = curfew(folder.path(), &["next", "--schedule", "ofice"]);
    assert_eq!(code, 3);
    assert!(
        stderr.ends_with("  configuration: /folder/curfew.toml\n"),
        "{stderr}"
    );
    let (code, stdout, stderr) = curfew(folder.path(), &["-o", "json", "rules"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let rules: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(rules["rules"][0]["schedules"][0], "office", "{stdout}");
    // The user has named the file.
    let named = ["--config", "curfew.toml", "next", "--schedule", "ofice"];
    let (_, _, stderr) = curfew(folder.path(), &named);
    assert!(!stderr.contains("configuration:"), "{stderr}");
}

#[test]
fn a_file_in_a_folder_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("curfew.toml"), OFFICE).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let (code, stdout, stderr) = curfew(folder.path(), &["rules"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_eq!(
        stderr,
        "error: `/folder/curfew.toml` is not taken without being named: other users may write its folder\n  \
         hint: read it, and name it if it is meant: --config /folder/curfew.toml\n"
    );
    let (code, ..) = curfew(folder.path(), &["--config", "curfew.toml", "rules"]);
    assert_eq!(code, 0);
}

#[test]
fn the_daemon_ignores_the_file_in_the_current_folder() {
    if is_installed_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("curfew.toml"), OFFICE).unwrap();
    let (code, stdout, stderr) = curfew(folder.path(), &["run"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(
        stderr.starts_with("error: there is no configuration file"),
        "{stderr}"
    );
    assert!(
        stderr.ends_with("  hint: `./curfew.toml` is there: name it with --config\n"),
        "{stderr}"
    );
}

#[test]
fn empty_and_irregular_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.toml");
    for nothing in ["", "\n\n", "# [schedules.office]\n"] {
        fs::write(&empty, nothing).unwrap();
        let (code, _, stderr) = curfew(folder.path(), &["check", "empty.toml"]);
        assert_eq!(code, 2);
        assert!(
            stderr.starts_with(
                "error: the configuration file `empty.toml` is empty: it has no key at all\n  hint: "
            ),
            "{stderr}"
        );
    }
    fs::write(&empty, "[managing]\n").unwrap();
    assert_eq!(curfew(folder.path(), &["check", "empty.toml"]).0, 0);

    let made = Command::new("mkfifo")
        .arg(folder.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    for (file, reason) in [
        (
            "pipe",
            "it is a pipe, a socket or a device, and not a regular file",
        ),
        (
            "/dev/zero",
            "it is a pipe, a socket or a device, and not a regular file",
        ),
        (".", "it is a directory, and not a regular file"),
    ] {
        let (code, _, stderr) = curfew(folder.path(), &["check", file]);
        assert_eq!(code, 2);
        assert!(
            stderr.contains(&format!("  because: {reason}\n")),
            "{stderr}"
        );
    }
    // A sparse file of 1 TiB.
    let large = fs::File::create(folder.path().join("large.toml")).unwrap();
    large.set_len(1 << 40).unwrap();
    let (code, _, stderr) = curfew(folder.path(), &["check", "large.toml"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("  because: it has more than 4096 KiB\n"),
        "{stderr}"
    );
    // Files that the configuration names are checked in the same way.
    for (made, named) in [("pipe", "pipe.ics"), ("large.toml", "large.ics")] {
        fs::rename(folder.path().join(made), folder.path().join(named)).unwrap();
        fs::write(&empty, format!("{OFFICE}only = ['{named}']\n")).unwrap();
        let (code, _, stderr) = curfew(folder.path(), &["check", "empty.toml"]);
        assert_eq!(code, 2);
        assert!(
            stderr.contains(&format!("{named}` can't be read: it ")),
            "{stderr}"
        );
    }
}
