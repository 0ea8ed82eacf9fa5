//! Cloud Custodian policies in YAML or JSON: policies that stop by an `offhour` filter or start by an `onhour` filter, as one
//! schedule for each tag that they read.
//!
//! A policy is translated or refused as a whole, with every reason by name: a partly translated policy would act where
//! Cloud Custodian does not. The table in `docs/reference/import.md` lists what is translated, kept as a comment or refused.
//! Sources: Cloud Custodian's `c7n/schema.py` (policies), `c7n/policy.py` (modes, conditions),
//! `c7n/filters/offhours.py` (the filters) and `c7n/resources/ec2.py` (the actions).

use std::collections::BTreeMap;

use curfew_core::problem::Problem;
use curfew_core::timetable::{Desired, Timetable};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use super::hours::{DEFAULT_OFF, DEFAULT_ON, Hours, WORKDAYS, fill, note_inline_form, timetable};
use super::tag::{Tag, TagHours, zone};
use crate::properties::Properties;
use crate::toml_writer::Draft;
use crate::yaml;

/// Weekdays as bits, from Monday, bit 0.
const FRIDAY: u32 = 1 << 4;
const MONDAY: u32 = 1;
const EVERY_DAY: u32 = 0b111_1111;

/// The keys that limit where, when or on how many instances a policy acts, and why each is refused.
const REFUSED_LIMITS: [(&str, &str); 6] = [
    (
        "conditions",
        "limit when the policy runs; a schedule has no conditions",
    ),
    (
        "region",
        "limits the policy to a region; Curfew's regions are in `[managing] regions`, for all schedules",
    ),
    (
        "start",
        "is the date from which the policy runs; a schedule has no such date",
    ),
    (
        "end",
        "is the date until which the policy runs; a schedule has no such date",
    ),
    (
        "max-resources",
        "stops the policy where more instances match; a schedule has no such limit",
    ),
    (
        "max-resources-percent",
        "stops the policy where more instances match; a schedule has no such limit",
    ),
];

/// The keys that have no effect on which instances start and stop when, and the comment that each becomes.
const COMMENTED_KEYS: [(&str, &str); 4] = [
    ("tags", "labels the policy itself"),
    ("metadata", "describes the policy itself"),
    (
        "source",
        "names where Cloud Custodian reads instances from; Curfew reads them from EC2",
    ),
    (
        "tz",
        "is the time zone of `start` and `end`, which the policy does not have",
    ),
];

/// Actions next to a start or stop that change no instance: the schedule is correct without them.
const NOTIFYING_ACTIONS: [&str; 3] = ["notify", "webhook", "put-metric"];

/// Keys of `mode` that configure the policy's Lambda function and have no effect on when it runs.
const FUNCTION_KEYS: [&str; 17] = [
    "role",
    "timeout",
    "memory",
    "runtime",
    "handler",
    "environment",
    "packages",
    "layers",
    "concurrency",
    "dead_letter_config",
    "kms_key_arn",
    "tracing_config",
    "security_groups",
    "subnets",
    "tags",
    "function-prefix",
    "scheduler-role",
];

/// The translated policies.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) drafts: Vec<Draft>,
    pub(super) refused: Vec<Problem>,
}

/// Reads a document: `{"policies": […]}`, a list of policies, or one policy.
pub(super) fn read(text: &str) -> Result<Policies, Vec<Problem>> {
    let document = document(text).map_err(|message| vec![Problem::new("document", message)])?;
    let mut policies = Policies::default();
    let mut by_tag: BTreeMap<String, FilterPair> = BTreeMap::new();
    for (index, value) in list_policies(&document, &mut policies.refused)
        .into_iter()
        .enumerate()
    {
        match read_policy(index, value, &mut policies.refused) {
            Ok(filters) => {
                for entry in filters {
                    by_tag
                        .entry(entry.filter.tag.clone())
                        .or_default()
                        .keep(entry, &mut policies.refused);
                }
            }
            Err(problems) => policies.refused.extend(problems),
        }
    }
    for (tag, pair) in by_tag {
        match pair.translate(&tag, &mut policies.refused) {
            Ok(drafts) => policies.drafts.extend(drafts),
            Err(problems) => policies.refused.extend(problems),
        }
    }
    if policies.drafts.is_empty() && policies.refused.is_empty() {
        policies
            .refused
            .push(Problem::new("document", "has no policies"));
    }
    Ok(policies)
}

