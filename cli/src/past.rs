//! Times gone by, as people write them: `yesterday`, `2h`, `2026-11-01`.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

use super::{CliError, Exit};

/// The instant that `text`, the value of `option`, means at `now`. Days are those of `zone`.
pub(crate) fn instant(
    option: &str,
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Timestamp, CliError> {
    read(text.trim(), &now.to_zoned(zone.clone())).ok_or_else(|| {
        let message = format!(
            "`{option} {}` is no time in the past that can be told",
            text.escape_debug()
        );
        CliError::new(Exit::Usage, message).hint(
            "write `2h`, `30d`, `today`, `yesterday`, `2026-11-01`, `2026-11-01T08:00`, or `2026-11-01T08:00:00Z`",
        )
    })
}

/// Whether there is any time from `since` on and before `until`.
pub(crate) fn in_order(since: Timestamp, until: Timestamp) -> Result<(), CliError> {
    if since < until {
        return Ok(());
    }
    let message = format!("there is no time between `--since` ({since}) and `--until` ({until})");
    Err(CliError::new(Exit::Usage, message))
}

fn read(text: &str, now: &Zoned) -> Option<Timestamp> {
    let zone = now.time_zone();
    let midnight = |date: Date| {
        Some(
            zone.to_ambiguous_zoned(date.at(0, 0, 0, 0))
                .compatible()
                .ok()?
                .timestamp(),
        )
    };
    match text {
        "now" => return Some(now.timestamp()),
        "today" => return midnight(now.date()),
        "yesterday" => return midnight(now.date().yesterday().ok()?),
        _ => {}
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2026-11-01".len()
    {
        return midnight(date);
    }
    if let Ok(local) = text.parse::<DateTime>()
        && text.contains(['T', ' '])
    {
        return Some(
            zone.to_ambiguous_zoned(local)
                .compatible()
                .ok()?
                .timestamp(),
        );
    }
    let length: Span = text.parse().ok()?;
    let before = now.checked_sub(length).ok()?;
    let is_past = length.is_positive() && before.checked_add(1.nanosecond()).ok()? <= *now;
    is_past.then(|| before.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        instant("--since", text, now, &zone)
            .ok()
            .map(|at| at.to_string())
    }

    #[test]
    fn times_are_told_in_many_ways_and_days_are_those_of_the_zone() {
        for (text, at) in [
            ("2h", "2026-11-24T10:00:00Z"),
            ("90d", "2026-08-26T11:00:00Z"),
            ("1h30m", "2026-11-24T10:30:00Z"),
            ("today", "2026-11-23T23:00:00Z"),
            ("yesterday", "2026-11-22T23:00:00Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-11-01T08:00", "2026-11-01T07:00:00Z"),
            ("2026-11-01 08:00", "2026-11-01T07:00:00Z"),
            ("2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:00+02:00", "2026-11-01T06:00:00Z"),
        ] {
            assert_eq!(told(text).as_deref(), Some(at), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        for text in [
            "",
            "soon",
            "-2h",
            "0s",
            "2",
            "2026-13-01",
            "20:00",
            "2026-11",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let error = instant("--since", "soon", now, &TimeZone::UTC).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--since soon` is no time in the past that can be told"
        );
    }
}
