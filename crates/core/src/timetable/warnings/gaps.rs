//! Starts and stops that the clock jumps past together.
//!
//! In a gap both fall on the instant of the jump, so that their order is lost: a start and a stop at one instant are a start.

use jiff::Timestamp;

use super::TimetablePart;
use crate::timetable::Action;
use crate::timetable::calendar::{DAY, Days, Month, Wall, day_bit};
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
        let (start, part) = self.starts(rules).into_iter().min_by_key(|start| start.0)?;
        let (stop, _) = self.stops(rules).into_iter().min_by_key(|stop| stop.0)?;
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

    fn starts(&self, rules: &ZonedRules) -> Vec<WallEdge> {
        let open = |month: Month| rules.exceptions.open(month);
        let crons = rules.starts.iter().enumerate().filter_map(|(index, cron)| {
            let wall = cron.next(minute_before(self.from)?, rules.exceptions.bounds, open)?;
            Some((wall, TimetablePart::Start(index)))
        });
        let windows = rules
            .coverage
            .windows()
            .enumerate()
            .flat_map(|(index, window)| {
                let walls = self.dates().into_iter().filter_map(move |date| {
                    let wall = Wall {
                        date,
                        minute: window.from(),
                    };
                    is_on(date, |month| window.days(month) & open(month)).then_some(wall)
                });
                walls.map(move |wall| (wall, TimetablePart::Window(index)))
            });
        let all = crons.chain(windows);
        all.filter(|(wall, _)| self.contains(*wall)).collect()
    }

    fn stops(&self, rules: &ZonedRules) -> Vec<WallEdge> {
        let listed = |month: Month| rules.exceptions.listed(month);
        let crons = rules.stops.iter().enumerate().filter_map(|(index, cron)| {
            let wall = cron.next(minute_before(self.from)?, rules.exceptions.bounds, listed)?;
            Some((wall, TimetablePart::Stop(index)))
        });
        let windows = rules
            .coverage
            .windows()
            .enumerate()
            .flat_map(|(index, window)| {
                let walls = self.dates().into_iter().filter_map(move |date| {
                    let days = i64::from(window.to() / DAY);
                    let begin = date.checked_sub(jiff::Span::new().days(days)).ok()?;
                    let wall = Wall {
                        date,
                        minute: window.to() % DAY,
                    };
                    is_on(begin, |month| window.days(month) & listed(month)).then_some(wall)
                });
                walls.map(move |wall| (wall, TimetablePart::Window(index)))
            });
        let all = crons.chain(windows);
        all.filter(|(wall, _)| self.contains(*wall)).collect()
    }

    /// The days on which the gap begins and ends.
    fn dates(&self) -> Vec<jiff::civil::Date> {
        let mut dates = vec![self.from.date, self.to.date];
        dates.dedup();
        dates
    }
}

fn is_on(date: jiff::civil::Date, days: impl Fn(Month) -> Days) -> bool {
    days(Month::of(date)) & day_bit(date.day()) != 0
}
