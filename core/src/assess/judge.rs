//! What a schedule and a hold ask of one instance that they may touch.

use jiff::Timestamp;

use super::recall::{Recalled, end_of_hold};
use super::skip;
use crate::instance::{Hibernation, Instance, InstanceState, StateReason};
use crate::memory::{Cause, Held, Hold, Last, whole_second};
use crate::plan::{
    Decision, EARLY_WAKE_UP, HoldChange, Remember, SkipReason, Step, StepAction, World,
};
use crate::request::Request;
use crate::schedule::{Adopt, Firmness, Schedule, StopBy};
use crate::timetable::{Action, Desired, Edge};
use crate::view::View;

pub(super) struct Judge<'a> {
    pub(super) instance: &'a Instance,
    pub(super) view: &'a View<'a>,
    pub(super) recalled: &'a Recalled,
    pub(super) request: Option<&'a Request>,
    /// The instant that everything is asked about: `now`, or the edge up to a minute later that a wake-up was early for.
    pub(super) reading: Timestamp,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        instance: &'a Instance,
        view: &'a View<'a>,
        recalled: &'a Recalled,
        world: &World<'a>,
        now: Timestamp,
    ) -> Self {
        let within_reach = |at: &Timestamp| *at > now && at.duration_since(now) <= EARLY_WAKE_UP;
        let early_edge = (world.woken_for == Some(&view.schedule().name))
            .then(|| view.next_edge(now))
            .flatten()
            .map(|edge| edge.at)
            .filter(within_reach);
        // An edge that was applied early stays applied for a pass that runs before it is due.
        let applied_early = recalled.applied().map(|last| last.at).filter(within_reach);
        Self {
            instance,
            view,
            recalled,
            request: world.request.filter(|request| request.concerns(instance)),
            reading: early_edge.max(applied_early).unwrap_or(now),
        }
    }

    pub(super) fn decide(&self) -> Decision {
        let decision = match self.request {
            Some(request) => self.requested(request),
            None => self.unasked(),
        };
        self.in_view_of_earlier_tries(decision)
    }

    fn unasked(&self) -> Decision {
        if self.in_flight() {
            // A hold that is over keeps its tag, and so its end stays due.
            return self.skip(SkipReason::InFlight);
        }
        match &self.recalled.hold {
            Err(problem) => self.skip(SkipReason::MalformedHold {
                problem: problem.to_string(),
            }),
            Ok(Some(hold)) if hold.is_active(self.reading) => self.held(hold),
            Ok(expired) => self.scheduled(expired.as_ref()),
        }
    }

    /// A hold in force wins at every pass.
    fn held(&self, hold: &Hold) -> Decision {
        let Some(wanted) = wanted(hold.state.desired()) else {
            return self.skip(SkipReason::HeldIgnored {
                until: hold.until,
                by: hold.by.clone(),
            });
        };
        if self.is_at(wanted) {
            return self.skip(SkipReason::Held {
                state: hold.state,
                until: hold.until,
                by: hold.by.clone(),
            });
        }
        Decision::Step(self.step(wanted, Cause::Hold(hold.by.clone()), Remember::default()))
    }

    fn scheduled(&self, expired: Option<&Hold>) -> Decision {
        let due = Due::of(self, expired);
        let decision = match (&self.recalled.last, self.enforced()) {
            (_, Some(wanted)) => self.enforce(wanted, due.newest),
            (Err(problem), None) => self.begin_memory(problem, due),
            (Ok(Some(last)), None)
                if last.pending && due.newest.is_none_or(|edge| edge.at <= last.at) =>
            {
                self.verify(last, expired)
            }
            (Ok(last), None) => self.apply_if_due(last.as_ref(), due),
        };
        match expired {
            Some(hold) => self.clearing(hold, decision),
            None => decision,
        }
    }

    /// What an enforced schedule wants; nothing while it has no opinion, and then its edges are applied once each.
    pub(super) fn enforced(&self) -> Option<Action> {
        match self.schedule().firmness {
            Firmness::Enforced => wanted(self.view.desired(self.reading)),
            Firmness::OncePerEdge => None,
        }
    }

    fn enforce(&self, wanted: Action, newest: Option<Edge>) -> Decision {
        let edge = Edge {
            at: newest.map_or_else(|| self.undated(wanted), |edge| edge.at),
            action: wanted,
        };
        let mut step = if self.is_at(wanted) {
            let is_known = match &self.recalled.last {
                Ok(Some(last)) => !last.pending && newest.is_none_or(|edge| last.at >= edge.at),
                Ok(None) => newest.is_none(),
                Err(_) => false,
            };
            if is_known {
                return self.skip(SkipReason::AsDesired);
            }
            self.record(edge, self.by_schedule())
        } else {
            self.apply(edge, self.by_schedule())
        };
        match &self.recalled.last {
            Err(problem) => remark(&mut step, format!("{problem}; the tag is rewritten")),
            Ok(Some(last)) if last.pending && step.action == StepAction::Start => {
                remark(&mut step, self.why_not_running());
            }
            Ok(_) => {}
        }
        Decision::Step(step)
    }

    /// Nothing can be known of the edges before: the newest one is taken as applied, since to apply it again could undo what
    /// a person did. Only the end of a hold is known to be due, by the hold's own tag.
    fn begin_memory(&self, problem: &str, due: Due) -> Decision {
        if let Some(end) = due.end_of_hold().filter(|edge| !self.is_too_late(*edge)) {
            let mut step = self.apply(end, self.by_schedule());
            remark(&mut step, problem.to_owned());
            return Decision::Step(step);
        }
        let as_it_is = if self.is_at(Action::Start) {
            Action::Start
        } else {
            Action::Stop
        };
        let edge = due.newest.unwrap_or(Edge {
            at: self.instant(),
            action: as_it_is,
        });
        let mut step = self.record(edge, self.by_schedule());
        remark(
            &mut step,
            format!("{problem}; its newest edge counts as applied"),
        );
        Decision::Step(step)
    }

    /// A start counts when the instance is seen running, not when the call returned.
    fn verify(&self, last: &Last, expired: Option<&Hold>) -> Decision {
        let edge = Edge {
            at: last.at,
            action: last.action,
        };
        if self.is_at(last.action) {
            return Decision::Step(self.record(edge, last.cause.clone()));
        }
        let stopped_by = if self.user_stopped_since(last.at) {
            Some("a user stopped it after that start")
        } else if self.shut_down_from_inside_since(last.at) {
            Some("it was shut down from inside after that start")
        } else if expired.is_some_and(|hold| hold.state == Held::Stopped) {
            Some("a hold stopped it after that start")
        } else {
            None
        };
        if let Some(who) = stopped_by {
            let mut step = self.record(edge, last.cause.clone());
            remark(&mut step, who.to_owned());
            return Decision::Step(step);
        }
        if self.is_too_late(edge) {
            return self.skip(SkipReason::TooLate { edge });
        }
        let mut step = self.apply(edge, last.cause.clone());
        remark(&mut step, self.why_not_running());
        Decision::Step(step)
    }

    /// Whether the start for the edge `at` did lead to running, and a person ended that.
    pub(super) fn was_stopped_since(&self, at: Timestamp) -> bool {
        self.user_stopped_since(at) || self.shut_down_from_inside_since(at)
    }

    /// When the instance was started for the edge `at`, as far as EC2 tells: up to a minute early, or later.
    fn started_for(&self, at: Timestamp) -> Option<Timestamp> {
        let launched = self.instance.launched_at?;
        (at.duration_since(launched) <= EARLY_WAKE_UP).then_some(launched)
    }

    /// Whether EC2 says that a user stopped the instance after the start for the edge `at`. Where EC2 does not date that
    /// start, the edge has to do.
    fn user_stopped_since(&self, at: Timestamp) -> bool {
        let Some(stopped) = self.instance.user_stopped_at() else {
            return false;
        };
        match self.started_for(at) {
            // Both to the second; and what starts was stopped before, so that within one second the stop came last.
            Some(started) => stopped >= started,
            None => stopped > at,
        }
    }

    /// Whoever works on an instance may shut it down; then it did run.
    fn shut_down_from_inside_since(&self, at: Timestamp) -> bool {
        let reason = self.instance.state_reason.as_ref();
        self.started_for(at).is_some()
            && reason.is_some_and(|reason| reason.code == StateReason::SHUT_DOWN_FROM_INSIDE)
    }

    fn why_not_running(&self) -> String {
        // The reason of a stop lies before that start, and is not why it failed.
        match self.instance.failed_start() {
            Some(reason) => format!(
                "an earlier start did not lead to running: {}",
                reason.message
            ),
            None => "an earlier start did not lead to running".to_owned(),
        }
    }

    fn apply_if_due(&self, last: Option<&Last>, due: Due) -> Decision {
        let adopting = last.is_none() && self.schedule().adopt == Adopt::Converge;
        if adopting && let Some(action) = wanted(self.view.desired(self.reading)) {
            let at = due
                .newest
                .map_or_else(|| self.undated(action), |edge| edge.at);
            return Decision::Step(self.apply(Edge { at, action }, self.by_schedule()));
        }
        let Some(edge) = due.newest else {
            return self.skip(SkipReason::NothingDue);
        };
        let Some(dealt_with) = self.recalled.dealt_with(self.instance) else {
            return self.begin_memory("EC2 does not say when it was launched", due);
        };
        let is_news = edge.at > dealt_with;
        if is_news && !self.is_too_late(edge) {
            Decision::Step(self.apply(edge, self.by_schedule()))
        } else if self.is_at(edge.action) {
            self.skip(SkipReason::AsDesired)
        } else if is_news {
            self.skip(SkipReason::TooLate { edge })
        } else if last.is_some() {
            self.skip(SkipReason::LeftAlone)
        } else {
            self.skip(SkipReason::NothingDue)
        }
    }

    /// A hold that is over is removed along with whatever else is done, or for its own sake.
    fn clearing(&self, expired: &Hold, decision: Decision) -> Decision {
        let mut step = match decision {
            Decision::Step(step) => step,
            Decision::Skip(skip) => {
                let cause = Cause::Hold(expired.by.clone());
                let mut step = self.blank_step(StepAction::Record, cause);
                let (by, until) = (&expired.by, expired.until);
                remark(
                    &mut step,
                    format!("the hold by {by} ended at {until}; {}", skip.detail),
                );
                step
            }
        };
        step.remember.hold = HoldChange::Clear;
        Decision::Step(step)
    }

    /// A step for an edge: the call unless there is nothing to do, and its memory.
    pub(super) fn apply(&self, edge: Edge, cause: Cause) -> Step {
        let pending = edge.action == Action::Start && !self.is_at(Action::Start);
        let last = Last {
            at: edge.at,
            action: edge.action,
            cause: cause.clone(),
            pending,
        };
        let remember = Remember {
            last: Some(last),
            ..Remember::default()
        };
        let mut step = self.step(edge.action, cause, remember);
        step.edge = Some(edge);
        step
    }

    /// An edge that is over and done with.
    fn record(&self, edge: Edge, cause: Cause) -> Step {
        let mut step = self.blank_step(StepAction::Record, cause.clone());
        step.edge = Some(edge);
        step.remember.last = Some(Last {
            at: edge.at,
            action: edge.action,
            cause,
            pending: false,
        });
        step
    }

    /// Brings the instance, which is running or stopped, to what `action` asks for.
    pub(super) fn step(&self, action: Action, cause: Cause, remember: Remember) -> Step {
        let hibernates = self.schedule().stop_by == StopBy::Hibernating;
        let (call, note) = match (action, hibernates, self.instance.hibernation) {
            _ if self.is_at(action) => (StepAction::Record, None),
            (Action::Start, ..) => (StepAction::Start, None),
            (Action::Stop, true, Hibernation::Configured) => (StepAction::Hibernate, None),
            (Action::Stop, true, Hibernation::NotConfigured) => (
                StepAction::Stop,
                Some("stopped plainly: it was not launched with hibernation enabled".to_owned()),
            ),
            (Action::Stop, false, _) => (StepAction::Stop, None),
        };
        let mut step = self.blank_step(call, cause);
        step.note = note;
        step.remember = remember;
        step
    }

    pub(super) fn blank_step(&self, action: StepAction, cause: Cause) -> Step {
        Step::new(self.instance, action, cause)
    }

    pub(super) fn skip(&self, reason: SkipReason) -> Decision {
        Decision::Skip(skip(self.instance, reason))
    }

    pub(super) fn schedule(&self) -> &'a Schedule {
        self.view.schedule()
    }

    pub(super) fn by_schedule(&self) -> Cause {
        Cause::Schedule(self.schedule().name.clone())
    }

    pub(super) fn in_flight(&self) -> bool {
        matches!(
            self.instance.state,
            InstanceState::Pending | InstanceState::Stopping
        )
    }

    pub(super) fn is_at(&self, action: Action) -> bool {
        self.instance.state
            == match action {
                Action::Start => InstanceState::Running,
                Action::Stop => InstanceState::Stopped,
            }
    }

    fn is_too_late(&self, edge: Edge) -> bool {
        self.reading.duration_since(edge.at) > self.schedule().catch_up
    }

    /// The instant of an edge that is made now: after every edge that was applied, be it early.
    pub(super) fn instant(&self) -> Timestamp {
        whole_second(self.reading)
    }
}

