//! Parses the past times that options accept: `yesterday`, `2h`, `2026-11-01`.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

use super::{CliError, Exit};

/// Parses `text`, the value of `option`, relative to `now`. Dates and days are in `zone`. Fails if `text` is not a past time.
pub(crate) fn instant(
    option: &str,
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Timestamp, CliError> {
    parse(text.trim(), &now.to_zoned(zone.clone())).ok_or_else(|| {
        let message = format!(
            "`{option} {}` is not a time in the past",
            text.escape_debug()
        );
        CliError::new(Exit::Usage, message).hint(
            "use `2h`, `30d`, `today`, `yesterday`, `2026-11-01`, `2026-11-01T08:00` or `2026-11-01T08:00:00Z`",
        )
    })
}

/// Fails unless `since` is before `until`.
pub(crate) fn in_order(since: Timestamp, until: Timestamp) -> Result<(), CliError> {
    if since < until {
        return Ok(());
    }
    let message = format!("`--since` ({since}) must be before `--until` ({until})");
    Err(CliError::new(Exit::Usage, message))
}

fn parse(text: &str, now: &Zoned) -> Option<Timestamp> {
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

    fn parsed(text: &str) -> Option<String> {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        instant("--since", text, now, &zone)
            .ok()
            .map(|at| at.to_string())
    }

    #[test]
    fn past_times_have_several_forms_and_dates_use_the_zone() {
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
            assert_eq!(parsed(text).as_deref(), Some(at), "{text}");
        }
    }

    #[test]
    fn an_invalid_time_is_rejected() {
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
            assert_eq!(parsed(text), None, "{text}");
        }
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let error = instant("--since", "soon", now, &TimeZone::UTC).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--since soon` is not a time in the past"
        );
    }
}
