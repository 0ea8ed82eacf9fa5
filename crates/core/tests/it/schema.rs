//! Tests the part of the schema in the repository that this crate generates: schedules and accounts.

use curfew_core::configuration::RawScheduleSet;
use serde_json::Value;

fn complete_schema() -> Value {
    serde_json::from_str(include_str!("../../../../config/curfew.schema.json")).unwrap()
}

#[test]
fn the_schema_in_the_repository_has_this_crates_definitions() {
    let (whole, ours) = (
        complete_schema(),
        curfew_core::schema::of::<RawScheduleSet>(),
    );
    let definitions = ours["definitions"].as_object().unwrap();
    let names: Vec<_> = definitions.keys().map(String::as_str).collect();
    for name in [
        "Adopt",
        "RawAccount",
        "RawManaging",
        "RawMatcher",
        "RawSchedule",
        "RawWindow",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for (name, definition) in definitions {
        let found = &whole["definitions"][name];
        assert_eq!(
            found, definition,
            "{name}; UPDATE_SCHEMA=1 cargo test -p curfew-config schema"
        );
    }
}

#[test]
fn the_schema_refuses_unknown_keys_and_lists_allowed_values() {
    let whole = complete_schema();
    let schedule = &whole["definitions"]["RawSchedule"];
    assert_eq!(schedule["additionalProperties"], Value::Bool(false));
    assert_eq!(whole["additionalProperties"], Value::Bool(false));
    let described = |key: &str| schedule["properties"][key]["description"].as_str();
    assert_eq!(
        described("timezone"),
        Some("An IANA time zone: `Europe/Paris`.")
    );
    let text = whole.to_string();
    for value in ["converge", "next-edge", "token", "cloud"] {
        assert!(text.contains(&format!("\"{value}\"")), "{value}");
    }
    for word in ["\"required\":", "null"] {
        assert!(!text.contains(word), "{word}");
    }
}
