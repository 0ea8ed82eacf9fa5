//! Passes: made here (`driver = "daemon"`), or checked here (`driver = "cloud"`).

use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::execute::Deadline;
use curfew_aws::organisation::{MemberError, MemberFailure, Whole};
use curfew_aws::pass::{Pass, WakeUp};
use curfew_core::plan::{Step, StepAction};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::alarm::Alarm;
use super::audit::{self, Audit, is_late, next_look};
use super::backoff::Backoff;
use super::health::{Health, Pulse, Sight};
use super::in_force::{Current, InForce};
use super::jolt::{Jolt, Jolts};
use super::tidings::Standing;
use super::watch::{Acts, Eyes, Look};
use crate::journal::{EdgeOutcome, FollowedEdge};
use crate::metrics::{Metrics, PassOutcome};
use crate::notify::{Notice, Notifier};
use crate::settings::Driver;

/// Wake-ups that may wait: they all lead to the same pass, so a few are as good as many.
pub(super) const WAKE_UPS: usize = 16;

/// However quiet it is, look again after this long: holds placed elsewhere, tags changed, instances launched. A minute is twelve
/// `DescribeInstances` in the time of the cloud's own heartbeat, far below what EC2 allows.
const ROUTINE: Duration = Duration::from_mins(1);

/// Failures in a row that people are told of: by then it has lasted for a few seconds, and is no hiccup.
const WORTH_TELLING: u32 = 3;

/// A pass begins nothing more after this long, and the next one goes on at once: so a shutdown never waits for the thousand starts
/// that EC2's pace spreads over eight minutes, and changed settings are taken up in between.
const PASS: Duration = Duration::from_mins(1);

/// A pass is over by then, or hangs: [`PASS`], and a look at a hundred thousand instances before it when EC2 is slow.
const HANGS: Duration = Duration::from_mins(15);

/// Why a pass is made. It decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeReason {
    /// The instant that the alarm was armed for.
    Alarm {
        /// That instant.
        at: Timestamp,
    },
}

pub(super) struct Reconcile {
    pub(super) driver: Driver,
    pub(super) current: Current,
    pub(super) clock: Clock,
    pub(super) jolts: Jolts,
    pub(super) alarm: Alarm,
    pub(super) notifier: Notifier,
    /// The problems that people have been told of.
    pub(super) standing: Standing,
    /// Shows the watch task what passes see, and polling that something has just been changed.
    pub(super) eyes: Eyes,
    /// Tells the watch task what was done, and why.
    pub(super) acts: Acts,
    /// What the cloud has applied, where it makes the passes.
    pub(super) audit: Audit,
    /// Takes what became of edges to the journal.
    pub(super) followed: mpsc::UnboundedSender<Vec<FollowedEdge>>,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    pub(super) pulse: Pulse,
}

/// What became of a pass or check.
struct Reconciled {
    /// When to wake next.
    next: Option<Timestamp>,
    /// Who did not answer.
    failures: Vec<MemberError>,
    /// Whether anybody did.
    answered: bool,
    /// Whether it is to be gone on with at once.
    unfinished: bool,
}

impl Reconciled {
    fn failed(error: MemberError) -> Self {
        Self {
            next: None,
            failures: vec![error],
            answered: false,
            unfinished: false,
        }
    }
}

