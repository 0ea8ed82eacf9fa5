//! Explains one instance: which schedule manages it, what its state tags hold, what a pass would do now, and what is due next.

use jiff::Timestamp;
use serde::Serialize;

use crate::assess::{Assessment, assess};
use crate::decision::Decision;
use crate::instance::{AccountId, Instance, InstanceId, InstanceState, Region, ResourceKind};
use crate::schedule::{Enforcement, ScheduleName};
use crate::schedule_set::ManagedBy;
use crate::skip::Skip;
use crate::state_tags::{Fallback, LastApplied, Override, Retry};
use crate::step::{Step, StepAction};
use crate::timetable::{Desired, Edge};
use crate::world::World;

/// The decision about one instance, and all facts that it depends on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The instance's id.
    #[serde(rename = "id")]
    pub instance: InstanceId,
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The value of its tag `Name`.
    pub name: Option<String>,
    /// The region of the instance.
    pub region: Region,
    /// The account that owns the instance.
    pub account: AccountId,
    /// The observed state.
    pub state: InstanceState,
    /// The instant of the decision.
    pub at: Timestamp,
    /// The schedule that manages it.
    pub schedule: Option<ScheduleName>,
    /// The rule by which that schedule manages it.
    pub managed: Option<ManagedBy>,
    /// Whether that schedule is enforced at every pass.
    pub enforce: bool,
    /// The override in force.
    #[serde(rename = "override")]
    pub override_: Option<Override>,
    /// The newest edge or request applied to it.
    #[serde(rename = "last_applied")]
    pub last: Option<LastApplied>,
    /// The failed action that waits for its next attempt.
    pub retry: Option<Retry>,
    /// The fallback in force: the current type, and the type that the instance returns to.
    pub fallback: Option<Fallback>,
    /// The desired state, by its override or else by its schedule.
    pub desired: Desired,
    /// The reason for the desired state: one sentence.
    pub reason: Option<String>,
    /// The schedule's newest edge.
    pub last_edge: Option<Edge>,
    /// The next action that is due, and its instant.
    #[serde(rename = "next")]
    pub next_edge: Option<Edge>,
    /// The step that a pass would execute.
    pub step: Option<Step>,
    /// Why a pass would skip the instance.
    pub skip: Option<Skip>,
    /// The step of a pass, or the reason for a skip: one sentence.
    pub verdict: String,
}

impl Explanation {
    /// Explains one instance of `world`, which carries no request, at `now`.
    pub fn of(instance: &Instance, world: &World<'_>, now: Timestamp) -> Self {
        let Assessment {
            schedule,
            override_,
            request,
            last,
            retry,
            fallback,
            desired,
            next_edge,
            next_due: _,
            decision,
        } = assess(instance, world, now);
        let verdict = verdict(&decision);
        let (step, skip) = match decision {
            Decision::Step(step) => (Some(step), None),
            Decision::Skip(skip) => (None, Some(skip)),
        };
        let schedule = schedule.as_deref();
        let because = match (&override_, &request) {
            (Some(override_), _) => Some(format!("the override by {}", override_.actor)),
            (None, Some(request)) => Some(format!("the request by {}", request.actor)),
            (None, None) => schedule.map(|schedule| schedule.timetable.reason(now)),
        };
        Self {
            instance: instance.id.clone(),
            kind: ResourceKind::Instance,
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            account: instance.account.clone(),
            state: instance.state,
            at: now,
            schedule: schedule.map(|schedule| schedule.name.clone()),
            managed: world.schedule_set.managed_by(instance),
            enforce: schedule.is_some_and(|schedule| schedule.enforcement == Enforcement::Enforced),
            last_edge: schedule.and_then(|schedule| schedule.timetable.last_edge(now)),
            reason: because,
            override_,
            last,
            retry,
            fallback,
            desired,
            next_edge,
            step,
            skip,
            verdict,
        }
    }
}

