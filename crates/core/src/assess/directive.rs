//! Directives: what demands a start or a stop of an instance from an instant on, and which of them is the newest.
//!
//! The newest directive decides, among a schedule's edges, requests, and the ends of overrides. An override in force outranks all
//! edges; only a request or override newer than its start ends it.

use jiff::{SignedDuration, Timestamp};

use super::evaluator::Evaluator;
use crate::schedule::{Adopt, Enforcement};
use crate::schedule_cache::CachedSchedule;
use crate::state_tags::{Cause, LastApplied, Override, whole_second};
use crate::timetable::{Action, Desired, EARLY_TRIGGER};

/// A demand for a start or a stop from an instant on.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) at: Timestamp,
    pub(super) kind: DirectiveKind,
    /// None at the end of an override if the schedule has no desired state then: the state is left as it is.
    pub(super) action: Option<Action>,
    pub(super) cause: Cause,
}

/// The kind of a directive. At one instant, the later variant is the newer directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DirectiveKind {
    /// An edge of the schedule.
    Edge,
    /// The end of an override.
    OverrideEnd,
    /// A request or an override.
    Person,
}

impl Directive {
    pub(super) fn key(&self) -> (Timestamp, DirectiveKind) {
        (self.at, self.kind)
    }
}

/// The newest directive, and how often it is applied.
#[derive(Clone, Debug)]
pub(super) struct NewestDirective {
    pub(super) directive: Directive,
    pub(super) frequency: ApplyFrequency,
}

/// How often a directive is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApplyFrequency {
    /// Once: later changes by users or other tools are kept.
    Once,
    /// At every pass: later changes are corrected.
    EveryPass,
}

