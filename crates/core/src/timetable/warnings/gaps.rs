//! Starts and stops that the clock jumps past together.
//!
//! In a gap both fall on the instant of the jump, so that their order is lost: a start and a stop at one instant are a start.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

use super::{TimetablePart, crons};
use crate::timetable::Action;
use crate::timetable::calendar::{DAY, Month, Wall, day_bit};
use crate::timetable::clock::just_before;
use crate::timetable::rules::{ZonedRules, minute_before};
use crate::timetable::window::TimeOfDay;

/// How many days ahead to search: each of the gaps that recur every year, once.
const AHEAD_DAYS: i64 = 366;

/// A start or a stop of a cron or a window, in wall time.
type WallEdge = (Wall, TimetablePart);

/// Returns a sentence for each gap within a year after `now` that contains a start and a stop, with the part that starts.
pub(super) fn sentences(rules: &ZonedRules, now: Timestamp) -> Vec<(TimetablePart, String)> {
    let end = now.as_second() + AHEAD_DAYS * 24 * 60 * 60;
    let mut found = Vec::new();
    for transition in rules.zone.following(now) {
        let at = transition.timestamp();
        if at.as_second() > end {
            break;
        }
        let before = rules.zone.to_offset(just_before(at));
        let gap = Gap {
            at,
            from: Wall::floor(before.to_datetime(at)),
            to: Wall::floor(transition.offset().to_datetime(at)),
        };
        if gap.from < gap.to {
            found.extend(gap.sentence(rules));
        }
    }
    found
}

/// The wall times `from..to` that the clock skips at the instant `at`.
struct Gap {
    at: Timestamp,
    from: Wall,
    to: Wall,
}

impl Gap {
    fn sentence(&self, rules: &ZonedRules) -> Option<(TimetablePart, String)> {
        let (start, part) = self.first(rules, Action::Start)?;
        let (stop, _) = self.first(rules, Action::Stop)?;
        let edge = rules.next_edge(just_before(self.at));
        let outcome = match edge
            .filter(|edge| edge.at == self.at)
            .map(|edge| edge.action)
        {
            Some(Action::Start) => "the start is applied, and the stop is not",
            Some(Action::Stop) => "the stop is applied, and the start is not",
            None => "neither is applied",
        };
        let time = |wall: Wall| TimeOfDay(wall.minute);
        let sentence = format!(
            "on {} the clock jumps from {} to {}, past the start at {} and the stop at {}: {outcome}; choose times outside {}-{}",
            self.from.date,
            time(self.from),
            time(self.to),
            time(start),
            time(stop),
            time(self.from),
            time(self.to),
        );
        Some((part, sentence))
    }

    fn contains(&self, wall: Wall) -> bool {
        self.from <= wall && wall < self.to
    }

    /// Returns the first start or stop in the gap.
    fn first(&self, rules: &ZonedRules, action: Action) -> Option<WallEdge> {
        let allowed = |month: Month| match action {
            Action::Start => rules.exceptions.open(month),
            Action::Stop => rules.exceptions.listed(month),
        };
        let crons = crons(rules).filter(|(_, of, _)| *of == action);
        let crons = crons.filter_map(|(part, _, cron)| {
            let wall = cron.next(minute_before(self.from)?, rules.exceptions.bounds, allowed)?;
            Some((wall, part))
        });
        let windows = rules.coverage.windows().enumerate();
        let windows = windows.flat_map(|(index, window)| {
            let (days, minute) = match action {
                Action::Start => (0, window.from()),
                Action::Stop => (window.end_day(), window.to() % DAY),
            };
            self.dates().into_iter().filter_map(move |date| {
                let begin = date.checked_sub(i64::from(days).days()).ok()?;
                let month = Month::of(begin);
                let is_on = window.days(month) & allowed(month) & day_bit(begin.day()) != 0;
                is_on.then_some((Wall { date, minute }, TimetablePart::Window(index)))
            })
        });
        let all = crons.chain(windows);
        all.filter(|(wall, _)| self.contains(*wall))
            .min_by_key(|(wall, _)| *wall)
    }

    /// The days on which the gap begins and ends.
    fn dates(&self) -> Vec<Date> {
        let mut dates = vec![self.from.date, self.to.date];
        dates.dedup();
        dates
    }
}
