//! Passes: made by the daemon (`driver = "daemon"`), or audited by it (`driver = "cloud"`).
//!
//! Each account-region has its own passes (one at a time), backoff and notifications: one that hangs or fails delays no
//! other.

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

use self::clock_jump::{ClockJump, ClockJumpDetector};
use self::edge_audit::{is_late, log_applied};
use self::edge_timer::{EdgeTimer, TriggerReason};
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

/// Capacity for waiting triggers. All of them lead to the same passes, so more would add nothing.
const TRIGGER_REASONS: usize = 16;

/// The longest interval between passes over an account-region, which finds new overrides, changed tags and launched
/// instances. A minute is far below EC2's limits: five `DescribeInstances` for each heartbeat of the cloud.
const PASS_INTERVAL: Duration = Duration::from_mins(1);

/// The number of consecutive failures after which a notification is sent: a single failure may be a hiccup.
const FAILURES_TO_NOTIFY: u32 = 3;

/// A pass begins no more calls after this time, and the next one continues at once: so a shutdown does not wait for a
/// thousand starts that EC2's rate limit spreads over eight minutes, and a changed configuration takes effect in between.
const PASS: Duration = Duration::from_mins(1);

/// A pass takes at most this long unless it hangs: [`PASS`], after an observation of a hundred thousand instances while EC2
/// is slow.
const STALLED_AFTER: Duration = Duration::from_mins(15);

/// The number of concurrent passes over account-regions with a failed last pass. They have separate slots, because they could
/// occupy all others while they hang.
const RETRY_SLOTS: usize = 8;

/// The time limit for sending a trigger: SQS responds within milliseconds, and a hanging queue must not delay the daemon's
/// own pass.
const TRIGGER_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the passes, or audits the cloud's.
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
    /// Sends the cloud a trigger for overdue edges; `None` where the daemon makes the passes.
    pub(crate) triggers: Option<Triggers>,
    /// Sends the outcomes of edges to the journal.
    pub(crate) edges: mpsc::UnboundedSender<Vec<EdgeRecord>>,
    /// Receives the summary of the fleet.
    pub(crate) health: Health,
}

