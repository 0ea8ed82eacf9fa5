//! Why one instance is as it is: what manages it, what it remembers, what a pass would do now, and what comes next.

use jiff::Timestamp;
use serde::Serialize;

use crate::assess::{Assessment, assess};
use crate::decision::Decision;
use crate::instance::{AccountId, Instance, InstanceId, InstanceState, Region};
use crate::memory::{Fallback, Last, Override, Retry};
use crate::schedule::{Enforcement, ScheduleName};
use crate::schedule_set::Claim;
use crate::skip::Skip;
use crate::step::{Step, StepAction};
use crate::timetable::{Desired, Edge};
use crate::world::World;

/// Everything that a decision about one instance rests on, and the decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The instance.
    pub instance: InstanceId,
    /// Its name.
    pub name: Option<String>,
    /// Where it lives.
    pub region: Region,
    /// Whose it is.
    pub account: AccountId,
    /// Its state.
    pub state: InstanceState,
    /// The instant that this is about.
    pub at: Timestamp,
    /// The schedule that manages it.
    pub schedule: Option<ScheduleName>,
    /// How that schedule came to manage it.
    pub managed: Option<Claim>,
    /// Whether that schedule wins at every pass.
    pub enforce: bool,
    /// The override in force.
    #[serde(rename = "override")]
    pub override_: Option<Override>,
    /// The newest edge or request applied to it.
    pub last: Option<Last>,
    /// What EC2 refused lately, and when it is tried again.
    pub retry: Option<Retry>,
    /// The fallback type that it has, and the one that it gets back.
    pub fallback: Option<Fallback>,
    /// What its override, or else its schedule, wants.
    pub desired: Desired,
    /// Why that is wanted: one sentence.
    pub because: Option<String>,
    /// The schedule's newest edge.
    pub last_edge: Option<Edge>,
    /// When something is next due for it, and what.
    pub next_edge: Option<Edge>,
    /// What a pass would do.
    pub step: Option<Step>,
    /// Why a pass would do nothing.
    pub skip: Option<Skip>,
    /// What a pass would do, or why nothing: one sentence.
    pub verdict: String,
}

impl Explanation {
    /// Of one instance of `world`, which carries no request, at `now`.
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
            (Some(override_), _) => Some(format!("the override by {}", override_.by)),
            (None, Some(request)) => Some(format!("the request by {}", request.by)),
            (None, None) => schedule.map(|schedule| schedule.timetable.because(now)),
        };
        Self {
            instance: instance.id.clone(),
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            account: instance.account.clone(),
            state: instance.state,
            at: now,
            schedule: schedule.map(|schedule| schedule.name.clone()),
            managed: world.schedule_set.claim_on(instance),
            enforce: schedule.is_some_and(|schedule| schedule.enforcement == Enforcement::Enforced),
            last_edge: schedule.and_then(|schedule| schedule.timetable.last_edge(now)),
            because,
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

/// What a pass would do, or why it would do nothing: one sentence.
pub fn verdict(decision: &Decision) -> String {
    let step = match decision {
        Decision::Skip(skip) => return skip.detail.clone(),
        Decision::Step(step) => step,
    };
    let what = match step.action {
        StepAction::Record => "a pass would note it as done",
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
    use crate::configuration::RawScheduleSet;
    use crate::example;

    fn explained(tags: &[(&str, &str)], now: &str) -> Explanation {
        let document = r#"{"schedules": {
            "office": {"timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00"},
            "lab": {"timezone": "UTC", "stop": "0 22 * * *", "enforce": true, "match": {"tags": {"Team": "lab*"}}},
            "named": {"timezone": "UTC", "stop": "0 22 * * *", "match": {"ids": ["i-0abc1234def567890"], "tags": {"Only": "ids"}}}
        }}"#;
        let schedule_set = RawScheduleSet::from_json(document)
            .unwrap()
            .resolve()
            .unwrap();
        let mut instance = example::instance("web");
        for (key, value) in tags {
            instance.tags.insert((*key).into(), (*value).into());
        }
        if tags.iter().any(|(key, _)| *key == "Team") {
            instance.id = "i-00000000".parse().unwrap();
        }
        let instances = [instance];
        let world = World::unasked(&schedule_set, &instances);
        Explanation::of(&instances[0], &world, now.parse().unwrap())
    }

    #[test]
    fn it_says_how_the_schedule_came_to_manage_the_instance() {
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
        assert_eq!(found.because.as_deref(), Some("the override by alice"));
        assert_eq!(found.verdict, "a pass would stop it (override by alice)");
        let later = explained(&held, "2026-11-23T23:00:00Z");
        assert_eq!(
            later.because.as_deref(),
            Some("outside `Mon-Fri 08:00-20:00` since Mon 2026-11-23 20:00 Europe/Paris")
        );
    }

    #[test]
    fn the_document_is_what_scripts_read() {
        let found = explained(&[("Schedule", "office")], "2026-11-23T19:00:00Z");
        insta::assert_json_snapshot!(found, @r#"
        {
          "instance": "i-0abc1234def567890",
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
          "last": null,
          "retry": null,
          "fallback": null,
          "desired": "stopped",
          "because": "outside `Mon-Fri 08:00-20:00` since Mon 2026-11-23 20:00 Europe/Paris",
          "last_edge": {
            "at": "2026-11-23T19:00:00Z",
            "action": "stop"
          },
          "next_edge": {
            "at": "2026-11-24T07:00:00Z",
            "action": "start"
          },
          "step": {
            "instance": "i-0abc1234def567890",
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
