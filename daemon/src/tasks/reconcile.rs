//! Passes: made here (`driver = "daemon"`), or checked here (`driver = "cloud"`).
//!
//! Each account-region has its own passes, one at a time, its own backoff and its own notifications: one that hangs or fails delays nothing in
//! another.

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

/// Triggers that may wait: they all lead to the same passes, so a few are as good as many.
const TRIGGER_REASONS: usize = 16;

/// However quiet it is, look again after this long: holds placed elsewhere, tags changed, instances launched. A minute is twelve
/// `DescribeInstances` in the time of the cloud's own heartbeat, far below what EC2 allows.
const ROUTINE: Duration = Duration::from_mins(1);

/// Failures in a row that people are told of: by then it has lasted for a few seconds, and is no hiccup.
const WORTH_TELLING: u32 = 3;

/// A pass begins nothing more after this long, and the next one goes on at once: so a shutdown never waits for the thousand starts
/// that EC2's pace spreads over eight minutes, and changed configuration is taken up in between.
const PASS: Duration = Duration::from_mins(1);

/// A pass is over by then, or hangs: [`PASS`], and a look at a hundred thousand instances before it when EC2 is slow.
const HANGS: Duration = Duration::from_mins(15);

/// How many account-regions with a failed last pass are tried at the same time. They have slots of their own, because they
/// could occupy all others while they hang.
const DOUBTFUL: usize = 8;

/// The cloud's queue answers within milliseconds; one that hangs must not hold up what the daemon does in its place.
const ASKING: Duration = Duration::from_secs(5);

/// Makes the passes, or checks the cloud's.
pub(crate) struct ReconcileTask {
    pub(crate) driver: Driver,
    pub(crate) configuration: ConfigurationReceiver,
    pub(crate) boot_clock: BootClock,
    /// Wakes the task at the next edge, in each of its runs.
    pub(crate) timers: TimerScheduler,
    pub(crate) notifier: Notifier,
    /// Takes what passes observe to the watch task, and requests polls.
    pub(crate) bus: ObservationBus,
    /// Takes what was done, and why, to the watch task.
    pub(crate) recent_actions: RecentActions,
    /// Requests what the cloud has not applied from it once more, where it makes the passes.
    pub(crate) triggers: Option<Triggers>,
    /// Takes the outcomes of edges to the journal.
    pub(crate) edges: mpsc::UnboundedSender<Vec<EdgeRecord>>,
    /// The daemon's health, for the summary of the fleet.
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
    /// What is known of each account-region that the configuration names.
    regions: BTreeMap<AccountRegion, RegionState>,
    permits: PassPermits,
}

/// How many passes are made at the same time.
#[derive(Clone, Debug)]
struct PassPermits {
    sound: Arc<Semaphore>,
    doubtful: Arc<Semaphore>,
}

impl Default for PassPermits {
    fn default() -> Self {
        Self {
            sound: Arc::new(Semaphore::new(Organisation::SIDE_BY_SIDE)),
            doubtful: Arc::new(Semaphore::new(DOUBTFUL)),
        }
    }
}

/// What is made of an account-region.
#[derive(Debug)]
enum PassKind {
    /// A look, whether the cloud made its pass.
    Check,
    /// Another trigger for the cloud, which is `late` with these steps.
    Ask { late: Vec<Step>, sent: bool },
    /// A pass; `late` are the steps that the cloud should have made.
    Pass { late: Vec<Step> },
}

