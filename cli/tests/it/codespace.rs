//! The development container of GitHub Codespaces, checked without running one.

use std::collections::BTreeSet;

use curfew_emulator::Emulator;
use serde_json::{Value, json};

const CONTAINER: &str = include_str!("../../../.devcontainer/devcontainer.json");
const MAKEFILE: &str = include_str!("../../../Makefile");

/// Parses the file: JSON with comments, each on a line of its own.
fn container() -> Value {
    let lines = CONTAINER.lines();
    let code: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    serde_json::from_str(&code.join("\n")).unwrap()
}

#[test]
fn the_port_of_the_emulator_is_forwarded_with_a_label() {
    let container = container();
    let port = Emulator::DEFAULT_PORT;
    assert_eq!(container["forwardPorts"], json!([port]));
    let label = &container["portsAttributes"][port.to_string()]["label"];
    assert!(label.as_str().is_some_and(|label| label.contains("Curfew")));
}

#[test]
fn the_dependencies_of_up_are_built_with_the_container() {
    let container = container();
    let command = container["postCreateCommand"].as_str().unwrap();
    let made: BTreeSet<&str> = command
        .strip_prefix("make ")
        .unwrap()
        .split_whitespace()
        .collect();
    let targets: BTreeSet<&str> = MAKEFILE
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .collect();
    assert!(made.is_subset(&targets), "{made:?} of {targets:?}");
    let up = MAKEFILE.lines().find_map(|line| line.strip_prefix("up:"));
    let needed: BTreeSet<&str> = up.unwrap().split_whitespace().collect();
    assert!(!needed.is_empty() && needed.is_subset(&made), "{needed:?}");
    // `curfew up` would otherwise install the emulator first.
    assert!(made.contains("emulator"), "{made:?}");
}

#[test]
fn the_container_has_rust_and_python() {
    let container = container();
    let image = container["image"].as_str().unwrap();
    assert!(image.contains("/rust:"), "{image}");
    let features = container["features"].as_object().unwrap();
    assert!(features.keys().any(|name| name.contains("/python:")));
}
