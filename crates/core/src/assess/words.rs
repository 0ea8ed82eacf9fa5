//! The words that want something of an instance, and which of them is the newest.
//!
//! The newest decides, among a schedule's edges, requests, and the ends of overrides. An override in force outranks all edges; only a
//! request or override that is newer than its beginning ends it.

use jiff::{SignedDuration, Timestamp};

use super::judge::Judge;
use crate::memory::{Cause, Last, Override, whole_second};
use crate::schedule::{Adopt, Enforcement};
use crate::timetable::{Action, Desired, EARLY_TRIGGER};
use crate::view::View;

/// What wants something of an instance from an instant on.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) at: Timestamp,
    pub(super) kind: Kind,
    /// Nothing where the schedule wants nothing at the end of an override: the state stays as it is.
    pub(super) action: Option<Action>,
    pub(super) cause: Cause,
}

/// Of two words at one instant, the one of the later kind is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An edge of the schedule.
    Edge,
    /// The end of an override.
    End,
    /// A request or an override.
    Person,
}

impl Word {
    pub(super) fn key(&self) -> (Timestamp, Kind) {
        (self.at, self.kind)
    }
}

/// The newest word, and how it is applied.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) word: Word,
    pub(super) repetition: Repetition,
}

/// How often a word is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repetition {
    /// Once: what is changed afterwards stays.
    Once,
    /// At every pass.
    Always,
}

impl Judge<'_> {
    pub(super) fn newest(&self) -> Option<Newest> {
        if let Some(override_) = self.recalled.active_override(self.reading) {
            let word = Word {
                at: override_.since,
                kind: Kind::Person,
                action: wanted(override_.state.desired()),
                cause: Cause::Override(override_.by.clone()),
            };
            return Some(Newest {
                word,
                repetition: Repetition::Always,
            });
        }
        let request = self.recalled.requested().map(|request| Word {
            at: request.at,
            kind: Kind::Person,
            action: Some(request.action),
            cause: Cause::Request(request.by.clone()),
        });
        let end = self
            .recalled
            .valid_override()
            .map(|override_| self.end_of(override_));
        let words = self.edge().into_iter().chain(request).chain(end);
        let word = words.max_by_key(Word::key)?;
        let always = match word.kind {
            Kind::Person => self.schedule().enforcement == Enforcement::Enforced,
            // What an enforced schedule does not want at every moment is applied once.
            Kind::Edge | Kind::End => self.enforced().is_some() && word.action == self.enforced(),
        };
        let repetition = if always {
            Repetition::Always
        } else {
            Repetition::Once
        };
        Some(Newest { word, repetition })
    }

    /// What an enforced schedule wants; nothing while it has no opinion, and then its edges are applied once each.
    pub(super) fn enforced(&self) -> Option<Action> {
        match self.schedule().enforcement {
            Enforcement::Enforced => wanted(self.view.desired(self.reading)),
            Enforcement::OncePerEdge => None,
        }
    }

    /// Whether it was never acted on, and is to be brought to the desired state at once.
    pub(super) fn converges(&self) -> bool {
        let untouched = match &self.recalled.last {
            Ok(last) => last
                .as_ref()
                .is_none_or(|last| last.cause == Cause::Adopted),
            Err(_) => false,
        };
        untouched
            && self.schedule().adopt == Adopt::Converge
            && wanted(self.view.desired(self.reading)).is_some()
    }

    /// The newest edge of the schedule, or what it wants without ever having had one.
    fn edge(&self) -> Option<Word> {
        let always = self.enforced().is_some() || self.converges();
        let desired = wanted(self.view.desired(self.reading)).filter(|_| always);
        let (at, action) = match (self.view.last_edge(self.reading), desired) {
            (Some(edge), desired) => (edge.at, desired.unwrap_or(edge.action)),
            (None, Some(action)) => (self.undated(action), action),
            (None, None) => return None,
        };
        Some(Word {
            at,
            kind: Kind::Edge,
            action: Some(action),
            cause: self.by_schedule(),
        })
    }

    /// The instant of an edge that no schedule dates: of its first try if EC2 refused that, of its memory if there is one, else now.
    fn undated(&self, action: Action) -> Timestamp {
        let refused = self.recalled.refused();
        let refused = refused.filter(|retry| retry.action == action && retry.edge <= self.reading);
        let known = self.recalled.applied().map(|last| last.at);
        let known = known.max(refused.map(|retry| retry.edge));
        known.unwrap_or_else(|| whole_second(self.reading))
    }

    /// The end of an override is a word like any other: what the schedule wants at that instant. Where it wants nothing then, an edge
    /// that passed during the override is what it still wants: who keeps an instance up until 22:00 over a stop at 20:00 means it
    /// to be stopped at 22:00.
    fn end_of(&self, override_: &Override) -> Word {
        Word {
            at: override_.end(),
            kind: Kind::End,
            action: wanted_after(self.view, override_, override_.end()),
            cause: self.by_schedule(),
        }
    }

    /// Where a memory stands among words.
    pub(super) fn key_of(&self, last: &Last) -> (Timestamp, Kind) {
        let override_ = self
            .recalled
            .override_
            .as_ref()
            .ok()
            .and_then(Option::as_ref);
        let kind = match last.cause {
            Cause::Override(_) | Cause::Request(_) => Kind::Person,
            // At the end of an override an edge is what the end is.
            Cause::Schedule(_) if override_.is_some_and(|override_| override_.end() == last.at) => {
                Kind::End
            }
            Cause::Schedule(_) | Cause::Adopted | Cause::External => Kind::Edge,
        };
        (last.at, kind)
    }

    /// The first memory of an instance that has none. The newest edge counts as due if it came after the launch and a moment
    /// ago, or if the instance is to be brought to the desired state at once; else as past. `word` is what is due, if the schedule
    /// never had an edge.
    pub(super) fn first_sight(&self, word: Option<&Word>) -> Option<Last> {
        let is_missing = match &self.recalled.last {
            Ok(Some(_)) => return None,
            Ok(None) => true,
            Err(_) => false,
        };
        let second = SignedDuration::from_secs(1);
        let (at, action) = match self.view.last_edge(self.reading) {
            Some(edge) => {
                let launched = self.instance.launched_at;
                let recent = launched.is_some_and(|launched| edge.at > launched)
                    && self.reading.duration_since(edge.at) <= EARLY_TRIGGER;
                let due = is_missing && (recent || self.converges());
                (if due { edge.at - second } else { edge.at }, edge.action)
            }
            None => (word?.at - second, self.present()),
        };
        Some(Last {
            at,
            action,
            cause: Cause::Adopted,
            pending: false,
        })
    }
}

/// What the schedule wants when an override ends `at` an instant.
pub(super) fn wanted_after(view: &View<'_>, override_: &Override, at: Timestamp) -> Option<Action> {
    wanted(view.desired(at)).or_else(|| {
        let edge = view.last_edge(at)?;
        (edge.at > override_.since).then_some(edge.action)
    })
}

pub(super) fn wanted(desired: Desired) -> Option<Action> {
    match desired {
        Desired::Running => Some(Action::Start),
        Desired::Stopped => Some(Action::Stop),
        Desired::Unmanaged => None,
    }
}
