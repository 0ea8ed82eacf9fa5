//! Runs the passes (`driver = "daemon"`), or audits the Lambda's (`driver = "cloud"`).
//!
//! Each account-region has its own passes (one at a time), backoff and notifications: one that hangs or fails does not delay
//! the others.

mod clock_jump;
mod edge_audit;
mod edge_timer;
mod problem_tracker;
mod region;
mod triggers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{
    AccountRegionError, AccountRegionFailure, AccountRegionFleet, Organisation,
};
use curfew_aws::pass::Pass;
use curfew_config::Driver;
use curfew_core::account_regions::AccountRegion;
use curfew_core::step::{Step, StepAction};
use curfew_core::timetable::minute_of;
use curfew_core::work::Work;
use curfew_journal::{EdgeOutcome, EdgeRecord};
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use self::clock_jump::ClockJumpDetector;
use self::edge_audit::{is_late, log_applied};
use self::edge_timer::{EdgeTimer, TriggerReason};
use self::problem_tracker::drift_grace;
use self::region::{RegionState, RegionSummary};
use super::observation_bus::ObservationBus;
use crate::active_configuration::{ActiveConfiguration, ConfigurationReceiver};
use crate::health::{FleetSummary, Health};
use crate::notify::{Notification, Notifier};
use crate::supervisor::{Task, TaskContext, TaskError};
use crate::transitions::{RecentActions, RegionObservation};

pub use self::clock_jump::{BootClock, BootTime};
pub use self::edge_timer::EdgeTimerError;
pub(crate) use self::edge_timer::TimerScheduler;
pub use self::triggers::Triggers;

/// Capacity of the wake-up channel. All wake-ups lead to the same passes, so more would be useless.
const WAKE_CAPACITY: usize = 16;

/// The longest interval between passes over an account-region, which finds new overrides, changed tags and launched
/// instances. One call a minute is far below EC2's limits; it is five for each of the cloud's five-minute heartbeats.
const PASS_INTERVAL: Duration = Duration::from_mins(1);

/// The number of consecutive failures after which a notification is sent: a single failure may be a hiccup.
const FAILURES_TO_NOTIFY: u32 = 3;

/// A pass begins no calls after this time; the next pass continues immediately. So a shutdown need not wait for a thousand
/// starts that EC2's rate limit spreads over eight minutes, and a changed configuration takes effect in the meantime.
const PASS_BUDGET: Duration = Duration::from_mins(1);

/// Unless it hangs, a pass ends within this time: [`PASS_BUDGET`], after an observation of a hundred thousand instances while
/// EC2 is slow.
const STALLED_AFTER: Duration = Duration::from_mins(15);

/// The number of concurrent passes over account-regions whose last pass failed. They have separate slots, because they could
/// occupy all others while they hang.
const RETRY_SLOTS: usize = 8;

/// The time limit for sending a trigger: SQS responds within milliseconds, and a hanging queue must not delay the daemon's
/// own pass.
const TRIGGER_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the passes, or audits the cloud's.
pub(crate) struct ReconcileTask {
    pub(crate) driver: Driver,
    pub(crate) configuration: ConfigurationReceiver,
    pub(crate) boot_clock: BootClock,
    /// Schedules the edge timer of each run of the task.
    pub(crate) timers: TimerScheduler,
    pub(crate) notifier: Notifier,
    /// Publishes what passes observe, and requests polls.
    pub(crate) bus: ObservationBus,
    /// Passes this process's actions and their causes to the watch task.
    pub(crate) recent_actions: RecentActions,
    /// Sends the cloud a trigger for overdue edges; `None` where the daemon runs the passes.
    pub(crate) triggers: Option<Triggers>,
    /// Sends the outcomes of edges to the journal.
    pub(crate) edges: mpsc::UnboundedSender<Vec<EdgeRecord>>,
    /// Receives the summary of the fleet.
    pub(crate) health: Health,
}

