//! What an instance's tags say, and what follows from the end of a hold.

use jiff::{SignedDuration, Timestamp};

use crate::instance::{Instance, InstanceType};
use crate::memory::{
    Fallback, HOLD_TAG, Hold, LAST_TAG, Last, MalformedTag, RETRY_TAG, Retry, TYPE_TAG,
};
use crate::plan::HoldChange;
use crate::schedule::Schedule;
use crate::timetable::{Action, Desired, Edge};
use crate::view::View;

/// How far ahead of this clock the memory may be: whoever wrote it may have had a clock that runs fast. Beyond that it is
/// an error, which believed would leave the instance alone until then. Longer delays its mending, shorter would let two
/// clocks that disagree rewrite each other's memory.
const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// What the instance's tags say.
pub(super) struct Recalled {
    /// The newest edge applied, or what is wrong with the tag.
    pub(super) last: Result<Option<Last>, String>,
    pub(super) hold: Result<Option<Hold>, MalformedTag>,
    /// What EC2 refused lately, or what is wrong with the tag.
    pub(super) retry: Result<Option<Retry>, String>,
    /// The type it is meant to have.
    pub(super) fallback: Result<Option<Fallback>, MalformedTag>,
}

impl Recalled {
    pub(super) fn of(instance: &Instance, now: Timestamp) -> Self {
        let tag = |key| instance.tags.get(key).map(|value| value.trim());
        Self {
            last: tag(LAST_TAG).map(|value| last(value, now)).transpose(),
            hold: tag(HOLD_TAG).map(str::parse).transpose(),
            retry: tag(RETRY_TAG).map(|value| retry(value, now)).transpose(),
            fallback: tag(TYPE_TAG).map(str::parse).transpose(),
        }
    }

    /// The newest edge applied, if the tag is there and can be read.
    pub(super) fn applied(&self) -> Option<&Last> {
        self.last.as_ref().ok()?.as_ref()
    }

    pub(super) fn active_hold(&self, now: Timestamp) -> Option<&Hold> {
        let hold = self.hold.as_ref().ok()?.as_ref();
        hold.filter(|hold| hold.is_active(now))
    }

    /// What EC2 refused lately, if the tag is there and can be read.
    pub(super) fn refused(&self) -> Option<&Retry> {
        self.retry.as_ref().ok()?.as_ref()
    }

    /// The fallback in force. Where the instance has a type that is neither what it was given nor one that it could have
    /// been given, somebody else chose it, and means it.
    pub(super) fn fallback_in_force(
        &self,
        instance: &Instance,
        schedule: &Schedule,
    ) -> Option<&Fallback> {
        let fallback = self.fallback.as_ref().ok()?.as_ref()?;
        let has = |name: &InstanceType| name.as_str() == instance.instance_type;
        let given = has(&fallback.present) || schedule.fallback_types.iter().any(has);
        (given && !has(&fallback.wanted)).then_some(fallback)
    }

    /// Any hold, be it over or unreadable, is gone once a request was carried out.
    pub(super) fn without_hold(&self) -> HoldChange {
        if matches!(self.hold, Ok(None)) {
            HoldChange::Keep
        } else {
            HoldChange::Clear
        }
    }

    /// Up to when the instance's edges are dealt with: the newest applied one, or else its launch.
    pub(super) fn dealt_with(&self, instance: &Instance) -> Option<Timestamp> {
        self.applied().map(|last| last.at).or(instance.launched_at)
    }
}

fn last(value: &str, now: Timestamp) -> Result<Last, String> {
    let last: Last = value
        .parse()
        .map_err(|problem: MalformedTag| problem.to_string())?;
    if last.at.duration_since(now) > CLOCKS_APART {
        return Err(format!(
            "the tag `{LAST_TAG}` names an edge of {}, which is yet to come",
            last.at
        ));
    }
    Ok(last)
}

/// A next try that lies further ahead than any wait is an error, which believed would leave the instance as it is until then.
fn retry(value: &str, now: Timestamp) -> Result<Retry, String> {
    let retry: Retry = value
        .parse()
        .map_err(|problem: MalformedTag| problem.to_string())?;
    if retry.next.duration_since(now) > Retry::LONGEST_WAIT + CLOCKS_APART {
        return Err(format!(
            "the tag `{RETRY_TAG}` names a next try at {}, later than any",
            retry.next
        ));
    }
    Ok(retry)
}

/// The end of a hold is an edge like any other: its action is what the schedule wants at that instant. Where the schedule
/// has no opinion then, an edge that passed after `dealt_with` is what it still wants.
pub(super) fn end_of_hold(
    hold: &Hold,
    view: &View<'_>,
    dealt_with: Option<Timestamp>,
) -> Option<Edge> {
    let action = match view.desired(hold.until) {
        Desired::Running => Action::Start,
        Desired::Stopped => Action::Stop,
        Desired::Unmanaged => {
            view.last_edge(hold.until)
                .filter(|edge| dealt_with.is_none_or(|until| edge.at > until))?
                .action
        }
    };
    Some(Edge {
        at: hold.until,
        action,
    })
}
