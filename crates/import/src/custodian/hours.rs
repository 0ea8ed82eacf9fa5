//! The hours of Cloud Custodian's schedules, and their conversion into the starts and stops of a draft.

use std::collections::BTreeMap;

use curfew_core::problem::Problem;
use curfew_core::timetable::{OneOrMany, RawTimetable, Timetable};

use crate::toml_writer::Draft;
use crate::week::cron;

/// Weekdays (bit 0 is Monday) by hour.
pub(super) type Hours = BTreeMap<u8, u32>;

pub(super) const WORKDAYS: u32 = 0b1_1111;
/// Cloud Custodian's defaults, which a policy can change.
pub(super) const DEFAULT_ON: u8 = 7;
pub(super) const DEFAULT_OFF: u8 = 19;

/// Sets the time zone, starts and stops of a draft.
pub(super) fn fill(draft: &mut Draft, zone: &str, on: &Hours, off: &Hours) {
    let both = |(hour, days): (&u8, &u32)| off.get(hour).is_some_and(|others| others & days != 0);
    if on.iter().any(both) {
        draft.note("Some hours are in both `on` and `off`: start wins here.");
    }
    draft.raw.timezone = Some(zone.to_owned());
    draft.raw.start = crons(on);
    draft.raw.stop = crons(off);
}

fn crons(hours: &Hours) -> OneOrMany<String> {
    OneOrMany::Many(
        hours
            .iter()
            .map(|(hour, days)| cron(usize::from(*hour) * 60, *days))
            .collect(),
    )
}

/// The timetable of what the draft holds so far.
pub(super) fn timetable(draft: &Draft) -> Result<Timetable, Vec<Problem>> {
    RawTimetable {
        timezone: draft.raw.timezone.clone(),
        start: draft.raw.start.clone(),
        stop: draft.raw.stop.clone(),
        except: draft.raw.except.clone(),
        ..RawTimetable::default()
    }
    .resolve("")
}

/// Adds a comment with the equivalent tag value, the form that Cloud Custodian's users know. Omitted with hibernation,
/// which a tag can't request.
pub(super) fn note_inline_form(draft: &mut Draft) {
    if draft.raw.hibernate {
        return;
    }
    if let Ok(timetable) = timetable(draft) {
        draft.note(format!(
            "As an instance's own tag, without a config file: `Schedule = {timetable}`"
        ));
    }
}