impl Task for ReconcileTask {
    const NAME: &'static str = "reconcile";
    const NOT_READY: Option<&'static str> = Some("no pass has run yet");

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        let (wake, trigger_reasons) = mpsc::channel(WAKE_CAPACITY);
        let reconcile = Reconcile {
            task: self,
            ctx,
            current: self.configuration.clone(),
            clock_jumps: ClockJumpDetector::new(&ctx.clock, self.boot_clock.clone()),
            timer: EdgeTimer::new(&self.timers, wake, ctx.clock.clone()),
            regions: BTreeMap::new(),
            permits: PassPermits::default(),
        };
        reconcile.run(trigger_reasons).await;
        Ok(())
    }
}

/// One run of the task.
struct Reconcile<'a> {
    task: &'a ReconcileTask,
    ctx: &'a TaskContext,
    current: ConfigurationReceiver,
    clock_jumps: ClockJumpDetector,
    timer: EdgeTimer,
    /// The state of each configured account-region.
    regions: BTreeMap<AccountRegion, RegionState>,
    permits: PassPermits,
}

/// Limits how many passes run concurrently.
#[derive(Clone, Debug)]
struct PassPermits {
    regular: Arc<Semaphore>,
    /// For account-regions whose last pass failed.
    retrying: Arc<Semaphore>,
}

impl Default for PassPermits {
    fn default() -> Self {
        Self {
            regular: Arc::new(Semaphore::new(Organisation::MAX_IN_FLIGHT)),
            retrying: Arc::new(Semaphore::new(RETRY_SLOTS)),
        }
    }
}

/// A job for one account-region.
#[derive(Debug)]
enum RegionJob {
    /// Observes the fleet and audits the cloud's passes.
    Audit,
    /// Sends the cloud another trigger, because these steps are overdue.
    SendTrigger { late: Vec<Step>, sent: bool },
    /// Runs a pass; `late` are the steps that the cloud should have executed.
    RunPass { late: Vec<Step> },
}

/// A finished job.
struct FinishedJob {
    account_region: AccountRegion,
    job: RegionJob,
    begun: (Instant, Timestamp),
    configuration: Arc<ActiveConfiguration>,
    outcome: Result<Pass, AccountRegionError>,
}