impl Reconcile {
    pub(super) async fn run(
        mut self,
        mut wake_ups: mpsc::Receiver<WakeReason>,
        shutdown: CancellationToken,
    ) {
        let mut backoff = Backoff::default();
        // The places that people were told of.
        let mut told: Vec<String> = Vec::new();
        // Converge first: edges may have been missed while nobody was there.
        while !shutdown.is_cancelled() {
            self.pulse.within(HANGS);
            let now = Arc::clone(&self.current.borrow_and_update());
            self.standing.wait(patience(self.driver, now.grace));
            let Reconciled {
                next,
                failures,
                answered,
                unfinished,
            } = self.reconcile(&now).await;
            self.count(answered, failures.is_empty());
            let wait = if failures.is_empty() {
                if backoff.after_success() {
                    info!("EC2 answers again");
                }
                for place in told.drain(..) {
                    self.notifier
                        .tell(&Notice::reachable(&place, self.clock.now()));
                }
                ROUTINE
            } else {
                backoff.after_failure()
            };
            for error in &failures {
                let (failures, retry_seconds) = (backoff.failures(), wait.as_secs());
                error!(%error, hint = error.hint(), failures, retry_seconds, "pass failed");
                let place = error.member.to_string();
                if let MemberFailure::Cloud(cloud) = &error.failure
                    && failures == WORTH_TELLING
                {
                    let now = self.clock.now();
                    self.notifier
                        .tell(&Notice::unreachable(&place, cloud, failures, now));
                    told.push(place);
                }
            }
            if answered {
                self.arm(next).await;
                self.pulse.well();
            } else if let Some(error) = failures.first() {
                self.pulse.trouble(format!("the last pass failed: {error}"));
            }
            if unfinished {
                continue;
            }
            self.pulse.within(wait + HANGS);
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(wait) => debug!("woken by routine"),
                Some(WakeReason::Alarm { at }) = wake_ups.recv() => {
                    self.alarm.spent();
                    debug!(%at, "woken by the alarm");
                }
                jolt = self.jolts.next() => self.rearm_after(jolt).await,
                Ok(()) = self.current.changed() => debug!("woken by new settings"),
            }
        }
    }

    /// One pass, or one check that the cloud made its own, everywhere.
    async fn reconcile(&mut self, now: &InForce) -> Reconciled {
        let begun = (Instant::now(), self.clock.now());
        if self.driver == Driver::Daemon {
            return match self.act(now).await {
                Ok(whole) => {
                    self.tell(&whole.pass, &[], now);
                    self.conclude(whole.pass.plan.next_edge, begun, whole)
                }
                Err(error) => Reconciled::failed(error),
            };
        }
        let survey = now
            .organisation
            .look(
                &now.governance,
                &WakeUp::ROUTINE,
                &self.clock,
                Deadline::NONE,
            )
            .await;
        let whole = match survey.whole() {
            Ok(whole) => whole,
            Err(error) => return Reconciled::failed(error),
        };
        let seen = &whole.pass;
        let applied = self.audit.look(seen, now.grace, &now.governance);
        audit::tell(&applied, &self.metrics);
        self.follow(applied);
        let steps = seen.plan.steps.iter();
        let late = steps
            .clone()
            .filter(|step| is_late(step, now.grace, seen.at));
        let late: Vec<Step> = late.cloned().collect();
        let contradicted = steps.filter(|step| {
            let standing = &self.standing;
            standing.has_outlasted(step, seen, &now.governance)
        });
        let contradicted: Vec<Step> = contradicted.cloned().collect();
        if late.is_empty() && contradicted.is_empty() {
            self.tell(seen, &[], now);
            let next = self.next_look(seen, now.grace);
            return self.conclude(next, begun, whole);
        }
        for step in &late {
            let edge = step.edge.map(|edge| edge.at.to_string());
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause, edge,
                  "the cloud did not apply an edge in time: the daemon does");
        }
        let missed = self.audit.newly_missed(&late);
        self.metrics.edges(EdgeOutcome::Missed, missed);
        for step in &contradicted {
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause,
                  "the cloud did not mend a contradiction in time: the daemon does");
        }
        match self.act(now).await {
            Ok(whole) => {
                let did =
                    (self.audit).did(&whole.pass, now.grace, &now.governance, self.clock.now());
                self.follow(did);
                self.tell(&whole.pass, &late, now);
                let next = self.next_look(&whole.pass, now.grace);
                self.conclude(next, begun, whole)
            }
            Err(error) => Reconciled::failed(error),
        }
    }

    /// What a pass that had nothing to do has seen still holds, so that polling need not look.
    fn conclude(
        &self,
        next: Option<Timestamp>,
        (instant, begun): (Instant, Timestamp),
        whole: Whole,
    ) -> Reconciled {
        let Whole {
            pass,
            members,
            failures,
        } = whole;
        let unfinished = pass.is_unfinished();
        if pass.plan.steps.is_empty() && failures.is_empty() {
            let mut instances = pass.instances.into_iter();
            let looks = members.into_iter().map(|(member, count)| Look {
                member,
                begun,
                instances: instances.by_ref().take(count).collect(),
            });
            self.eyes.show(instant, looks.collect());
        }
        Reconciled {
            next,
            failures,
            answered: true,
            unfinished,
        }
    }

    fn follow(&self, edges: Vec<FollowedEdge>) {
        if !edges.is_empty() {
            // The watch task listens until we have ended.
            let _ = self.followed.send(edges);
        }
    }

    fn tell(&mut self, pass: &Pass, late: &[Step], now: &InForce) {
        for notice in self.standing.news(pass, late, &now.governance) {
            self.notifier.tell(&notice);
        }
        let instances = pass.instances.iter();
        let governed = instances.filter(|one| now.governance.schedule_for(one).is_ok());
        let (next_edge, governed) = (pass.plan.next_edge, governed.count());
        self.metrics.fleet(&pass.instances, governed, next_edge);
        self.health.sees(Sight {
            next_edge,
            governed,
        });
    }

    fn next_look(&self, pass: &Pass, grace: Duration) -> Option<Timestamp> {
        let contradictions = self.standing.next_outlasted(pass.at);
        let edges = next_look(pass, grace);
        [contradictions, edges].into_iter().flatten().min()
    }

    fn count(&self, answered: bool, by_all: bool) {
        let (outcome, at) = match (answered, by_all) {
            (true, true) => (PassOutcome::Whole, Some(self.clock.now())),
            (true, false) => (PassOutcome::Partial, Some(self.clock.now())),
            (false, _) => (PassOutcome::Failed, None),
        };
        self.metrics.pass(outcome, at);
    }

    async fn act(&self, now: &InForce) -> Result<Whole, MemberError> {
        let deadline = Deadline::at(Instant::now() + PASS);
        let survey = now
            .organisation
            .pass(&now.governance, &WakeUp::ROUTINE, &self.clock, deadline)
            .await;
        let done = survey.whole()?;
        self.acts.note(&done.pass.outcomes, self.clock.now());
        self.metrics.steps(&done.pass.outcomes);
        let mut outcomes = done.pass.outcomes.iter();
        if outcomes.any(|outcome| outcome.step.action != StepAction::Record) {
            self.eyes.nudge();
        }
        Ok(done)
    }

    /// What was to be waited for may be due already, or again: the pass that follows says when.
    async fn rearm_after(&mut self, jolt: Jolt) {
        self.metrics.time_jumped();
        warn!(%jolt, "time made a jump: looking at once");
        self.arm(None).await;
    }

    async fn arm(&mut self, next: Option<Timestamp>) {
        if let Err(error) = self.alarm.arm(next).await {
            // The routine look comes within a minute all the same.
            error!(%error, "the alarm can't be armed");
        }
    }
}

/// The cloud mends most contradictions by itself, within its grace; a daemon that makes the passes itself mends them at once.
pub(super) fn patience(driver: Driver, grace: Duration) -> Duration {
    match driver {
        Driver::Cloud => grace,
        Driver::Daemon => Duration::ZERO,
    }
}
