//! A timetable as it is written in the configuration, and its conversion to a valid [`Timetable`].

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Timetable;
use super::coverage::{Coverage, Exceptions};
use super::dates::{DateRule, DateSet};
use super::rules::ZonedRules;
use super::warnings::{self, TimetablePart};
use super::window::{Window, WindowParts};
use super::zone;
use crate::problem::Problem;

/// The keys of a schedule that define its timetable, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawTimetable {
    /// An IANA name: `Europe/Paris`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Crons that start: five Unix fields, or AWS's `cron(…)`.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub start: OneOrMany<String>,
    /// Crons that stop.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub stop: OneOrMany<String>,
    /// Windows in one line each: `Mon-Fri 08:00-20:00`, `Fri 20:00-Mon 06:00`; several in a line are joined by `;`.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub running: OneOrMany<String>,
    /// Windows in the long form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<RawWindow>,
    /// Days without starts and running time: `2026-05-01`, `2026-05-01..2026-05-03`, `12-25` for every year.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// The days to which starts and running time are limited, written like `except`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Names of other schedules: running when any of them is. It can't be combined with the other keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<String>,
}

/// A window in the long form; [`Window`] documents its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawWindow {
    /// Days of the week by name: `Mon-Fri`, `Sat,Sun`, `Mon#1`, `FriL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<String>,
    /// Days of the month: `1-7`, `L`, `15W`, `*/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dates: Option<String>,
    /// Months: `Jan-Jun`, `11-2`, `*/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub months: Option<String>,
    /// Time of day at which it begins: `09:00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = super::patterns::from))]
    pub from: Option<String>,
    /// Time of day at which it ends, on the next day when not after `from`: `01:00`, `24:00`; or on a named day: `Mon 06:00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = super::patterns::to))]
    pub to: Option<String>,
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OneOrMany<T> {
    /// `stop = "0 20 * * *"`
    One(T),
    /// `stop = ["0 20 * * *", "0 23 * * *"]`
    Many(Vec<T>),
}

/// Written by hand: the error of a derived `untagged` names neither what was found nor the item of the list.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a list of strings")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(OneOrMany::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(OneOrMany::Many)
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    /// Returns the values as a slice.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Returns the key of item `index` at `path`, which carries the index only in a list.
    fn key(&self, path: &str, index: usize) -> String {
        match self {
            Self::One(_) => path.to_owned(),
            Self::Many(_) => format!("{path}[{index}]"),
        }
    }
}

impl RawTimetable {
    /// Converts the keys to a valid timetable. `path` is their place in the file, such as `schedules.office`; the problems'
    /// keys begin with it.
    ///
    /// A schedule that combines others by name (`any_of`) is resolved by the caller, which knows the names, with
    /// [`Timetable::any_of`]. Here `any_of` is a problem.
    ///
    /// # Errors
    ///
    /// Returns all problems, not only the first.
    ///
    /// ```
    /// use curfew_core::timetable::RawTimetable;
    ///
    /// let raw: RawTimetable = toml::from_str(r#"
    ///     timezone = "Europe/Pariss"
    ///     running  = "Mon-Fri 08:00-25:00"
    ///     except   = ["12-25", "2026-02-30"]
    /// "#).unwrap();
    /// let problems: Vec<_> = raw.resolve("schedules.office").unwrap_err().iter().map(ToString::to_string).collect();
    /// assert_eq!(problems, [
    ///     "`schedules.office.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?",
    ///     "`schedules.office.running`: `Mon-Fri 08:00-25:00`: `25:00` is not a time of day; write `00:00`–`24:00`, hours and minutes",
    ///     "`schedules.office.except[1]`: `2026-02-30`: that month has no such day",
    /// ]);
    /// ```
    pub fn resolve(&self, path: &str) -> Result<Timetable, Vec<Problem>> {
        if !self.any_of.is_empty() {
            return Err(vec![self.refuse_any_of(path)]);
        }
        let mut problems = Vec::new();
        let zone = match &self.timezone {
            Some(name) => zone::parse(name),
            None => Err(
                "the time zone is missing; write an IANA name such as `Europe/Paris`".to_owned(),
            ),
        };
        let zone = zone
            .map_err(|problem| problems.push(Problem::new(format!("{path}.timezone"), problem)))
            .ok();
        let starts = parse_each(&self.start, &format!("{path}.start"), &mut problems);
        let stops = parse_each(&self.stop, &format!("{path}.stop"), &mut problems);
        let windows = self.windows(path, &mut problems);
        let mut dates = |key: &str, texts: &[String]| -> Vec<DateRule> {
            parse_each(
                &OneOrMany::Many(texts.to_vec()),
                &format!("{path}.{key}"),
                &mut problems,
            )
        };
        let except = dates("except", &self.except);
        let only = dates("only", &self.only);
        if self.start.is_empty()
            && self.stop.is_empty()
            && self.running.is_empty()
            && self.window.is_empty()
        {
            problems.push(Problem::new(
                path,
                "the schedule has no edges; add `running`, `start`, `stop`, a `window` or `any_of`",
            ));
        }
        match zone {
            Some(zone) if problems.is_empty() => Ok(ZonedRules {
                zone,
                starts,
                stops,
                coverage: Coverage::new(windows.into_iter().map(|(_, window)| window).collect()),
                exceptions: Exceptions::new(DateSet::new(except), DateSet::new(only)),
            }
            .into()),
            _ => Err(problems),
        }
    }

