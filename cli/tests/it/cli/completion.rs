//! Completion in a shell: names of schedules from the configuration, names of instances from the journal.

use std::process::Command;

use super::OFFICE;
use super::place::Place;

/// Completes the last of `words` as bash does.
fn completed(place: &Place, words: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_curfew"))
        .env_clear()
        .current_dir(place.state())
        .env("CURFEW__DAEMON__STATE_DIR", place.state())
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("_CLAP_IFS", "\n")
        .args(["--", "curfew"])
        .args(words)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn schedules_of_the_configuration_are_completed() {
    let place = Place::with(OFFICE);
    let named = |words: &[&str]| completed(&place, &[&["--config", "curfew.toml"], words].concat());
    assert_eq!(named(&["next", "--schedule", ""]), ["office"]);
    assert_eq!(named(&["stop", "--schedule", "off"]), ["office"]);
    assert_eq!(named(&["next", "--schedule", "x"]), [""; 0]);
    assert_eq!(named(&["simu"]), ["simulate"]);
    // An invalid file completes nothing, and is no error.
    std::fs::write(place.file(), "schedules = 7").unwrap();
    assert_eq!(named(&["next", "--schedule", ""]), [""; 0]);
}

#[test]
fn the_scripts_ask_the_program() {
    let place = Place::with(OFFICE);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.prints(&["completions", shell]);
        assert!(script.contains("COMPLETE"), "{shell}: {script}");
        assert!(script.contains("curfew"), "{shell}: {script}");
    }
}