/// Parses JSON, or else one document of YAML.
fn document(text: &str) -> Result<Value, String> {
    if text.starts_with(['{', '[']) {
        return serde_json::from_str(text).map_err(|error| format!("is not JSON ({error})"));
    }
    let mut documents = yaml::documents(text).map_err(|error| format!("is not YAML ({error})"))?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        _ => Err("is not one document of YAML".to_owned()),
    }
}

fn list_policies<'v>(document: &'v Value, refused: &mut Vec<Problem>) -> Vec<&'v Value> {
    if let Some(list) = document.as_array() {
        return list.iter().collect();
    }
    if document.get("type").is_some() {
        let message = "is a filter or an action without its policy; pass the whole policy";
        refused.push(Problem::new("document", message));
        return Vec::new();
    }
    if document.get("policies").is_none() {
        return vec![document];
    }
    let mut from = Properties::new("document", document);
    // `vars` is for YAML's anchors, which JSON has resolved.
    from.ignore(&["vars"]);
    let list = from.value("policies");
    let policies = list.and_then(Value::as_array);
    if policies.is_none() {
        from.refuse("policies", "is not a list");
    }
    refused.extend(from.finish());
    policies.into_iter().flatten().collect()
}

/// Returns the hour filters of a policy with their actions, or every reason why the policy can't be translated. Losses
/// that do not change what starts and stops are added to `refused`.
fn read_policy(
    index: usize,
    value: &Value,
    refused: &mut Vec<Problem>,
) -> Result<Vec<FilterInPolicy>, Vec<Problem>> {
    let name = match value.get("name").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => format!("policies[{index}]"),
    };
    let mut from = Properties::new(&name, value);
    from.ignore(&["name"]);
    let mut notes: Vec<String> = ["description", "comment", "comments"]
        .iter()
        .filter_map(|key| from.text(key))
        .map(|text| format!("Policy `{name}`: {text}"))
        .collect();
    for (key, what) in COMMENTED_KEYS {
        if from.value(key).is_some() {
            notes.push(format!(
                "Policy `{name}`: `{key}` {what}; it is not translated."
            ));
        }
    }
    for (key, why) in REFUSED_LIMITS {
        if from.value(key).is_some_and(|value| !is_empty(value)) {
            from.refuse(key, why);
        }
    }
    check_resource(&mut from);
    if let Some(mode) = from.value("mode") {
        read_mode(&name, mode, &mut from.problems, &mut notes);
    }
    let mut found = PolicyFilters::default();
    match from.value("filters") {
        None => {}
        Some(filters) => found.read_all(&name, filters, &mut from.problems),
    }
    let kind = found.kind(&mut from);
    let mut untranslated = Vec::new();
    let stop = kind
        .map(|kind| {
            for state in found.states.iter().filter(|state| *state != kind.state()) {
                let message = format!(
                    "is `{state}`, and an `{}` filter takes {} instances",
                    kind.filter(),
                    kind.state()
                );
                from.refuse("filters.State.Name", message);
            }
            check_query(kind, &mut from);
            let actions = from.value("actions");
            read_actions(&name, kind, actions, &mut from.problems, &mut untranslated)
        })
        .unwrap_or_default();
    // Without a kind the policy is refused already, with a better reason.
    from.ignore(&["query", "actions"]);
    let filters = found.hours.into_iter().filter_map(|value| {
        let filter = HourFilter::read(&name, value);
        filter
            .map_err(|problems| from.problems.extend(problems))
            .ok()
    });
    let filters: Vec<_> = filters.collect();
    let problems = from.finish();
    refused.extend(untranslated);
    if !problems.is_empty() {
        return Err(problems);
    }
    if stop.force {
        notes.push(format!(
            "Policy `{name}`: `force` disables stop protection first. Curfew leaves a protected instance running and reports it."
        ));
    }
    if found.leaves_groups_alone {
        notes.push(format!(
            "Policy `{name}` skips members of Auto Scaling groups, as Curfew does."
        ));
    }
    Ok(filters
        .into_iter()
        .map(|filter| FilterInPolicy {
            policy: name.clone(),
            filter,
            notes: notes.clone(),
            hibernate: stop.hibernate,
        })
        .collect())
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn check_resource(from: &mut Properties<'_>) {
    let named = match from.value("resource") {
        None => return from.refuse("resource", "is missing"),
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect(),
        Some(name) => vec![name.as_str()],
    };
    for name in named {
        match name {
            Some("ec2" | "aws.ec2") => {}
            Some(other) => from.refuse(
                "resource",
                format!("is `{other}`; Curfew manages EC2 instances only"),
            ),
            None => from.refuse("resource", "is not a string"),
        }
    }
}

