//! The table of events in docs/reference/events.md contains every event that the code logs, from `info` up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_event_is_in_the_table_of_events() {
    let guide = fs::read_to_string(root().join("docs/reference/events.md")).unwrap();
    let events = logged_events();
    assert!(events.len() > 40, "{events:?}");
    let unknown: Vec<&String> = events
        .iter()
        .filter(|event| !guide.contains(event.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "docs/reference/events.md lacks {unknown:#?}"
    );
}

/// The package's test runs only in CI, and waits for logged events by their names.
#[test]
fn every_event_that_the_package_test_waits_for_is_logged() {
    let script = fs::read_to_string(root().join("tools/deb-boot")).unwrap();
    let awaited: Vec<&str> = script
        .split("CURFEW_EVENT='")
        .skip(1)
        .filter_map(|rest| rest.split('\'').next())
        .collect();
    assert_eq!(awaited.len(), 2, "{awaited:?}");
    let events = logged_events();
    for event in awaited {
        assert!(events.contains(event), "nothing logs `{event}`");
    }
}

/// The constant prefixes of the messages that the programs log, from `info` up.
fn logged_events() -> BTreeSet<String> {
    let mut events = BTreeSet::new();
    for directory in [
        "cli/src",
        "config/src",
        "crates/aws/src",
        "crates/deploy/src",
        "crates/emulator/src",
        "crates/journal/src",
        "daemon/src",
        "lambda/src",
    ] {
        for source in sources(&root().join(directory)) {
            let code = fs::read_to_string(source).unwrap();
            let shipped = code.split("#[cfg(test)]").next().unwrap_or_default();
            events.extend(messages(shipped));
        }
    }
    events
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The constant prefix of each event's message.
fn messages(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["info!(", "warn!(", "error!("] {
        for (at, _) in code.match_indices(name) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|before| before.is_whitespace() || before == ':') {
                let message = last_literal(&code[at + name.len()..]).unwrap_or_default();
                let constant = message.split('{').next().unwrap_or_default().trim_end();
                if !constant.is_empty() {
                    found.push(constant.to_owned());
                }
            }
        }
    }
    found
}

/// The last string literal among a macro's own arguments: an event's message is the last one.
fn last_literal(arguments: &str) -> Option<String> {
    let (mut depth, mut last) = (1, None);
    let mut rest = arguments.chars();
    while let Some(next) = rest.next() {
        match next {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' => {
                let mut literal = String::new();
                while let Some(inside) = rest.next().filter(|inside| *inside != '"') {
                    let escaped = (inside == '\\').then(|| rest.next()).flatten();
                    literal.push(escaped.unwrap_or(inside));
                }
                if depth == 1 {
                    last = Some(literal);
                }
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    last
}

#[test]
fn messages_are_found_among_fields_and_arguments() {
    let code = r#"
        tracing::info!(hint = "look", %at, f("x"), "it {} began", 1);
        error!(
            why = g(&["a"]), "it said \"no\""
        );
        not_info!("no"); println!("no");
    "#;
    assert_eq!(messages(code), ["it", "it said \"no\""]);
}
