//! What is done about the newest word on one instance that may be touched.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::Judged;
use super::judge::Judge;
use super::words::{Kind, Newest, Repetition, Word, wanted_after};
use crate::decision::Decision;
use crate::instance::{Hibernation, StateReason};
use crate::memory::{Cause, LAST_TAG, Last, OverrideState};
use crate::schedule::StopBy;
use crate::skip::SkipReason;
use crate::step::{Step, StepAction, WithoutMemory};
use crate::timetable::{Action, Desired, EARLY_TRIGGER, Edge};

/// A word is pending until the state that it asks for is seen this long after its instant and after the state's own date. A call
/// that was sent on what was seen before may arrive until then: 5 seconds that an observation may be old, as much for a call's
/// answer, and a margin. Longer leaves what slipped through for longer; shorter takes our own late call for a person's.
const SETTLING: SignedDuration = SignedDuration::from_secs(15);

/// AWS lets a resource have so many tags, its own not counted.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions>
const MOST_TAGS: usize = 50;

impl Judge<'_> {
    pub(super) fn judge(&self) -> Judged {
        let newest = self.newest();
        let override_ = self.recalled.active_override(self.reading);
        let request = self.recalled.requested().filter(|_| {
            newest.as_ref().is_some_and(|newest| {
                newest.repetition == Repetition::Always
                    && matches!(newest.word.cause, Cause::Request(_))
            })
        });
        let desired = match (override_, request) {
            (Some(override_), _) => override_.state.desired(),
            (None, Some(request)) => match request.action {
                Action::Start => Desired::Running,
                Action::Stop => Desired::Stopped,
            },
            (None, None) => self.view.desired(self.now),
        };
        let decision = self.decide(newest.as_ref());
        let mut judged = Judged {
            override_: override_.cloned(),
            request: request.cloned(),
            desired,
            next_edge: None,
            next_due: None,
            outdated_at: None,
            decision,
        };
        self.look_ahead(&mut judged);
        judged
    }

    /// When something is next due, once the decision is carried out: what waits to be tried again, the end of the override, or the
    /// next edge. Under a tag of a person that can't be read, nothing is.
    fn look_ahead(&self, judged: &mut Judged) {
        let reason = match &judged.decision {
            Decision::Skip(skip) => Some(&skip.reason),
            Decision::Step(_) => None,
        };
        let waiting = match reason {
            Some(SkipReason::MalformedOverride { .. } | SkipReason::MalformedRequest { .. }) => {
                return;
            }
            Some(SkipReason::WaitingToRetry { action, until, .. }) => Some(Edge {
                at: *until,
                action: *action,
            }),
            _ => None,
        };
        let edge = match &judged.override_ {
            Some(override_) => {
                judged.outdated_at = Some(override_.until);
                match wanted_after(self.view, override_, override_.until) {
                    Some(action) => Some(Edge {
                        at: override_.until,
                        action,
                    }),
                    None => self.view.next_edge(override_.until),
                }
            }
            None => {
                let edge = self.view.next_edge(self.now);
                judged.outdated_at = edge.map(|edge| edge.at);
                edge
            }
        };
        judged.next_edge = waiting.into_iter().chain(edge).min_by_key(|edge| edge.at);
        let waiting = waiting.map(|edge| edge.at);
        judged.next_due = waiting.into_iter().chain(judged.outdated_at).min();
    }

    fn decide(&self, newest: Option<&Newest>) -> Decision {
        if let Err(problem) = &self.recalled.override_ {
            let problem = problem.clone();
            return self.skip(SkipReason::MalformedOverride { problem });
        }
        if let Err(problem) = &self.recalled.request {
            let problem = problem.clone();
            return self.skip(SkipReason::MalformedRequest { problem });
        }
        if let Some(override_) = self.recalled.active_override(self.reading)
            && override_.state == OverrideState::Ignored
        {
            return self.skip(SkipReason::OverrideIgnored {
                until: override_.until,
                by: override_.by.clone(),
            });
        }
        let first = self.first_sight(newest.map(|newest| &newest.word));
        let last = self.recalled.applied().or(first.as_ref());
        let decision = if self.in_flight() {
            // What is due stays due, by its own tag or its schedule.
            self.skip(SkipReason::InFlight)
        } else {
            self.apply(newest, last)
        };
        match first {
            Some(first) => self.with_first_sight(first, decision),
            None => decision,
        }
    }

    /// What is done about the newest word, or about the memory of a word that nothing shows any more.
    fn apply(&self, newest: Option<&Newest>, last: Option<&Last>) -> Decision {
        let remembered = last.map(|last| self.word_of(last));
        let known = |newest: &&Newest| {
            let is_older = remembered
                .as_ref()
                .is_some_and(|remembered| newest.word.key() < remembered.key());
            newest.repetition == Repetition::Always || !is_older
        };
        let (word, repetition) = match (newest.filter(known), &remembered) {
            (Some(newest), _) => (&newest.word, newest.repetition),
            (None, Some(remembered)) => (remembered, Repetition::Once),
            (None, None) => return self.without_earlier_tries(self.skip(SkipReason::NothingDue)),
        };
        let (order, pending) = match (&remembered, last) {
            (Some(remembered), Some(last)) => (word.key().cmp(&remembered.key()), last.pending),
            _ => (Ordering::Greater, false),
        };
        let action = word.action.unwrap_or_else(|| self.present());
        if self.is_at(action) {
            let settled = word.action.is_none() || self.has_settled(word);
            let is_known = match order {
                Ordering::Less => true,
                Ordering::Equal => !pending || !settled,
                Ordering::Greater => false,
            };
            return if is_known {
                self.without_earlier_tries(self.skip(self.as_it_should_be()))
            } else {
                Decision::Step(self.record(word, action, !settled))
            };
        }
        let is_due = match (repetition, order) {
            (Repetition::Always, _) => true,
            (Repetition::Once, Ordering::Equal) => pending,
            (Repetition::Once, order) => order == Ordering::Greater,
        };
        if !is_due {
            let reason = match last {
                Some(last) if last.cause == Cause::Adopted => SkipReason::NothingDue,
                _ => SkipReason::LeftAlone,
            };
            return self.without_earlier_tries(self.skip(reason));
        }
        let is_repeated = order == Ordering::Equal && pending;
        if repetition == Repetition::Once {
            if let Some(why) = self.dealt_with_by_others(word, action, is_repeated) {
                let mut step = self.record(word, action, false);
                step.remark(why.to_owned());
                return Decision::Step(step);
            }
            if let Some(reason) = self.too_late(word, action, is_repeated) {
                return self.skip(reason);
            }
        }
        let mut step = self.call(word, action, order);
        if repetition == Repetition::Always {
            step.without_memory = WithoutMemory::Act;
        }
        self.trying(step, word, action, is_repeated, repetition)
    }

    /// A word that was applied, as its memory has it.
    fn word_of(&self, last: &Last) -> Word {
        let (at, kind) = self.key_of(last);
        Word {
            at,
            kind,
            action: Some(last.action),
            cause: match &last.cause {
                Cause::Adopted | Cause::External => self.by_schedule(),
                cause => cause.clone(),
            },
        }
    }

    fn as_it_should_be(&self) -> SkipReason {
        match self.recalled.active_override(self.reading) {
            Some(override_) => SkipReason::Overridden {
                state: override_.state,
                until: override_.until,
                by: override_.by.clone(),
            },
            None => SkipReason::AsDesired,
        }
    }

    /// Whether what is seen now is what comes of the word: no call that was sent before it can arrive any more.
    fn has_settled(&self, word: &Word) -> bool {
        let dated = match self.present() {
            Action::Start => self.instance.launched_at,
            Action::Stop => self.instance.user_stopped_at(),
        };
        let from = dated.map_or(word.at, |dated| dated.max(word.at));
        self.now.duration_since(from) >= SETTLING
    }

    /// Who else has changed the state since the word, by EC2's word: that counts as a person's later wish. For an edge that was
    /// missed as well as for a word that was applied and not yet seen.
    fn dealt_with_by_others(
        &self,
        word: &Word,
        action: Action,
        is_repeated: bool,
    ) -> Option<&'static str> {
        if !is_repeated && (word.kind != Kind::Edge || self.converges()) {
            return None;
        }
        let after =
            |at: Option<Timestamp>| at.is_some_and(|at| at.duration_since(word.at) > SETTLING);
        match action {
            Action::Start if after(self.instance.user_stopped_at()) => {
                Some("a user stopped it after that")
            }
            Action::Start if is_repeated && self.was_shut_down_from_inside(word.at) => {
                Some("it was shut down from inside after that start")
            }
            Action::Stop if after(self.instance.launched_at) => {
                Some("a user started it after that")
            }
            _ => None,
        }
    }

    /// Whoever works on an instance may shut it down; then it did run. EC2 does not date it.
    fn was_shut_down_from_inside(&self, word: Timestamp) -> bool {
        let reason = self.instance.state_reason.as_ref();
        let launched = self.instance.launched_at;
        launched.is_some_and(|launched| word.duration_since(launched) <= EARLY_TRIGGER)
            && reason.is_some_and(|reason| reason.code == StateReason::SHUT_DOWN_FROM_INSIDE)
    }

    /// Why a word is not applied any more. The limit counts from the first try of what was tried and came to nothing.
    fn too_late(&self, word: &Word, action: Action, is_repeated: bool) -> Option<SkipReason> {
        let tried = self.tried_before(word, action);
        let since = match tried {
            Some(retry) => retry.first.max(word.at),
            // When that was is not known: the try that comes now begins to count.
            None if is_repeated => return None,
            None if word.kind == Kind::Edge && self.converges() => return None,
            None => word.at,
        };
        let late = self.reading.duration_since(since) > self.schedule().catch_up;
        late.then(|| SkipReason::TooLate {
            edge: Edge {
                at: word.at,
                action,
            },
            tries: tried.map(|retry| retry.tries),
            code: tried.map(|retry| retry.code.clone()),
        })
    }

    /// The call that a word asks for, and its memory.
    fn call(&self, word: &Word, action: Action, order: Ordering) -> Step {
        let mut step = self.step(action, word.cause.clone());
        step.edge = edge_of(word, action);
        // The same word is remembered as pending already, or as done: then it is held to all the same.
        if order == Ordering::Greater {
            step.remember.last = Some(Last {
                at: word.at,
                action,
                cause: word.cause.clone(),
                pending: true,
            });
        }
        step
    }

    /// A word with nothing to do.
    fn record(&self, word: &Word, action: Action, pending: bool) -> Step {
        let mut step = self.blank_step(StepAction::Record, word.cause.clone());
        step.edge = edge_of(word, action);
        step.remember.last = Some(Last {
            at: word.at,
            action,
            cause: word.cause.clone(),
            pending,
        });
        self.superseding(step)
    }

    /// Gives an instance without memory its first one: before a call, or in place of what else would be written.
    fn with_first_sight(&self, first: Last, decision: Decision) -> Decision {
        if self.has_no_room_for_memory() {
            return match decision {
                Decision::Step(mut step) if step.without_memory == WithoutMemory::Act => {
                    step.remember.last = None;
                    Decision::Step(step)
                }
                _ => self.skip(SkipReason::NoMemory),
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
        if let Err(problem) = &self.recalled.last {
            step.mends = self.instance.tags.get(LAST_TAG).cloned();
            step.remark(format!(
                "{problem}; the tag is rewritten, and its newest edge counts as applied"
            ));
        }
        if step.action == StepAction::Record {
            step.remember.last.get_or_insert(first);
        } else {
            step.adopt = Some(first);
        }
        Decision::Step(step)
    }

    fn has_no_room_for_memory(&self) -> bool {
        let tags = &self.instance.tags;
        let ours = tags.keys().filter(|key| !key.starts_with("aws:"));
        !tags.contains_key(LAST_TAG) && ours.count() >= MOST_TAGS
    }

    /// Brings the instance, which is running or stopped, to what `action` asks for.
    fn step(&self, action: Action, cause: Cause) -> Step {
        let hibernates = self.schedule().stop_by == StopBy::Hibernating;
        let (call, note) = match (action, hibernates, self.instance.hibernation) {
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
        step
    }
}

/// The edge that a step applies: also a request is one, and the end of an override; an override in force is none.
fn edge_of(word: &Word, action: Action) -> Option<Edge> {
    let is_held = matches!(word.cause, Cause::Override(_));
    (!is_held).then_some(Edge {
        at: word.at,
        action,
    })
}
