//! The JSON of a plan, which scripts read.

use curfew_core::instance::InstanceState::*;
use curfew_core::state_tags::{LAST_TAG, OVERRIDE_TAG, REQUEST_TAG};

use crate::support::{CONFIGURATION, Cloud, StateDetails, paris, schedule_set};

#[test]
fn a_plan_is_one_json_document_with_steps_and_skips() {
    let now = paris("2026-11-23 20:00:10");
    let mut cloud = Cloud::new(schedule_set(CONFIGURATION), now, StateDetails::Reported);
    let office = ("Schedule", "office");
    let held = (
        OVERRIDE_TAG,
        "running since 2026-11-23T18:00:00Z until 2026-11-23T21:00:00Z by alice",
    );
    cloud.add("web", Running, &[office]);
    cloud.add("build", Running, &[office, held]);
    cloud.add("db", Running, &[("Schedule", "offcie")]);
    cloud.add("cache", Stopping, &[office]);
    for machine in cloud.machines.values_mut() {
        machine.instance.launched_at = Some(paris("2026-11-02 15:00"));
        let held = machine.instance.tags.contains_key(OVERRIDE_TAG);
        machine.tag(
            LAST_TAG,
            if held {
                "2026-11-23T18:00:00Z start override by alice"
            } else {
                "2026-11-23T07:00:00Z start schedule office"
            },
        );
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&cloud.planned()).unwrap(), @r#"
    {
      "at": "2026-11-23T19:00:10Z",
      "steps": [
        {
          "id": "i-00000001",
          "kind": "instance",
          "name": "web",
          "region": "eu-west-3",
          "state": "running",
          "action": "stop",
          "cause": "schedule office",
          "edge": {
            "at": "2026-11-23T19:00:00Z",
            "action": "stop"
          },
          "note": null
        }
      ],
      "skipped": [
        {
          "id": "i-00000002",
          "kind": "instance",
          "name": "build",
          "region": "eu-west-3",
          "state": "running",
          "code": "overridden",
          "overridden": "running",
          "until": "2026-11-23T21:00:00Z",
          "actor": "alice",
          "reason": "an override by alice keeps it running until 2026-11-23T21:00:00Z"
        },
        {
          "id": "i-00000003",
          "kind": "instance",
          "name": "db",
          "region": "eu-west-3",
          "state": "running",
          "code": "unknown_schedule",
          "schedule": "offcie",
          "known": [
            "eager",
            "night-stop",
            "office",
            "strict"
          ],
          "reason": "its tag names the schedule `offcie`, which does not exist; there is `eager`, `night-stop`, `office`, `strict`"
        },
        {
          "id": "i-00000004",
          "kind": "instance",
          "name": "cache",
          "region": "eu-west-3",
          "state": "stopping",
          "code": "transitioning",
          "reason": "it is stopping; a later pass evaluates it again"
        }
      ],
      "next": {
        "at": "2026-11-23T21:00:00Z",
        "action": "stop"
      }
    }
    "#);
}

/// A skip is flattened into one object, so that the keys of a reason must differ from those of the skip.
#[test]
fn no_skip_reason_repeats_a_key_of_the_skip() {
    let now = paris("2026-11-23 20:00:10");
    let mut cloud = Cloud::new(schedule_set(CONFIGURATION), now, StateDetails::Reported);
    let held = |what| {
        (
            OVERRIDE_TAG,
            match what {
                Running => "running since 2026-11-23T18:00:00Z until 2026-11-23T21:00:00Z by alice",
                Stopped => "ignored since 2026-11-23T18:00:00Z until 2026-11-23T21:00:00Z by alice",
                _ => "?",
            },
        )
    };
    let office = ("Schedule", "office");
    let group = ("aws:autoscaling:groupName", "workers");
    for tags in [
        vec![],
        vec![("Schedule", "none")],
        vec![("Schedule", "offcie")],
        vec![("Schedule", "25:00 Europe/Paris")],
        vec![office, group],
        vec![office, held(Running)],
        vec![office, held(Stopped)],
        vec![office, held(Pending)],
        vec![office, (REQUEST_TAG, "?")],
    ] {
        let web = cloud.add("web", Running, &tags);
        cloud
            .machine(&web)
            .tag(LAST_TAG, "2026-11-23T18:00:00Z start override by alice");
    }
    cloud.at(now + jiff::SignedDuration::from_mins(30));
    let plan = cloud.planned();
    assert_eq!(plan.skipped.len(), cloud.machines.len());
    for skip in &plan.skipped {
        let text = serde_json::to_string(skip).unwrap();
        for key in ["id", "name", "state", "code", "reason"] {
            let key = format!("\"{key}\":");
            assert_eq!(text.matches(&key).count(), 1, "{key} in {text}");
        }
        let code = serde_json::to_string(&skip.reason.code()).unwrap();
        assert!(
            text.contains(&format!("\"code\":{code}")),
            "{code} in {text}"
        );
    }
}
