//! Parsing and writing of a timetable's one-line form, which a tag's value can hold.

use std::fmt;

use super::coverage::{Coverage, Exceptions};
use super::cron::Cron;
use super::dates::{DateRule, DateSet};
use super::rules::ZonedRules;
use super::window::Window;
use super::zone;
use crate::problem::Problem;

const KEY: &str = "inline";

pub(super) fn parse(text: &str) -> Result<ZonedRules, Vec<Problem>> {
    let text = text.trim();
    let mut problems = Vec::new();
    let (body, zone_name) = text.rsplit_once(char::is_whitespace).unwrap_or(("", text));
    if zone_name.is_empty() {
        return Err(vec![Problem::new(
            KEY,
            "the schedule is empty; write it like `Mon-Fri 08:00-20:00 Europe/Paris`",
        )]);
    }
    let (body, zone_name) = if zone_name.contains([':', ')', ';', '*']) {
        problems.push(Problem::new(
            "inline.timezone",
            format!("`{text}` does not end with a time zone; write it like `Mon-Fri 08:00-20:00 Europe/Paris`"),
        ));
        (text, "")
    } else {
        (body, zone_name)
    };
    let zone = match zone_name {
        "" => None,
        name => zone::parse(name)
            .map_err(|problem| problems.push(Problem::new("inline.timezone", problem)))
            .ok(),
    };
    let mut parts = InlineParts::default();
    for part in body.split(';') {
        parts.read(part, &mut problems);
    }
    match zone {
        Some(zone) if problems.is_empty() => Ok(ZonedRules {
            zone,
            starts: parts.starts,
            stops: parts.stops,
            coverage: Coverage::new(parts.windows),
            exceptions: Exceptions::new(DateSet::new(parts.except), DateSet::new(parts.only)),
        }),
        _ => Err(problems),
    }
}

#[derive(Default)]
struct InlineParts {
    windows: Vec<Window>,
    starts: Vec<Cron>,
    stops: Vec<Cron>,
    except: Vec<DateRule>,
    only: Vec<DateRule>,
}

impl InlineParts {
    fn read(&mut self, part: &str, problems: &mut Vec<Problem>) {
        let part = part.trim();
        let (word, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let mut keep =
            |key: &str, problem| problems.push(Problem::new(format!("{KEY}.{key}"), problem));
        match word {
            "start" => match rest.parse() {
                Ok(cron) => self.starts.push(cron),
                Err(problem) => keep("start", problem),
            },
            "stop" => match rest.parse() {
                Ok(cron) => self.stops.push(cron),
                Err(problem) => keep("stop", problem),
            },
            "except" | "only" => {
                let rules = if word == "except" {
                    &mut self.except
                } else {
                    &mut self.only
                };
                for rule in rest.split(',') {
                    match rule.parse() {
                        Ok(rule) => rules.push(rule),
                        Err(problem) => keep(word, problem),
                    }
                }
            }
            _ => match Window::parse_line(part) {
                Ok(windows) => self.windows.extend(windows),
                Err(problem) => keep("window", problem),
            },
        }
    }
}

pub(super) fn write(rules: &ZonedRules, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let windows = rules.coverage.windows().map(ToString::to_string);
    let starts = rules.starts.iter().map(|cron| format!("start {cron}"));
    let stops = rules.stops.iter().map(|cron| format!("stop {cron}"));
    let dates = [
        ("except", &rules.exceptions.except),
        ("only", &rules.exceptions.only),
    ]
    .into_iter()
    .filter(|(_, dates)| !dates.is_empty())
    .map(|(word, dates)| format!("{word} {dates}"));
    let parts: Vec<_> = windows.chain(starts).chain(stops).chain(dates).collect();
    write!(
        formatter,
        "{} {}",
        parts.join("; "),
        zone::name(&rules.zone)
    )
}
