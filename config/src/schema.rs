//! `config/curfew.schema.json` is the schema of the configuration file: generated, and compared here.

use std::path::{Path, PathBuf};

use super::{ConfigurationError, LoadOptions, load};

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_configuration() {
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
fn every_example_is_good_as_a_whole() {
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

/// What the package installs says nothing, and is refused for that, until a person takes a comment sign away.
#[test]
fn the_packaged_file_is_refused_as_it_is_and_good_with_every_line_of_it() {
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