/// What became of it.
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
        self.take_up_configuration();
        while !shutdown.is_cancelled() {
            self.begin_due(&mut passes);
            self.arm().await;
            let due = self.next_due();
            self.expect_by(due);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = passes.join_next(), if !passes.is_empty() => self.take(ended(done), &mut passes),
                () = tokio::time::sleep_until(due) => debug!("woken by routine"),
                Some(TriggerReason::Edge { at }) = trigger_reasons.recv() => {
                    self.timer.fired();
                    debug!(%at, "woken by the edge timer");
                    self.all_due(|region| region.next.is_some_and(|next| next <= at));
                }
                jump = self.clock_jumps.next() => self.on_clock_jump(jump),
                Ok(()) = self.current.changed() => {
                    debug!("woken by new configuration");
                    self.take_up_configuration();
                }
            }
        }
        // What is under way is finished: its memory is to be written.
        while let Some(done) = passes.join_next().await {
            self.take(ended(done), &mut passes);
        }
    }

    /// Goes by the configuration in force from now on: passes over everything, and nothing more where they name nothing.
    fn take_up_configuration(&mut self) {
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
        due.unwrap_or_else(|| Instant::now() + ROUTINE)
    }

    /// Says until when this is heard of again: with a pass under way, until that hangs.
    fn expect_by(&self, due: Instant) {
        let under_way = self.regions.values().filter_map(|region| region.under_way);
        let by = under_way.min().unwrap_or(due) + HANGS;
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

    /// Takes what became of a pass or check.
    fn take(&mut self, done: FinishedPass, passes: &mut JoinSet<FinishedPass>) {
        let FinishedPass {
            account_region,
            task,
            begun,
            now,
            outcome,
        } = done;
        // The configuration may have dropped it meanwhile; what was done there is journalled all the same.
        if let (Ok(pass), PassKind::Pass { .. }) = (&outcome, &task) {
            self.note(pass);
        }
        let Some(region) = self.regions.get_mut(&account_region) else {
            return;
        };
        region.under_way = None;
        match (outcome, task) {
            (Err(error), _) => self.failed(&account_region, &error),
            (Ok(seen), PassKind::Check) => self.check(&account_region, seen, begun, now, passes),
            (Ok(seen), PassKind::Ask { late, sent: true }) => {
                region.asked = newest_edge(&late);
                self.wait_for_the_cloud(&account_region, seen, begun, &now);
            }
            (Ok(_), PassKind::Ask { late, sent: false }) => {
                self.step_in(&account_region, late, &now, passes);
            }
            (Ok(done), PassKind::Pass { late }) => {
                let next = match self.task.driver {
                    Driver::Daemon => done.plan.next_edge,
                    Driver::Cloud => {
                        let at = self.ctx.clock.now();
                        let did = region.audit.record_own_actions(
                            &done,
                            now.grace,
                            &now.schedule_set,
                            at,
                        );
                        let next = region.next_look(&done, now.grace, self.task.triggers.is_some());
                        self.follow(did);
                        next
                    }
                };
                self.tell(&account_region, &done, &late, &now);
                self.conclude(&account_region, next, begun, done);
            }
        }
    }

    /// What a look shows of the cloud's passes: where one is missing, the cloud is asked for it, and at last it is made here.
    fn check(
        &mut self,
        account_region: &AccountRegion,
        seen: Pass,
        begun: (Instant, Timestamp),
        now: Arc<ActiveConfiguration>,
        passes: &mut JoinSet<FinishedPass>,
    ) {
        let Some(region) = self.regions.get_mut(account_region) else {
            return;
        };
        let applied = region.audit.look(&seen, now.grace, &now.schedule_set);
        log_applied(&applied, &self.ctx.metrics);
        let steps = seen.plan.steps.iter();
        let late = steps
            .clone()
            .filter(|step| is_late(step, now.grace, seen.at));
        let late: Vec<Step> = late.cloned().collect();
        let problems = &region.problems;
        let contradicted =
            steps.filter(|step| problems.has_outlasted(step, &seen, &now.schedule_set));
        let contradicted: Vec<Step> = contradicted.cloned().collect();
        let asked = region.asked;
        self.follow(applied);
        for step in &contradicted {
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause,
                  "the cloud did not mend a contradiction in time: the daemon does");
        }
        // For each edge the cloud gets another trigger first, and a second grace.
        let overdue = late
            .iter()
            .any(|step| is_late(step, now.grace * 2, seen.at));
        match &self.task.triggers {
            _ if !contradicted.is_empty() || overdue => {
                self.step_in(account_region, late, &now, passes);
            }
            _ if late.is_empty() => self.wait_for_the_cloud(account_region, seen, begun, &now),
            Some(_) if asked >= newest_edge(&late) => {
                self.wait_for_the_cloud(account_region, seen, begun, &now);
            }
            Some(triggers) => {
                let triggers = triggers.clone();
                self.ask(triggers, account_region, late, (seen, begun), now, passes);
            }
            None => self.step_in(account_region, late, &now, passes),
        }
    }

    /// The cloud has what it needs: what is there is told, and looked at again.
    fn wait_for_the_cloud(
        &mut self,
        account_region: &AccountRegion,
        seen: Pass,
        begun: (Instant, Timestamp),
        now: &ActiveConfiguration,
    ) {
        self.tell(account_region, &seen, &[], now);
        let region = self.regions.get(account_region);
        let next = region
            .and_then(|region| region.next_look(&seen, now.grace, self.task.triggers.is_some()));
        self.conclude(account_region, next, begun, seen);
    }

    /// Sends the cloud a trigger for the newest edge that it is `late` with.
    fn ask(
        &mut self,
        triggers: Triggers,
        account_region: &AccountRegion,
        late: Vec<Step>,
        (seen, begun): (Pass, (Instant, Timestamp)),
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
            let sent = match tokio::time::timeout(ASKING, triggers.send(&work)).await {
                Ok(Ok(true)) => {
                    info!(%account_region, %edge, "the cloud did not apply an edge in time: it gets another trigger");
                    true
                }
                Ok(Ok(false)) => false,
                Ok(Err(error)) => {
                    warn!(%account_region, %error, hint = error.hint(), "the cloud can't be sent a trigger");
                    false
                }
                Err(_) => {
                    warn!(%account_region, "the cloud can't be sent a trigger: its queue does not answer");
                    false
                }
            };
            FinishedPass {
                account_region,
                task: PassKind::Ask { late, sent },
                begun,
                now,
                outcome: Ok(seen),
            }
        });
    }

    /// Makes the pass that the cloud has not made.
    fn step_in(
        &mut self,
        account_region: &AccountRegion,
        late: Vec<Step>,
        now: &Arc<ActiveConfiguration>,
        passes: &mut JoinSet<FinishedPass>,
    ) {
        for step in &late {
            let edge = step.edge.map(|edge| edge.at.to_string());
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause, edge,
                  "the cloud did not apply an edge in time: the daemon does");
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
        region.again = false;
        (region.seen, region.answers) = (None, Some(false));
        let (failures, retry_seconds) = (region.backoff.failures(), wait.as_secs());
        error!(%error, hint = error.hint(), failures, retry_seconds, "pass failed");
        if let AccountRegionFailure::Cloud(cloud) = &error.failure
            && failures == WORTH_TELLING
        {
            region.told = true;
            let (place, now) = (account_region.to_string(), self.ctx.clock.now());
            self.task
                .notifier
                .tell(&Notification::unreachable(&place, cloud, failures, now));
        }
        self.ctx.metrics.account_region(account_region, None);
        self.sum_up();
        let all_fail = |region: &RegionState| region.answers == Some(false);
        if self.regions.values().all(all_fail) {
            self.ctx
                .health
                .degraded(format!("the last pass failed: {error}"));
        }
    }

    /// What a pass that had nothing to do has seen still holds, so that polling need not look.
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
            info!(%account_region, "EC2 answers again");
        }
        let now = self.ctx.clock.now();
        if std::mem::take(&mut region.told) {
            let place = account_region.to_string();
            self.task
                .notifier
                .tell(&Notification::reachable(&place, now));
        }
        region.answers = Some(true);
        region.next = next;
        let wait = if pass.is_unfinished() || std::mem::take(&mut region.again) {
            Duration::ZERO
        } else {
            ROUTINE
        };
        region.due = Instant::now() + wait;
        self.ctx.metrics.account_region(account_region, Some(now));
        self.ctx.health.ok();
        if pass.plan.steps.is_empty() {
            let look = RegionObservation {
                account_region: account_region.clone(),
                begun,
                instances: pass.instances,
            };
            self.task.bus.publish(instant, look);
        }
    }

    fn follow(&self, edges: Vec<EdgeRecord>) {
        if !edges.is_empty() {
            // The watch task listens until we have ended.
            let _ = self.task.edges.send(edges);
        }
    }

    fn tell(
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
            self.task.notifier.tell(&notification);
        }
        region.seen = Some(RegionSummary::of(pass, &now.schedule_set));
        self.sum_up();
    }

    /// What was seen last, of all account-regions that answer.
    fn sum_up(&self) {
        let seen = self
            .regions
            .values()
            .filter_map(|region| region.seen.as_ref());
        let sum = RegionSummary::sum(seen);
        self.ctx
            .metrics
            .fleet(&sum.states, sum.managed, sum.next_edge);
        self.task.health.set_fleet(FleetSummary {
            next_edge: sum.next_edge,
            managed: sum.managed,
        });
    }

    /// Notes what a pass has done.
    fn note(&self, done: &Pass) {
        self.task
            .recent_actions
            .note(&done.outcomes, self.ctx.clock.now());
        self.ctx.metrics.steps(&done.outcomes);
        let mut outcomes = done.outcomes.iter();
        if outcomes.any(|outcome| outcome.step.action != StepAction::Record) {
            self.task.bus.poll_now();
        }
    }

    /// What was to be waited for may be due already, or again: the passes that follow say when.
    fn on_clock_jump(&mut self, jump: ClockJump) {
        self.ctx.metrics.clock_jumped();
        warn!(%jump, "time made a jump: looking at once");
        for region in self.regions.values_mut() {
            // What the timer waits for may be further away, or nearer.
            region.next = None;
            region.wake();
        }
    }

    /// Arms the timer for what is due next where an answer came.
    async fn arm(&mut self) {
        let next = self.regions.values().filter_map(|region| region.next).min();
        if let Err(error) = self.timer.arm(next).await {
            // The routine look comes within a minute all the same.
            error!(%error, "the edge timer can't be armed");
        }
    }
}

fn newest_edge(steps: &[Step]) -> Option<Timestamp> {
    let edges = steps.iter().filter_map(|step| Some(step.edge?.at));
    edges.max()
}

/// A pass that panics takes the task with it, which is started again.
fn ended(done: Result<FinishedPass, tokio::task::JoinError>) -> FinishedPass {
    match done {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The cloud mends most contradictions by itself, within its grace; a daemon that makes the passes itself mends them at once.
fn drift_grace(driver: Driver, grace: Duration) -> Duration {
    match driver {
        Driver::Cloud => grace,
        Driver::Daemon => Duration::ZERO,
    }
}
