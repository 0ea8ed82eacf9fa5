//! The requests sent so far, and the directive that the instance must follow: an independent implementation of the rules that shares
//! no code with `plan`.

use curfew_core::timetable::Action;

use crate::machine::Second;
use crate::shell::{OverrideTarget, PersonRequest};

/// The edges of the explored schedule.
pub(crate) const EDGES: [(Second, Action); 4] = [
    (-86_280, Action::Stop),
    (0, Action::Start),
    (120, Action::Stop),
    (86_400, Action::Start),
];

/// The newest edge at `now`.
pub(crate) fn edge(now: Second) -> (Second, Action) {
    let past = EDGES.into_iter().rev().find(|(at, _)| *at <= now);
    past.expect("the first edge is the day before")
}

/// The next edge after `now`.
pub(crate) fn next_edge(now: Second) -> Second {
    let next = EDGES.into_iter().find(|(at, _)| *at > now);
    next.map_or(Second::MAX, |(at, _)| at)
}

/// The latest plain request and the latest override.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PersonRequests {
    pub(crate) plain: Option<(Second, Action)>,
    pub(crate) kept: Option<Override>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Override {
    pub(crate) since: Second,
    pub(crate) until: Second,
    pub(crate) kept: OverrideTarget,
}

impl PersonRequests {
    /// Adds a request whose instant is `at`.
    pub(crate) fn and(self, request: PersonRequest, at: Second) -> Self {
        let plain = |action| Self {
            plain: Some((at, action)),
            ..self
        };
        match request {
            PersonRequest::Start => plain(Action::Start),
            PersonRequest::Stop => plain(Action::Stop),
            PersonRequest::Resume => plain(edge(at).1),
            PersonRequest::Keep(kept, until) => Self {
                kept: Some(Override {
                    since: at,
                    until,
                    kept,
                }),
                ..self
            },
        }
    }

    /// The instant of the newest request or override.
    pub(crate) fn latest(&self) -> Option<Second> {
        let plain = self.plain.map(|(at, _)| at);
        plain.max(self.kept.map(|kept| kept.since))
    }

    /// The override in force at `now`.
    pub(crate) fn in_force(&self, now: Second) -> Option<Override> {
        self.standing().filter(|kept| now < kept.until)
    }

    /// The override that no newer request ended; it may be in force or expired.
    fn standing(&self) -> Option<Override> {
        self.kept
            .filter(|kept| self.plain.is_none_or(|(at, _)| at <= kept.since))
    }

    /// The newest directive at `now`.
    pub(crate) fn newest(&self, now: Second) -> NewestDirective {
        if let Some(kept) = self.in_force(now) {
            return NewestDirective {
                at: kept.since,
                rank: Rank::Person,
                want: match kept.kept {
                    OverrideTarget::Running => Some(Action::Start),
                    OverrideTarget::Stopped => Some(Action::Stop),
                    OverrideTarget::Ignored => None,
                },
                in_force: true,
            };
        }
        let directive = |(at, action), rank| NewestDirective {
            at,
            rank,
            want: Some(action),
            in_force: false,
        };
        let scheduled = directive(edge(now), Rank::Edge);
        let plain = self.plain.map(|plain| directive(plain, Rank::Person));
        let end = self
            .standing()
            .map(|kept| directive((kept.until, edge(kept.until).1), Rank::EndOfOverride));
        [Some(scheduled), end, plain]
            .into_iter()
            .flatten()
            .max_by_key(|directive| (directive.at, directive.rank))
            .expect("there is an edge")
    }
}

/// The directive that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NewestDirective {
    pub(crate) at: Second,
    pub(crate) rank: Rank,
    /// None under an override that ignores the instance.
    pub(crate) want: Option<Action>,
    /// Whether it is an override in force, which applies at every pass.
    pub(crate) in_force: bool,
}

/// At one instant, the greater rank is the newer directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rank {
    Edge,
    EndOfOverride,
    Person,
}
