//! Passes: made here (`driver = "daemon"`), or checked here (`driver = "cloud"`).

use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::execute::Deadline;
use curfew_aws::organisation::{MemberError, MemberFailure, Organisation, Whole};
use curfew_aws::pass::{Pass, WakeUp};
use curfew_core::govern::Governance;
use curfew_core::plan::{Step, StepAction};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::alarm::Alarm;
use super::backoff::Backoff;
use super::tidings::Standing;
use crate::notify::{Notice, Notifier};
use crate::settings::Driver;

/// Wake-ups that may wait: they all lead to the same pass, so a few are as good as many.
pub(super) const WAKE_UPS: usize = 16;

/// However quiet it is, look again after this long: holds placed elsewhere, tags changed, instances launched. A minute is twelve
/// `DescribeInstances` in the time of the cloud's own heartbeat, far below what EC2 allows.
const ROUTINE: Duration = Duration::from_mins(1);

/// Failures in a row that people are told of: by then it has lasted for a few seconds, and is no hiccup.
const WORTH_TELLING: u32 = 3;

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
    pub(super) grace: Duration,
    pub(super) governance: Arc<Governance>,
    pub(super) organisation: Organisation,
    pub(super) clock: Clock,
    pub(super) alarm: Alarm,
    pub(super) notifier: Notifier,
    /// The problems that people have been told of.
    pub(super) standing: Standing,
    /// Tells polling that something has just been changed.
    pub(super) nudge: Arc<Notify>,
}

/// What became of a pass or check.
struct Reconciled {
    /// When to wake next.
    next: Option<Timestamp>,
    /// Who did not answer.
    failures: Vec<MemberError>,
    /// Whether anybody did.
    answered: bool,
}

impl Reconciled {
    fn until(next: Option<Timestamp>, failures: Vec<MemberError>) -> Self {
        Self {
            next,
            failures,
            answered: true,
        }
    }

    fn failed(error: MemberError) -> Self {
        Self {
            next: None,
            failures: vec![error],
            answered: false,
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
            let Reconciled {
                next,
                failures,
                answered,
            } = self.reconcile().await;
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
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(wait) => debug!("woken by routine"),
                Some(WakeReason::Alarm { at }) = wake_ups.recv() => {
                    self.alarm.spent();
                    debug!(%at, "woken by the alarm");
                }
            }
        }
        if let Err(error) = self.alarm.shut_down().await {
            warn!(%error, "the alarm did not end cleanly");
        }
    }

    /// One pass, or one check that the cloud made its own, everywhere.
    async fn reconcile(&mut self) -> Reconciled {
        if self.driver == Driver::Daemon {
            return match self.act().await {
                Ok(Whole { pass, failures }) => {
                    self.tell(&pass, &[]);
                    Reconciled::until(pass.plan.next_edge, failures)
                }
                Err(error) => Reconciled::failed(error),
            };
        }
        let (governance, clock) = (&self.governance, &self.clock);
        let survey = self
            .organisation
            .look(governance, &WakeUp::ROUTINE, clock, Deadline::NONE)
            .await;
        let (seen, failures) = match survey.whole() {
            Ok(Whole { pass, failures }) => (pass, failures),
            Err(error) => return Reconciled::failed(error),
        };
        let late: Vec<Step> = seen
            .plan
            .steps
            .iter()
            .filter(|step| self.is_late(step, seen.at))
            .cloned()
            .collect();
        if late.is_empty() {
            self.tell(&seen, &[]);
            // An edge that the cloud has not applied yet has not used up its grace: come back when it has.
            let waiting = seen
                .plan
                .steps
                .iter()
                .filter_map(|step| Some(self.judged_at(step.edge?.at)));
            let coming = seen.plan.next_edge.map(|edge| self.judged_at(edge));
            let next = waiting.chain(coming).filter(|at| *at > seen.at).min();
            return Reconciled::until(next, failures);
        }
        for step in &late {
            let edge = step.edge.map(|edge| edge.at.to_string());
            warn!(instance = %step.instance, name = step.name, action = %step.action, cause = %step.cause, edge,
                  "the cloud did not apply an edge in time: the daemon does");
        }
        match self.act().await {
            Ok(Whole { pass, failures }) => {
                self.tell(&pass, &late);
                let next = pass.plan.next_edge.map(|edge| self.judged_at(edge));
                Reconciled::until(next, failures)
            }
            Err(error) => Reconciled::failed(error),
        }
    }

    fn tell(&mut self, pass: &Pass, late: &[Step]) {
        for notice in self.standing.news(pass, late, &self.governance) {
            self.notifier.tell(&notice);
        }
    }

    async fn act(&self) -> Result<Whole, MemberError> {
        let (governance, clock) = (&self.governance, &self.clock);
        let survey = self
            .organisation
            .pass(governance, &WakeUp::ROUTINE, clock, Deadline::NONE)
            .await;
        let done = survey.whole()?;
        let mut outcomes = done.pass.outcomes.iter();
        if outcomes.any(|outcome| outcome.step.action != StepAction::Record) {
            self.nudge.notify_one();
        }
        Ok(done)
    }

    /// Bookkeeping can wait for the cloud; an instance that should have been started or stopped can't.
    fn is_late(&self, step: &Step, now: Timestamp) -> bool {
        step.action != StepAction::Record
            && step.edge.is_some_and(|edge| self.judged_at(edge.at) <= now)
    }

    /// When an edge at that instant counts as missed by the cloud.
    fn judged_at(&self, edge: Timestamp) -> Timestamp {
        SignedDuration::try_from(self.grace)
            .ok()
            .and_then(|grace| edge.checked_add(grace).ok())
            .unwrap_or(Timestamp::MAX)
    }

    async fn arm(&mut self, next: Option<Timestamp>) {
        if let Err(error) = self.alarm.arm(next).await {
            // The routine look comes within a minute all the same.
            error!(%error, "the alarm can't be armed");
        }
    }
}
