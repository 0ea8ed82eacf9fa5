//! `config/curfew.schema.json` is the schema of the settings file: generated, and compared here.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Overrides, RawSettings, load};

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config")
        .join(name)
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_settings() {
    let file = config("curfew.schema.json");
    let schema = curfew_core::schema::of::<RawSettings>();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        std::fs::write(&file, text).unwrap();
    }
    let found: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(
        found == schema,
        "config/curfew.schema.json is out of date: UPDATE_SCHEMA=1 cargo test -p curfew settings::schema"
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
    assert!(count >= 7, "only {count} examples");
}
