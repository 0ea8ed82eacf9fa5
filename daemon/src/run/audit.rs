//! The check that the cloud applied each edge, and how soon.
//!
//! An edge that was applied stands in the instance's own tag, whoever applied it; two looks at the tags, one before and one after,
//! show what happened in between.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use curfew_aws::pass::Pass;
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::memory::{Cause, LAST_TAG, Last};
use curfew_core::plan::{Step, StepAction};
use curfew_core::timetable::Action;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::metrics::{EdgeOutcome, Metrics};

/// The first look after an edge. The cloud needs a second or two for a fleet once it is woken; EventBridge wakes it within the minute.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(5);

/// What was known at the last look.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// The newest edge that each instance's tag told of; none, if it had no such tag.
    newest: HashMap<InstanceId, Option<Timestamp>>,
}

/// An edge that the cloud applied since the last look, to one instance or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    edge: Timestamp,
    action: Action,
    cause: Cause,
    instances: usize,
    /// How long after the edge at most: it was seen then.
    latency: SignedDuration,
}

impl Audit {
    /// What the cloud has applied since the last look. An instance that is seen for the first time has no news.
    pub(super) fn look(&mut self, pass: &Pass) -> Vec<Applied> {
        let mut applied: BTreeMap<(Timestamp, Action, String), Applied> = BTreeMap::new();
        let mut newest = HashMap::new();
        for instance in &pass.instances {
            let last = last(instance);
            newest.insert(instance.id.clone(), last.as_ref().map(|last| last.at));
            let Some(before) = self.newest.get(&instance.id) else {
                continue;
            };
            let Some(last) = last.filter(|last| is_edge(&last.cause)) else {
                continue;
            };
            if before.is_none_or(|before| before < last.at) {
                let key = (last.at, last.action, last.cause.to_string());
                let edge = applied.entry(key).or_insert(Applied {
                    edge: last.at,
                    action: last.action,
                    cause: last.cause,
                    instances: 0,
                    latency: pass.at.duration_since(last.at).max(SignedDuration::ZERO),
                });
                edge.instances += 1;
            }
        }
        // Of a region that did not answer this time, the next look tells.
        self.newest.extend(newest);
        applied.into_values().collect()
    }

    /// What the daemon applies itself is no news of the cloud's.
    pub(super) fn did(&mut self, pass: &Pass) {
        for outcome in &pass.outcomes {
            if let Some(edge) = outcome.step.edge {
                let id = outcome.step.instance.clone();
                self.newest.insert(id, Some(edge.at));
            }
        }
    }
}

impl Applied {
    /// Says so, and counts it.
    pub(super) fn tell(&self, grace: Duration, metrics: &Metrics) {
        let Self {
            edge,
            action,
            cause,
            instances,
            latency,
        } = self;
        let latency_seconds = latency.as_secs_f64();
        let in_time = SignedDuration::try_from(grace).is_ok_and(|grace| *latency <= grace);
        if in_time {
            info!(%edge, %action, %cause, instances, latency_seconds, "the cloud applied an edge in time");
            metrics.edges(EdgeOutcome::InTime, *instances);
        } else {
            warn!(%edge, %action, %cause, instances, latency_seconds, "the cloud applied an edge late");
            metrics.edges(EdgeOutcome::Late, *instances);
        }
    }
}

/// When to look again while edges wait to be applied or are to come: soon after each, then less and less often, and when the grace is
/// over.
pub(super) fn next_look(pass: &Pass, grace: Duration) -> Option<Timestamp> {
    let now = pass.at;
    let waiting = pass.plan.steps.iter();
    let waiting = waiting.filter_map(|step| Some(step.edge?.at));
    let waiting = waiting.filter_map(|edge| {
        let judged = judged_at(edge, grace);
        let again = now.duration_since(edge).max(FIRST_LOOK);
        let soon = now.checked_add(again).unwrap_or(Timestamp::MAX);
        (judged > now).then(|| soon.min(judged))
    });
    let coming = pass.plan.next_edge.map(|edge| {
        let soon = edge.checked_add(FIRST_LOOK).unwrap_or(Timestamp::MAX);
        soon.min(judged_at(edge, grace))
    });
    waiting.chain(coming).filter(|at| *at > now).min()
}

/// The cloud should have done it by now. Bookkeeping can wait; an instance that should have been started or stopped can't.
pub(super) fn is_late(step: &Step, grace: Duration, now: Timestamp) -> bool {
    step.action != StepAction::Record
        && step
            .edge
            .is_some_and(|edge| judged_at(edge.at, grace) <= now)
}

