//! The part of the configuration that decides: the schedules and how they are bound to instances. Raw values in, valid types out.
//!
//! The daemon reads it from its configuration file; the Lambda gets the same, as one JSON document, from a parameter.

mod document;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::account_regions::{self, RawAccount, Targets};
use crate::instance::{InstanceId, InstanceType};
use crate::problem::Problem;
use crate::schedule::{Adopt, Enforcement, Matcher, Pattern, Schedule, ScheduleName, StopBy};
use crate::schedule_set::ScheduleSet;
use crate::state_tags::TAGS;
use crate::timetable::{OneOrMany, RawTimetable, RawWindow, Timetable};

pub use self::document::{BadVersion, DocumentError, DocumentVersion};

/// Each type costs two calls for each instance that finds no room, at every try, and a pass has a minute or less for all of
/// them.
const MAX_FALLBACK_TYPES: usize = 8;

/// Why `include_asg = true` is refused.
const INCLUDE_ASG: &str = "a schedule does not act on members of Auto Scaling groups: the group terminates a member that is \
    stopped and launches another, and what was on it is lost; remove the key (single members can be named in `match.ids`)";

/// `[managing]`, `[schedules.*]` and `[[account]]`, as written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawScheduleSet {
    /// In a document that is published: the file that it comes from, with the machine that this is on. Decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// How instances are bound to schedules.
    #[serde(default)]
    pub managing: RawManaging,
    /// The schedules by name.
    #[serde(default)]
    pub schedules: BTreeMap<String, RawSchedule>,
    /// Other accounts whose instances are managed too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<RawAccount>,
}

/// `[managing]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawManaging {
    /// The key of the tag by which an instance names its schedule.
    #[serde(default = "default_tag")]
    pub tag: String,
    /// The regions of the own account whose instances are managed; where nothing is said, the one that Curfew is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
}

impl Default for RawManaging {
    fn default() -> Self {
        Self {
            tag: default_tag(),
            regions: None,
        }
    }
}

fn default_tag() -> String {
    ScheduleSet::DEFAULT_TAG.to_owned()
}

/// `[schedules.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key that a person writes"
)]
pub struct RawSchedule {
    /// An IANA time zone: `Europe/Paris`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// When instances start: crons in five fields, or AWS's `cron(…)`.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub start: OneOrMany<String>,
    /// When instances stop, likewise.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub stop: OneOrMany<String>,
    /// Windows in their short form: `Mon-Fri 08:00-20:00`.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub running: OneOrMany<String>,
    /// Windows in their long form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<RawWindow>,
    /// Dates without starts: `12-25`, `2026-05-01..2026-05-03`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// The only dates with starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Whether events with a time of day in the calendars of `except` and `only` count for the days that they touch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed: bool,
    /// Other schedules by name: running when any of them wants it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<String>,
    /// Whether the schedule wins at every pass, rather than once per edge.
    #[serde(default)]
    pub enforce: bool,
    /// How long a missed edge stays due: `24h`, `90m`, `2d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    /// What becomes of an instance that Curfew never acted on.
    #[serde(default)]
    pub adopt: Adopt,
    /// Whether instances that can hibernate do.
    #[serde(default)]
    pub hibernate: bool,
    /// Instance types to start with, in this order, while EC2 has no room for the instance's own: `["m5a.large", "m6i.large"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_FALLBACK_TYPES)))]
    pub fallback_types: Vec<String>,
    /// Retired: `true` is refused. `false`, the default, is still read, since documents of earlier versions hold it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub include_asg: bool,
    /// Which instances the schedule takes by itself.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matcher: Option<RawMatcher>,
}

/// `match` in a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawMatcher {
    /// Instances by id.
    #[serde(default)]
    pub ids: Vec<String>,
    /// Instances that carry all of these tags; `*` and `?` are wildcards.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl RawSchedule {
    /// Whether it is made of other schedules, and of nothing else.
    fn is_combined(&self) -> bool {
        let alone = RawTimetable {
            any_of: self.any_of.clone(),
            ..RawTimetable::default()
        };
        !self.any_of.is_empty() && self.timetable() == alone
    }

    fn timetable(&self) -> RawTimetable {
        RawTimetable {
            timezone: self.timezone.clone(),
            start: self.start.clone(),
            stop: self.stop.clone(),
            running: self.running.clone(),
            window: self.window.clone(),
            except: self.except.clone(),
            only: self.only.clone(),
            any_of: self.any_of.clone(),
        }
    }
}

impl RawScheduleSet {
    /// Reads the document that the Lambda gets: of this version, an older one, or one that is newer in the minor only.
    pub fn from_json(text: &str) -> Result<Self, DocumentError> {
        document::read(text)
    }

