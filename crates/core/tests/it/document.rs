//! Compatibility of the configuration document between releases: older documents and those newer in the minor are read, and those newer
//! in the major are refused.

use curfew_core::configuration::{DocumentError, DocumentVersion, RawScheduleSet};
use serde_json::{Value, json};

/// A document from before documents had a version, in which every key is used.
const UNVERSIONED: &str = include_str!("../documents/without-version.json");

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut document: Value = serde_json::from_str(UNVERSIONED).unwrap();
    change(&mut document);
    document.to_string()
}

#[test]
fn a_document_without_a_version_is_read_and_written_with_one() {
    let read = RawScheduleSet::from_json(UNVERSIONED).unwrap();
    let schedule_set = read.resolve().unwrap();
    assert_eq!(schedule_set.schedules.len(), 3);
    assert_eq!(read.targets().unwrap().accounts.len(), 1);
    let written = read.to_json();
    assert!(
        written.starts_with(r#"{"version":"1.0","managing""#),
        "{written}"
    );
    let again = RawScheduleSet::from_json(&written).unwrap();
    assert_eq!(again, read);
    assert_eq!(again.resolve().unwrap(), schedule_set);
}

#[test]
fn fields_of_a_newer_minor_are_ignored_at_every_level() {
    let known = RawScheduleSet::from_json(UNVERSIONED).unwrap();
    let newer = |version: &str| {
        changed(|document| {
            document["version"] = json!(version);
            document["prices"] = json!({ "currency": "EUR" });
            document["managing"]["kinds"] = json!(["instance"]);
            document["schedules"]["lab"]["warn"] = json!("15m");
            document["schedules"]["lab"]["window"][0]["note"] = json!("Saturdays");
            document["schedules"]["lab"]["match"]["names"] = json!(["web-*"]);
            document["account"][0]["owner"] = json!({ "team": "payments" });
        })
    };
    assert_eq!(RawScheduleSet::from_json(&newer("1.7")).unwrap(), known);
    // In a document of a known version the same fields are refused.
    for version in ["1.0", "0.0"] {
        let error = RawScheduleSet::from_json(&newer(version)).unwrap_err();
        assert!(matches!(error, DocumentError::Malformed(_)), "{error}");
    }
}

#[test]
fn known_fields_of_a_newer_minor_are_still_checked() {
    let wrong = changed(|document| {
        document["version"] = json!("1.7");
        document["schedules"]["lab"]["adopt"] = json!({ "after": "1h" });
    });
    let error = RawScheduleSet::from_json(&wrong).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"`configuration document`: invalid type: map, expected a string");
}

#[test]
fn a_newer_major_is_refused_regardless_of_its_content() {
    for document in [
        r#"{"version":"2.0","schedules":{}}"#,
        r#"{"version":"2.5","configuration":[]}"#,
    ] {
        let error = RawScheduleSet::from_json(document).unwrap_err();
        assert!(matches!(error, DocumentError::Newer { .. }), "{error}");
    }
    let error = RawScheduleSet::from_json(r#"{"version":"2.0"}"#).unwrap_err();
    insta::assert_snapshot!(error, @"the configuration document is of version 2.0, and this code reads versions up to 1.x");
}

#[test]
fn the_origin_of_a_document_has_no_effect_on_decisions() {
    let with_origin = changed(|document| {
        document["origin"] = json!("ops-1:/etc/curfew/curfew.toml");
    });
    let with_origin = RawScheduleSet::from_json(&with_origin).unwrap();
    let without = RawScheduleSet::from_json(UNVERSIONED).unwrap();
    assert_ne!(with_origin, without, "it is kept for the next publication");
    assert_eq!(with_origin.resolve(), without.resolve());
    assert_eq!(with_origin.targets(), without.targets());
}

#[test]
fn an_invalid_version_makes_the_document_malformed() {
    for version in [
        json!(1),
        json!("1"),
        json!("one"),
        json!("1.0.0"),
        json!(null),
    ] {
        let document = changed(|document| document["version"] = version.clone());
        let error = RawScheduleSet::from_json(&document).unwrap_err();
        assert!(
            matches!(error, DocumentError::Malformed(_)),
            "{version}: {error}"
        );
    }
}

#[test]
fn code_reads_older_versions_and_newer_minor_versions() {
    let version = |text: &str| text.parse::<DocumentVersion>().unwrap();
    assert!(version("1.0").reads(DocumentVersion::UNNAMED));
    assert!(version("1.0").reads(version("1.9")));
    assert!(!version("1.9").reads(version("2.0")));
    assert!(!DocumentVersion::UNNAMED.reads(DocumentVersion::CURRENT));
}
