//! Parses the value of an off-hours tag: its parts, time zones and escapes.

use curfew_core::problem::Problem;
use curfew_core::timetable::time_zone_names;

use super::hours::{DEFAULT_OFF, DEFAULT_ON, Hours, WORKDAYS, fill};
use crate::toml_writer::Draft;

/// Cloud Custodian's default time zone.
const DEFAULT_ZONE: &str = "America/New_York";

/// The meaning of a tag's value.
#[derive(Debug)]
pub(super) enum Tag {
    /// The value is `off`.
    OptedOut,
    Schedule(TagHours),
}

#[derive(Debug, Default)]
pub(super) struct TagHours {
    pub(super) on: Option<Hours>,
    pub(super) off: Option<Hours>,
    pub(super) zone: Option<String>,
    /// Whether the value has spaces inside, which Cloud Custodian reads as part of the key or the hour.
    spaced: bool,
}

impl Tag {
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let value = unescape(&text.to_lowercase());
        let value = value.trim_matches('\'').trim_matches('"').trim();
        if value == "off" {
            return Ok(Self::OptedOut);
        }
        let mut hours = TagHours::default();
        let mut problems = Vec::new();
        for part in value
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            hours.read(part, &mut problems);
        }
        hours.spaced =
            value.contains(char::is_whitespace) && (hours.on.is_some() || hours.off.is_some());
        if problems.is_empty() {
            Ok(Self::Schedule(hours))
        } else {
            Err(problems)
        }
    }
}

impl TagHours {
    fn read(&mut self, part: &str, problems: &mut Vec<Problem>) {
        let Some((key, value)) = part.split_once('=') else {
            // An empty value and `on` select the policy's defaults.
            if part != "on" {
                let message =
                    "is not `on`, `off`, or parts such as `off=(M-F,19)`, `on=(M-F,7)` and `tz=et`";
                problems.push(Problem::new(part, message));
            }
            return;
        };
        let (words, key) = key
            .trim()
            .rsplit_once(char::is_whitespace)
            .unwrap_or(("", key.trim()));
        if !words.is_empty() && key != "tz" {
            problems.push(Problem::new(
                words,
                "is text before a part; only `tz=` may have text before it",
            ));
        }
        let read = match key {
            "on" => once(&mut self.on, key, hours(value)),
            "off" => once(&mut self.off, key, hours(value)),
            "tz" if value.trim().is_empty() => Ok(()),
            "tz" => once(&mut self.zone, key, zone(value.trim())),
            _ => Err("is not one of `on`, `off` and `tz`".to_owned()),
        };
        if let Err(message) = read {
            problems.push(Problem::new(key, message));
        }
    }

    /// Sets the draft's starts and stops. The policies that read the tag are unknown here, so their defaults are
    /// assumed and noted.
    pub(super) fn apply(&self, draft: &mut Draft) {
        if self.spaced {
            draft.note(
                "The value contains spaces, which make Cloud Custodian ignore part or all of it.",
            );
        }
        if self.zone.is_none() {
            draft.note(
                "The tag has no `tz`: this is Cloud Custodian's default; the policy's `default_tz` may differ.",
            );
        }
        let (on, off) = match (&self.on, &self.off) {
            (None, None) => {
                draft.note("The tag leaves the hours to the policy: these are Cloud Custodian's defaults. Check the policy.");
                let default = |hour| Hours::from([(hour, WORKDAYS)]);
                (default(DEFAULT_ON), default(DEFAULT_OFF))
            }
            (on, off) => {
                for (missing, filter) in [
                    ("on", on.is_none().then_some("onhour")),
                    ("off", off.is_none().then_some("offhour")),
                ] {
                    if let Some(filter) = filter {
                        draft.note(format!(
                            "The tag has no `{missing}`: if there is an `{filter}` policy, its default hour applies there. It is not translated."
                        ));
                    }
                }
                (
                    on.clone().unwrap_or_default(),
                    off.clone().unwrap_or_default(),
                )
            }
        };
        let zone = self.zone.as_deref().unwrap_or(DEFAULT_ZONE);
        fill(draft, zone, &on, &off);
    }
}

