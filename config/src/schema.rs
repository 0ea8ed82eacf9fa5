//! Tests that `config/curfew.schema.json` matches the generated schema, and that the examples and the packaged file load.

use std::path::{Path, PathBuf};

use curfew_core::timetable::{OneOrMany, RawTimetable, RawWindow};
use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::{ConfigurationError, LoadOptions, load};

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn the_schema_in_the_repository_is_up_to_date() {
    let file = config("curfew.schema.json");
    let schema = super::schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, &schema).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap();
    assert!(
        found == schema,
        "config/curfew.schema.json is out of date: `curfew schema` prints the right one"
    );
}

#[test]
fn every_example_loads() {
    let mut count = 0;
    for entry in std::fs::read_dir(config("examples")).unwrap() {
        let file = entry.unwrap().path();
        let configuration = load(&LoadOptions {
            file: Some(file.clone()),
            ..LoadOptions::default()
        });
        match configuration {
            Ok(configuration) => assert!(!configuration.schedule_set.schedules.is_empty()),
            Err(error) => panic!("{}: {error}", file.display()),
        }
        count += 1;
    }
    assert!(count >= 8, "only {count} examples");
}

/// The packaged file consists of comments and is refused as empty, until a line is uncommented.
#[test]
fn the_packaged_file_is_refused_unchanged_and_loads_with_every_line_uncommented() {
    let file = config("packaged.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.lines()
            .all(|line| line.is_empty() || line.starts_with('#'))
    );
    let lines = text.lines().skip_while(|line| !line.starts_with("# ["));
    let lines = lines.map(|line| line.trim_start_matches("# "));
    let directory = tempfile::tempdir().unwrap();
    let all = directory.path().join("curfew.toml");
    std::fs::write(&all, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let load = |file| {
        load(&LoadOptions {
            file: Some(file),
            ..LoadOptions::default()
        })
    };
    let error = load(file).unwrap_err();
    assert!(matches!(error, ConfigurationError::Empty { .. }), "{error}");
    load(all).unwrap();
}

/// The pattern at a place of the schema.
fn pattern(pointer: &str) -> Regex {
    let schema: Value = serde_json::from_str(&super::schema()).unwrap();
    let pattern = schema.pointer(pointer).and_then(Value::as_str).unwrap();
    // Without Unicode `\s` is ASCII, as in the texts below.
    RegexBuilder::new(pattern).unicode(false).build().unwrap()
}

fn running_pattern() -> Regex {
    pattern("/definitions/RawSchedule/properties/running/pattern")
}

fn window_pattern(key: &str) -> Regex {
    pattern(&format!("/definitions/RawWindow/properties/{key}/pattern"))
}

/// Whether core accepts a schedule with these windows.
fn is_accepted(running: Option<&str>, window: Option<RawWindow>) -> bool {
    let raw = RawTimetable {
        timezone: Some("Europe/Paris".to_owned()),
        running: running.map_or_else(OneOrMany::default, |line| OneOrMany::One(line.to_owned())),
        window: window.into_iter().collect(),
        ..RawTimetable::default()
    };
    raw.resolve("schedules.office").is_ok()
}

#[test]
fn the_pattern_of_windows_agrees_with_the_parser() {
    let pattern = running_pattern();
    for line in [
        "Mon-Fri 08:00-20:00",
        "monday-FRI 8:00-20:00",
        "Fri 20:00 - Mon 6:00",
        "Mon - Fri 08:00-12:00, 13:00-17:00",
        "Mon-Thu 08:00-19:00; Fri 08:00-16:00",
        "Sat,Sun",
        "Mon#1 months=Jan-Jun 22:00-06:00",
        "FriL 00:00-24:00",
        "dates=1-7,L 08:00-",
        "dates=15W,LW months=*/3 -20:00",
        "days=*/2 09:00-17:00",
        "dates=*/2",
        " 00:00-24:00 ",
    ] {
        assert!(is_accepted(Some(line), None), "{line}");
        assert!(pattern.is_match(line.as_bytes()), "{line}");
    }
    for line in [
        "",
        "Mon-Fri 9-17",
        "Mon-Fri 08:00",
        "Mon-Fri 08-20:00",
        "Mo-Fr 08:00-20:00",
        "Mon-Fri 08:00-25:00",
        "Mon-Fri 8:0-20:00",
        "Mon-Fri 24:00-06:00",
        "1-5 08:00-20:00",
        "Mon..Fri 08:00-20:00",
        "Mon-Fri 08:00-20:00 Europe/Paris",
        "Mon-Fri 08:00-20:00;",
        "Mon#6 08:00-20:00",
        "L 08:00-20:00",
        "cron(0 8 * * ? *)",
    ] {
        assert!(!is_accepted(Some(line), None), "{line}");
        assert!(!pattern.is_match(line.as_bytes()), "{line}");
    }
}

#[test]
fn the_patterns_of_times_agree_with_the_parser() {
    let (from, to) = (window_pattern("from"), window_pattern("to"));
    let begins = |text: &str| RawWindow {
        days: Some("Fri".to_owned()),
        from: Some(text.to_owned()),
        ..RawWindow::default()
    };
    let ends = |text: &str| RawWindow {
        days: Some("Fri".to_owned()),
        to: Some(text.to_owned()),
        ..RawWindow::default()
    };
    for text in [
        "09:00",
        "9:00",
        "00:00",
        "23:59",
        " 08:30 ",
        "24:00",
        "24:01",
        "9",
        "09",
        "9:5",
        "09.00",
        "29:00",
        "12:60",
        "",
        "9:00 pm",
        "Mon 06:00",
        "monday 6:00",
        "Mon  06:00",
        "Mo 06:00",
        "Mon 24:00",
        "Mon-Tue 06:00",
        "Mon",
        "1 06:00",
        "06:00:00",
    ] {
        let is_match = from.is_match(text.as_bytes());
        assert_eq!(
            is_match,
            is_accepted(None, Some(begins(text))),
            "from = {text}"
        );
        // An end at the beginning is empty, which is not a matter of form.
        let is_empty = text == "00:00";
        let is_match = to.is_match(text.as_bytes());
        assert_eq!(
            is_match,
            is_accepted(None, Some(ends(text))) || is_empty,
            "to = {text}"
        );
    }
}

proptest! {
    #[test]
    fn the_pattern_of_windows_accepts_what_the_parser_accepts(
        words in prop::collection::vec(prop::sample::select(vec![
            "Mon", "fri", "SUNDAY", "Sat,Sun", "-", " - ", ",", ", ", " ,", " ", " ", ";", "#2", "L", "W", "/2", "*",
            "days=", "dates=", "months=", "15", "1-7", "jan", "March", "8:00", "08:00", "20:30", "24:00", "00:00-24:00",
        ]), 1..9)
    ) {
        let line = words.concat();
        if is_accepted(Some(&line), None) {
            prop_assert!(running_pattern().is_match(line.as_bytes()), "{}", line);
        }
    }
}