/// Accepts a policy that runs at least once in every hour: it acts in the hours that its filter names.
fn read_mode(policy: &str, value: &Value, problems: &mut Vec<Problem>, notes: &mut Vec<String>) {
    let mut from = Properties::new(format!("{policy}.mode"), value);
    from.ignore(&FUNCTION_KEYS);
    from.ignore(&["group-name"]);
    let schedule = from.text("schedule");
    match from.text("type").as_deref() {
        Some("pull") => {}
        Some("periodic" | "schedule") => match schedule.as_deref() {
            Some(schedule) if is_hourly(schedule) => notes.push(format!(
                "Policy `{policy}` runs by `{schedule}` and acts at each run within the hour; here it acts once, at the full hour."
            )),
            Some(schedule) => from.refuse(
                "schedule",
                format!("is `{schedule}`, which does not run in every hour of every day, so its edges are unknown"),
            ),
            None => from.refuse("schedule", "is missing"),
        },
        Some(other) => from.refuse(
            "type",
            format!("is `{other}`: the policy runs on an event, which a schedule can't"),
        ),
        None => from.refuse("type", "is missing"),
    }
    problems.extend(from.finish());
}

/// Returns whether an EventBridge rule fires at least once in every hour: by its rate, or by a cron with wildcards from
/// the hour on.
fn is_hourly(expression: &str) -> bool {
    let inside = |name: &str| {
        let rest = expression.strip_prefix(name)?;
        rest.strip_prefix('(')?.strip_suffix(')')
    };
    if let Some(rate) = inside("rate") {
        let mut words = rate.split_whitespace();
        let number = words
            .next()
            .and_then(|number| number.parse::<u32>().ok())
            .filter(|number| *number > 0);
        return match (number, words.next(), words.next()) {
            (Some(minutes), Some("minute" | "minutes"), None) => minutes <= 60,
            (Some(hours), Some("hour" | "hours"), None) => hours == 1,
            _ => false,
        };
    }
    inside("cron").is_some_and(|fields| {
        let fields: Vec<_> = fields.split_whitespace().collect();
        fields.len() == 6
            && fields[1] == "*"
            && fields[2..].iter().all(|it| ["*", "?"].contains(it))
    })
}

/// Whether a filter starts or stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HourFilterKind {
    On,
    Off,
}

impl HourFilterKind {
    fn of(filter: &Value) -> Option<Self> {
        match name_of(filter)? {
            "onhour" => Some(Self::On),
            "offhour" => Some(Self::Off),
            _ => None,
        }
    }

    fn filter(self) -> &'static str {
        match self {
            Self::On => "onhour",
            Self::Off => "offhour",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::On => "start",
            Self::Off => "stop",
        }
    }

    /// The state of the instances that the filter selects.
    fn state(self) -> &'static str {
        match self {
            Self::On => "stopped",
            Self::Off => "running",
        }
    }
}

/// The type of a filter or action, from its short form (`"stop"`) or its long one (`{"type": "stop"}`).
fn name_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("type")?.as_str())
}

