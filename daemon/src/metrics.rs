//! What can be counted of the daemon, for Prometheus.
//!
//! Labels have few values: no instance, no account, no text that somebody wrote. What each metric means, and what to do when it says
//! something is wrong, is in docs/monitoring.

mod serve;

use std::time::Duration;

use curfew_aws::calls::Calls;
use curfew_aws::execute::{Outcome, StepResult};
use curfew_core::instance::{Instance, InstanceState};
use curfew_core::memory::Cause;
use curfew_core::transition::Transition;
use jiff::{SignedDuration, Timestamp};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::journal::EdgeOutcome;

pub(crate) use serve::serve;

/// From a reaction in time to an edge that was caught up after an outage, in seconds.
const LATENCIES: [f64; 13] = [
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0,
];

/// All metrics. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    passes: IntCounterVec,
    last_pass: Gauge,
    steps: IntCounterVec,
    edges: IntCounterVec,
    edge_latency: Histogram,
    instances: IntGaugeVec,
    governed: IntGauge,
    next_edge: Gauge,
    transitions: IntCounterVec,
    journal_writes: IntCounterVec,
    queue_lag: Gauge,
    task_restarts: IntCounterVec,
    time_jumps: IntCounter,
    settings_generation: IntGauge,
    settings_refused: IntGauge,
    ready: IntGauge,
}

/// How a pass went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOutcome {
    /// Everybody answered.
    Whole,
    /// Some accounts or regions did not answer.
    Partial,
    /// Nobody answered.
    Failed,
}

impl Metrics {
    /// Nothing counted yet, besides what `calls` counts.
    pub fn new(calls: Calls) -> Self {
        let registry = Registry::new();
        let new = Self {
            passes: vector(
                "curfew_passes_total",
                "Passes, or checks that the cloud made its own, by outcome: whole, partial, failed.",
                &["outcome"],
            ),
            last_pass: gauge(
                "curfew_last_pass_timestamp_seconds",
                "When the last pass or check was made that anybody answered, in Unix time.",
            ),
            steps: vector(
                "curfew_steps_total",
                "Steps of the daemon's own passes, by action and result: done, not_remembered, failed, dropped, out_of_time.",
                &["action", "result"],
            ),
            edges: vector(
                "curfew_edges_total",
                "Edges of one instance each that the cloud was to apply, by outcome: in_time, late, missed.",
                &["outcome"],
            ),
            edge_latency: histogram(
                "curfew_edge_latency_seconds",
                "From an edge until its instance was running or stopped.",
            ),
            instances: gauges(
                "curfew_instances",
                "Instances that were seen, by state.",
                &["state"],
            ),
            governed: int_gauge(
                "curfew_governed_instances",
                "Instances that a schedule governs.",
            ),
            next_edge: gauge(
                "curfew_next_edge_timestamp_seconds",
                "When something is due next, in Unix time; 0 if nothing is.",
            ),
            transitions: vector(
                "curfew_transitions_total",
                "Journalled transitions, by the state they lead to and the sort of cause.",
                &["to", "cause"],
            ),
            journal_writes: vector(
                "curfew_journal_writes_total",
                "Writes to the journal, by outcome: done, failed.",
                &["outcome"],
            ),
            queue_lag: gauge(
                "curfew_queue_lag_seconds",
                "How old the newest state change from the queue was when it was taken.",
            ),
            task_restarts: vector(
                "curfew_task_restarts_total",
                "Tasks that died and were started again.",
                &["task"],
            ),
            time_jumps: counter(
                "curfew_time_jumps_total",
                "Jumps of time that were noticed: the machine slept, or its clock was set.",
            ),
            settings_generation: int_gauge(
                "curfew_settings_generation",
                "Which settings are in force; counts up from 1 with every change.",
            ),
            settings_refused: int_gauge(
                "curfew_settings_refused",
                "1 while the settings files can't be used, and older settings are in force.",
            ),
            ready: int_gauge("curfew_ready", "1 while /readyz says so."),
            registry,
        };
        for one in new.collectors(calls) {
            new.registry.register(one).expect("each name is used once");
        }
        // So that a first failure is an increase.
        for outcome in ["whole", "partial", "failed"] {
            new.passes.with_label_values(&[outcome]);
        }
        for outcome in [EdgeOutcome::InTime, EdgeOutcome::Late, EdgeOutcome::Missed] {
            new.edges.with_label_values(&[outcome.as_str()]);
        }
        for outcome in ["done", "failed"] {
            new.journal_writes.with_label_values(&[outcome]);
        }
        new
    }