fn once<T>(slot: &mut Option<T>, key: &str, read: Result<T, String>) -> Result<(), String> {
    if slot.replace(read?).is_some() {
        return Err(format!("appears twice; write one `{key}=[(…),(…)]`"));
    }
    Ok(())
}

/// Parses `(M-F,19)`, `[(M-F,21),(U,18)]` or `M-F,19`.
fn hours(text: &str) -> Result<Hours, String> {
    let tight: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '[' | ']'))
        .collect();
    let mut hours = Hours::new();
    for entry in tight.split(",(") {
        let entry = entry.trim_matches(['(', ')']);
        let malformed = || format!("`{entry}` is not days and an hour, as in `(M-F,19)`");
        let (days, hour) = entry.split_once(',').ok_or_else(malformed)?;
        if hour.contains(':') {
            return Err(format!(
                "`{entry}`: Cloud Custodian has whole hours only, 0–23"
            ));
        }
        let whole = !hour.is_empty() && hour.bytes().all(|byte| byte.is_ascii_digit());
        let hour = hour
            .parse::<u8>()
            .ok()
            .filter(|hour| whole && *hour < 24)
            .ok_or_else(|| format!("`{entry}`: the hour is a whole number, 0–23"))?;
        *hours.entry(hour).or_default() |= days_of(days).ok_or_else(|| {
            format!("`{entry}`: the days are one of M, T, W, H, F, S, U, or a range such as `M-F`")
        })?;
    }
    Ok(hours)
}

/// Parses a weekday or a range of weekdays into bits; ranges wrap around.
fn days_of(text: &str) -> Option<u32> {
    let day = |text: &str| {
        ["m", "t", "w", "h", "f", "s", "u"]
            .iter()
            .position(|day| *day == text)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let length = (last + 7 - first) % 7;
    Some((first..=first + length).fold(0, |days, day| days | 1 << (day % 7)))
}

/// Resolves an alias, or else an IANA name. Aliases take precedence over IANA zones of the same name (`est`, `cet`).
pub(super) fn zone(text: &str) -> Result<String, String> {
    let text = text.trim().to_lowercase();
    let alias = match text.as_str() {
        "pt" | "pst" | "pdt" => "America/Los_Angeles",
        "at" | "ast" => "America/Phoenix",
        "et" | "est" | "edt" => "America/New_York",
        "ct" | "cst" | "cdt" => "America/Chicago",
        "mt" | "mst" | "mdt" => "America/Denver",
        "gt" | "gmt" => "Etc/GMT",
        "utc" => "Etc/UTC",
        "bst" => "Europe/London",
        "ist" => "Europe/Dublin",
        "cet" => "Europe/Berlin",
        "it" => "Asia/Kolkata",
        "jst" => "Asia/Tokyo",
        "kst" => "Asia/Seoul",
        "sgt" => "Asia/Singapore",
        "aet" => "Australia/Sydney",
        "brt" => "America/Sao_Paulo",
        "nzst" => "Pacific/Auckland",
        name => {
            return time_zone_names().find(|zone| zone.eq_ignore_ascii_case(name)).ok_or_else(|| {
                format!("`{name}` is neither one of Cloud Custodian's aliases (`et`, `pt`, …) nor an IANA time zone")
            });
        }
    };
    Ok(alias.to_owned())
}

/// Decodes `u28` to `(` and so on, the escapes for services whose tags allow no punctuation. `text` must be in lower
/// case.
fn unescape(text: &str) -> String {
    "()[],;=/-".chars().fold(text.to_owned(), |text, c| {
        text.replace(&format!("u{:x}", u32::from(c)), c.encode_utf8(&mut [0; 4]))
    })
}