    /// The document that the Lambda gets, of [`DocumentVersion::CURRENT`]: the same for the same configuration.
    pub fn to_json(&self) -> String {
        document::write(self)
    }

    /// Checks which accounts and regions are managed, and reports every problem, not only the first.
    pub fn targets(&self) -> Result<Targets, Vec<Problem>> {
        account_regions::resolve(self.managing.regions.as_deref(), &self.account)
    }

    /// Checks everything that decides, and reports every problem, not only the first.
    pub fn resolve(&self) -> Result<ScheduleSet, Vec<Problem>> {
        let mut problems = Vec::new();
        let tag = self.managing.tag.trim().to_owned();
        if !(1..=128).contains(&tag.chars().count()) {
            problems.push(Problem::new(
                "managing.tag",
                "a tag's key has 1 to 128 characters",
            ));
        } else if TAGS.contains(&tag.as_str()) {
            let message = format!("`{tag}` is where Curfew keeps its memory; name another tag");
            problems.push(Problem::new("managing.tag", message));
        }
        let mut resolver = Resolver {
            raw: self,
            own: BTreeMap::new(),
            parts: BTreeMap::new(),
            path: Vec::new(),
            problems,
        };
        let mut schedules = BTreeMap::new();
        for (name, raw) in &self.schedules {
            if let Some(schedule) = resolver.schedule(name, raw) {
                schedules.insert(schedule.name.clone(), schedule);
            }
        }
        if resolver.problems.is_empty() {
            Ok(ScheduleSet { tag, schedules })
        } else {
            Err(resolver.problems)
        }
    }
}

