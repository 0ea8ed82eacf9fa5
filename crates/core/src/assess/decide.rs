//! Decides what to do about the newest directive for one instance that may be started and stopped.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::Evaluation;
use super::directive::{
    ApplyFrequency, Directive, DirectiveKind, NewestDirective, action_after_override,
};
use super::evaluator::Evaluator;
use crate::decision::Decision;
use crate::instance::{Hibernation, StateReason};
use crate::next_action::NextAction;
use crate::schedule::StopBy;
use crate::skip::SkipReason;
use crate::state_tags::{Cause, LAST_TAG, LastApplied, OverrideState};
use crate::step::{Step, StepAction, TagWriteFailure};
use crate::timetable::{Action, Desired, EARLY_TRIGGER, Edge};

/// A directive is pending until its state is observed this long after both its instant and the time that EC2 reports for the state
/// change. Until then an earlier call may still take effect: an observation is at most 5 seconds old, a call takes at most as long,
/// and the rest is a margin. A longer time delays the correction of an earlier call that takes effect late; a shorter one mistakes
/// such a call for a user's.
const SETTLING: SignedDuration = SignedDuration::from_secs(15);

/// The most tags that AWS allows on a resource, not counting those with the prefix `aws:`.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>
const MAX_TAGS: usize = 50;

