//! Tests that `config/curfew.schema.json` matches the generated schema, and that the examples and the packaged file load.

use std::path::{Path, PathBuf};

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
