//! Reading and caching the configuration, and errors in it.

use curfew_lambda::configuration_cache::MAX_AGE;
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, at_work, schedules};

#[tokio::test]
async fn the_configuration_is_cached_for_its_maximum_age() {
    let world = World::with([at_work("web")]).await;
    for _ in 0..3 {
        assert_eq!(world.get("/status").await.status, 200);
    }
    assert_eq!(world.ssm.reads(), 1);
    world.ec2.advance(MAX_AGE);
    world.get("/status").await;
    assert_eq!(world.ssm.reads(), 2);
}

#[tokio::test]
async fn without_a_valid_configuration_every_request_fails() {
    for broken in [
        None,
        Some(""),
        Some("{"),
        Some(r#"{"schedules": {"x": {"timezone": "Mars/Base"}}}"#),
    ] {
        let world = World::with([at_work("web")]).await;
        world.ssm.put(broken.map(str::to_owned));
        assert_eq!(
            world.get("/stop").await.error_code(),
            (503, "invalid_configuration"),
            "{broken:?}"
        );
        let failure = world.send(&json!({"command": "wake"})).await.unwrap_err();
        assert_eq!(failure.kind, "invalid_configuration");
        assert_eq!(world.changes(), 0);
    }
}

#[tokio::test]
async fn configuration_errors_are_reported() {
    let world = World::with([]).await;
    world.ssm.put(Some(
        r#"{"schedules": {"x": {"timezone": "Europe/Pariss", "start": "0 8 * * 9"}}}"#.to_owned(),
    ));
    insta::assert_snapshot!(world.get("/status").await.error_text(), @"503 invalid_configuration: the configuration parameter `/curfew/configuration` is not valid: `schedules.x.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?; `schedules.x.start`: `0 8 * * 9`: `9` is out of range for the day of the week: 0–7 or SUN–SAT are allowed; run `curfew check` before deploying to find such errors");
    world.ssm.put(None);
    insta::assert_snapshot!(world.get("/status").await.error_text(), @"503 invalid_configuration: the configuration parameter `/curfew/configuration` does not exist; run `curfew deploy` to create it");
}

#[tokio::test]
async fn an_invalid_configuration_keeps_the_previous_one_active() {
    let world = World::with([at_work("web")]).await;
    assert_eq!(world.get("/status").await.status, 200);
    world.ssm.put(Some("{".to_owned()));
    world.ec2.advance(MAX_AGE);
    let answer = world.get("/stop").await;
    assert_eq!(answer.of_instances(&["result"]), ["web | stopping"]);
    let reads = world.ssm.reads();
    world.get("/status").await;
    assert_eq!(
        world.ssm.reads(),
        reads,
        "a broken parameter is not read again at once"
    );
}

/// A configuration of this document version, with a field that no release knows.
fn of_version(version: &str) -> String {
    let mut newer = schedules();
    newer["version"] = json!(version);
    newer["schedules"]["night"] =
        json!({"timezone": "Europe/Paris", "stop": "0 22 * * *", "warn": "15m"});
    newer.to_string()
}

#[tokio::test]
async fn a_configuration_for_a_newer_release_keeps_the_previous_one_active() {
    let world = World::with([at_work("web")]).await;
    assert_eq!(world.get("/status").await.status, 200);
    world.ssm.put(Some(of_version("2.0")));
    world.ec2.advance(MAX_AGE);
    let names = world.get("/schedules").await.body["schedules"].to_string();
    assert!(!names.contains("night"), "{names}");
    let answer = world.get("/stop").await;
    assert_eq!(answer.of_instances(&["result"]), ["web | stopping"]);

    // A new environment has no previous configuration.
    let world = World::with([at_work("web")]).await;
    world.ssm.put(Some(of_version("2.0")));
    insta::assert_snapshot!(world.get("/stop").await.error_text(), @"503 invalid_configuration: the configuration parameter `/curfew/configuration` is for a newer release: the configuration document is of version 2.0, and this code reads versions up to 1.x; run `curfew deploy` with that release to update the function");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn a_newer_minor_version_is_read_without_its_unknown_fields() {
    let world = World::with([at_work("web")]).await;
    world.ssm.put(Some(of_version("1.9")));
    let names = world.get("/schedules").await.body["schedules"].to_string();
    assert!(names.contains("night"), "{names}");
}

#[tokio::test]
async fn a_pass_rereads_a_configuration_older_than_five_seconds() {
    let world = World::with([at_work("web")]).await;
    world.get("/status").await;
    world.ec2.advance(SignedDuration::from_secs(6));
    let mut newer = schedules();
    newer["schedules"]["night"] = json!({"timezone": "Europe/Paris", "stop": "0 22 * * *"});
    world.ssm.put(Some(newer.to_string()));
    world
        .send(&json!({"command": "wake", "cron": "cron(0 21 * * ? *)"}))
        .await
        .unwrap();
    assert_eq!(world.ssm.reads(), 2);
    let names = world.get("/schedules").await.body["schedules"].to_string();
    assert!(names.contains("night"), "{names}");
}

/// The usual schedules and so many more with incompressible names that the document does not fit into one parameter.
fn many_schedules(first: u32) -> String {
    let mut document = schedules();
    let mut noise = first;
    for number in 0..400 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        document["schedules"][format!("team-{number}-{noise:08x}")] =
            json!({"timezone": "Europe/Paris", "stop": format!("{} 22 * * *", noise >> 8 & 31)});
    }
    document.to_string()
}

#[tokio::test]
async fn a_configuration_in_parts_is_joined() {
    let world = World::with([at_work("web")]).await;
    let parts = world.ssm.put_document(&many_schedules(1));
    assert!(parts > 1, "{parts}");
    let answer = world.get("/stop").await;
    assert_eq!(answer.of_instances(&["result"]), ["web | stopping"]);
    assert_eq!(world.ssm.reads(), 1 + parts);
}

#[tokio::test]
async fn a_configuration_replaced_during_the_read_is_read_again() {
    for reads in 1..3 {
        let world = World::with([at_work("web")]).await;
        world.ssm.put_document(&many_schedules(1));
        world.ssm.replace_after(reads, &many_schedules(2));
        let schedules = world.get("/schedules").await.body["schedules"].to_string();
        let newer: serde_json::Value = serde_json::from_str(&many_schedules(2)).unwrap();
        for name in newer["schedules"].as_object().unwrap().keys() {
            assert!(schedules.contains(name), "{name} after {reads} reads");
        }
    }
}

#[tokio::test]
async fn a_configuration_with_a_missing_part_is_an_error() {
    let world = World::with([at_work("web")]).await;
    world.ssm.put_document(&many_schedules(1));
    world.ssm.take_last_part();
    let error = world.get("/stop").await.error_text();
    assert!(
        error.starts_with(
            "503 invalid_configuration: the configuration parameter `/curfew/configuration/"
        ),
        "{error}"
    );
    assert_eq!(world.changes(), 0);
}