/// The step of a pass, or the reason for a skip: one sentence.
pub fn verdict(decision: &Decision) -> String {
    let step = match decision {
        Decision::Skip(skip) => return skip.detail.clone(),
        Decision::Step(step) => step,
    };
    let what = match step.action {
        StepAction::Record => "a pass would record it as done",
        StepAction::Start => "a pass would start it",
        StepAction::Stop => "a pass would stop it",
        StepAction::Hibernate => "a pass would hibernate it",
    };
    match &step.note {
        Some(note) => format!("{what} ({}: {note})", step.cause),
        None => format!("{what} ({})", step.cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;

    fn explained(tags: &[(&str, &str)], now: &str) -> Explanation {
        let document = r#"{"schedules": {
            "office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"},
            "lab": {"timezone": "UTC", "stop": "0 22 * * *", "enforce": true, "match": {"tags": {"Team": "lab*"}}},
            "named": {"timezone": "UTC", "stop": "0 22 * * *", "match": {"ids": ["i-0abc1234def567890"], "tags": {"Only": "ids"}}}
        }}"#;
        let schedule_set = test_support::schedule_set(document);
        let mut instance = test_support::instance("web");
        for (key, value) in tags {
            instance.tags.insert((*key).into(), (*value).into());
        }
        if tags.iter().any(|(key, _)| *key == "Team") {
            instance.id = "i-00000000".parse().unwrap();
        }
        let instances = [instance];
        let world = World::without_request(&schedule_set, &instances);
        Explanation::of(&instances[0], &world, now.parse().unwrap())
    }

    #[test]
    fn the_rule_by_which_the_schedule_manages_the_instance_is_named() {
        let claim = |tags: &[(&str, &str)]| {
            explained(tags, "2026-11-23T12:00:00Z")
                .managed
                .unwrap()
                .to_string()
        };
        assert_eq!(
            claim(&[("Schedule", "office")]),
            "its tag `Schedule` names it"
        );
        assert_eq!(
            claim(&[("Schedule", "Mon-Fri 08:00-20:00 Europe/Paris")]),
            "its tag `Schedule` holds it: `Mon-Fri 08:00-20:00 Europe/Paris`"
        );
        assert_eq!(
            claim(&[("Team", "lab-2")]),
            "the schedule's `match` takes `Team` = `lab*`"
        );
        assert_eq!(claim(&[]), "the schedule's `match` lists it");
        assert_eq!(
            explained(&[("Schedule", "none")], "2026-11-23T12:00:00Z").managed,
            None
        );
    }

    #[test]
    fn an_override_is_the_reason_while_it_lasts() {
        let held = [
            ("Schedule", "office"),
            (
                "curfew:override",
                "stopped since 2026-11-23T11:00:00Z until 2026-11-23T22:00:00Z by alice",
            ),
        ];
        let found = explained(&held, "2026-11-23T12:00:00Z");
        assert_eq!(found.reason.as_deref(), Some("the override by alice"));
        assert_eq!(found.verdict, "a pass would stop it (override by alice)");
        let later = explained(&held, "2026-11-23T23:00:00Z");
        assert_eq!(
            later.reason.as_deref(),
            Some("outside `Mon-Fri 08:00-20:00` since Mon 23 Nov 20:00 CET")
        );
    }

    #[test]
    fn the_json_has_these_fields() {
        let found = explained(&[("Schedule", "office")], "2026-11-23T19:00:00Z");
        insta::assert_json_snapshot!(found, @r#"
        {
          "id": "i-0abc1234def567890",
          "kind": "instance",
          "name": "web",
          "region": "eu-west-3",
          "account": "123456789012",
          "state": "running",
          "at": "2026-11-23T19:00:00Z",
          "schedule": "office",
          "managed": {
            "by": "tag",
            "key": "Schedule",
            "value": "office"
          },
          "enforce": false,
          "override": null,
          "last_applied": null,
          "retry": null,
          "fallback": null,
          "desired": "stopped",
          "reason": "outside `Mon-Fri 08:00-20:00` since Mon 23 Nov 20:00 CET",
          "last_edge": {
            "at": "2026-11-23T19:00:00Z",
            "action": "stop"
          },
          "next": {
            "at": "2026-11-24T07:00:00Z",
            "action": "start"
          },
          "step": {
            "id": "i-0abc1234def567890",
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
          },
          "skip": null,
          "verdict": "a pass would stop it (schedule office)"
        }
        "#);
    }
}
