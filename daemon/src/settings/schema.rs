//! `config/curfew.schema.json` is the schema of the settings file: generated, and compared here.

use std::path::{Path, PathBuf};

use super::{Overrides, load};

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config")
        .join(name)
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_settings() {
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
        let settings = load(&Overrides {
            file: Some(file.clone()),
            ..Overrides::default()
        });
        match settings {
            Ok(settings) => assert!(!settings.governance.schedules.is_empty()),
            Err(error) => panic!("{}: {error}", file.display()),
        }
        count += 1;
    }
    assert!(count >= 8, "only {count} examples");
}