impl Evaluator<'_> {
    pub(super) fn evaluate(&self) -> Evaluation {
        let newest = self.newest();
        let override_ = self.tags.active_override(self.effective_now);
        let request = self.tags.valid_request().filter(|_| {
            newest.as_ref().is_some_and(|newest| {
                newest.frequency == ApplyFrequency::EveryPass
                    && matches!(newest.directive.cause, Cause::Request(_))
            })
        });
        let desired = match (override_, request) {
            (Some(override_), _) => override_.state.desired(),
            (None, Some(request)) => match request.action {
                Action::Start => Desired::Running,
                Action::Stop => Desired::Stopped,
            },
            (None, None) => self.cached_schedule.desired(self.now),
        };
        let decision = self.decide(newest.as_ref());
        let mut evaluation = Evaluation {
            override_: override_.cloned(),
            request: request.cloned(),
            desired,
            next_edge: None,
            next_due: None,
            valid_until: None,
            decision,
        };
        self.set_due_instants(&mut evaluation);
        evaluation
    }

    /// Sets the instants at which something is next due after the decision is executed: the next attempt of a failed action, the end
    /// of the override, or the next edge. Nothing is due while an override or request tag is malformed.
    fn set_due_instants(&self, evaluation: &mut Evaluation) {
        let reason = match &evaluation.decision {
            Decision::Skip(skip) => Some(&skip.reason),
            Decision::Step(_) => None,
        };
        let retry = match reason {
            Some(SkipReason::MalformedOverride { .. } | SkipReason::MalformedRequest { .. }) => {
                return;
            }
            Some(SkipReason::WaitingToRetry {
                action,
                next_attempt_at,
                ..
            }) => Some(Edge {
                at: *next_attempt_at,
                action: *action,
            }),
            _ => None,
        };
        let edge = match &evaluation.override_ {
            Some(override_) => {
                evaluation.valid_until = Some(override_.until);
                match action_after_override(self.cached_schedule, override_, override_.until) {
                    Some(action) => Some(Edge {
                        at: override_.until,
                        action,
                    }),
                    None => self.cached_schedule.next_edge(override_.until),
                }
            }
            None => {
                let edge = self.cached_schedule.next_edge(self.now);
                evaluation.valid_until = edge.map(|edge| edge.at);
                edge
            }
        };
        evaluation.next_edge = retry.into_iter().chain(edge).min_by_key(|edge| edge.at);
        let retry_at = retry.map(|edge| edge.at);
        let due = retry_at.into_iter().chain(evaluation.valid_until).min();
        let next_edge = evaluation.next_edge;
        evaluation.next_due = due.map(|at| NextAction {
            at,
            action: next_edge
                .filter(|edge| edge.at == at)
                .map(|edge| edge.action),
        });
    }

    fn decide(&self, newest: Option<&NewestDirective>) -> Decision {
        if let Err(problem) = &self.tags.override_ {
            let problem = problem.clone();
            return self.skip(SkipReason::MalformedOverride { problem });
        }
        if let Err(problem) = &self.tags.request {
            let problem = problem.clone();
            return self.skip(SkipReason::MalformedRequest { problem });
        }
        if let Some(override_) = self.tags.active_override(self.effective_now)
            && override_.state == OverrideState::Ignored
        {
            return self.skip(SkipReason::OverrideIgnored {
                until: override_.until,
                actor: override_.actor.clone(),
            });
        }
        let initial_tag = self.initial_tag(newest.map(|newest| &newest.directive));
        let last = self.tags.valid_last_applied().or(initial_tag.as_ref());
        let decision = if self.is_transitioning() {
            // Nothing is lost: the directive remains in its tag or in the schedule.
            self.skip(SkipReason::Transitioning)
        } else {
            self.apply(newest, last)
        };
        match initial_tag {
            Some(initial_tag) => self.with_initial_tag(initial_tag, decision),
            None => decision,
        }
    }

    /// Decides about the newest directive, or about the last applied one if it is newer than every directive in the tags and the
    /// schedule.
    fn apply(&self, newest: Option<&NewestDirective>, last: Option<&LastApplied>) -> Decision {
        let applied = last.map(|last| self.applied_directive(last));
        let is_not_older = |newest: &&NewestDirective| {
            let is_older = applied
                .as_ref()
                .is_some_and(|applied| newest.directive.key() < applied.key());
            newest.frequency == ApplyFrequency::EveryPass || !is_older
        };
        let (directive, frequency) = match (newest.filter(is_not_older), &applied) {
            (Some(newest), _) => (&newest.directive, newest.frequency),
            (None, Some(applied)) => (applied, ApplyFrequency::Once),
            (None, None) => return self.clear_stale_tags(self.skip(SkipReason::NothingDue)),
        };
        let (order, pending) = match (&applied, last) {
            (Some(applied), Some(last)) => (directive.key().cmp(&applied.key()), last.pending),
            _ => (Ordering::Greater, false),
        };
        let action = directive.action.unwrap_or_else(|| self.current_direction());
        if self.has_reached(action) {
            let settled = directive.action.is_none() || self.has_settled(directive);
            let is_recorded = match order {
                Ordering::Less => true,
                Ordering::Equal => !pending || !settled,
                Ordering::Greater => false,
            };
            return if is_recorded {
                self.clear_stale_tags(self.skip(self.reached_reason()))
            } else {
                Decision::Step(self.record_step(directive, action, !settled))
            };
        }
        let is_due = match (frequency, order) {
            (ApplyFrequency::EveryPass, _) => true,
            (ApplyFrequency::Once, Ordering::Equal) => pending,
            (ApplyFrequency::Once, order) => order == Ordering::Greater,
        };
        if !is_due {
            let reason = match last {
                Some(last) if last.cause == Cause::Adopted => SkipReason::NothingDue,
                _ => SkipReason::ChangedByUser,
            };
            return self.clear_stale_tags(self.skip(reason));
        }
        let is_repeat = order == Ordering::Equal && pending;
        if frequency == ApplyFrequency::Once {
            if let Some(why) = self.superseded_by_user(directive, action, is_repeat) {
                let mut step = self.record_step(directive, action, false);
                step.remark(why.to_owned());
                return Decision::Step(step);
            }
            if let Some(reason) = self.catch_up_expired(directive, action, is_repeat) {
                return self.skip(reason);
            }
        }
        let mut step = self.call_step(directive, action, order);
        if frequency == ApplyFrequency::EveryPass {
            step.on_tag_write_failure = TagWriteFailure::CallAnyway;
        }
        self.call_or_wait(step, directive, action, is_repeat, frequency)
    }

    /// The directive that `curfew:last` records.
    fn applied_directive(&self, last: &LastApplied) -> Directive {
        let (at, kind) = self.key_of(last);
        Directive {
            at,
            kind,
            action: Some(last.action),
            cause: match &last.cause {
                Cause::Adopted | Cause::External => self.schedule_cause(),
                cause => cause.clone(),
            },
        }
    }

    fn reached_reason(&self) -> SkipReason {
        match self.tags.active_override(self.effective_now) {
            Some(override_) => SkipReason::Overridden {
                state: override_.state,
                until: override_.until,
                actor: override_.actor.clone(),
            },
            None => SkipReason::AsDesired,
        }
    }

    /// Whether the observed state is the result of the directive: a call sent before it can no longer take effect.
    fn has_settled(&self, directive: &Directive) -> bool {
        let changed_at = match self.current_direction() {
            Action::Start => self.instance.launched_at,
            Action::Stop => self.instance.user_stopped_at(),
        };
        let from = changed_at.map_or(directive.at, |changed_at| changed_at.max(directive.at));
        self.now.duration_since(from) >= SETTLING
    }

    /// Returns which later change by a user, as EC2 reports it, takes precedence over the directive. This applies to a missed edge, and
    /// to a directive that was applied but whose state has not been observed.
    fn superseded_by_user(
        &self,
        directive: &Directive,
        action: Action,
        is_repeat: bool,
    ) -> Option<&'static str> {
        if !is_repeat && (directive.kind != DirectiveKind::Edge || self.converges()) {
            return None;
        }
        let after =
            |at: Option<Timestamp>| at.is_some_and(|at| at.duration_since(directive.at) > SETTLING);
        match action {
            Action::Start if after(self.instance.user_stopped_at()) => {
                Some("a user stopped it afterwards")
            }
            Action::Start if is_repeat && self.was_shut_down_from_inside(directive.at) => {
                Some("it was shut down by its operating system after that start")
            }
            Action::Stop if after(self.instance.launched_at) => {
                Some("a user started it afterwards")
            }
            _ => None,
        }
    }

    /// Whether the instance was started for this directive and then shut down by its operating system. EC2 does not date such a
    /// shutdown, so its launch time is compared instead.
    fn was_shut_down_from_inside(&self, directive_at: Timestamp) -> bool {
        let reason = self.instance.state_reason.as_ref();
        let launched = self.instance.launched_at;
        launched.is_some_and(|launched| directive_at.duration_since(launched) <= EARLY_TRIGGER)
            && reason.is_some_and(|reason| reason.code == StateReason::SHUT_DOWN_FROM_INSIDE)
    }

    /// Returns why a directive is too old to be applied. The catch-up limit counts from the first attempt, if there was one.
    fn catch_up_expired(
        &self,
        directive: &Directive,
        action: Action,
        is_repeat: bool,
    ) -> Option<SkipReason> {
        let tried = self.earlier_attempts(directive, action);
        let since = match tried {
            Some(retry) => retry.first.max(directive.at),
            // The first attempt has no recorded instant: the limit counts from the attempt that is made now.
            None if is_repeat => return None,
            None if directive.kind == DirectiveKind::Edge && self.converges() => return None,
            None => directive.at,
        };
        let late = self.effective_now.duration_since(since) > self.schedule().catch_up;
        late.then(|| SkipReason::TooLate {
            edge: Edge {
                at: directive.at,
                action,
            },
            attempts: tried.map(|retry| retry.attempts),
            code: tried.map(|retry| retry.code.clone()),
        })
    }

    /// A step that makes the call of a directive, and records the directive as pending.
    fn call_step(&self, directive: &Directive, action: Action, order: Ordering) -> Step {
        let mut step = self.step(action, directive.cause.clone());
        step.edge = edge_of(directive, action);
        // Otherwise the tag already records this directive, as pending or as done, or a newer one, and is not rewritten.
        if order == Ordering::Greater {
            step.tag_changes.last = Some(LastApplied {
                at: directive.at,
                action,
                cause: directive.cause.clone(),
                pending: true,
            });
        }
        step
    }

    /// A step that records a directive whose state the instance already has.
    fn record_step(&self, directive: &Directive, action: Action, pending: bool) -> Step {
        let mut step = self.blank_step(StepAction::Record, directive.cause.clone());
        step.edge = edge_of(directive, action);
        step.tag_changes.last = Some(LastApplied {
            at: directive.at,
            action,
            cause: directive.cause.clone(),
            pending,
        });
        self.clear_retry(step)
    }

    /// Adds the first `curfew:last` of an instance that has none: written before the call, or by a step that makes no call. Skips the
    /// instance if it has no room for the tag, unless the step may be executed without it.
    fn with_initial_tag(&self, initial_tag: LastApplied, decision: Decision) -> Decision {
        if self.tag_limit_reached() {
            return match decision {
                Decision::Step(mut step)
                    if step.on_tag_write_failure == TagWriteFailure::CallAnyway =>
                {
                    step.tag_changes.last = None;
                    Decision::Step(step)
                }
                _ => self.skip(SkipReason::TagLimitReached),
            };
        }
        let mut step = match decision {
            Decision::Step(step) => step,
            Decision::Skip(skip) => {
                let mut step = self.blank_step(StepAction::Record, Cause::Adopted);
                step.remark(skip.detail);
                step
            }
        };
        if let Err(problem) = &self.tags.last {
            step.replaces = self.instance.tags.get(LAST_TAG).cloned();
            step.remark(format!(
                "{problem}; the tag is rewritten, and the schedule's newest edge counts as applied"
            ));
        }
        if step.action == StepAction::Record {
            step.tag_changes.last.get_or_insert(initial_tag);
        } else {
            step.initial_tag = Some(initial_tag);
        }
        Decision::Step(step)
    }

    fn tag_limit_reached(&self) -> bool {
        let tags = &self.instance.tags;
        let counted = tags.keys().filter(|key| !key.starts_with("aws:"));
        !tags.contains_key(LAST_TAG) && counted.count() >= MAX_TAGS
    }

    /// A step that starts or stops an instance which is stopped or running.
    fn step(&self, action: Action, cause: Cause) -> Step {
        let hibernates = self.schedule().stop_by == StopBy::Hibernating;
        let (call, note) = match (action, hibernates, self.instance.hibernation) {
            (Action::Start, ..) => (StepAction::Start, None),
            (Action::Stop, true, Hibernation::Configured) => (StepAction::Hibernate, None),
            (Action::Stop, true, Hibernation::NotConfigured) => (
                StepAction::Stop,
                Some(
                    "stopped instead of hibernated: it was not launched with hibernation enabled"
                        .to_owned(),
                ),
            ),
            (Action::Stop, false, _) => (StepAction::Stop, None),
        };
        let mut step = self.blank_step(call, cause);
        step.note = note;
        step
    }
}

/// The edge that a step applies. A request and the end of an override count as edges; an override in force does not.
fn edge_of(directive: &Directive, action: Action) -> Option<Edge> {
    let is_override = matches!(directive.cause, Cause::Override(_));
    (!is_override).then_some(Edge {
        at: directive.at,
        action,
    })
}
