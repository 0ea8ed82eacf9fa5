//! Audits whether, and how soon, the cloud applied each edge.
//!
//! An applied edge is recorded in the instance's own tag, whichever process applied it; the tags before and after an edge
//! show what was done.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use curfew_aws::execute::{Outcome, StepResult};
use curfew_aws::pass::Pass;
use curfew_core::instance::{Instance, InstanceId, ResourceKind};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::{Cause, LAST_TAG, LastApplied};
use curfew_core::step::{Step, StepAction};
use curfew_core::timetable::{Action, Edge};
use curfew_core::transition::direction;
use curfew_journal::{EdgeOutcome, EdgeRecord};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::metrics::Metrics;

/// The first observation after an edge. The Lambda needs a second or two for a fleet; EventBridge triggers it within the
/// minute.
const FIRST_CHECK: SignedDuration = SignedDuration::from_secs(5);

/// What the last observation showed.
#[derive(Debug, Default)]
pub(crate) struct EdgeAudit {
    /// The newest edge that each instance's tag records as applied; `None` if it records none.
    newest: HashMap<InstanceId, Option<Timestamp>>,
    /// The edges that the cloud has missed and that are still not applied.
    missed: HashMap<InstanceId, Timestamp>,
}

impl EdgeAudit {
    /// Returns the edges that the cloud has applied since the last observation. An instance that is observed for the first
    /// time contributes none.
    pub(crate) fn observe(
        &mut self,
        pass: &Pass,
        grace: Duration,
        schedule_set: &ScheduleSet,
    ) -> Vec<EdgeRecord> {
        let mut applied = Vec::new();
        let mut newest = HashMap::new();
        for instance in &pass.instances {
            let before = self.newest.get(&instance.id);
            let last = last(instance);
            if last.as_ref().is_some_and(|last| is_pending(last, instance)) {
                // An edge that is applied later is new.
                newest.insert(instance.id.clone(), before.copied().flatten());
                continue;
            }
            newest.insert(instance.id.clone(), last.as_ref().map(|last| last.at));
            let Some(before) = before else {
                continue;
            };
            let Some(last) = last.filter(|last| is_edge(&last.cause)) else {
                continue;
            };
            if before.is_none_or(|before| before < last.at) {
                let outcome = if pass.at <= grace_ends_at(last.at, grace) {
                    EdgeOutcome::InTime
                } else {
                    EdgeOutcome::Late
                };
                let edge = Edge {
                    at: last.at,
                    action: last.action,
                };
                let found = EdgeObservation {
                    edge,
                    cause: last.cause,
                    outcome,
                    at: pass.at,
                };
                applied.push(found.of(instance, schedule_set));
            }
        }
        // A region that did not respond this time is compared by the next observation.
        self.newest.extend(newest);
        applied
    }

    /// Returns how many of these overdue edges were not counted before.
    pub(crate) fn newly_missed(&mut self, late: &[Step]) -> usize {
        let edges = late.iter();
        let edges = edges.filter_map(|step| Some((step.instance.clone(), step.edge?.at)));
        let missed: HashMap<_, _> = edges.collect();
        let known = |(id, edge): &(&InstanceId, &Timestamp)| self.missed.get(*id) == Some(*edge);
        let newly = missed.iter().filter(|edge| !known(edge)).count();
        self.missed = missed;
        newly
    }

