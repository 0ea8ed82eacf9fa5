//! IANA time zones by name, from the compiled-in database.
//!
//! The compiled-in copy is used even where the system has its own database: the Lambda function and the daemon run on
//! different machines and must compute the same edges.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The smallest Jaro-Winkler similarity of a name that is suggested. 0.8 finds the names for `Europe/Pariss`, `Pari` and
/// `Amerika/New_York`, and suggests nothing for a random word.
const SIMILAR: f64 = 0.8;

/// Returns the time zone with this IANA name; case does not matter.
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

/// Returns every valid name of a schedule's time zone, in the order of the database.
pub fn time_zone_names() -> impl Iterator<Item = String> {
    DATABASE.available().map(|name| name.to_string())
}

/// Returns the name of `zone` for display.
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
            "`{name}` is an offset, which has no daylight saving rules; write an IANA name such as `Europe/Paris`"
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
