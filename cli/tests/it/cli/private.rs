//! Permissions of the files that the daemon writes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Adds the folder and all files and folders below it.
fn all_paths(folder: &Path, found: &mut Vec<PathBuf>) {
    found.push(folder.to_owned());
    for entry in fs::read_dir(folder).unwrap().flatten() {
        // SQLite creates and deletes files beside the journal.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => all_paths(&entry.path(), found),
            Ok(_) => found.push(entry.path()),
            Err(_) => {}
        }
    }
}

#[test]
fn files_of_the_daemon_are_private_to_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("curfew.toml");
    fs::write(&file, "[daemon]\ndriver = \"daemon\"\nmetrics = \"\"\n").unwrap();
    let state = folder.path().join("below/state");
    // The default umask of a shell, which lets all users read.
    let mut daemon = Command::new("sh")
        .args(["-c", "umask 022; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_curfew"))
        // No process listens at port 1.
        .args(["--endpoint-url", "http://127.0.0.1:1", "run"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("CURFEW_CONFIG", &file)
        .env("CURFEW__DAEMON__STATE_DIR", &state)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !state.join("journal.sqlite").exists() {
        assert!(began.elapsed() < Duration::from_mins(1), "no journal yet");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut found = Vec::new();
    all_paths(&folder.path().join("below"), &mut found);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(
        found.len() >= 4,
        "two folders, the journal and its lock: {found:?}"
    );
    for path in found {
        let Ok(about) = fs::metadata(&path) else {
            continue;
        };
        let mode = about.mode() & 0o777;
        let expected = if about.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} has {mode:o}", path.display());
    }
}