impl Evaluator<'_> {
    pub(super) fn newest(&self) -> Option<NewestDirective> {
        if let Some(override_) = self.tags.active_override(self.effective_now) {
            let directive = Directive {
                at: override_.since,
                kind: DirectiveKind::Person,
                action: action_for(override_.state.desired()),
                cause: Cause::Override(override_.actor.clone()),
            };
            return Some(NewestDirective {
                directive,
                frequency: ApplyFrequency::EveryPass,
            });
        }
        let request = self.tags.valid_request().map(|request| Directive {
            at: request.at,
            kind: DirectiveKind::Person,
            action: Some(request.action),
            cause: Cause::Request(request.actor.clone()),
        });
        let end = self
            .tags
            .valid_override()
            .map(|override_| self.override_end(override_));
        let words = self
            .schedule_directive()
            .into_iter()
            .chain(request)
            .chain(end);
        let directive = words.max_by_key(Directive::key)?;
        let always = match directive.kind {
            DirectiveKind::Person => self.schedule().enforcement == Enforcement::Enforced,
            // An edge whose action is not the enforced desired state is applied once.
            DirectiveKind::Edge | DirectiveKind::OverrideEnd => {
                self.enforced_action().is_some() && directive.action == self.enforced_action()
            }
        };
        let frequency = if always {
            ApplyFrequency::EveryPass
        } else {
            ApplyFrequency::Once
        };
        Some(NewestDirective {
            directive,
            frequency,
        })
    }

    /// The action of an enforced schedule's desired state. It is none while the schedule has no desired state; its edges are then
    /// applied once each.
    pub(super) fn enforced_action(&self) -> Option<Action> {
        match self.schedule().enforcement {
            Enforcement::Enforced => action_for(self.cached_schedule.desired(self.effective_now)),
            Enforcement::OncePerEdge => None,
        }
    }

    /// Whether the instance was never acted on, and `adopt = "converge"` brings it to the desired state at once.
    pub(super) fn converges(&self) -> bool {
        let untouched = match &self.tags.last {
            Ok(last) => last
                .as_ref()
                .is_none_or(|last| last.cause == Cause::Adopted),
            Err(_) => false,
        };
        untouched
            && self.schedule().adopt == Adopt::Converge
            && action_for(self.cached_schedule.desired(self.effective_now)).is_some()
    }

    /// The newest edge of the schedule, or its desired state if it never had an edge.
    fn schedule_directive(&self) -> Option<Directive> {
        let always = self.enforced_action().is_some() || self.converges();
        let desired =
            action_for(self.cached_schedule.desired(self.effective_now)).filter(|_| always);
        let (at, action) = match (self.cached_schedule.last_edge(self.effective_now), desired) {
            (Some(edge), desired) => (edge.at, desired.unwrap_or(edge.action)),
            (None, Some(action)) => (self.undated_instant(action), action),
            (None, None) => return None,
        };
        Some(Directive {
            at,
            kind: DirectiveKind::Edge,
            action: Some(action),
            cause: self.schedule_cause(),
        })
    }

    /// The instant of a directive of a schedule that never had an edge: that of the failed attempt or of `curfew:last`, else now.
    fn undated_instant(&self, action: Action) -> Timestamp {
        let refused = self.tags.valid_retry();
        let refused =
            refused.filter(|retry| retry.action == action && retry.edge <= self.effective_now);
        let known = self.tags.valid_last_applied().map(|last| last.at);
        let known = known.max(refused.map(|retry| retry.edge));
        known.unwrap_or_else(|| whole_second(self.effective_now))
    }

    /// The directive at the end of an override: the schedule's desired state at that instant. If there is none, an edge that passed
    /// during the override is applied: an instance kept running until 22:00 over a stop at 20:00 is stopped at 22:00.
    fn override_end(&self, override_: &Override) -> Directive {
        Directive {
            at: override_.end(),
            kind: DirectiveKind::OverrideEnd,
            action: action_after_override(self.cached_schedule, override_, override_.end()),
            cause: self.schedule_cause(),
        }
    }

    /// The rank of the last applied directive among directives.
    pub(super) fn key_of(&self, last: &LastApplied) -> (Timestamp, DirectiveKind) {
        let override_ = self.tags.override_.as_ref().ok().and_then(Option::as_ref);
        let kind = match last.cause {
            Cause::Override(_) | Cause::Request(_) => DirectiveKind::Person,
            // A schedule's directive at the instant at which an override ends is that end.
            Cause::Schedule(_) if override_.is_some_and(|override_| override_.end() == last.at) => {
                DirectiveKind::OverrideEnd
            }
            Cause::Schedule(_) | Cause::Adopted | Cause::External => DirectiveKind::Edge,
        };
        (last.at, kind)
    }

    /// The first `curfew:last` of an instance that has none. The newest edge counts as due if it is after the launch and at most a
    /// minute old, or if the instance converges; otherwise it counts as past. `directive` is what is due if the schedule never had an
    /// edge.
    pub(super) fn initial_tag(&self, directive: Option<&Directive>) -> Option<LastApplied> {
        let is_missing = match &self.tags.last {
            Ok(Some(_)) => return None,
            Ok(None) => true,
            Err(_) => false,
        };
        let second = SignedDuration::from_secs(1);
        let (at, action) = match self.cached_schedule.last_edge(self.effective_now) {
            Some(edge) => {
                let launched = self.instance.launched_at;
                let recent = launched.is_some_and(|launched| edge.at > launched)
                    && self.effective_now.duration_since(edge.at) <= EARLY_TRIGGER;
                let due = is_missing && (recent || self.converges());
                (if due { edge.at - second } else { edge.at }, edge.action)
            }
            None => (directive?.at - second, self.current_direction()),
        };
        Some(LastApplied {
            at,
            action,
            cause: Cause::Adopted,
            pending: false,
        })
    }
}

/// The action that the schedule requires when an override ends `at` an instant.
pub(super) fn action_after_override(
    cached_schedule: &CachedSchedule<'_>,
    override_: &Override,
    at: Timestamp,
) -> Option<Action> {
    action_for(cached_schedule.desired(at)).or_else(|| {
        let edge = cached_schedule.last_edge(at)?;
        (edge.at > override_.since).then_some(edge.action)
    })
}

pub(super) fn action_for(desired: Desired) -> Option<Action> {
    match desired {
        Desired::Running => Some(Action::Start),
        Desired::Stopped => Some(Action::Stop),
        Desired::Unmanaged => None,
    }
}
