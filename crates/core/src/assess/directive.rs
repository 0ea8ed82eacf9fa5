//! The words that want something of an instance, and which of them is the newest.
//!
//! The newest decides, among a schedule's edges, requests, and the ends of overrides. An override in force outranks all edges; only a
//! request or override that is newer than its beginning ends it.

use jiff::{SignedDuration, Timestamp};

use super::evaluator::Evaluator;
use crate::schedule::{Adopt, Enforcement};
use crate::state_tags::{Cause, LastApplied, Override, whole_second};
use crate::timetable::{Action, Desired, EARLY_TRIGGER};
use crate::view::View;

/// What wants something of an instance from an instant on.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) at: Timestamp,
    pub(super) kind: DirectiveKind,
    /// Nothing where the schedule wants nothing at the end of an override: the state stays as it is.
    pub(super) action: Option<Action>,
    pub(super) cause: Cause,
}

/// Of two words at one instant, the one of the later kind is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DirectiveKind {
    /// An edge of the schedule.
    Edge,
    /// The end of an override.
    End,
    /// A request or an override.
    Person,
}

impl Directive {
    pub(super) fn key(&self) -> (Timestamp, DirectiveKind) {
        (self.at, self.kind)
    }
}

/// The newest word, and how it is applied.
#[derive(Clone, Debug)]
pub(super) struct NewestDirective {
    pub(super) directive: Directive,
    pub(super) frequency: ApplyFrequency,
}

/// How often a word is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApplyFrequency {
    /// Once: what is changed afterwards stays.
    Once,
    /// At every pass.
    EveryPass,
}

impl Evaluator<'_> {
    pub(super) fn newest(&self) -> Option<NewestDirective> {
        if let Some(override_) = self.tags.active_override(self.effective_now) {
            let directive = Directive {
                at: override_.since,
                kind: DirectiveKind::Person,
                action: action_for(override_.state.desired()),
                cause: Cause::Override(override_.by.clone()),
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
            cause: Cause::Request(request.by.clone()),
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
            // What an enforced schedule does not want at every moment is applied once.
            DirectiveKind::Edge | DirectiveKind::End => {
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

    /// What an enforced schedule wants; nothing while it has no opinion, and then its edges are applied once each.
    pub(super) fn enforced_action(&self) -> Option<Action> {
        match self.schedule().enforcement {
            Enforcement::Enforced => action_for(self.view.desired(self.effective_now)),
            Enforcement::OncePerEdge => None,
        }
    }

    /// Whether it was never acted on, and is to be brought to the desired state at once.
    pub(super) fn converges(&self) -> bool {
        let untouched = match &self.tags.last {
            Ok(last) => last
                .as_ref()
                .is_none_or(|last| last.cause == Cause::Adopted),
            Err(_) => false,
        };
        untouched
            && self.schedule().adopt == Adopt::Converge
            && action_for(self.view.desired(self.effective_now)).is_some()
    }

    /// The newest edge of the schedule, or what it wants without ever having had one.
    fn schedule_directive(&self) -> Option<Directive> {
        let always = self.enforced_action().is_some() || self.converges();
        let desired = action_for(self.view.desired(self.effective_now)).filter(|_| always);
        let (at, action) = match (self.view.last_edge(self.effective_now), desired) {
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

    /// The instant of an edge that no schedule dates: of its first try if EC2 refused that, of its memory if there is one, else now.
    fn undated_instant(&self, action: Action) -> Timestamp {
        let refused = self.tags.valid_retry();
        let refused =
            refused.filter(|retry| retry.action == action && retry.edge <= self.effective_now);
        let known = self.tags.valid_last_applied().map(|last| last.at);
        let known = known.max(refused.map(|retry| retry.edge));
        known.unwrap_or_else(|| whole_second(self.effective_now))
    }

    /// The end of an override is a word like any other: what the schedule wants at that instant. Where it wants nothing then, an edge
    /// that passed during the override is what it still wants: who keeps an instance up until 22:00 over a stop at 20:00 means it
    /// to be stopped at 22:00.
    fn override_end(&self, override_: &Override) -> Directive {
        Directive {
            at: override_.end(),
            kind: DirectiveKind::End,
            action: action_after_override(self.view, override_, override_.end()),
            cause: self.schedule_cause(),
        }
    }

    /// Where a memory stands among words.
    pub(super) fn key_of(&self, last: &LastApplied) -> (Timestamp, DirectiveKind) {
        let override_ = self.tags.override_.as_ref().ok().and_then(Option::as_ref);
        let kind = match last.cause {
            Cause::Override(_) | Cause::Request(_) => DirectiveKind::Person,
            // At the end of an override an edge is what the end is.
            Cause::Schedule(_) if override_.is_some_and(|override_| override_.end() == last.at) => {
                DirectiveKind::End
            }
            Cause::Schedule(_) | Cause::Adopted | Cause::External => DirectiveKind::Edge,
        };
        (last.at, kind)
    }

    /// The first memory of an instance that has none. The newest edge counts as due if it came after the launch and a moment
    /// ago, or if the instance is to be brought to the desired state at once; else as past. `word` is what is due, if the schedule
    /// never had an edge.
    pub(super) fn initial_tag(&self, directive: Option<&Directive>) -> Option<LastApplied> {
        let is_missing = match &self.tags.last {
            Ok(Some(_)) => return None,
            Ok(None) => true,
            Err(_) => false,
        };
        let second = SignedDuration::from_secs(1);
        let (at, action) = match self.view.last_edge(self.effective_now) {
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

/// What the schedule wants when an override ends `at` an instant.
pub(super) fn action_after_override(
    view: &View<'_>,
    override_: &Override,
    at: Timestamp,
) -> Option<Action> {
    action_for(view.desired(at)).or_else(|| {
        let edge = view.last_edge(at)?;
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
