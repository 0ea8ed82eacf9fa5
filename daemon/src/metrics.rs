//! What can be counted of the daemon, for Prometheus.
//!
//! Labels have few values: no instance, no text that somebody wrote, and of accounts and regions only those that the configuration names. What each metric means, and what to do when it says
//! something is wrong, is in docs/monitoring.

mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_aws::calls::Calls;
use curfew_aws::execute::{Outcome, StepResult};
use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::InstanceState;
use curfew_core::memory::Cause;
use curfew_core::transition::Transition;
use jiff::{SignedDuration, Timestamp};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use curfew_journal::EdgeOutcome;

pub use serve::serve;

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
    region_up: IntGaugeVec,
    region_last_pass: GaugeVec,
    /// The account-regions that the configuration names: the only ones that are told apart.
    named: Arc<Mutex<BTreeSet<AccountRegion>>>,
    steps: IntCounterVec,
    edges: IntCounterVec,
    edge_latency: Histogram,
    instances: IntGaugeVec,
    managed: IntGauge,
    next_edge: Gauge,
    transitions: IntCounterVec,
    journal_writes: IntCounterVec,
    queue_lag: Gauge,
    dead_letters: IntGaugeVec,
    task_restarts: IntCounterVec,
    time_jumps: IntCounter,
    configuration_generation: IntGauge,
    configuration_refused: IntGauge,
    ready: IntGauge,
}