/// What the instance should have seen by now.
#[derive(Clone, Copy)]
struct Due {
    /// The newest edge: its schedule's, or the end of its hold.
    newest: Option<Edge>,
    /// The end of a hold that is over and not removed yet.
    released: Option<Edge>,
}

impl Due {
    fn of(judge: &Judge<'_>, expired: Option<&Hold>) -> Self {
        let dealt_with = judge.recalled.dealt_with(judge.instance);
        let released = expired.and_then(|hold| end_of_hold(hold, judge.view, dealt_with));
        let scheduled = judge.view.last_edge(judge.reading);
        let newest = scheduled
            .into_iter()
            .chain(released)
            .max_by_key(|edge| edge.at);
        Self { newest, released }
    }

    /// The newest edge, if it is the end of a hold.
    fn end_of_hold(self) -> Option<Edge> {
        self.released.filter(|edge| Some(*edge) == self.newest)
    }
}

/// Adds a remark to what is noted already.
pub(super) fn remark(step: &mut Step, remark: String) {
    step.note = Some(match step.note.take() {
        Some(note) => format!("{note}; {remark}"),
        None => remark,
    });
}

fn wanted(desired: Desired) -> Option<Action> {
    match desired {
        Desired::Running => Some(Action::Start),
        Desired::Stopped => Some(Action::Stop),
        Desired::Unmanaged => None,
    }
}