/// A policy's filters, all of which must match.
#[derive(Debug, Default)]
struct PolicyFilters<'v> {
    /// The `offhour` and `onhour` filters, one of which must match.
    hours: Vec<&'v Value>,
    /// How many top-level filters of the policy hold them: more than one can't become a schedule.
    groups: usize,
    /// Values of `State.Name`.
    states: Vec<String>,
    leaves_groups_alone: bool,
}

impl<'v> PolicyFilters<'v> {
    fn read_all(&mut self, policy: &str, value: &'v Value, problems: &mut Vec<Problem>) {
        match value.as_array() {
            Some(filters) => {
                for filter in filters {
                    self.read(policy, filter, problems);
                }
            }
            None => problems.push(Problem::new(
                format!("{policy}.filters"),
                "is not a list of filters",
            )),
        }
    }

    fn read(&mut self, policy: &str, filter: &'v Value, problems: &mut Vec<Problem>) {
        if HourFilterKind::of(filter).is_some() {
            self.hours.push(filter);
            self.groups += 1;
            return;
        }
        let only = filter
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|object| object.iter().next());
        match only.map(|(key, value)| (key.as_str(), value)) {
            Some(("and", all)) => return self.read_all(policy, all, problems),
            Some(("or", Value::Array(any)))
                if !any.is_empty()
                    && any
                        .iter()
                        .all(|filter| HourFilterKind::of(filter).is_some()) =>
            {
                self.hours.extend(any);
                self.groups += 1;
                return;
            }
            _ => {}
        }
        match value_filter(filter) {
            Some(("State.Name", Value::String(state))) => self.states.push(state.clone()),
            Some(("tag:aws:autoscaling:groupName", Value::String(word))) if word == "absent" => {
                self.leaves_groups_alone = true;
            }
            _ => {
                let name = name_of(filter)
                    .or(only.map(|(key, _)| key.as_str()))
                    .map_or_else(|| filter.to_string(), str::to_owned);
                let message = "is a filter without a counterpart, and without it the schedule would take more instances";
                problems.push(Problem::new(format!("{policy}.filters.{name}"), message));
            }
        }
    }

    /// Returns the kind of the hour filters, or refuses the policy if there is not exactly one kind.
    fn kind(&self, from: &mut Properties<'_>) -> Option<HourFilterKind> {
        let mut kinds: Vec<HourFilterKind> = self
            .hours
            .iter()
            .filter_map(|it| HourFilterKind::of(it))
            .collect();
        kinds.dedup();
        match (kinds.as_slice(), self.groups) {
            ([kind], 1) => return Some(*kind),
            ([], _) => from.refuse(
                "filters",
                "has no `offhour` and no `onhour` filter, so the policy has no hours",
            ),
            (_, 1) => from.refuse(
                "filters",
                "has `offhour` or `onhour`, with one action for both; split it into one policy for each",
            ),
            _ => from.refuse(
                "filters",
                "has several `offhour` and `onhour` filters that must all match; split it into one policy for each",
            ),
        }
        None
    }
}

/// `{"State.Name": "running"}`, or the same as `{"type": "value", "key": …, "value": …}`.
fn value_filter(filter: &Value) -> Option<(&str, &Value)> {
    let object = filter.as_object()?;
    if object.len() == 1 {
        return object
            .iter()
            .next()
            .map(|(key, value)| (key.as_str(), value));
    }
    let is_plain = object.iter().all(|(key, value)| match key.as_str() {
        "type" => value == "value",
        "op" => value == "eq" || value == "equal",
        "key" | "value" => true,
        _ => false,
    });
    let key = object.get("key")?.as_str()?;
    is_plain.then_some((key, object.get("value")?))
}

/// Refuses a query that selects anything but the state that the filter selects anyway.
fn check_query(kind: HourFilterKind, from: &mut Properties<'_>) {
    let Some(query) = from.value("query").filter(|query| !is_empty(query)) else {
        return;
    };
    let same = |item: &Value| {
        let one = item.as_object().filter(|object| object.len() == 1);
        one.is_some_and(|object| {
            object
                .get("instance-state-name")
                .is_some_and(|state| state == kind.state())
        })
    };
    if !query.as_array().is_some_and(|items| items.iter().all(same)) {
        from.refuse(
            "query",
            "limits the policy to some instances; select them by tag or with `match`",
        );
    }
}