impl Metrics {
    /// Nothing counted yet, besides what `calls` counts.
    pub fn new(calls: Calls) -> Self {
        let registry = Registry::new();
        let new = Self {
            passes: vector(
                "curfew_passes_total",
                "Passes over an account-region, or checks that the cloud made its own, by outcome: done, failed.",
                &["outcome"],
            ),
            last_pass: gauge(
                "curfew_last_pass_timestamp_seconds",
                "When the last pass or check was made, in whichever account-region, in Unix time.",
            ),
            region_up: gauges(
                "curfew_account_region_up",
                "1 if the last pass or check there was made, 0 if not.",
                &REGION,
            ),
            region_last_pass: GaugeVec::new(
                Opts::new(
                    "curfew_account_region_last_pass_timestamp_seconds",
                    "When the last pass or check was made there, in Unix time.",
                ),
                &REGION,
            )
            .expect(GOOD),
            named: Arc::default(),
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
            managed: int_gauge(
                "curfew_managed_instances",
                "Instances that a schedule manages.",
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
            dead_letters: gauges(
                "curfew_dead_letters",
                "Messages in a queue of dead letters of the stack.",
                &["queue"],
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
            configuration_generation: int_gauge(
                "curfew_configuration_generation",
                "Which configuration is in force; counts up from 1 with every change.",
            ),
            configuration_refused: int_gauge(
                "curfew_configuration_refused",
                "1 while the configuration files can't be used, and older configuration is in force.",
            ),
            ready: int_gauge("curfew_ready", "1 while /readyz says so."),
            registry,
        };
        for one in new.collectors(calls) {
            new.registry.register(one).expect("each name is used once");
        }
        new.begin_at_zero();
        new
    }

    /// So that a first failure is an increase.
    fn begin_at_zero(&self) {
        for outcome in ["done", "failed"] {
            self.passes.with_label_values(&[outcome]);
            self.journal_writes.with_label_values(&[outcome]);
        }
        for outcome in [EdgeOutcome::InTime, EdgeOutcome::Late, EdgeOutcome::Missed] {
            self.edges.with_label_values(&[outcome.as_str()]);
        }
    }

    fn collectors(&self, calls: Calls) -> [Box<dyn Collector>; 20] {
        [
            Box::new(self.passes.clone()),
            Box::new(self.last_pass.clone()),
            Box::new(self.region_up.clone()),
            Box::new(self.region_last_pass.clone()),
            Box::new(self.steps.clone()),
            Box::new(self.edges.clone()),
            Box::new(self.edge_latency.clone()),
            Box::new(self.instances.clone()),
            Box::new(self.managed.clone()),
            Box::new(self.next_edge.clone()),
            Box::new(self.transitions.clone()),
            Box::new(self.journal_writes.clone()),
            Box::new(self.queue_lag.clone()),
            Box::new(self.dead_letters.clone()),
            Box::new(self.task_restarts.clone()),
            Box::new(self.time_jumps.clone()),
            Box::new(self.configuration_generation.clone()),
            Box::new(self.configuration_refused.clone()),
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

    /// From now on these account-regions are told apart, and no others: labels come from the configuration alone, so that they stay few.
    pub(crate) fn keep_account_regions(&self, named: &BTreeSet<&AccountRegion>) {
        let mut known = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known
            .iter()
            .filter(|account_region| !named.contains(account_region))
        {
            let (account, region) = labels(gone);
            // Of one that has had no pass yet there is nothing to remove.
            let _ = self.region_up.remove_label_values(&[account, region]);
            let _ = self
                .region_last_pass
                .remove_label_values(&[account, region]);
        }
        *known = named
            .iter()
            .map(|account_region| (*account_region).clone())
            .collect();
    }

    /// A pass or check over an account-region: made at that instant, or failed.
    pub(crate) fn account_region(&self, account_region: &AccountRegion, made: Option<Timestamp>) {
        let outcome = if made.is_some() { "done" } else { "failed" };
        self.passes.with_label_values(&[outcome]).inc();
        let (account, region) = labels(account_region);
        let up = self.region_up.with_label_values(&[account, region]);
        up.set(i64::from(made.is_some()));
        if let Some(at) = made.map(unix) {
            self.last_pass.set(at);
            let last = self.region_last_pass.with_label_values(&[account, region]);
            last.set(at);
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

    pub(crate) fn fleet(
        &self,
        states: &BTreeMap<InstanceState, usize>,
        managed: usize,
        next: Option<Timestamp>,
    ) {
        for state in InstanceState::ALL {
            let count = states.get(&state).copied().unwrap_or_default();
            let gauge = self.instances.with_label_values(&[state.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.managed.set(i64::try_from(managed).unwrap_or(i64::MAX));
        self.next_edge.set(next.map_or(0.0, unix));
    }

    pub(crate) fn journalled(&self, transition: &Transition) {
        let to = transition.to;
        let cause = match transition.cause {
            Cause::Schedule(_) => "schedule",
            Cause::Override(_) => "override",
            Cause::Request(_) => "request",
            Cause::External | Cause::Adopted => "external",
        };
        self.transitions
            .with_label_values(&[to.as_str(), cause])
            .inc();
    }

    /// An instance is in the state that an edge wants, so long after it.
    pub(crate) fn edge_done(&self, latency: SignedDuration) {
        self.edge_latency
            .observe(latency.max(SignedDuration::ZERO).as_secs_f64());
    }

    pub(crate) fn journal_written(&self, done: bool) {
        let outcome = if done { "done" } else { "failed" };
        self.journal_writes.with_label_values(&[outcome]).inc();
    }

    /// For whoever takes state changes from the queue.
    pub fn queue_lag(&self, lag: Duration) {
        self.queue_lag.set(lag.as_secs_f64());
    }

    /// So many messages are in a queue of dead letters; none, where there is no such queue (any more).
    pub(crate) fn dead_letters(&self, queue: &str, messages: Option<u64>) {
        match messages {
            Some(messages) => {
                let gauge = self.dead_letters.with_label_values(&[queue]);
                gauge.set(i64::try_from(messages).unwrap_or(i64::MAX));
            }
            None => {
                // Of one that never was there is nothing to remove.
                let _ = self.dead_letters.remove_label_values(&[queue]);
            }
        }
    }

    /// A task is at work. So its first death is an increase, and no new series that begins at 1.
    pub(crate) fn task_begins(&self, task: &str) {
        self.task_restarts.with_label_values(&[task]);
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

    pub(crate) fn configuration(&self, generation: u64, refused: bool) {
        self.configuration_generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.configuration_refused.set(i64::from(refused));
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

/// The labels of an account-region.
const REGION: [&str; 2] = ["account", "region"];

/// The account is empty where it is the one whose credentials Curfew has.
fn labels(account_region: &AccountRegion) -> (&str, &str) {
    let account = account_region.account.as_ref();
    let account = account.map_or("", |account| account.as_str());
    (account, account_region.region.as_str())
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
    use std::path::Path;

    use curfew_core::instance::{AccountId, Region};

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
    fn each_alert_is_shown_to_fire_and_to_stay_quiet() {
        let (alerts, cases) = (monitoring("alerts.yaml"), monitoring("alerts-test.yaml"));
        let names = alerts
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- alert: "));
        for name in names {
            for what in ["fires", "stays quiet"] {
                let case = format!("  - name: {name} {what}");
                assert!(cases.lines().any(|line| line == case), "no case `{case}`");
            }
        }
    }

    #[test]
    fn account_regions_are_told_apart_as_the_configuration_name_them() {
        let account_region = |account: Option<&str>| AccountRegion {
            account: account.map(AccountId::new),
            region: Region::new("eu-west-3"),
        };
        let (own, other) = (account_region(None), account_region(Some("111122223333")));
        let metrics = Metrics::default();
        metrics.keep_account_regions(&BTreeSet::from([&own, &other]));
        metrics.account_region(&own, Some(Timestamp::UNIX_EPOCH));
        metrics.account_region(&other, None);
        let told = |metrics: &Metrics| -> Vec<String> {
            let text = metrics.text();
            let lines = text.lines();
            let up = lines.filter(|line| line.starts_with("curfew_account_region_up"));
            up.map(str::to_owned).collect()
        };
        assert_eq!(
            told(&metrics),
            [
                "curfew_account_region_up{account=\"\",region=\"eu-west-3\"} 1",
                "curfew_account_region_up{account=\"111122223333\",region=\"eu-west-3\"} 0",
            ]
        );
        metrics.keep_account_regions(&BTreeSet::from([&own]));
        assert_eq!(told(&metrics).len(), 1);
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