/// When an edge at that instant counts as missed by the cloud.
fn judged_at(edge: Timestamp, grace: Duration) -> Timestamp {
    SignedDuration::try_from(grace)
        .ok()
        .and_then(|grace| edge.checked_add(grace).ok())
        .unwrap_or(Timestamp::MAX)
}

fn last(instance: &Instance) -> Option<Last> {
    instance.tags.get(LAST_TAG)?.parse().ok()
}

/// A request is applied by whoever was asked, at once; only edges are waited for.
fn is_edge(cause: &Cause) -> bool {
    matches!(cause, Cause::Schedule(_) | Cause::Hold(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::fixture;
    use curfew_core::govern::Governance;
    use curfew_core::instance::InstanceState;
    use curfew_core::plan::{World, plan};
    use curfew_core::settings::RawGovernance;

    const GRACE: Duration = Duration::from_mins(2);

    fn governance() -> Governance {
        let document =
            r#"{"schedules": {"office": {"timezone": "UTC", "running": "Mon-Fri 08:00-20:00"}}}"#;
        RawGovernance::from_json(document)
            .unwrap()
            .resolve()
            .unwrap()
    }

    fn instance(number: u8, state: InstanceState, last: &str) -> Instance {
        let id = format!("i-0abc1234def56789{number}");
        fixture::instance(&id, state, &[("Schedule", "office"), (LAST_TAG, last)])
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-23T{time}Z").parse().unwrap()
    }

    fn look(instances: Vec<Instance>, now: &str) -> Pass {
        let plan = plan(&World::unasked(&governance(), &instances), at(now));
        Pass {
            at: at(now),
            instances,
            plan,
            outcomes: Vec::new(),
        }
    }

    const MORNING: &str = "2026-11-23T08:00:00Z start schedule office";
    const EVENING: &str = "2026-11-23T20:00:00Z stop schedule office";

    #[test]
    fn an_edge_that_the_cloud_applied_is_found_by_the_tags_and_told_once_for_all_its_instances() {
        let mut audit = Audit::default();
        let running = |number| instance(number, InstanceState::Running, MORNING);
        let stopped = |number| instance(number, InstanceState::Stopped, EVENING);
        let first = look(vec![running(1), running(2), running(3)], "19:59:30");
        assert_eq!(audit.look(&first), [], "it may be hours old");
        let second = look(vec![stopped(1), stopped(2), running(3)], "20:00:05");
        let [applied] = &audit.look(&second)[..] else {
            panic!("one edge");
        };
        assert_eq!((applied.instances, applied.edge), (2, at("20:00:00")));
        assert_eq!(applied.latency, SignedDuration::from_secs(5));

        let metrics = Metrics::default();
        let third = look(vec![stopped(1), stopped(2), stopped(3)], "20:02:30");
        for applied in audit.look(&third) {
            applied.tell(GRACE, &metrics);
        }
        assert!(
            metrics
                .text()
                .contains("curfew_edges_total{outcome=\"late\"} 1")
        );
        assert_eq!(audit.look(&third), []);
    }

    #[test]
    fn what_somebody_asked_for_is_no_edge() {
        let mut audit = Audit::default();
        let asked = "2026-11-23T12:00:00Z stop request alice";
        audit.look(&look(
            vec![instance(1, InstanceState::Running, MORNING)],
            "11:00:00",
        ));
        let stopped = vec![instance(1, InstanceState::Stopped, asked)];
        assert_eq!(audit.look(&look(stopped, "12:00:01")), []);
    }

    #[test]
    fn an_edge_is_looked_after_soon_then_less_often_and_at_the_end_of_the_grace() {
        let running = || vec![instance(1, InstanceState::Running, MORNING)];
        let mut now = "19:59:00".to_owned();
        let mut looks = Vec::new();
        while let Some(next) = next_look(&look(running(), &now), GRACE) {
            now = next.strftime("%H:%M:%S").to_string();
            looks.push(now.clone());
            if next >= at("20:02:00") {
                break;
            }
        }
        assert_eq!(
            looks,
            [
                "20:00:05", "20:00:10", "20:00:20", "20:00:40", "20:01:20", "20:02:00"
            ]
        );
        let late = look(running(), "20:02:00");
        assert!(is_late(&late.plan.steps[0], GRACE, late.at));
    }
}