    /// Records the edges that the daemon has applied itself by `now`, so that they are not credited to the cloud, and the
    /// overdue ones that it could not apply.
    pub(crate) fn record_own_actions(
        &mut self,
        pass: &Pass,
        grace: Duration,
        schedule_set: &ScheduleSet,
        now: Timestamp,
    ) -> Vec<EdgeRecord> {
        let instances = pass
            .instances
            .iter()
            .map(|instance| (&instance.id, instance));
        let instances: HashMap<&InstanceId, &Instance> = instances.collect();
        let mut done = Vec::new();
        for Outcome { step, result, .. } in &pass.outcomes {
            let Some(edge) = step.edge.filter(|_| is_edge(&step.cause)) else {
                continue;
            };
            let outcome = match result {
                StepResult::Done { .. } | StepResult::TagsNotWritten { .. } => {
                    self.newest.insert(step.instance.clone(), Some(edge.at));
                    EdgeOutcome::Missed
                }
                StepResult::Failed(_) | StepResult::OutOfTime if is_late(step, grace, pass.at) => {
                    EdgeOutcome::NotApplied
                }
                StepResult::Failed(_) | StepResult::Dropped { .. } | StepResult::OutOfTime => {
                    continue;
                }
            };
            if let Some(instance) = instances.get(&step.instance) {
                let found = EdgeObservation {
                    edge,
                    cause: step.cause.clone(),
                    outcome,
                    at: now,
                };
                done.push(found.of(instance, schedule_set));
            }
        }
        done
    }
}

/// The outcome of an edge, before the process that applied it is known.
struct EdgeObservation {
    edge: Edge,
    cause: Cause,
    outcome: EdgeOutcome,
    at: Timestamp,
}

impl EdgeObservation {
    fn of(self, instance: &Instance, schedule_set: &ScheduleSet) -> EdgeRecord {
        let schedule = schedule_set.schedule_for(instance).ok();
        EdgeRecord {
            kind: ResourceKind::Instance,
            edge: self.edge.at,
            instance: instance.id.clone(),
            name: instance.name().map(str::to_owned),
            action: self.edge.action,
            cause: self.cause,
            schedule: schedule.map(|schedule| schedule.name.clone()),
            outcome: self.outcome,
            // An early trigger does not give a negative latency.
            at: self.at.max(self.edge.at),
            region: instance.region.clone(),
            account: instance.account.clone(),
        }
    }
}

/// Logs and counts the edges that the cloud has applied, one line an edge for all its instances.
pub(crate) fn log_applied(applied: &[EdgeRecord], metrics: &Metrics) {
    let mut edges: BTreeMap<(Timestamp, Action, String), Vec<&EdgeRecord>> = BTreeMap::new();
    for record in applied {
        let key = (record.edge, record.action, record.cause.to_string());
        edges.entry(key).or_default().push(record);
    }
    for ((edge, action, cause), those) in edges {
        let instances = those.len();
        if let Some(record) = those.first() {
            let latency_seconds = record.at.duration_since(edge).as_secs_f64();
            metrics.edges(record.outcome, instances);
            if record.outcome == EdgeOutcome::InTime {
                info!(%edge, %action, cause, instances, latency_seconds, "edge applied by the cloud in time");
            } else {
                warn!(%edge, %action, cause, instances, latency_seconds, "edge applied by the cloud late");
            }
        }
    }
}

/// Returns when to observe next while edges are awaited: soon after each edge, then less and less often, and when the grace
/// period ends.
pub(crate) fn next_check(pass: &Pass, grace: Duration) -> Option<Timestamp> {
    let now = pass.at;
    let waiting = pass.plan.steps.iter();
    let waiting = waiting.filter_map(|step| Some(step.edge?.at));
    let waiting = waiting.filter_map(|edge| {
        let judged = grace_ends_at(edge, grace);
        let again = now.duration_since(edge).max(FIRST_CHECK);
        let soon = now.checked_add(again).unwrap_or(Timestamp::MAX);
        (judged > now).then(|| soon.min(judged))
    });
    let coming = pass.plan.next.map(|next| {
        let soon = next.at.checked_add(FIRST_CHECK).unwrap_or(Timestamp::MAX);
        soon.min(grace_ends_at(next.at, grace))
    });
    waiting.chain(coming).filter(|at| *at > now).min()
}

/// Whether the cloud should have executed this step by now. Only starts and stops count; bookkeeping can wait.
pub(crate) fn is_late(step: &Step, grace: Duration, now: Timestamp) -> bool {
    step.action != StepAction::Record
        && step
            .edge
            .is_some_and(|edge| grace_ends_at(edge.at, grace) <= now)
}