/// The options of a policy's `stop` action.
#[derive(Clone, Copy, Debug, Default)]
struct StopAction {
    hibernate: bool,
    force: bool,
}

fn read_actions(
    policy: &str,
    kind: HourFilterKind,
    actions: Option<&Value>,
    problems: &mut Vec<Problem>,
    untranslated: &mut Vec<Problem>,
) -> StopAction {
    let mut stop = StopAction::default();
    let mut acts = false;
    let at = |name: &str| format!("{policy}.actions.{name}");
    let (filter, wanted) = (kind.filter(), kind.action());
    let none = Vec::new();
    let actions = match actions {
        None => &none,
        Some(Value::Array(actions)) => actions,
        Some(_) => {
            problems.push(Problem::new(
                format!("{policy}.actions"),
                "is not a list of actions",
            ));
            return stop;
        }
    };
    for action in actions {
        let Some(name) = name_of(action) else {
            let message = "has no `type`, so its effect is unknown";
            problems.push(Problem::new(at(&action.to_string()), message));
            continue;
        };
        match name {
            _ if name == wanted => {
                acts = true;
                let empty = Value::Object(serde_json::Map::new());
                let properties = if action.is_string() { &empty } else { action };
                let mut from = Properties::new(at(name), properties);
                from.ignore(&["type"]);
                if kind == HourFilterKind::Off {
                    stop.hibernate |= from.flag("hibernate") == Some(true);
                    stop.force |= from.flag("force") == Some(true);
                    if from.flag("terminate-ephemeral") == Some(true) {
                        untranslated.push(Problem::new(
                            at("stop.terminate-ephemeral"),
                            "terminates instances with an instance store; Curfew never terminates instances and skips these",
                        ));
                    }
                }
                problems.extend(from.finish());
            }
            "start" | "stop" => {
                let message =
                    format!("runs at the hours of `{filter}`, at which Curfew would {wanted}");
                problems.push(Problem::new(at(name), message));
            }
            _ if NOTIFYING_ACTIONS.contains(&name) => {
                let message =
                    "is not translated: notifications are configured once, in `[[notify]]`";
                untranslated.push(Problem::new(at(name), message));
            }
            _ => {
                let message =
                    "is an action without an equivalent: Curfew only starts and stops instances";
                problems.push(Problem::new(at(name), message));
            }
        }
    }
    if !acts {
        let message = format!(
            "has no `{wanted}`, so Cloud Custodian does not {wanted} the instances that its `{filter}` filter selects"
        );
        problems.push(Problem::new(format!("{policy}.actions"), message));
    }
    stop
}

/// One `offhour` or `onhour` filter.
#[derive(Debug)]
struct HourFilter {
    kind: HourFilterKind,
    tag: String,
    zone: String,
    /// The hours for instances with an empty tag or `on`.
    hours: Hours,
    opt_out: bool,
    skip_days: Vec<String>,
    /// The hours for instances without the tag.
    fallback: Option<TagHours>,
}

