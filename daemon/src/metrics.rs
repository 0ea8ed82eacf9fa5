//! The daemon's metrics, for Prometheus.
//!
//! Labels have few values: no instance, no free text, and of accounts and regions only those that the configuration names.
//! docs/reference/metrics.md explains each metric, and what to do when it reports a problem.

mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use curfew_aws::calls::ApiCalls;
use curfew_aws::execute::{Outcome, StepResult};
use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::InstanceState;
use curfew_core::state_tags::Cause;
use curfew_core::transition::Transition;
use jiff::{SignedDuration, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use curfew_journal::EdgeOutcome;

pub use serve::serve;

/// Seconds, from an edge that is applied promptly to one that is caught up after an outage.
const LATENCIES: [f64; 13] = [
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0,
];

/// A gauge of seconds, or of Unix time.
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The account is empty for the account of Curfew's own credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountRegionLabels {
    account: String,
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    action: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransitionLabels {
    to: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabel {
    task: String,
}

/// All metrics. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Family<OutcomeLabel, Counter>,
    last_pass: Seconds,
    region_up: Family<AccountRegionLabels, Gauge>,
    region_last_pass: Family<AccountRegionLabels, Seconds>,
    /// The account-regions that the configuration names: only these get labels.
    named: Arc<Mutex<BTreeSet<AccountRegion>>>,
    steps: Family<StepLabels, Counter>,
    edges: Family<OutcomeLabel, Counter>,
    edge_latency: Histogram,
    instances: Family<StateLabel, Gauge>,
    managed: Gauge,
    next_edge: Seconds,
    transitions: Family<TransitionLabels, Counter>,
    journal_writes: Family<OutcomeLabel, Counter>,
    queue_lag: Seconds,
    dead_letters: Family<QueueLabel, Gauge>,
    task_restarts: Family<TaskLabel, Counter>,
    clock_jumps: Counter,
    configuration_generation: Gauge,
    last_reload_successful: Gauge,
    ready: Gauge,
}

impl Metrics {
    /// Creates the metrics at zero, with the API calls that `calls` counts.
    pub fn new(calls: ApiCalls) -> Self {
        let mut registry = Registry::default();
        let mut metrics = Self::registered(&mut registry);
        registry.register_collector(Box::new(CallCounts(calls)));
        metrics.registry = Arc::new(registry);
        metrics.begin_at_zero();
        metrics
    }

    /// Registers all metrics but those of the API calls.
    fn registered(registry: &mut Registry) -> Self {
        Self {
            passes: registered(
                registry,
                "curfew_passes",
                "Passes over an account-region, or checks that the cloud made its own, by outcome: done, failed",
            ),
            last_pass: registered(
                registry,
                "curfew_last_pass_timestamp_seconds",
                "When the last pass or check was made, in any account-region, in Unix time",
            ),
            region_up: registered(
                registry,
                "curfew_account_region_up",
                "1 if the last pass or check in the account-region was made, 0 if not",
            ),
            region_last_pass: registered(
                registry,
                "curfew_account_region_last_pass_timestamp_seconds",
                "When the last pass or check was made in the account-region, in Unix time",
            ),
            named: Arc::default(),
            steps: registered(
                registry,
                "curfew_steps",
                "Steps of the daemon's own passes, by action and result: done, not_remembered, failed, dropped, out_of_time",
            ),
            edges: registered(
                registry,
                "curfew_edges",
                "Edges that the cloud had to apply, by instance, by outcome: in_time, late, missed",
            ),
            edge_latency: edge_latency(registry),
            instances: registered(registry, "curfew_instances", "Observed instances, by state"),
            managed: registered(
                registry,
                "curfew_managed_instances",
                "Instances that a schedule manages",
            ),
            next_edge: registered(
                registry,
                "curfew_next_edge_timestamp_seconds",
                "When something is due next, in Unix time; 0 if nothing is",
            ),
            transitions: registered(
                registry,
                "curfew_transitions",
                "Journalled transitions, by resulting state and kind of cause",
            ),
            journal_writes: registered(
                registry,
                "curfew_journal_writes",
                "Writes to the journal, by outcome: done, failed",
            ),
            queue_lag: registered(
                registry,
                "curfew_queue_lag_seconds",
                "Age of the newest state change from the queue when it was received",
            ),
            dead_letters: registered(
                registry,
                "curfew_dead_letters",
                "Messages in a dead-letter queue of the stack",
            ),
            task_restarts: registered(registry, "curfew_task_restarts", "Restarts of failed tasks"),
            clock_jumps: registered(
                registry,
                "curfew_clock_jumps",
                "Clock jumps that were detected: the machine was suspended, or its clock was set",
            ),
            configuration_generation: registered(
                registry,
                "curfew_configuration_generation",
                "Generation of the configuration in force; counts up from 1 with every change",
            ),
            last_reload_successful: registered(
                registry,
                "curfew_configuration_last_reload_successful",
                "1 if the last reload of the configuration was applied, 0 while it is invalid and the previous one is kept",
            ),
            ready: registered(
                registry,
                "curfew_ready",
                "1 while /readyz returns 200, else 0",
            ),
            registry: Arc::default(),
        }
    }

    /// Creates the series of counters at zero, so that a first failure is an increase.
    fn begin_at_zero(&self) {
        for outcome in ["done", "failed"] {
            let _ = self.passes.get_or_create(&OutcomeLabel { outcome });
            let _ = self.journal_writes.get_or_create(&OutcomeLabel { outcome });
        }
        for outcome in [EdgeOutcome::InTime, EdgeOutcome::Late, EdgeOutcome::Missed] {
            let _ = self.edges.get_or_create(&outcome.into());
        }
    }

    /// Returns the metrics in the Prometheus text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("a string takes all text");
        text
    }

    /// Replaces the account-regions that get labels: labels come from the configuration alone, so that there are few.
    pub(crate) fn keep_account_regions(&self, named: &BTreeSet<&AccountRegion>) {
        let mut known = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known
            .iter()
            .filter(|account_region| !named.contains(account_region))
        {
            let gone = AccountRegionLabels::from(gone);
            self.region_up.remove(&gone);
            self.region_last_pass.remove(&gone);
        }
        *known = named
            .iter()
            .map(|account_region| (*account_region).clone())
            .collect();
    }

    /// Records a pass or check over an account-region: its instant, or `None` if it failed.
    pub(crate) fn account_region(&self, account_region: &AccountRegion, made: Option<Timestamp>) {
        let outcome = if made.is_some() { "done" } else { "failed" };
        self.passes.get_or_create(&OutcomeLabel { outcome }).inc();
        let labels = AccountRegionLabels::from(account_region);
        let up = self.region_up.get_or_create(&labels);
        up.set(i64::from(made.is_some()));
        if let Some(at) = made.map(unix) {
            self.last_pass.set(at);
            self.region_last_pass.get_or_create(&labels).set(at);
        }
    }

    pub(crate) fn steps(&self, outcomes: &[Outcome]) {
        for Outcome { step, result, .. } in outcomes {
            let result = match result {
                StepResult::Done { .. } => "done",
                StepResult::TagsNotWritten { .. } => "not_remembered",
                StepResult::Failed(_) => "failed",
                StepResult::Dropped { .. } => "dropped",
                StepResult::OutOfTime => "out_of_time",
            };
            let action = step.action.to_string();
            let labels = StepLabels { action, result };
            self.steps.get_or_create(&labels).inc();
        }
    }

    pub(crate) fn edges(&self, outcome: EdgeOutcome, instances: usize) {
        let instances = u64::try_from(instances).unwrap_or(u64::MAX);
        self.edges.get_or_create(&outcome.into()).inc_by(instances);
    }

    pub(crate) fn fleet(
        &self,
        states: &BTreeMap<InstanceState, usize>,
        managed: usize,
        next: Option<Timestamp>,
    ) {
        for state in InstanceState::ALL {
            let count = states.get(&state).copied().unwrap_or_default();
            let state = state.as_str();
            let gauge = self.instances.get_or_create(&StateLabel { state });
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
        let to = to.as_str();
        let labels = TransitionLabels { to, cause };
        self.transitions.get_or_create(&labels).inc();
    }

    /// Counts an edge that an instance has reached, and records its latency.
    pub(crate) fn edge_done(&self, latency: SignedDuration) {
        self.edge_latency
            .observe(latency.max(SignedDuration::ZERO).as_secs_f64());
    }

    pub(crate) fn journal_written(&self, done: bool) {
        let outcome = if done { "done" } else { "failed" };
        let labels = OutcomeLabel { outcome };
        self.journal_writes.get_or_create(&labels).inc();
    }

    /// Records the lag of the state-change queue.
    pub fn queue_lag(&self, lag: Duration) {
        self.queue_lag.set(lag.as_secs_f64());
    }

    /// Records the number of messages in a dead-letter queue; removes the series if there is no such queue (any more).
    pub(crate) fn dead_letters(&self, queue: &str, messages: Option<u64>) {
        let queue = QueueLabel {
            queue: queue.to_owned(),
        };
        match messages {
            Some(messages) => {
                let gauge = self.dead_letters.get_or_create(&queue);
                gauge.set(i64::try_from(messages).unwrap_or(i64::MAX));
            }
            None => {
                self.dead_letters.remove(&queue);
            }
        }
    }

    /// Creates the restart counter of a task at zero, so that its first failure is an increase.
    pub(crate) fn task_started(&self, task: &str) {
        let _ = self.task_restarts.get_or_create(&task.into());
    }

    pub(crate) fn task_restarted(&self, task: &str) {
        self.task_restarts.get_or_create(&task.into()).inc();
    }

    pub(crate) fn clock_jumped(&self) {
        self.clock_jumps.inc();
    }

    /// Records the generation of the configuration in force, and whether the last reload was applied.
    pub(crate) fn configuration(&self, generation: u64, applied: bool) {
        self.configuration_generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.last_reload_successful.set(i64::from(applied));
    }

    fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(ApiCalls::default())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "whole milliseconds are enough, and exact for millennia"
)]
fn unix(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

impl From<&AccountRegion> for AccountRegionLabels {
    fn from(account_region: &AccountRegion) -> Self {
        let account = account_region.account.as_ref();
        Self {
            account: account.map_or_else(String::new, |account| account.as_str().to_owned()),
            region: account_region.region.as_str().to_owned(),
        }
    }
}

impl From<EdgeOutcome> for OutcomeLabel {
    fn from(outcome: EdgeOutcome) -> Self {
        let outcome = outcome.as_str();
        Self { outcome }
    }
}

impl From<&str> for TaskLabel {
    fn from(task: &str) -> Self {
        let task = task.to_owned();
        Self { task }
    }
}

/// A new metric in `registry`, which keeps a clone of it. Encoding adds `_total` to a counter's name, and a full stop to `help`.
fn registered<M: Metric + Clone + Default>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn edge_latency(registry: &mut Registry) -> Histogram {
    let histogram = Histogram::new(LATENCIES);
    registry.register(
        "curfew_edge_latency_seconds",
        "From an edge until its instance was running or stopped",
        histogram.clone(),
    );
    histogram
}

/// The counter of API calls is updated where they are made, and read at each scrape.
#[derive(Debug)]
struct CallCounts(ApiCalls);

impl Collector for CallCounts {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut counts = encoder.encode_descriptor(
            "curfew_api_calls",
            "Calls of AWS, each try for itself, by outcome: done, throttled, refused, failed, unanswered.",
            None,
            MetricType::Counter,
        )?;
        for (call, count) in self.0.counts() {
            let labels = [
                ("service", call.service.as_str()),
                ("action", call.action.as_str()),
                ("outcome", call.outcome.as_str()),
            ];
            let mut series = counts.encode_family(&labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
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

    /// The metrics that are served once each has a series.
    fn there_are() -> BTreeSet<String> {
        let metrics = Metrics::default();
        let own = AccountRegion {
            account: None,
            region: Region::new("eu-west-3"),
        };
        metrics.account_region(&own, Some(Timestamp::UNIX_EPOCH));
        metrics.fleet(&BTreeMap::new(), 0, None);
        metrics.task_started("watch");
        metrics.dead_letters("curfew-undone-work.fifo", Some(0));
        let (action, to) = ("start".to_owned(), InstanceState::Running.as_str());
        let (result, cause) = ("done", "schedule");
        let _ = metrics.steps.get_or_create(&StepLabels { action, result });
        let labels = TransitionLabels { to, cause };
        let _ = metrics.transitions.get_or_create(&labels);
        let text = metrics.text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names = types.filter_map(|line| line.split_whitespace().next());
        names.map(str::to_owned).collect()
    }

    #[test]
    fn dashboard_and_alerts_use_existing_metrics_and_the_guide_lists_all() {
        let there_are = there_are();
        let there_are: BTreeSet<&str> = there_are.iter().map(String::as_str).collect();
        for file in ["alerts.yaml", "grafana.json"] {
            let text = monitoring(file);
            let named = named(&text);
            assert!(named.len() >= 10, "{file}: {named:?}");
            let unknown: Vec<_> = named.difference(&there_are).collect();
            assert!(unknown.is_empty(), "{file}: {unknown:?}");
        }
        assert_eq!(named(&monitoring("../reference/metrics.md")), there_are);
    }

    #[test]
    fn the_dashboard_is_json_and_each_alert_has_a_description() {
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
    fn each_alert_is_tested_to_fire_and_to_stay_quiet() {
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
    fn account_regions_have_the_labels_that_the_configuration_names() {
        let account_region = |account: Option<&str>| AccountRegion {
            account: account.map(AccountId::new),
            region: Region::new("eu-west-3"),
        };
        let (own, other) = (account_region(None), account_region(Some("111122223333")));
        let metrics = Metrics::default();
        metrics.keep_account_regions(&BTreeSet::from([&own, &other]));
        metrics.account_region(&own, Some(Timestamp::UNIX_EPOCH));
        metrics.account_region(&other, None);
        let account_regions = |metrics: &Metrics| -> Vec<String> {
            let text = metrics.text();
            let lines = text.lines();
            let up = lines.filter(|line| line.starts_with("curfew_account_region_up"));
            let mut up: Vec<_> = up.map(str::to_owned).collect();
            up.sort_unstable();
            up
        };
        assert_eq!(
            account_regions(&metrics),
            [
                "curfew_account_region_up{account=\"\",region=\"eu-west-3\"} 1",
                "curfew_account_region_up{account=\"111122223333\",region=\"eu-west-3\"} 0",
            ]
        );
        metrics.keep_account_regions(&BTreeSet::from([&own]));
        assert_eq!(account_regions(&metrics).len(), 1);
    }

    #[test]
    fn a_first_failure_is_an_increase() {
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
