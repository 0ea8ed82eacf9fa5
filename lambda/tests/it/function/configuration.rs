//! Where the decisions' configuration come from, and what happens without them.

use curfew_lambda::configuration::FRESH;
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, at_work, schedules};

#[tokio::test]
async fn configuration_is_read_once_and_then_while_they_are_fresh() {
    let world = World::with([at_work("web")]).await;
    for _ in 0..3 {
        assert_eq!(world.get("/status").await.status, 200);
    }
    assert_eq!(world.ssm.reads(), 1);
    world.ec2.advance(FRESH);
    world.get("/status").await;
    assert_eq!(world.ssm.reads(), 2);
}

#[tokio::test]
async fn without_configuration_nothing_is_decided() {
    for broken in [
        None,
        Some(""),
        Some("{"),
        Some(r#"{"schedules": {"x": {"timezone": "Mars/Base"}}}"#),
    ] {
        let world = World::with([at_work("web")]).await;
        world.ssm.put(broken.map(str::to_owned));
        assert_eq!(
            world.get("/stop").await.refusal(),
            (503, "no_configuration"),
            "{broken:?}"
        );
        let failure = world.send(&json!({"command": "wake"})).await.unwrap_err();
        assert_eq!(failure.kind, "no_configuration");
        assert_eq!(world.changes(), 0);
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_told() {
    let world = World::with([]).await;
    world.ssm.put(Some(
        r#"{"schedules": {"x": {"timezone": "Europe/Pariss", "start": "0 8 * * 9"}}}"#.to_owned(),
    ));
    insta::assert_snapshot!(world.get("/status").await.told(), @"503 no_configuration: the configuration parameter `/curfew/configuration` is not valid: `schedules.x.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?; `schedules.x.start`: `0 8 * * 9`: `9` is out of range for the day of the week: 0–7 or SUN–SAT are allowed; `curfew check` finds such mistakes before they are deployed");
    world.ssm.put(None);
    insta::assert_snapshot!(world.get("/status").await.told(), @"503 no_configuration: the configuration parameter `/curfew/configuration` does not exist; `curfew deploy` writes it");
}

#[tokio::test]
async fn broken_configuration_leave_the_last_good_ones_in_force() {
    let world = World::with([at_work("web")]).await;
    assert_eq!(world.get("/status").await.status, 200);
    world.ssm.put(Some("{".to_owned()));
    world.ec2.advance(FRESH);
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

/// As a release with documents of this version, which also say what no release says yet, would publish them.
fn of_version(version: &str) -> String {
    let mut newer = schedules();
    newer["version"] = json!(version);
    newer["schedules"]["night"] =
        json!({"timezone": "Europe/Paris", "stop": "0 22 * * *", "warn": "15m"});
    newer.to_string()
}

#[tokio::test]
async fn configuration_for_a_newer_release_are_refused_and_the_last_good_ones_stay() {
    let world = World::with([at_work("web")]).await;
    assert_eq!(world.get("/status").await.status, 200);
    world.ssm.put(Some(of_version("2.0")));
    world.ec2.advance(FRESH);
    let names = world.get("/schedules").await.body["schedules"].to_string();
    assert!(!names.contains("night"), "{names}");
    let answer = world.get("/stop").await;
    assert_eq!(answer.of_instances(&["result"]), ["web | stopping"]);

    // One that has just started has none to go on with.
    let world = World::with([at_work("web")]).await;
    world.ssm.put(Some(of_version("2.0")));
    insta::assert_snapshot!(world.get("/stop").await.told(), @"503 no_configuration: the configuration parameter `/curfew/configuration` is for a newer release: the configuration document is of version 2.0, and this code reads versions up to 1.x; `curfew deploy` of that release brings the function's code up to date");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn a_configuration_that_is_newer_in_the_minor_are_read_without_what_is_new() {
    let world = World::with([at_work("web")]).await;
    world.ssm.put(Some(of_version("1.9")));
    let names = world.get("/schedules").await.body["schedules"].to_string();
    assert!(names.contains("night"), "{names}");
}

#[tokio::test]
async fn a_rule_that_is_newer_than_the_cache_has_the_configuration_read_again() {
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

/// The usual schedules and so many more that one parameter does not hold them, with noise that doesn't compress.
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
async fn configuration_in_parts_are_put_together() {
    let world = World::with([at_work("web")]).await;
    let parts = world.ssm.put_document(&many_schedules(1));
    assert!(parts > 1, "{parts}");
    let answer = world.get("/stop").await;
    assert_eq!(answer.of_instances(&["result"]), ["web | stopping"]);
    assert_eq!(world.ssm.reads(), 1 + parts);
}

#[tokio::test]
async fn a_configuration_that_is_replaced_while_they_are_read_are_read_again() {
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
async fn configuration_that_lack_a_part_decide_nothing() {
    let world = World::with([at_work("web")]).await;
    world.ssm.put_document(&many_schedules(1));
    world.ssm.take_last_part();
    let told = world.get("/stop").await.told();
    assert!(
        told.starts_with(
            "503 no_configuration: the configuration parameter `/curfew/configuration/"
        ),
        "{told}"
    );
    assert_eq!(world.changes(), 0);
}