impl Reconcile<'_> {
    async fn run(mut self, mut trigger_reasons: mpsc::Receiver<TriggerReason>) {
        let shutdown = &self.ctx.shutdown;
        let mut jobs: JoinSet<FinishedJob> = JoinSet::new();
        // Begin with passes over everything: edges may have been missed while the daemon was down.
        self.apply_configuration();
        while !shutdown.is_cancelled() {
            self.begin_due(&mut jobs);
            self.arm().await;
            let due = self.next_due();
            self.expect_by(due);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = jobs.join_next(), if !jobs.is_empty() => self.handle_result(result_of(done), &mut jobs),
                () = tokio::time::sleep_until(due) => debug!("periodic reconcile"),
                Some(TriggerReason::Edge { at }) = trigger_reasons.recv() => {
                    self.timer.fired();
                    debug!(%at, "edge timer fired");
                    self.wake_where(|region| region.next.is_some_and(|next| next <= at));
                }
                jump = self.clock_jumps.next() => {
                    jump.log(&self.ctx.metrics);
                    self.on_clock_jump();
                }
                Ok(()) = self.current.changed() => {
                    debug!("configuration changed; reconciling");
                    self.apply_configuration();
                }
            }
        }
        // Jobs that have begun finish, because they still have to write their state tags.
        while let Some(done) = jobs.join_next().await {
            self.handle_result(result_of(done), &mut jobs);
        }
    }

    /// Applies the active configuration: schedules passes over everything, and drops account-regions that it does not name.
    fn apply_configuration(&mut self) {
        let configuration = Arc::clone(&self.current.borrow_and_update());
        let fleets = configuration.organisation.account_regions().iter();
        let account_regions: BTreeSet<&AccountRegion> = fleets
            .map(|region_fleet| &region_fleet.account_region)
            .collect();
        self.regions
            .retain(|account_region, _| account_regions.contains(account_region));
        self.ctx.metrics.keep_account_regions(&account_regions);
        for account_region in account_regions {
            let region = self.regions.entry(account_region.clone());
            region.or_insert_with(RegionState::new).wake();
        }
    }

    fn wake_where(&mut self, which: impl Fn(&RegionState) -> bool) {
        for region in self.regions.values_mut().filter(|region| which(region)) {
            region.wake();
        }
    }

    fn next_due(&self) -> Instant {
        let idle = self
            .regions
            .values()
            .filter(|region| region.under_way.is_none());
        let due = idle.map(|region| region.due).min();
        due.unwrap_or_else(|| Instant::now() + PASS_INTERVAL)
    }

    /// Reports by when the task must show progress: [`STALLED_AFTER`] after the oldest job in progress began, or after `due`.
    fn expect_by(&self, due: Instant) {
        let under_way = self.regions.values().filter_map(|region| region.under_way);
        let by = under_way.min().unwrap_or(due) + STALLED_AFTER;
        self.ctx
            .health
            .expect_within(by.saturating_duration_since(Instant::now()));
    }

    /// Begins a pass or an audit wherever one is due.
    fn begin_due(&mut self, jobs: &mut JoinSet<FinishedJob>) {
        let configuration = Arc::clone(&self.current.borrow());
        for region_fleet in configuration.organisation.account_regions() {
            let is_due = self
                .regions
                .get(&region_fleet.account_region)
                .is_some_and(|region| region.under_way.is_none() && region.due <= Instant::now());
            if is_due {
                let job = match self.task.driver {
                    Driver::Daemon => RegionJob::RunPass { late: Vec::new() },
                    Driver::Cloud => RegionJob::Audit,
                };
                self.begin(region_fleet, job, &configuration, jobs);
            }
        }
    }

    fn begin(
        &mut self,
        region_fleet: &AccountRegionFleet,
        job: RegionJob,
        configuration: &Arc<ActiveConfiguration>,
        jobs: &mut JoinSet<FinishedJob>,
    ) {
        let Some(region) = self.regions.get_mut(&region_fleet.account_region) else {
            return;
        };
        region.under_way = Some(Instant::now());
        region
            .problems
            .set_grace(drift_grace(self.task.driver, configuration.grace));
        let permits = if region.backoff.failures() == 0 {
            &self.permits.regular
        } else {
            &self.permits.retrying
        };
        let (permits, clock) = (Arc::clone(permits), self.ctx.clock.clone());
        let (region_fleet, configuration) = (region_fleet.clone(), Arc::clone(configuration));
        let span = info_span!("account_region", account_region = %region_fleet.account_region);
        let work = async move {
            let permit = permits.acquire().await;
            let begun = (Instant::now(), clock.now());
            let basis = Basis::new(&configuration.schedule_set, &clock);
            let outcome = if let RegionJob::RunPass { .. } = job {
                let deadline = Deadline::at(Instant::now() + PASS_BUDGET);
                Pass::run(region_fleet.fleet(), &Scope::All, basis, deadline).await
            } else {
                Pass::dry_run(region_fleet.fleet(), &Scope::All, basis).await
            };
            drop(permit);
            FinishedJob {
                outcome: outcome
                    .map_err(|error| configuration.organisation.failed(&region_fleet, error)),
                account_region: region_fleet.account_region,
                job,
                begun,
                configuration,
            }
        };
        jobs.spawn(work.instrument(span));
    }

    /// Handles the result of a job.
    fn handle_result(&mut self, done: FinishedJob, jobs: &mut JoinSet<FinishedJob>) {
        let FinishedJob {
            account_region,
            job,
            begun,
            configuration,
            outcome,
        } = done;
        // The configuration may have dropped the account-region meanwhile; its actions are journalled anyway.
        if let (Ok(pass), RegionJob::RunPass { .. }) = (&outcome, &job) {
            self.record_actions(pass);
        }
        let Some(region) = self.regions.get_mut(&account_region) else {
            return;
        };
        region.under_way = None;
        match (outcome, job) {
            (Err(error), _) => self.failed(&account_region, &error),
            (Ok(observed), RegionJob::Audit) => {
                self.audit(&account_region, observed, begun, configuration, jobs);
            }
            (Ok(observed), RegionJob::SendTrigger { late, sent: true }) => {
                region.retriggered = newest_edge(&late);
                self.leave_to_cloud(&account_region, observed, begun, &configuration);
            }
            (Ok(_), RegionJob::SendTrigger { late, sent: false }) => {
                self.pass_locally(&account_region, late, &configuration, jobs);
            }
            (Ok(done), RegionJob::RunPass { late }) => {
                let next = match self.task.driver {
                    Driver::Daemon => done.plan.next.map(|next| next.at),
                    Driver::Cloud => {
                        let at = self.ctx.clock.now();
                        let applied = region.audit.record_own_actions(
                            &done,
                            configuration.grace,
                            &configuration.schedule_set,
                            at,
                        );
                        let next = region.next_check(
                            &done,
                            configuration.grace,
                            self.task.triggers.is_some(),
                        );
                        self.record_edges(applied);
                        next
                    }
                };
                self.report(&account_region, &done, &late, &configuration);
                self.conclude(&account_region, next, begun, done);
            }
        }
    }

    /// Audits the cloud's passes with an observation. For an overdue step the cloud first gets another trigger; if the step is
    /// still overdue a grace period later, the daemon executes it.
    fn audit(
        &mut self,
        account_region: &AccountRegion,
        observed: Pass,
        begun: (Instant, Timestamp),
        configuration: Arc<ActiveConfiguration>,
        jobs: &mut JoinSet<FinishedJob>,
    ) {
        let Some(region) = self.regions.get_mut(account_region) else {
            return;
        };
        let applied =
            region
                .audit
                .observe(&observed, configuration.grace, &configuration.schedule_set);
        log_applied(&applied, &self.ctx.metrics);
        let steps = observed.plan.steps.iter();
        let late = steps
            .clone()
            .filter(|step| is_late(step, configuration.grace, observed.at));
        let late: Vec<Step> = late.cloned().collect();
        let problems = &region.problems;
        let drifted = steps
            .filter(|step| problems.has_outlasted(step, &observed, &configuration.schedule_set));
        let drifted: Vec<Step> = drifted.cloned().collect();
        let retriggered = region.retriggered;
        self.record_edges(applied);
        for step in &drifted {
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause,
                  "drift not corrected within the grace period; correcting locally");
        }
        // For each edge, the cloud first gets another trigger, and a second grace period.
        let overdue = late
            .iter()
            .any(|step| is_late(step, configuration.grace * 2, observed.at));
        match &self.task.triggers {
            _ if !drifted.is_empty() || overdue => {
                self.pass_locally(account_region, late, &configuration, jobs);
            }
            _ if late.is_empty() => {
                self.leave_to_cloud(account_region, observed, begun, &configuration);
            }
            Some(_) if retriggered >= newest_edge(&late) => {
                self.leave_to_cloud(account_region, observed, begun, &configuration);
            }
            Some(triggers) => {
                let triggers = triggers.clone();
                self.send_trigger(
                    triggers,
                    account_region,
                    late,
                    (observed, begun),
                    configuration,
                    jobs,
                );
            }
            None => self.pass_locally(account_region, late, &configuration, jobs),
        }
    }

    /// Leaves everything to the cloud: reports the observation, and schedules the next one.
    fn leave_to_cloud(
        &mut self,
        account_region: &AccountRegion,
        observed: Pass,
        begun: (Instant, Timestamp),
        configuration: &ActiveConfiguration,
    ) {
        self.report(account_region, &observed, &[], configuration);
        let region = self.regions.get(account_region);
        let next = region.and_then(|region| {
            region.next_check(&observed, configuration.grace, self.task.triggers.is_some())
        });
        self.conclude(account_region, next, begun, observed);
    }

    /// Sends the cloud a trigger for the newest edge that is overdue.
    fn send_trigger(
        &mut self,
        triggers: Triggers,
        account_region: &AccountRegion,
        late: Vec<Step>,
        (observed, begun): (Pass, (Instant, Timestamp)),
        configuration: Arc<ActiveConfiguration>,
        jobs: &mut JoinSet<FinishedJob>,
    ) {
        let (Some(region), Some(edge)) = (self.regions.get_mut(account_region), newest_edge(&late))
        else {
            return;
        };
        region.under_way = Some(Instant::now());
        let account_region = account_region.clone();
        jobs.spawn(async move {
            let work = Work::over(account_region.clone(), minute_of(edge));
            let sent = match tokio::time::timeout(TRIGGER_TIMEOUT, triggers.send(&work)).await {
                Ok(Ok(true)) => {
                    info!(%account_region, %edge, "edge not applied within the grace period; sending another trigger");
                    true
                }
                Ok(Ok(false)) => false,
                Ok(Err(error)) => {
                    warn!(%account_region, %error, hint = error.hint(), "trigger could not be sent");
                    false
                }
                Err(_) => {
                    warn!(%account_region, "trigger could not be sent: the work queue did not respond");
                    false
                }
            };
            FinishedJob {
                account_region,
                job: RegionJob::SendTrigger { late, sent },
                begun,
                configuration,
                outcome: Ok(observed),
            }
        });
    }

    /// Runs the pass that the cloud missed.
    fn pass_locally(
        &mut self,
        account_region: &AccountRegion,
        late: Vec<Step>,
        configuration: &Arc<ActiveConfiguration>,
        jobs: &mut JoinSet<FinishedJob>,
    ) {
        for step in &late {
            let edge = step.edge.map(|edge| edge.at.to_string());
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause, edge,
                  "edge not applied within the grace period; applying it locally");
        }
        if let Some(region) = self.regions.get_mut(account_region) {
            let missed = region.audit.newly_missed(&late);
            self.ctx.metrics.edges(EdgeOutcome::Missed, missed);
        }
        if let Some(region_fleet) = configuration
            .organisation
            .account_region(account_region)
            .cloned()
        {
            self.begin(
                &region_fleet,
                RegionJob::RunPass { late },
                configuration,
                jobs,
            );
        }
    }

    fn failed(&mut self, account_region: &AccountRegion, error: &AccountRegionError) {
        let Some(region) = self.regions.get_mut(account_region) else {
            return;
        };
        let wait = region.backoff.after_failure();
        (region.due, region.next) = (Instant::now() + wait, None);
        region.rerun = false;
        (region.summary, region.responds) = (None, Some(false));
        let (failures, retry_seconds) = (region.backoff.failures(), wait.as_secs());
        error!(%error, hint = error.hint(), failures, retry_seconds, "pass failed");
        if let AccountRegionFailure::Cloud(cloud) = &error.failure
            && failures == FAILURES_TO_NOTIFY
        {
            region.notified = true;
            let (name, now) = (account_region.to_string(), self.ctx.clock.now());
            self.task
                .notifier
                .notify(&Notification::unreachable(&name, cloud, failures, now));
        }
        self.ctx.metrics.account_region(account_region, None);
        self.update_fleet();
        let all_fail = |region: &RegionState| region.responds == Some(false);
        if self.regions.values().all(all_fail) {
            self.ctx
                .health
                .degraded(format!("the last pass failed: {error}"));
        }
    }

    /// Handles a successful pass or audit. If it has no steps, its observation replaces the next poll.
    fn conclude(
        &mut self,
        account_region: &AccountRegion,
        next: Option<Timestamp>,
        (instant, begun): (Instant, Timestamp),
        pass: Pass,
    ) {
        let Some(region) = self.regions.get_mut(account_region) else {
            return;
        };
        if region.backoff.after_success() {
            info!(%account_region, "EC2 reachable again");
        }
        let now = self.ctx.clock.now();
        if std::mem::take(&mut region.notified) {
            let name = account_region.to_string();
            self.task
                .notifier
                .notify(&Notification::reachable(&name, now));
        }
        region.responds = Some(true);
        region.next = next;
        let wait = if pass.is_unfinished() || std::mem::take(&mut region.rerun) {
            Duration::ZERO
        } else {
            PASS_INTERVAL
        };
        region.due = Instant::now() + wait;
        self.ctx.metrics.account_region(account_region, Some(now));
        self.ctx.health.ok();
        if pass.plan.steps.is_empty() {
            let observation = RegionObservation {
                account_region: account_region.clone(),
                begun,
                instances: pass.instances,
            };
            self.task.bus.publish(instant, observation);
        }
    }

    fn record_edges(&self, edges: Vec<EdgeRecord>) {
        if !edges.is_empty() {
            // Sending can't fail: the receiver, the watch task, outlives this one.
            let _ = self.task.edges.send(edges);
        }
    }

    fn report(
        &mut self,
        account_region: &AccountRegion,
        pass: &Pass,
        late: &[Step],
        configuration: &ActiveConfiguration,
    ) {
        let Some(region) = self.regions.get_mut(account_region) else {
            return;
        };
        for notification in
            region
                .problems
                .new_notifications(pass, late, &configuration.schedule_set)
        {
            self.task.notifier.notify(&notification);
        }
        region.summary = Some(RegionSummary::of(pass, &configuration.schedule_set));
        self.update_fleet();
    }

    /// Updates the health and the metrics with the last observations of all responding account-regions.
    fn update_fleet(&self) {
        let observed = self
            .regions
            .values()
            .filter_map(|region| region.summary.as_ref());
        let sum = RegionSummary::sum(observed);
        self.ctx
            .metrics
            .fleet(&sum.states, sum.managed, sum.next_edge);
        self.task.health.set_fleet(FleetSummary {
            next_edge: sum.next_edge,
            managed: sum.managed,
        });
    }

    /// Records the actions of a pass.
    fn record_actions(&self, done: &Pass) {
        self.task
            .recent_actions
            .record(&done.outcomes, self.ctx.clock.now());
        self.ctx.metrics.steps(&done.outcomes);
        let mut outcomes = done.outcomes.iter();
        if outcomes.any(|outcome| outcome.step.action != StepAction::Record) {
            self.task.bus.poll_now();
        }
    }

    /// Discards the due times, which the jump may have moved to the past or the future; the next passes compute them again.
    fn on_clock_jump(&mut self) {
        for region in self.regions.values_mut() {
            region.next = None;
            region.wake();
        }
    }

    /// Arms the timer for the next due instant of all responding account-regions.
    async fn arm(&mut self) {
        let next = self.regions.values().filter_map(|region| region.next).min();
        if let Err(error) = self.timer.arm(next).await {
            // The periodic pass follows within a minute.
            error!(%error, "edge timer could not be armed");
        }
    }
}

fn newest_edge(steps: &[Step]) -> Option<Timestamp> {
    let edges = steps.iter().filter_map(|step| Some(step.edge?.at));
    edges.max()
}

/// Returns the result. Resumes a panic, so that the supervisor restarts this task.
fn result_of(done: Result<FinishedJob, tokio::task::JoinError>) -> FinishedJob {
    match done {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