    fn collectors(&self, calls: Calls) -> [Box<dyn Collector>; 17] {
        [
            Box::new(self.passes.clone()),
            Box::new(self.last_pass.clone()),
            Box::new(self.steps.clone()),
            Box::new(self.edges.clone()),
            Box::new(self.edge_latency.clone()),
            Box::new(self.instances.clone()),
            Box::new(self.governed.clone()),
            Box::new(self.next_edge.clone()),
            Box::new(self.transitions.clone()),
            Box::new(self.journal_writes.clone()),
            Box::new(self.queue_lag.clone()),
            Box::new(self.task_restarts.clone()),
            Box::new(self.time_jumps.clone()),
            Box::new(self.settings_generation.clone()),
            Box::new(self.settings_refused.clone()),
            Box::new(self.ready.clone()),
            Box::new(CallCounts::new(calls)),
        ]
    }

    /// Everything as Prometheus reads it.
    pub fn text(&self) -> String {
        let families = self.registry.gather();
        let text = TextEncoder::new().encode_to_string(&families);
        text.expect("names and labels are constants and plain")
    }

    pub(crate) fn pass(&self, outcome: PassOutcome, at: Option<Timestamp>) {
        let outcome = match outcome {
            PassOutcome::Whole => "whole",
            PassOutcome::Partial => "partial",
            PassOutcome::Failed => "failed",
        };
        self.passes.with_label_values(&[outcome]).inc();
        if let Some(at) = at {
            self.last_pass.set(unix(at));
        }
    }

    pub(crate) fn steps(&self, outcomes: &[Outcome]) {
        for Outcome { step, result, .. } in outcomes {
            let result = match result {
                StepResult::Done { .. } => "done",
                StepResult::NotRemembered { .. } => "not_remembered",
                StepResult::Failed(_) => "failed",
                StepResult::Dropped { .. } => "dropped",
                StepResult::OutOfTime => "out_of_time",
            };
            let action = step.action.to_string();
            self.steps
                .with_label_values(&[action.as_str(), result])
                .inc();
        }
    }

    pub(crate) fn edges(&self, outcome: EdgeOutcome, instances: usize) {
        let instances = u64::try_from(instances).unwrap_or(u64::MAX);
        let outcome = outcome.as_str();
        self.edges.with_label_values(&[outcome]).inc_by(instances);
    }

    pub(crate) fn fleet(&self, instances: &[Instance], governed: usize, next: Option<Timestamp>) {
        for state in InstanceState::ALL {
            let count = instances.iter().filter(|one| one.state == state).count();
            let gauge = self.instances.with_label_values(&[state.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.governed
            .set(i64::try_from(governed).unwrap_or(i64::MAX));
        self.next_edge.set(next.map_or(0.0, unix));
    }

    pub(crate) fn journalled(&self, transition: &Transition) {
        let to = transition.to;
        let cause = match transition.cause {
            Cause::Schedule(_) => "schedule",
            Cause::Hold(_) => "hold",
            Cause::Request(_) => "request",
            Cause::Outside | Cause::Adopted => "outside",
        };
        self.transitions
            .with_label_values(&[to.as_str(), cause])
            .inc();
        let at_rest = matches!(to, InstanceState::Running | InstanceState::Stopped);
        if let Some(edge) = transition.edge.filter(|_| at_rest) {
            let latency = transition.at.duration_since(edge);
            self.edge_latency
                .observe(latency.max(SignedDuration::ZERO).as_secs_f64());
        }
    }

    pub(crate) fn journal_written(&self, done: bool) {
        let outcome = if done { "done" } else { "failed" };
        self.journal_writes.with_label_values(&[outcome]).inc();
    }

    /// For whoever takes state changes from the queue.
    pub fn queue_lag(&self, lag: Duration) {
        self.queue_lag.set(lag.as_secs_f64());
    }

    pub(crate) fn task_restarted(&self, task: &str) {
        self.task_restarts.with_label_values(&[task]).inc();
    }

    pub(crate) fn time_jumped(&self) {
        self.time_jumps.inc();
    }

    /// How often time jumped.
    pub fn time_jumps(&self) -> u64 {
        self.time_jumps.get()
    }

    pub(crate) fn settings(&self, generation: u64, refused: bool) {
        self.settings_generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.settings_refused.set(i64::from(refused));
    }

    fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Calls::default())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "whole milliseconds are enough, and exact for millennia"
)]
fn unix(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

const GOOD: &str = "a name and a sentence";

fn vector(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(GOOD)
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(GOOD)
}

fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect(GOOD)
}

fn int_gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect(GOOD)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect(GOOD)
}