impl HourFilter {
    fn read(policy: &str, value: &Value) -> Result<Self, Vec<Problem>> {
        let kind = HourFilterKind::of(value).unwrap_or(HourFilterKind::Off);
        let none = Value::Object(serde_json::Map::new());
        let properties = if value.is_string() { &none } else { value };
        let mut from = Properties::new(format!("{policy}.{}", kind.filter()), properties);
        // The flag has no effect: Cloud Custodian's `start` and `stop` check the state again.
        let _ = from.flag("state-filter");
        from.ignore(&["type"]);
        let zone_name = from.text("default_tz").unwrap_or_else(|| "et".to_owned());
        let zone = zone(&zone_name).unwrap_or_else(|why| {
            from.refuse("default_tz", why);
            String::new()
        });
        let hour = match (from.text(kind.filter()), kind) {
            (Some(text), _) => text.parse().ok().filter(|hour| *hour < 24),
            (None, HourFilterKind::On) => Some(DEFAULT_ON),
            (None, HourFilterKind::Off) => Some(DEFAULT_OFF),
        };
        if hour.is_none() {
            from.refuse(kind.filter(), "is not a whole hour, 0–23");
        }
        let weekends = from.flag("weekends") != Some(false);
        let days = match (from.flag("weekends-only") == Some(true), kind, weekends) {
            (true, HourFilterKind::On, _) => MONDAY,
            (true, HourFilterKind::Off, _) => FRIDAY,
            (false, _, true) => WORKDAYS,
            (false, _, false) => EVERY_DAY,
        };
        if from.value("skip-days-from").is_some() {
            from.refuse(
                "skip-days-from",
                "refers to an external list, which is not fetched; write the days as `skip-days`",
            );
        }
        let skip_days = from.list("skip-days").unwrap_or_default();
        for day in &skip_days {
            if day.parse::<Date>().is_err() {
                from.refuse(
                    "skip-days",
                    format!("has `{day}`, which is not a date such as `2026-12-25`"),
                );
            }
        }
        let fallback = match from.text("fallback-schedule").as_deref().map(Tag::parse) {
            // `off` opts out, which is also the default for instances without a tag.
            None | Some(Ok(Tag::OptedOut)) => None,
            Some(Ok(Tag::Schedule(hours))) => Some(hours),
            Some(Err(problems)) => {
                for problem in problems {
                    from.refuse("fallback-schedule", problem.to_string());
                }
                None
            }
        };
        let tag = from
            .text("tag")
            .unwrap_or_else(|| "maid_offhours".to_owned());
        let filter = Self {
            kind,
            tag: tag.to_lowercase(),
            zone,
            hours: hour.map(|hour| (hour, days)).into_iter().collect(),
            opt_out: from.flag("opt-out") == Some(true),
            skip_days,
            fallback,
        };
        let problems = from.finish();
        if problems.is_empty() {
            Ok(filter)
        } else {
            Err(problems)
        }
    }

    /// Returns the zone and the hours for an instance without the tag. A filter uses only its own half of the fallback.
    fn untagged_hours(&self) -> Option<(&str, &Hours)> {
        let fallback = self.fallback.as_ref()?;
        let own = match self.kind {
            HourFilterKind::On => &fallback.on,
            HourFilterKind::Off => &fallback.off,
        };
        let zone = fallback.zone.as_deref().unwrap_or(&self.zone);
        Some((zone, own.as_ref().unwrap_or(&self.hours)))
    }
}

/// An hour filter, with the notes and options of its policy.
#[derive(Debug)]
struct FilterInPolicy {
    policy: String,
    filter: HourFilter,
    notes: Vec<String>,
    hibernate: bool,
}

/// The filters that read one tag: at most one of each kind.
#[derive(Debug, Default)]
struct FilterPair {
    on: Option<FilterInPolicy>,
    off: Option<FilterInPolicy>,
}

impl FilterPair {
    fn keep(&mut self, entry: FilterInPolicy, refused: &mut Vec<Problem>) {
        let slot = match entry.filter.kind {
            HourFilterKind::On => &mut self.on,
            HourFilterKind::Off => &mut self.off,
        };
        match slot {
            None => *slot = Some(entry),
            Some(first) => refused.push(Problem::new(
                format!("{}.{}", entry.policy, entry.filter.kind.filter()),
                format!(
                    "reads the same tag `{}` as policy `{}`, which is a schedule already",
                    entry.filter.tag, first.policy
                ),
            )),
        }
    }

    fn filters(&self) -> impl Iterator<Item = &FilterInPolicy> {
        self.on.iter().chain(&self.off)
    }

