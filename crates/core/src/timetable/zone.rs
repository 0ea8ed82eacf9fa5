//! IANA time zones by name, from the database that is compiled in.
//!
//! The compiled-in copy is used everywhere, even where the system has its own: the Lambda function and the daemon must
//! agree on every edge, and they run on different machines.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Names further than this from what was written are not what was meant. 0.8 keeps `Europe/Pariss`, `Pari`, and
/// `Amerika/New_York`, and drops the nearest of 600 names to a random word.
const SIMILAR: f64 = 0.8;

/// The time zone of that name, in any case.
pub(super) fn parse(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() {
        return Err(
            "the time zone is missing; write an IANA name such as `Europe/Paris`".to_owned(),
        );
    }
    match DATABASE.get(name) {
        Ok(zone) if zone.iana_name().is_some() => Ok(zone),
        _ => Err(refuse(name)),
    }
}

/// Every name that a schedule may give as its time zone, in the order of the database.
pub fn time_zone_names() -> impl Iterator<Item = String> {
    DATABASE.available().map(|name| name.to_string())
}

/// The name to print for `zone`.
pub(super) fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

fn refuse(name: &str) -> String {
    let offset = name.starts_with(['+', '-'])
        || name.starts_with("UTC+")
        || name.starts_with("UTC-")
        || name.starts_with("GMT+");
    if offset {
        return format!(
            "`{name}` is an offset, which knows no daylight saving; write an IANA name such as `Europe/Paris`"
        );
    }
    match nearest(name) {
        Some(near) => format!("`{name}` is not an IANA time zone; did you mean `{near}`?"),
        None => format!(
            "`{name}` is not an IANA time zone; write one such as `Europe/Paris` or `America/New_York`"
        ),
    }
}

fn nearest(name: &str) -> Option<String> {
    let written = name.to_lowercase().replace([' ', '-'], "_");
    time_zone_names()
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let city = lower.rsplit('/').next().unwrap_or(&lower);
            let score = strsim::jaro_winkler(&written, &lower)
                .max(strsim::jaro_winkler(&written, city) - 0.01);
            (score, candidate)
        })
        .filter(|(score, _)| *score >= SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}