/// Returns when an edge counts as missed by the cloud.
fn grace_ends_at(edge: Timestamp, grace: Duration) -> Timestamp {
    SignedDuration::try_from(grace)
        .ok()
        .and_then(|grace| edge.checked_add(grace).ok())
        .unwrap_or(Timestamp::MAX)
}

fn last(instance: &Instance) -> Option<LastApplied> {
    instance.tags.get(LAST_TAG)?.parse().ok()
}

/// The tag is written before the call: while it is pending and the instance is not in transition, the call has failed or has
/// not been made yet.
fn is_pending(last: &LastApplied, instance: &Instance) -> bool {
    last.pending && direction(instance.state) != Some(last.action)
}

/// Requests are applied at once by the process that receives them; only edges and the ends of overrides are awaited.
fn is_edge(cause: &Cause) -> bool {
    matches!(cause, Cause::Schedule(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{self, at};
    use curfew_aws::error::{CloudError, CloudErrorKind};
    use curfew_core::instance::InstanceState;
    use curfew_core::plan::plan;
    use curfew_core::world::World;

    const GRACE: Duration = Duration::from_mins(2);

    fn schedule_set() -> ScheduleSet {
        test_support::schedule_set(test_support::OFFICE)
    }

    fn instance(number: u8, state: InstanceState, last: &str) -> Instance {
        let id = format!("i-0abc1234def56789{number}");
        test_support::instance(&id, state, &[("Schedule", "office"), (LAST_TAG, last)])
    }

    fn observed_pass(instances: Vec<Instance>, now: &str) -> Pass {
        let plan = plan(
            &World::without_request(&schedule_set(), &instances),
            at(now),
        );
        Pass {
            at: at(now),
            instances,
            begun: Vec::new(),
            next_page: None,
            plan,
            outcomes: Vec::new(),
        }
    }

    const MORNING: &str = "2026-11-23T08:00:00Z start schedule office";
    const EVENING: &str = "2026-11-23T20:00:00Z stop schedule office";

    #[test]
    fn an_edge_applied_by_the_cloud_is_found_by_the_tags_and_logged_once_for_all_its_instances() {
        let mut audit = EdgeAudit::default();
        let running = |number| instance(number, InstanceState::Running, MORNING);
        let stopped = |number| instance(number, InstanceState::Stopped, EVENING);
        let first = observed_pass(vec![running(1), running(2), running(3)], "19:59:30");
        assert_eq!(
            audit.observe(&first, GRACE, &schedule_set()),
            [],
            "it may be hours old"
        );
        let second = observed_pass(vec![stopped(1), stopped(2), running(3)], "20:00:05");
        let applied = audit.observe(&second, GRACE, &schedule_set());
        assert_eq!(applied.len(), 2);
        for record in &applied {
            assert_eq!((record.edge, record.at), (at("20:00:00"), at("20:00:05")));
            assert_eq!(record.outcome, EdgeOutcome::InTime);
            assert_eq!(record.schedule, Some("office".parse().unwrap()));
        }
        let metrics = Metrics::default();
        log_applied(&applied, &metrics);
        let third = observed_pass(vec![stopped(1), stopped(2), stopped(3)], "20:02:30");
        log_applied(&audit.observe(&third, GRACE, &schedule_set()), &metrics);
        let text = metrics.text();
        for counted in ["{outcome=\"in_time\"} 2", "{outcome=\"late\"} 1"] {
            let line = format!("curfew_edges_total{counted}");
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert_eq!(audit.observe(&third, GRACE, &schedule_set()), []);
    }

    #[test]
    fn a_pending_edge_is_not_reported_until_it_is_applied() {
        let pending = format!("{EVENING} pending");
        let running = |last: &str| vec![instance(1, InstanceState::Running, last)];
        for before in [vec![running(MORNING)], vec![]] {
            let mut audit = EdgeAudit::default();
            for before in before {
                audit.observe(&observed_pass(before, "19:59:30"), GRACE, &schedule_set());
            }
            let denied = observed_pass(running(&pending), "20:00:05");
            assert_eq!(audit.observe(&denied, GRACE, &schedule_set()), []);
            let still_denied = observed_pass(running(&pending), "20:02:05");
            assert_eq!(audit.observe(&still_denied, GRACE, &schedule_set()), []);
            let stopping = vec![instance(1, InstanceState::Stopping, &pending)];
            let applied = observed_pass(stopping, "20:03:00");
            let applied = audit.observe(&applied, GRACE, &schedule_set());
            assert_eq!(applied.len(), 1);
            assert_eq!(applied[0].outcome, EdgeOutcome::Late);
            let stopped = observed_pass(
                vec![instance(1, InstanceState::Stopped, EVENING)],
                "20:03:30",
            );
            assert_eq!(audit.observe(&stopped, GRACE, &schedule_set()), []);
        }
    }

    #[test]
    fn a_request_is_not_audited_as_an_edge() {
        let mut audit = EdgeAudit::default();
        let asked = "2026-11-23T12:00:00Z stop request alice";
        let running = vec![instance(1, InstanceState::Running, MORNING)];
        audit.observe(&observed_pass(running, "11:00:00"), GRACE, &schedule_set());
        let stopped = vec![instance(1, InstanceState::Stopped, asked)];
        let applied = audit.observe(&observed_pass(stopped, "12:00:01"), GRACE, &schedule_set());
        assert_eq!(applied, []);
    }

    #[test]
    fn the_daemons_own_edges_and_failed_ones_are_recorded_and_missed_edges_count_once() {
        let mut audit = EdgeAudit::default();
        let running = |number| instance(number, InstanceState::Running, MORNING);
        let mut pass = observed_pass(vec![running(1), running(2)], "20:02:00");
        audit.observe(&pass, GRACE, &schedule_set());
        let late = pass.plan.steps.clone();
        assert_eq!(audit.newly_missed(&late), 2);
        let denied = CloudError::new("ec2:StopInstances", CloudErrorKind::Denied, "no");
        pass.outcomes = late
            .iter()
            .zip([
                StepResult::Done {
                    after: InstanceState::Stopping,
                },
                StepResult::Failed(denied),
            ])
            .map(|(step, result)| Outcome {
                step: step.clone(),
                result,
                request_written: false,
            })
            .collect();
        let record_own_actions =
            audit.record_own_actions(&pass, GRACE, &schedule_set(), at("20:02:01"));
        let outcomes: Vec<_> = record_own_actions
            .iter()
            .map(|record| (record.outcome, record.at))
            .collect();
        let now = at("20:02:01");
        assert_eq!(
            outcomes,
            [(EdgeOutcome::Missed, now), (EdgeOutcome::NotApplied, now)]
        );
        assert_eq!(audit.newly_missed(&late[1..]), 0, "it is the same");

        // The daemon's own actions are not reported; what it could not do is, once the cloud has done it.
        let stopped = |number| instance(number, InstanceState::Stopped, EVENING);
        let after = observed_pass(vec![stopped(1), stopped(2)], "20:04:00");
        let applied = audit.observe(&after, GRACE, &schedule_set());
        assert_eq!(applied.len(), 1);
        assert_eq!(applied[0].instance, late[1].instance);
        assert_eq!(applied[0].outcome, EdgeOutcome::Late);
    }

    #[test]
    fn checks_follow_an_edge_soon_then_less_often_and_at_the_end_of_the_grace() {
        let running = || vec![instance(1, InstanceState::Running, MORNING)];
        let mut now = "19:59:00".to_owned();
        let mut checks = Vec::new();
        while let Some(next) = next_check(&observed_pass(running(), &now), GRACE) {
            now = next.strftime("%H:%M:%S").to_string();
            checks.push(now.clone());
            if next >= at("20:02:00") {
                break;
            }
        }
        assert_eq!(
            checks,
            [
                "20:00:05", "20:00:10", "20:00:20", "20:00:40", "20:01:20", "20:02:00"
            ]
        );
        let late = observed_pass(running(), "20:02:00");
        assert!(is_late(&late.plan.steps[0], GRACE, late.at));
    }
}