/// Resolves schedules that are made of other schedules, once each.
struct Resolver<'a> {
    raw: &'a RawScheduleSet,
    /// What each schedule says by itself; nothing where it has problems.
    own: BTreeMap<&'a str, Option<Timetable>>,
    /// The schedules that each is made of in the end, each once: through several levels of `any_of` one comes up again and
    /// again. Nothing where there are problems.
    parts: BTreeMap<&'a str, Option<Vec<&'a str>>>,
    /// The names being resolved, outermost first: one that comes up again is a circle.
    path: Vec<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> Resolver<'a> {
    fn schedule(&mut self, name: &'a str, raw: &'a RawSchedule) -> Option<Schedule> {
        let at = |key: &str| format!("schedules.{name}.{key}");
        let timetable = self.timetable(name, raw);
        let before = self.problems.len();
        let parsed_name = name.parse::<ScheduleName>();
        if let Err(error) = &parsed_name {
            self.problems
                .push(Problem::new(format!("schedules.{name}"), error.to_string()));
        } else if name == ScheduleName::inline().as_str() {
            let message = "`inline` is what a schedule in an instance's own tag is called; choose another name";
            self.problems.push(Problem::new(
                format!("schedules.{name}"),
                message.to_owned(),
            ));
        }
        let catch_up = match raw.catch_up.as_deref().map(duration) {
            None => Schedule::DEFAULT_CATCH_UP,
            Some(Ok(limit)) => limit,
            Some(Err(message)) => {
                self.problems.push(Problem::new(at("catch_up"), message));
                Schedule::DEFAULT_CATCH_UP
            }
        };
        if raw.include_asg {
            self.problems
                .push(Problem::new(at("include_asg"), INCLUDE_ASG));
        }
        let fallback_types = self.fallback_types(&at("fallback_types"), &raw.fallback_types);
        let matcher = self.matcher(&at("match"), raw.matcher.as_ref());
        if self.problems.len() > before {
            return None;
        }
        let mut schedule = Schedule::new(parsed_name.ok()?, timetable?);
        schedule.enforcement = if raw.enforce {
            Enforcement::Enforced
        } else {
            Enforcement::OncePerEdge
        };
        schedule.catch_up = catch_up;
        schedule.adopt = raw.adopt;
        schedule.stop_by = if raw.hibernate {
            StopBy::Hibernating
        } else {
            StopBy::Stopping
        };
        schedule.fallback_types = fallback_types;
        schedule.matcher = matcher;
        Some(schedule)
    }

    fn timetable(&mut self, name: &'a str, raw: &'a RawSchedule) -> Option<Timetable> {
        if !raw.is_combined() {
            return self.own(name, raw);
        }
        let parts = self.parts(name, raw)?;
        let account_regions: Vec<_> = parts
            .iter()
            .map(|part| self.own(part, &self.raw.schedules[*part]))
            .collect();
        let account_regions = account_regions.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Timetable::any_of(account_regions))
    }

    fn own(&mut self, name: &'a str, raw: &'a RawSchedule) -> Option<Timetable> {
        if let Some(done) = self.own.get(name) {
            return done.clone();
        }
        let resolved = raw.timetable().resolve(&format!("schedules.{name}"));
        let resolved = resolved
            .map_err(|problems| self.problems.extend(problems))
            .ok();
        self.own.insert(name, resolved.clone());
        resolved
    }

    fn parts(&mut self, name: &'a str, raw: &'a RawSchedule) -> Option<Vec<&'a str>> {
        if !raw.is_combined() {
            return Some(vec![name]);
        }
        if let Some(done) = self.parts.get(name) {
            return done.clone();
        }
        let key = format!("schedules.{name}.any_of");
        let mut parts = Some(Vec::new());
        self.path.push(name);
        for account_region in &raw.any_of {
            let found = match self.account_region(name, account_region) {
                Ok((account_region, raw)) => self.parts(account_region, raw),
                Err(message) => {
                    self.problems.push(Problem::new(key.clone(), message));
                    None
                }
            };
            parts = parts.zip(found).map(|(mut parts, found)| {
                let new: Vec<_> = found
                    .into_iter()
                    .filter(|part| !parts.contains(part))
                    .collect();
                parts.extend(new);
                parts
            });
        }
        self.path.pop();
        self.parts.insert(name, parts.clone());
        parts
    }

    /// The schedule that `name` names as its member, unless there is none or it contains `name` itself.
    fn account_region(
        &self,
        name: &str,
        account_region: &str,
    ) -> Result<(&'a str, &'a RawSchedule), String> {
        let schedules = &self.raw.schedules;
        let Some((account_region, raw)) = schedules.get_key_value(account_region) else {
            let others: Vec<_> = schedules
                .keys()
                .filter(|known| *known != name)
                .map(|known| format!("`{}`", known.escape_debug()))
                .collect();
            let others = if others.is_empty() {
                "no other schedule".to_owned()
            } else {
                others.join(", ")
            };
            return Err(format!(
                "there is no schedule `{}`; there is {others}",
                account_region.escape_debug()
            ));
        };
        if self.path.contains(&account_region.as_str()) {
            return Err(format!(
                "`{account_region}` is made of `{name}` itself; a schedule can't contain itself"
            ));
        }
        Ok((account_region, raw))
    }

    fn fallback_types(&mut self, key: &str, raw: &[String]) -> Vec<InstanceType> {
        if raw.len() > MAX_FALLBACK_TYPES {
            let found = raw.len();
            let message = format!("{found} types are too many: at most {MAX_FALLBACK_TYPES}");
            self.problems.push(Problem::new(key, message));
        }
        let mut types: Vec<InstanceType> = Vec::new();
        for (index, name) in raw.iter().enumerate() {
            let problem = match name.parse::<InstanceType>() {
                Ok(known) if types.contains(&known) => format!("`{known}` is there twice"),
                Ok(new) => {
                    types.push(new);
                    continue;
                }
                Err(error) => error.to_string(),
            };
            self.problems
                .push(Problem::new(format!("{key}[{index}]"), problem));
        }
        types
    }

    fn matcher(&mut self, key: &str, raw: Option<&RawMatcher>) -> Matcher {
        let Some(raw) = raw else {
            return Matcher::default();
        };
        let mut ids: Vec<InstanceId> = Vec::new();
        for id in &raw.ids {
            match id.parse() {
                Ok(id) => ids.push(id),
                Err(error) => self
                    .problems
                    .push(Problem::new(format!("{key}.ids"), format!("{error}"))),
            }
        }
        let tags = raw
            .tags
            .iter()
            .map(|(key, value)| (key.clone(), Pattern::new(value.clone())))
            .collect();
        Matcher { ids, tags }
    }
}

/// A length of time such as `90m`, `24h`, `2d` or `1h 30m`: more than nothing, at most 31 days. A day is 24 hours here.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);
    let malformed = || {
        format!(
            "`{}` is not a length of time such as `90m`, `24h` or `2d`",
            text.chars().take(40).collect::<String>().escape_debug()
        )
    };
    let span: jiff::Span = text.trim().parse().map_err(|_| malformed())?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let length = span.to_duration(days).map_err(|_| malformed())?;
    if !length.is_positive() {
        Err(format!(
            "`{}` is not a length of time: it must be more than nothing",
            text.escape_debug()
        ))
    } else if length > LONGEST {
        Err(format!(
            "`{}` is too long: at most 31 days (`31d`)",
            text.escape_debug()
        ))
    } else {
        Ok(length)
    }
}