    /// Returns what is valid and probably a mistake after `now`: parts that never fire, starts and stops that the clock jumps past
    /// together, a year without edges, and a time zone without daylight saving rules. The keys begin with `path`, as in
    /// [`resolve`](Self::resolve). Returns nothing for a timetable that is not valid.
    ///
    /// ```
    /// use curfew_core::timetable::RawTimetable;
    ///
    /// let raw: RawTimetable = toml::from_str(r#"
    ///     timezone = "EST"
    ///     start    = "0 8 * * 1-5"
    ///     stop     = ["0 20 * * 1-5", "0 18 31 2,4 *"]
    /// "#).unwrap();
    /// let warnings = raw.warnings("schedules.office", "2026-01-01T00:00:00Z".parse().unwrap());
    /// let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    /// assert_eq!(warnings, [
    ///     "`schedules.office.timezone`: `EST` has no daylight saving time; write `America/New_York` for a place that has it",
    ///     "`schedules.office.stop[1]`: the stop cron `0 18 31 2,4 *` never fires",
    /// ]);
    /// ```
    pub fn warnings(&self, path: &str, now: Timestamp) -> Vec<Problem> {
        let Ok(timetable) = self.resolve(path) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let zone = self.timezone.as_deref();
        if let Some(sentence) = zone.and_then(zone::without_daylight_saving) {
            found.push(Problem::new(format!("{path}.timezone"), sentence));
        }
        let windows = self.windows(path, &mut Vec::new());
        let rules = timetable.members.iter();
        let sentences =
            rules.flat_map(|rules| warnings::sentences(rules, super::clock::clamp(now)));
        found.extend(sentences.map(|(part, sentence)| {
            let key = match part {
                TimetablePart::Whole => path.to_owned(),
                TimetablePart::Start(index) => self.start.key(&format!("{path}.start"), index),
                TimetablePart::Stop(index) => self.stop.key(&format!("{path}.stop"), index),
                TimetablePart::Window(index) => windows[index].0.clone(),
            };
            Problem::new(key, sentence)
        }));
        found
    }

    /// Returns the windows, each with the key of the value that holds it.
    fn windows(&self, path: &str, problems: &mut Vec<Problem>) -> Vec<(String, Window)> {
        let mut windows = Vec::new();
        for (index, line) in self.running.as_slice().iter().enumerate() {
            let key = self.running.key(&format!("{path}.running"), index);
            for part in line.split(';').map(str::trim) {
                match Window::parse_line(part) {
                    Ok(parsed) => {
                        windows.extend(parsed.into_iter().map(|window| (key.clone(), window)));
                    }
                    Err(problem) => {
                        let hint = match part.rsplit_once(char::is_whitespace) {
                            Some((_, last)) if zone::parse(last).is_ok() => {
                                format!(
                                    "the zone `{last}` belongs in `timezone`, not in the line: "
                                )
                            }
                            _ => String::new(),
                        };
                        problems.push(Problem::new(key.clone(), hint + &problem));
                    }
                }
            }
        }
        for (index, raw) in self.window.iter().enumerate() {
            let key = format!("{path}.window[{index}]");
            match raw.resolve() {
                Ok(window) => windows.push((key, window)),
                Err(found) => problems.extend(
                    found
                        .into_iter()
                        .map(|(part, problem)| Problem::new(format!("{key}.{part}"), problem)),
                ),
            }
        }
        windows
    }

    fn refuse_any_of(&self, path: &str) -> Problem {
        let alone = Self {
            any_of: self.any_of.clone(),
            ..Self::default()
        };
        if *self == alone {
            Problem::new(
                format!("{path}.any_of"),
                "`any_of` names other schedules, so it is only allowed in a configuration file",
            )
        } else {
            Problem::new(
                format!("{path}.any_of"),
                "`any_of` can't be combined with `timezone`, windows, crons or dates; remove them: each schedule that it names has its own",
            )
        }
    }
}

impl RawWindow {
    fn resolve(&self) -> Result<Window, Vec<(&'static str, String)>> {
        Window::from_parts(WindowParts {
            days: self.days.as_deref(),
            dates: self.dates.as_deref(),
            months: self.months.as_deref(),
            from: self.from.as_deref(),
            to: self.to.as_deref(),
        })
    }
}

fn parse_each<T: std::str::FromStr<Err = String>>(
    texts: &OneOrMany<String>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<T> {
    texts
        .as_slice()
        .iter()
        .enumerate()
        .filter_map(|(index, text)| {
            text.parse()
                .map_err(|problem| problems.push(Problem::new(texts.key(path, index), problem)))
                .ok()
        })
        .collect()
}
