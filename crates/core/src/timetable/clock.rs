//! Conversion between wall time and instants. Only this module implements the daylight saving policy.
//!
//! An edge fires exactly once. In a fold (a wall time that occurs twice) it fires at the first occurrence. In a gap (a
//! wall time that the clock skips, for an hour or a whole day) it fires at the instant of the jump. The mapping is
//! monotonic: a later wall time is never an earlier instant, and outside gaps distinct wall times are distinct instants.

use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::calendar::Wall;

/// Returns the instant at which a clock in `zone` first shows `wall`, or jumps past it.
pub(super) fn instant_of(zone: &TimeZone, wall: Wall) -> Timestamp {
    let time = wall.to_datetime();
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            read(time, offset)
        }
        AmbiguousOffset::Gap { before, after } => jump_before(zone, read(time, before), after),
    }
}

/// Returns whether a clock in `zone` jumps past `wall`.
pub(super) fn in_gap(zone: &TimeZone, wall: Wall) -> bool {
    matches!(
        zone.to_ambiguous_timestamp(wall.to_datetime()).offset(),
        AmbiguousOffset::Gap { .. }
    )
}

/// Returns the minute that a clock in `zone` shows at `at`.
///
/// Every wall minute up to this one has an instant at or before `at`. Every later wall minute has an instant after `at`,
/// except during the second pass of a fold, where it may be earlier.
pub(super) fn wall_at(zone: &TimeZone, at: Timestamp) -> Wall {
    Wall::floor(zone.to_datetime(at))
}

/// Returns the latest minute that a clock in `zone` has shown up to `at`: the minute at `at` or, during the second pass
/// of a fold, the last minute of the first pass.
pub(super) fn latest_wall(zone: &TimeZone, at: Timestamp) -> Wall {
    let offset = zone.to_offset(at);
    let time = offset.to_datetime(at);
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Fold { before, after } if after == offset => {
            let end_of_first_pass = before.to_datetime(jump_before(zone, at, after));
            Wall::floor(end_of_first_pass.saturating_sub(1.nanosecond()))
        }
        _ => Wall::floor(time),
    }
}

/// Returns whether the offset of `zone` changes at exactly `at`.
pub(super) fn is_jump(zone: &TimeZone, at: Timestamp) -> bool {
    zone.to_offset(just_before(at)) != zone.to_offset(at)
}

/// Returns the instant one nanosecond before `at`, the resolution of [`Timestamp`].
pub(super) fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(1.nanosecond()).unwrap_or(at)
}

/// Returns the instant of the last change to the offset `after`, at or before `at`.
fn jump_before(zone: &TimeZone, at: Timestamp, after: Offset) -> Timestamp {
    let later = at.checked_add(1.nanosecond()).unwrap_or(at);
    zone.preceding(later)
        .find(|transition| transition.offset() == after)
        .map_or(at, |transition| transition.timestamp())
}

fn read(time: jiff::civil::DateTime, offset: Offset) -> Timestamp {
    offset
        .to_timestamp(time)
        .expect("a schedule's years lie thousands of years inside the range of instants")
}

/// Limits `at` to the range that contains every edge: schedules have none before 1970 or after 2199.
pub(super) fn clamp(at: Timestamp) -> Timestamp {
    at.clamp(BEGINNING, END)
}

/// 1968-12-31T00:00:00Z: no zone's 1970 begins before it.
const BEGINNING: Timestamp = Timestamp::constant(-31_622_400, 0);
/// 2201-01-01T00:00:00Z: no zone's 2199 ends after it.
const END: Timestamp = Timestamp::constant(7_289_654_400, 0);