    fn translate(
        &self,
        tag: &str,
        untranslated: &mut Vec<Problem>,
    ) -> Result<Vec<Draft>, Vec<Problem>> {
        let mut tagged = self.draft(
            tag,
            |filter| Some((&filter.zone, &filter.hours)),
            untranslated,
        )?;
        let mut drafts = Vec::new();
        if self.filters().any(|entry| entry.filter.fallback.is_some()) {
            let name = format!("{tag}-fallback");
            // The losses are the same as above and already recorded.
            let mut draft = self.draft(&name, HourFilter::untagged_hours, &mut Vec::new())?;
            draft.notes.insert(0, format!(
                "`fallback-schedule`: for instances without the tag `{tag}`; give them the tag `Schedule = {name}`, or add a `match`."
            ));
            note_inline_form(&mut draft);
            drafts.push(draft);
        } else if self.filters().any(|entry| entry.filter.opt_out) {
            tagged.notes.insert(
                0,
                "`opt-out`: the policy takes every instance without the tag. Here a schedule selects instances by its `match`; add one."
                    .to_owned(),
            );
        }
        tagged.notes.insert(0, format!(
            "For instances whose tag `{tag}` is empty or `on`: give them the tag `Schedule = {tag}`. Other values of the tag \
             are schedules of their own; `curfew import custodian VALUE` translates one."
        ));
        note_inline_form(&mut tagged);
        drafts.insert(0, tagged);
        Ok(drafts)
    }

    /// Builds a schedule with the hours that `of` returns for each filter.
    fn draft<'f>(
        &'f self,
        name: &str,
        of: impl Fn(&'f HourFilter) -> Option<(&'f str, &'f Hours)>,
        untranslated: &mut Vec<Problem>,
    ) -> Result<Draft, Vec<Problem>> {
        let mut draft = Draft {
            name: name.to_owned(),
            ..Draft::default()
        };
        let part =
            |entry: &'f Option<FilterInPolicy>| entry.as_ref().and_then(|entry| of(&entry.filter));
        let (on, off) = (part(&self.on), part(&self.off));
        let zone = match (on, off) {
            (Some((one, _)), Some((other, _))) if one != other => {
                let message = format!(
                    "has starts in {one} and stops in {other}; a schedule has one time zone"
                );
                return Err(vec![Problem::new(name, message)]);
            }
            (Some((zone, _)), _) | (None, Some((zone, _))) => zone,
            (None, None) => return Err(Vec::new()),
        };
        for note in self.filters().flat_map(|entry| &entry.notes) {
            if !draft.notes.contains(note) {
                draft.note(note);
            }
        }
        let hours =
            |part: Option<(&str, &Hours)>| part.map(|(_, it)| it.clone()).unwrap_or_default();
        fill(&mut draft, zone, &hours(on), &hours(off));
        draft.raw.hibernate =
            off.is_some() && self.off.as_ref().is_some_and(|entry| entry.hibernate);
        if let Some(entry) = &self.off
            && let (Some(_), [_, ..]) = (off, entry.filter.skip_days.as_slice())
        {
            untranslated.push(Problem::new(
                format!("{}.offhour.skip-days", entry.policy),
                format!(
                    "are not translated: the schedule stops on {} too, since `except` suppresses starts and never stops",
                    entry.filter.skip_days.join(", ")
                ),
            ));
        }
        if let (Some(entry), Some(_)) = (&self.on, on) {
            let timetable = timetable(&draft)?;
            for day in &entry.filter.skip_days {
                if off.is_some() && is_running_across_midnight_before(&timetable, day) {
                    let message = format!(
                        "includes {day}, into which a run of the day before continues: here it would be interrupted; Cloud \
                         Custodian leaves it running"
                    );
                    return Err(vec![Problem::new(
                        format!("{}.onhour.skip-days", entry.policy),
                        message,
                    )]);
                }
            }
            draft.raw.except.clone_from(&entry.filter.skip_days);
        }
        Ok(draft)
    }
}

/// Returns whether instances run from before midnight into `day`.
fn is_running_across_midnight_before(timetable: &Timetable, day: &str) -> bool {
    let midnight = day
        .parse::<Date>()
        .and_then(|date| date.to_zoned(timetable.time_zone().clone()));
    midnight.is_ok_and(|midnight| {
        let midnight = midnight.timestamp();
        let before = Timestamp::from_second(midnight.as_second() - 1).unwrap_or(midnight);
        [before, midnight]
            .iter()
            .all(|at| timetable.desired(*at) == Desired::Running)
    })
}
