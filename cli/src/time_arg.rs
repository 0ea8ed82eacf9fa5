//! Resolves the times that options accept, in the zone of a schedule.

use curfew_config::Configuration;
use curfew_core::error_code::ErrorCode;
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::time_expression::{TimeDirection, TimeExpression};
use curfew_core::timetable::Timetable;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{CliError, Exit};

/// Resolves the value of `option` at `now`. Fails if the year is out of range.
pub(crate) fn instant(
    option: &str,
    expression: TimeExpression,
    direction: TimeDirection,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Timestamp, CliError> {
    expression.instant(direction, zone, now).ok_or_else(|| {
        let message = format!("`{option}` is outside the years 1970 to 2199");
        CliError::new(Exit::Usage, message).coded(ErrorCode::BadTime)
    })
}

/// Fails unless `since` is before `until`.
pub(crate) fn in_order(since: Timestamp, until: Timestamp) -> Result<(), CliError> {
    if since < until {
        return Ok(());
    }
    let message = format!("`--since` ({since}) must be before `--until` ({until})");
    Err(CliError::new(Exit::Usage, message).coded(ErrorCode::BadTime))
}

/// Returns the zone of wall times: that of the named schedule, otherwise that of all schedules if they share one, otherwise that of
/// this machine.
pub(crate) fn zone(configuration: &Configuration, schedule: Option<&ScheduleName>) -> TimeZone {
    zone_of(&configuration.schedule_set, schedule).unwrap_or_else(TimeZone::system)
}

/// Returns the zone of an edge at `at`: that of the schedules that have one then if they share it, otherwise as [`zone`].
pub(crate) fn edge_zone(configuration: &Configuration, at: Timestamp) -> TimeZone {
    let schedules = configuration.schedule_set.schedules.values();
    let timetables = schedules.map(|schedule| &schedule.timetable);
    let due = timetables.filter(|one| one.last_edge(at).is_some_and(|edge| edge.at == at));
    shared(due.map(Timetable::time_zone)).unwrap_or_else(|| zone(configuration, None))
}

fn zone_of(schedule_set: &ScheduleSet, schedule: Option<&ScheduleName>) -> Option<TimeZone> {
    let schedules = &schedule_set.schedules;
    if let Some(named) = schedule.and_then(|name| schedules.get(name)) {
        return Some(named.timetable.time_zone().clone());
    }
    shared(schedules.values().map(|one| one.timetable.time_zone()))
}

fn shared<'z>(mut zones: impl Iterator<Item = &'z TimeZone>) -> Option<TimeZone> {
    let first = zones.next()?;
    zones.all(|zone| zone == first).then(|| first.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use curfew_core::schedule::Schedule;

    use super::*;

    #[test]
    fn wall_times_are_in_the_zone_of_the_schedule_or_of_all_schedules() {
        let set = |zones: &[(&str, &str)]| {
            let mut set = ScheduleSet {
                tag: ScheduleSet::DEFAULT_TAG.to_owned(),
                schedules: BTreeMap::new(),
            };
            for (name, zone) in zones {
                let text = format!("Mon-Fri 08:00-20:00 {zone}");
                let timetable = Timetable::parse_inline(&text).unwrap();
                let name: ScheduleName = name.parse().unwrap();
                set.schedules
                    .insert(name.clone(), Schedule::new(name, timetable));
            }
            set
        };
        let zone = |set: &ScheduleSet, schedule: Option<&str>| {
            let schedule = schedule.map(|name| name.parse().unwrap());
            let zone = zone_of(set, schedule.as_ref());
            zone.map(|zone| zone.iana_name().unwrap().to_owned())
        };
        let one = set(&[("office", "Europe/Paris"), ("lab", "Europe/Paris")]);
        let two = set(&[("office", "Europe/Paris"), ("nyc", "America/New_York")]);
        assert_eq!(zone(&one, None).as_deref(), Some("Europe/Paris"));
        assert_eq!(zone(&two, None), None);
        assert_eq!(zone(&two, Some("nyc")).as_deref(), Some("America/New_York"));
        // A schedule that the configuration no longer has, in `history`.
        assert_eq!(zone(&two, Some("gone")), None);
        assert_eq!(zone(&set(&[]), None), None);
    }

    #[test]
    fn since_must_be_before_until() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(in_order(at(1), at(2)).is_ok());
        assert_eq!(in_order(at(2), at(2)).unwrap_err().exit(), Exit::Usage);
    }
}