impl Task for ReconcileTask {
    const NAME: &'static str = "reconcile";
    const NOT_READY: Option<&'static str> = Some("no pass has been made yet");

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        let (wake, trigger_reasons) = mpsc::channel(TRIGGER_REASONS);
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

/// Limits how many passes are made concurrently.
#[derive(Clone, Debug)]
struct PassPermits {
    sound: Arc<Semaphore>,
    doubtful: Arc<Semaphore>,
}

impl Default for PassPermits {
    fn default() -> Self {
        Self {
            sound: Arc::new(Semaphore::new(Organisation::MAX_IN_FLIGHT)),
            doubtful: Arc::new(Semaphore::new(RETRY_SLOTS)),
        }
    }
}

/// The kind of work on an account-region.
#[derive(Debug)]
enum PassKind {
    /// Observes the fleet and audits the cloud's passes.
    Check,
    /// Sends the cloud a trigger because it is `late` with these steps.
    Trigger { late: Vec<Step>, sent: bool },
    /// Makes a pass; `late` are the steps that the cloud should have made.
    Pass { late: Vec<Step> },
}

/// The result of a [`PassKind`].
struct FinishedPass {
    account_region: AccountRegion,
    task: PassKind,
    begun: (Instant, Timestamp),
    now: Arc<ActiveConfiguration>,
    outcome: Result<Pass, AccountRegionError>,
}

impl Reconcile<'_> {
    async fn run(mut self, mut trigger_reasons: mpsc::Receiver<TriggerReason>) {
        let shutdown = &self.ctx.shutdown;
        let mut passes: JoinSet<FinishedPass> = JoinSet::new();
        // Converge first: edges may have been missed while the daemon was down.
        self.apply_configuration();
        while !shutdown.is_cancelled() {
            self.begin_due(&mut passes);
            self.arm().await;
            let due = self.next_due();
            self.expect_by(due);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = passes.join_next(), if !passes.is_empty() => self.handle_result(ended(done), &mut passes),
                () = tokio::time::sleep_until(due) => debug!("periodic reconcile"),
                Some(TriggerReason::Edge { at }) = trigger_reasons.recv() => {
                    self.timer.fired();
                    debug!(%at, "edge timer fired");
                    self.all_due(|region| region.next.is_some_and(|next| next <= at));
                }
                jump = self.clock_jumps.next() => self.on_clock_jump(jump),
                Ok(()) = self.current.changed() => {
                    debug!("configuration changed; reconciling");
                    self.apply_configuration();
                }
            }
        }
        // Passes that have begun finish, because they still have to write their state tags.
        while let Some(done) = passes.join_next().await {
            self.handle_result(ended(done), &mut passes);
        }
    }

    /// Applies the active configuration: schedules passes over everything, and drops account-regions that it does not name.
    fn apply_configuration(&mut self) {
        let now = Arc::clone(&self.current.borrow_and_update());
        let account_regions = now.organisation.account_regions().iter();
        let named: BTreeSet<&AccountRegion> =
            account_regions.map(|one| &one.account_region).collect();
        self.regions
            .retain(|account_region, _| named.contains(account_region));
        self.ctx.metrics.keep_account_regions(&named);
        for account_region in named {
            let region = self.regions.entry(account_region.clone());
            region.or_insert_with(RegionState::new).wake();
        }
    }

    fn all_due(&mut self, which: impl Fn(&RegionState) -> bool) {
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

    /// Reports the deadline of this task: `due`, or the time limit of a pass that is in progress.
    fn expect_by(&self, due: Instant) {
        let under_way = self.regions.values().filter_map(|region| region.under_way);
        let by = under_way.min().unwrap_or(due) + STALLED_AFTER;
        self.ctx
            .health
            .expect_within(by.saturating_duration_since(Instant::now()));
    }

    /// Begins a pass or check wherever one is due.
    fn begin_due(&mut self, passes: &mut JoinSet<FinishedPass>) {
        let now = Arc::clone(&self.current.borrow());
        for one in now.organisation.account_regions() {
            let is_due = self
                .regions
                .get(&one.account_region)
                .is_some_and(|region| region.under_way.is_none() && region.due <= Instant::now());
            if is_due {
                let task = match self.task.driver {
                    Driver::Daemon => PassKind::Pass { late: Vec::new() },
                    Driver::Cloud => PassKind::Check,
                };
                self.begin(one, task, &now, passes);
            }
        }
    }

    fn begin(
        &mut self,
        one: &AccountRegionFleet,
        task: PassKind,
        now: &Arc<ActiveConfiguration>,
        passes: &mut JoinSet<FinishedPass>,
    ) {
        let Some(region) = self.regions.get_mut(&one.account_region) else {
            return;
        };
        region.under_way = Some(Instant::now());
        region
            .problems
            .wait(drift_grace(self.task.driver, now.grace));
        let places = if region.backoff.failures() == 0 {
            &self.permits.sound
        } else {
            &self.permits.doubtful
        };
        let (places, clock) = (Arc::clone(places), self.ctx.clock.clone());
        let (one, now) = (one.clone(), Arc::clone(now));
        let span = info_span!("account_region", account_region = %one.account_region);
        let work = async move {
            let place = places.acquire().await;
            let begun = (Instant::now(), clock.now());
            let basis = Basis::new(&now.schedule_set, &clock);
            let outcome = if let PassKind::Pass { .. } = task {
                let deadline = Deadline::at(Instant::now() + PASS);
                Pass::run(one.fleet(), &Scope::All, basis, deadline).await
            } else {
                Pass::dry_run(one.fleet(), &Scope::All, basis).await
            };
            drop(place);
            FinishedPass {
                outcome: outcome.map_err(|error| now.organisation.failed(&one, error)),
                account_region: one.account_region,
                task,
                begun,
                now,
            }
        };
        passes.spawn(work.instrument(span));
    }

    /// Handles the result of a pass or check.
    fn handle_result(&mut self, done: FinishedPass, passes: &mut JoinSet<FinishedPass>) {
        let FinishedPass {
            account_region,
            task,
            begun,
            now,
            outcome,
        } = done;
        // The configuration may have dropped the account-region meanwhile; its actions are journalled all the same.
        if let (Ok(pass), PassKind::Pass { .. }) = (&outcome, &task) {
            self.record_actions(pass);
        }
        let Some(region) = self.regions.get_mut(&account_region) else {
            return;
        };
        region.under_way = None;
        match (outcome, task) {
            (Err(error), _) => self.failed(&account_region, &error),
            (Ok(observed), PassKind::Check) => {
                self.check(&account_region, observed, begun, now, passes);
            }
            (Ok(observed), PassKind::Trigger { late, sent: true }) => {
                region.retriggered = newest_edge(&late);
                self.leave_to_cloud(&account_region, observed, begun, &now);
            }
            (Ok(_), PassKind::Trigger { late, sent: false }) => {
                self.pass_locally(&account_region, late, &now, passes);
            }
            (Ok(done), PassKind::Pass { late }) => {
                let next = match self.task.driver {
                    Driver::Daemon => done.plan.next_edge,
                    Driver::Cloud => {
                        let at = self.ctx.clock.now();
                        let applied = region.audit.record_own_actions(
                            &done,
                            now.grace,
                            &now.schedule_set,
                            at,
                        );
                        let next =
                            region.next_check(&done, now.grace, self.task.triggers.is_some());
                        self.record_edges(applied);
                        next
                    }
                };
                self.report(&account_region, &done, &late, &now);
                self.conclude(&account_region, next, begun, done);
            }
        }
    }

    /// Audits the cloud's passes with an observation: an overdue step is first requested from the cloud once more, and
    /// finally made here.
    fn check(
        &mut self,
        account_region: &AccountRegion,
        observed: Pass,
        begun: (Instant, Timestamp),
        now: Arc<ActiveConfiguration>,
        passes: &mut JoinSet<FinishedPass>,
    ) {
        let Some(region) = self.regions.get_mut(account_region) else {
            return;
        };
        let applied = region
            .audit
            .observe(&observed, now.grace, &now.schedule_set);
        log_applied(&applied, &self.ctx.metrics);
        let steps = observed.plan.steps.iter();
        let late = steps
            .clone()
            .filter(|step| is_late(step, now.grace, observed.at));
        let late: Vec<Step> = late.cloned().collect();
        let problems = &region.problems;
        let drifted =
            steps.filter(|step| problems.has_outlasted(step, &observed, &now.schedule_set));
        let drifted: Vec<Step> = drifted.cloned().collect();
        let retriggered = region.retriggered;
        self.record_edges(applied);
        for step in &drifted {
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause,
                  "drift not corrected within grace; correcting locally");
        }
        // For each edge the cloud gets another trigger first, and a second grace period.
        let overdue = late
            .iter()
            .any(|step| is_late(step, now.grace * 2, observed.at));
        match &self.task.triggers {
            _ if !drifted.is_empty() || overdue => {
                self.pass_locally(account_region, late, &now, passes);
            }
            _ if late.is_empty() => self.leave_to_cloud(account_region, observed, begun, &now),
            Some(_) if retriggered >= newest_edge(&late) => {
                self.leave_to_cloud(account_region, observed, begun, &now);
            }
            Some(triggers) => {
                let triggers = triggers.clone();
                self.send_trigger(
                    triggers,
                    account_region,
                    late,
                    (observed, begun),
                    now,
                    passes,
                );
            }
            None => self.pass_locally(account_region, late, &now, passes),
        }
    }

    /// Leaves everything to the cloud: reports the observation, and schedules the next one.
    fn leave_to_cloud(
        &mut self,
        account_region: &AccountRegion,
        observed: Pass,
        begun: (Instant, Timestamp),
        now: &ActiveConfiguration,
    ) {
        self.report(account_region, &observed, &[], now);
        let region = self.regions.get(account_region);
        let next = region.and_then(|region| {
            region.next_check(&observed, now.grace, self.task.triggers.is_some())
        });
        self.conclude(account_region, next, begun, observed);
    }

    /// Sends the cloud a trigger for the newest edge that it is `late` with.
    fn send_trigger(
        &mut self,
        triggers: Triggers,
        account_region: &AccountRegion,
        late: Vec<Step>,
        (observed, begun): (Pass, (Instant, Timestamp)),
        now: Arc<ActiveConfiguration>,
        passes: &mut JoinSet<FinishedPass>,
    ) {
        let (Some(region), Some(edge)) = (self.regions.get_mut(account_region), newest_edge(&late))
        else {
            return;
        };
        region.under_way = Some(Instant::now());
        let account_region = account_region.clone();
        passes.spawn(async move {
            let work = Work::over(account_region.clone(), minute_of(edge));
            let sent = match tokio::time::timeout(TRIGGER_TIMEOUT, triggers.send(&work)).await {
                Ok(Ok(true)) => {
                    info!(%account_region, %edge, "edge not applied within grace; sending another trigger");
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
            FinishedPass {
                account_region,
                task: PassKind::Trigger { late, sent },
                begun,
                now,
                outcome: Ok(observed),
            }
        });
    }

    /// Makes the pass that the cloud has not made.
    fn pass_locally(
        &mut self,
        account_region: &AccountRegion,
        late: Vec<Step>,
        now: &Arc<ActiveConfiguration>,
        passes: &mut JoinSet<FinishedPass>,
    ) {
        for step in &late {
            let edge = step.edge.map(|edge| edge.at.to_string());
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause, edge,
                  "edge not applied within grace; applying it locally");
        }
        if let Some(region) = self.regions.get_mut(account_region) {
            let missed = region.audit.newly_missed(&late);
            self.ctx.metrics.edges(EdgeOutcome::Missed, missed);
        }
        if let Some(one) = now.organisation.account_region(account_region).cloned() {
            self.begin(&one, PassKind::Pass { late }, now, passes);
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
            let (place, now) = (account_region.to_string(), self.ctx.clock.now());
            self.task
                .notifier
                .notify(&Notification::unreachable(&place, cloud, failures, now));
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

    /// The observation of a pass without steps is still valid, so polling can skip its own.
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
            let place = account_region.to_string();
            self.task
                .notifier
                .notify(&Notification::reachable(&place, now));
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
            // The watch task outlives this one.
            let _ = self.task.edges.send(edges);
        }
    }

    fn report(
        &mut self,
        account_region: &AccountRegion,
        pass: &Pass,
        late: &[Step],
        now: &ActiveConfiguration,
    ) {
        let Some(region) = self.regions.get_mut(account_region) else {
            return;
        };
        for notification in region.problems.news(pass, late, &now.schedule_set) {
            self.task.notifier.notify(&notification);
        }
        region.summary = Some(RegionSummary::of(pass, &now.schedule_set));
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

    /// Resets what depends on the clock: due times may be past already, or ahead again. The following passes determine them
    /// anew.
    fn on_clock_jump(&mut self, jump: ClockJump) {
        self.ctx.metrics.clock_jumped();
        warn!(%jump, "clock jump detected; reconciling now");
        for region in self.regions.values_mut() {
            // The timer's instant may be further away, or nearer.
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

/// Returns the result of a pass. A panic in it panics this task, which the supervisor restarts.
fn ended(done: Result<FinishedPass, tokio::task::JoinError>) -> FinishedPass {
    match done {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Returns how long drift may last before it is reported. The cloud corrects most drift within its grace; a daemon that makes
/// the passes does so at once.
fn drift_grace(driver: Driver, grace: Duration) -> Duration {
    match driver {
        Driver::Cloud => grace,
        Driver::Daemon => Duration::ZERO,
    }
}
