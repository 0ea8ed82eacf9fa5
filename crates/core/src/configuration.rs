//! The part of the configuration on which decisions depend: the schedules, and their assignment to instances. Raw values in, valid
//! types out.
//!
//! The daemon reads it from the configuration file; the Lambda reads the same values as a JSON document from a parameter.

mod document;
mod warnings;

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

pub use self::document::{DocumentError, DocumentVersion, InvalidDocumentVersion};

/// The maximum number of fallback types. At every attempt each type costs two calls for each instance without capacity, and a pass has
/// a minute or less for all of them.
const MAX_FALLBACK_TYPES: usize = 8;

/// The error message for `include_asg = true`.
const INCLUDE_ASG: &str = "a schedule does not act on members of Auto Scaling groups: the group terminates a member that is \
    stopped and launches another, and what was on it is lost; remove the key (single members can be named in `match.ids`)";

/// The tables `[managing]`, `[schedules.*]` and `[[account]]`, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawScheduleSet {
    /// In a published document: the machine and file that it comes from. It has no effect on decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// How instances are assigned to schedules.
    #[serde(default)]
    pub managing: RawManaging,
    /// The schedules by name.
    #[serde(default)]
    pub schedules: BTreeMap<String, RawSchedule>,
    /// Other managed accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<RawAccount>,
}

/// The table `[managing]`, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawManaging {
    /// The key of the tag by which an instance names its schedule.
    #[serde(default = "default_tag")]
    pub tag: String,
    /// The managed regions of Curfew's own account; the default is the region in which Curfew runs.
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

/// A table `[schedules.NAME]`, as it is written.
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
    /// Crons that start instances: five fields, or AWS's `cron(…)`.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub start: OneOrMany<String>,
    /// Crons that stop instances: five fields, or AWS's `cron(…)`.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub stop: OneOrMany<String>,
    /// Windows in their short form: `Mon-Fri 08:00-20:00`.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[cfg_attr(feature = "schema", schemars(transform = crate::timetable::patterns::running))]
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
    /// Whether events with a time of day in the calendars of `except` and `only` count for every day that they overlap.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed: bool,
    /// Names of other schedules: running when any of them is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<String>,
    /// Whether the schedule is applied at every pass, rather than once per edge.
    #[serde(default)]
    pub enforce: bool,
    /// The maximum age of a missed edge that is still applied: `24h`, `90m`, `2d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<String>,
    /// The treatment of an instance that Curfew has not acted on before.
    #[serde(default)]
    pub adopt: Adopt,
    /// Whether instances that are configured for it hibernate instead of stopping.
    #[serde(default)]
    pub hibernate: bool,
    /// Instance types that a start tries, in this order, while EC2 has no capacity for the instance's own: `["m5a.large", "m6i.large"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_FALLBACK_TYPES)))]
    pub fallback_types: Vec<String>,
    /// Removed: `true` is refused. `false`, the default, is accepted, since documents of earlier versions contain it.
    #[serde(default, skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub include_asg: bool,
    /// The instances that the schedule manages in addition to those that name it in their tag.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matcher: Option<RawMatcher>,
}

/// The table `match` of a schedule, as it is written.
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
    /// Returns whether the schedule has `any_of` and no other key of a timetable.
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
    /// Parses a configuration document of this version, of an older one, or of one that is newer only in the minor.
    pub fn from_json(text: &str) -> Result<Self, DocumentError> {
        document::read(text)
    }

    /// Writes the configuration document of [`DocumentVersion::CURRENT`]. The same configuration gives the same text.
    pub fn to_json(&self) -> String {
        document::write(self)
    }

    /// Returns the managed accounts and regions. Fails with all problems, not only the first.
    pub fn targets(&self) -> Result<Targets, Vec<Problem>> {
        account_regions::resolve(self.managing.regions.as_deref(), &self.account)
    }

    /// Returns the valid schedules. Fails with all problems, not only the first.
    pub fn resolve(&self) -> Result<ScheduleSet, Vec<Problem>> {
        match self.resolve_valid() {
            (schedule_set, problems) if problems.is_empty() => Ok(schedule_set),
            (_, problems) => Err(problems),
        }
    }

    /// Returns the schedules that are valid, and the problems of the others.
    fn resolve_valid(&self) -> (ScheduleSet, Vec<Problem>) {
        let mut problems = Vec::new();
        let tag = self.managing.tag.trim().to_owned();
        if !(1..=128).contains(&tag.chars().count()) {
            problems.push(Problem::new(
                "managing.tag",
                "a tag's key has 1 to 128 characters",
            ));
        } else if TAGS.contains(&tag.as_str()) {
            let message = format!("`{tag}` is one of Curfew's state tags; name another tag");
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
        (ScheduleSet { tag, schedules }, resolver.problems)
    }
}

/// Resolves all schedules, those that combine others included, each of them once.
struct Resolver<'a> {
    raw: &'a RawScheduleSet,
    /// The timetable of each schedule without `any_of`; `None` if it has problems.
    own: BTreeMap<&'a str, Option<Timetable>>,
    /// For each schedule with `any_of`, the schedules without it that it consists of after all levels are expanded, each once;
    /// `None` if there are problems.
    parts: BTreeMap<&'a str, Option<Vec<&'a str>>>,
    /// The names being resolved, outermost first. A name that occurs in it again is a cycle.
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
            let message =
                "`inline` is reserved for schedules in an instance's tag; choose another name";
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
        let members: Vec<_> = parts
            .iter()
            .map(|part| self.own(part, &self.raw.schedules[*part]))
            .collect();
        let members = members.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Timetable::any_of(members))
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
        let mut parts = Some(Vec::new());
        self.path.push(name);
        for (index, member) in raw.any_of.iter().enumerate() {
            let found = match self.member(name, member) {
                Ok((member, raw)) => self.parts(member, raw),
                Err(message) => {
                    let key = format!("schedules.{name}.any_of[{index}]");
                    self.problems.push(Problem::new(key, message));
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

    /// Returns the schedule that `name` lists as a member. Fails if there is none, or if it contains `name`.
    fn member(&self, name: &str, member: &str) -> Result<(&'a str, &'a RawSchedule), String> {
        let schedules = &self.raw.schedules;
        let Some((member, raw)) = schedules.get_key_value(member) else {
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
                member.escape_debug()
            ));
        };
        if self.path.contains(&member.as_str()) {
            return Err(format!(
                "`{member}` is made of `{name}` itself; a schedule can't contain itself"
            ));
        }
        Ok((member, raw))
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
                Ok(known) if types.contains(&known) => format!("`{known}` is listed twice"),
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
        for (index, id) in raw.ids.iter().enumerate() {
            match id.parse() {
                Ok(id) => ids.push(id),
                Err(error) => {
                    let key = format!("{key}.ids[{index}]");
                    self.problems.push(Problem::new(key, error.to_string()));
                }
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

/// Parses a length of time such as `90m`, `24h`, `2d` or `1h 30m`: positive, and at most 31 days. A day has 24 hours.
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
            "`{}` is not a length of time: it must be positive",
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
