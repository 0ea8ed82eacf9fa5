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

/// Names of fixed offsets that look like the zone of a place with daylight saving time, and such a place.
/// `UTC` and its synonyms say what they mean.
const FIXED_OFFSETS: [(&str, &str); 9] = [
    ("EST", "America/New_York"),
    ("MST", "America/Denver"),
    ("HST", "Pacific/Honolulu"),
    ("GMT", "Europe/London"),
    ("GMT0", "Europe/London"),
    ("GMT+0", "Europe/London"),
    ("GMT-0", "Europe/London"),
    ("Greenwich", "Europe/London"),
    ("Etc/Greenwich", "Europe/London"),
];

/// Returns a sentence about a zone that is a fixed offset by its name, and probably not what was meant.
pub(super) fn without_daylight_saving(name: &str) -> Option<String> {
    let known = FIXED_OFFSETS
        .iter()
        .find(|(fixed, _)| fixed.eq_ignore_ascii_case(name));
    if let Some((_, place)) = known {
        let other = if *place == "Pacific/Honolulu" {
            "write `Pacific/Honolulu`, which has none either".to_owned()
        } else {
            format!("write `{place}` for a place that has it")
        };
        return Some(format!("`{name}` has no daylight saving time; {other}"));
    }
    let lower = name.to_ascii_lowercase();
    let hours = lower.strip_prefix("etc/gmt")?;
    // The sign of these names is that of POSIX: Etc/GMT+5 is UTC-5.
    let (sign, hours) = match hours.split_at_checked(1)? {
        ("+", hours) => ("behind", hours),
        ("-", hours) => ("ahead of", hours),
        _ => return None,
    };
    if hours.bytes().all(|digit| digit == b'0') {
        return None;
    }
    Some(format!(
        "`{name}` is {hours} hours {sign} UTC, and has no daylight saving time; write the name of a place, such as `Europe/Paris`"
    ))
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