fn histogram(name: &str, help: &str) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(LATENCIES.to_vec());
    Histogram::with_opts(options).expect(GOOD)
}

/// Calls are counted where they are made; they are taken over when somebody asks.
struct CallCounts {
    calls: Calls,
    described: IntCounterVec,
}

impl CallCounts {
    fn new(calls: Calls) -> Self {
        Self {
            calls,
            described: Self::vector(),
        }
    }

    fn vector() -> IntCounterVec {
        vector(
            "curfew_api_calls_total",
            "Calls of AWS, each try for itself, by outcome: done, throttled, refused, failed, unanswered.",
            &["service", "action", "outcome"],
        )
    }
}

impl Collector for CallCounts {
    fn desc(&self) -> Vec<&Desc> {
        self.described.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counts = Self::vector();
        for (call, count) in self.calls.so_far() {
            let labels = [
                call.service.as_str(),
                call.action.as_str(),
                call.outcome.as_str(),
            ];
            counts.with_label_values(&labels).inc_by(count);
        }
        counts.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn monitoring(file: &str) -> String {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring");
        std::fs::read_to_string(directory.join(file)).unwrap()
    }

    /// The metrics that a text names.
    fn named(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names = words.filter(|word| word.starts_with("curfew_"));
        names.map(|name| name.trim_end_matches("_bucket")).collect()
    }

    fn there_are() -> BTreeSet<String> {
        let collectors = Metrics::default().collectors(Calls::default());
        let descriptions = collectors.iter().flat_map(|one| one.desc());
        descriptions.map(|one| one.fq_name.clone()).collect()
    }

    #[test]
    fn dashboard_and_alerts_name_metrics_that_there_are_and_the_guide_names_all() {
        let there_are = there_are();
        let there_are: BTreeSet<&str> = there_are.iter().map(String::as_str).collect();
        for file in ["alerts.yaml", "grafana.json"] {
            let text = monitoring(file);
            let named = named(&text);
            assert!(named.len() >= 10, "{file}: {named:?}");
            let unknown: Vec<_> = named.difference(&there_are).collect();
            assert!(unknown.is_empty(), "{file}: {unknown:?}");
        }
        assert_eq!(named(&monitoring("README.md")), there_are);
    }

    #[test]
    fn the_dashboard_is_json_and_the_alerts_say_what_they_mean() {
        let dashboard: serde_json::Value =
            serde_json::from_str(&monitoring("grafana.json")).unwrap();
        assert_eq!(dashboard["title"], "Curfew");
        let alerts = monitoring("alerts.yaml");
        let count = |key: &str| {
            alerts
                .lines()
                .filter(|line| line.trim_start().starts_with(key))
                .count()
        };
        assert!(count("- alert: ") >= 10);
        for key in [
            "expr: ",
            "labels: {severity: ",
            "summary: ",
            "description: ",
        ] {
            assert_eq!(count(key), count("- alert: "), "{key}");
        }
    }

    #[test]
    fn a_failure_is_an_increase_even_if_it_is_the_first() {
        let text = Metrics::default().text();
        for line in [
            "curfew_passes_total{outcome=\"failed\"} 0",
            "curfew_edges_total{outcome=\"missed\"} 0",
            "curfew_journal_writes_total{outcome=\"failed\"} 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
    }
}
