//! Cloud Custodian policies in JSON: their `offhour` and `onhour` filters, one schedule for each tag that they read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::custodian::{Defaults, Hours, Tag, WORKDAYS, tell_inline_form, zone};
use super::properties::Properties;
use super::sheet::Draft;
use crate::problem::Problem;

/// Friday, of which bit 0 is Monday.
const FRIDAY: u32 = 1 << 4;
const MONDAY: u32 = 1;
const EVERY_DAY: u32 = 0b111_1111;

/// What policies come to.
#[derive(Debug, Default)]
pub(super) struct Policies {
    pub(super) drafts: Vec<Draft>,
    pub(super) refused: Vec<Problem>,
}

/// Reads a document: `{"policies": […]}`, one policy, or one filter.
pub(super) fn read(text: &str) -> Result<Policies, Vec<Problem>> {
    let document: Value = serde_json::from_str(text).map_err(|error| {
        let message =
            format!("is not JSON ({error}); YAML is not read: convert a policy to JSON first");
        vec![Problem::new("document", message)]
    })?;
    let mut by_tag: BTreeMap<String, Pair> = BTreeMap::new();
    let mut policies = Policies::default();
    let mut found = Vec::new();
    collect(&document, &mut found, &mut policies.refused);
    for filter in found {
        match Filter::read(filter) {
            None => policies.refused.push(not_translated(filter)),
            Some(Ok(filter)) => {
                let pair = by_tag.entry(filter.tag.clone()).or_default();
                let slot = if filter.starts {
                    &mut pair.on
                } else {
                    &mut pair.off
                };
                if slot.is_some() {
                    let message = "is read by two filters of one kind, which one schedule can't be";
                    policies.refused.push(Problem::new(filter.tag, message));
                } else {
                    *slot = Some(filter);
                }
            }
            Some(Err(problems)) => policies.refused.extend(problems),
        }
    }
    for (tag, pair) in by_tag {
        match pair.translate(&tag) {
            Ok(draft) => policies.drafts.push(draft),
            Err(problems) => policies.refused.extend(problems),
        }
    }
    if policies.drafts.is_empty() && policies.refused.is_empty() {
        policies.refused.push(Problem::new(
            "document",
            "has no `offhour` and no `onhour` filter",
        ));
    }
    Ok(policies)
}

/// All filters in a document, however they are nested. What has no counterpart here is refused by name.
fn collect<'a>(value: &'a Value, filters: &mut Vec<&'a Value>, refused: &mut Vec<Problem>) {
    match value {
        Value::Array(items) => {
            for item in items {
                collect(item, filters, refused);
            }
        }
        // `"filters": ["offhour"]`
        Value::String(_) => filters.push(value),
        Value::Object(object) if object.contains_key("type") => filters.push(value),
        Value::Object(object) => {
            let resource = object.get("resource").and_then(Value::as_str);
            if let Some(other) = resource.filter(|name| !matches!(*name, "ec2" | "aws.ec2")) {
                let message =
                    format!("is a policy for `{other}`; Curfew governs EC2 instances only");
                let name = object
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or("policy");
                refused.push(Problem::new(name, message));
                return;
            }
            let nested: Vec<&Value> = ["policies", "filters", "and", "or"]
                .iter()
                .filter_map(|key| object.get(*key))
                .collect();
            if nested.is_empty() && !object.is_empty() {
                refused.push(not_translated(value));
            }
            for value in nested {
                collect(value, filters, refused);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => refused.push(not_translated(value)),
    }
}

/// A filter that is neither `offhour` nor `onhour`: it narrows the policy to some instances.
fn not_translated(filter: &Value) -> Problem {
    let name = filter
        .as_str()
        .or_else(|| filter.get("type")?.as_str())
        .map(str::to_owned);
    let keys = || {
        Some(
            filter
                .as_object()?
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        )
    };
    let name = name.or_else(keys).unwrap_or_else(|| filter.to_string());
    Problem::new(
        name,
        "is a filter without a counterpart: say which instances are meant by their tag or in `match`",
    )
}

/// One `offhour` or `onhour` filter.
#[derive(Debug)]
struct Filter {
    starts: bool,
    tag: String,
    zone: String,
    hours: Hours,
    opt_out: bool,
    skip_days: Vec<String>,
    fallback: Option<String>,
}

impl Filter {
    fn read(value: &Value) -> Option<Result<Self, Vec<Problem>>> {
        let kind = value.as_str().or_else(|| value.get("type")?.as_str())?;
        let starts = match kind {
            "onhour" => true,
            "offhour" => false,
            _ => return None,
        };
        let none = Value::Object(serde_json::Map::new());
        let mut from = Properties::new(kind, if value.is_string() { &none } else { value });
        from.ignore(&["type"]);
        let zone_name = from.text("default_tz").unwrap_or_else(|| "et".to_owned());
        let zone = zone(&zone_name).unwrap_or_else(|why| {
            from.refuse("default_tz", why);
            String::new()
        });
        let hour = match from.text(kind) {
            None => Some(if starts { 7 } else { 19 }),
            Some(text) => text.parse().ok().filter(|hour| *hour < 24),
        };
        if hour.is_none() {
            from.refuse(kind, "is not a whole hour, 0–23");
        }
        // Each kind of filter may carry the other's hour, and does not look at it.
        from.ignore(&["onhour", "offhour"]);
        let weekends = from.flag("weekends") != Some(false);
        let days = match (from.flag("weekends-only") == Some(true), starts, weekends) {
            (true, true, _) => MONDAY,
            (true, false, _) => FRIDAY,
            (false, _, true) => WORKDAYS,
            (false, _, false) => EVERY_DAY,
        };
        if from.value("skip-days-from").is_some() {
            from.refuse(
                "skip-days-from",
                "names a list elsewhere, which is not fetched; write the days as `skip-days`",
            );
        }
        let filter = Self {
            starts,
            tag: from
                .text("tag")
                .unwrap_or_else(|| "maid_offhours".to_owned())
                .to_lowercase(),
            zone,
            hours: hour.map(|hour| (hour, days)).into_iter().collect(),
            opt_out: from.flag("opt-out") == Some(true),
            skip_days: from.list("skip-days").unwrap_or_default(),
            fallback: from.text("fallback-schedule"),
        };
        let problems = from.finish();
        Some(if problems.is_empty() {
            Ok(filter)
        } else {
            Err(problems)
        })
    }
}

/// The filters that read one tag.
#[derive(Debug, Default)]
struct Pair {
    on: Option<Filter>,
    off: Option<Filter>,
}

impl Pair {
    fn translate(self, tag: &str) -> Result<Draft, Vec<Problem>> {
        let both: Vec<&Filter> = self.on.iter().chain(&self.off).collect();
        let refuse = |message: &str| Err(vec![Problem::new(tag, message)]);
        if both.windows(2).any(|pair| pair[0].zone != pair[1].zone) {
            return refuse(
                "is read with two values of `default_tz`, which one schedule can't have",
            );
        }
        if both
            .windows(2)
            .any(|pair| pair[0].fallback != pair[1].fallback)
        {
            return refuse(
                "is read with two values of `fallback-schedule`, which one schedule can't have",
            );
        }
        let mut draft = Draft {
            name: tag.to_owned(),
            ..Draft::default()
        };
        draft.note(format!(
            "For instances whose tag `{tag}` is empty or `on`: give them the tag `Schedule = {tag}`. Other values of the tag \
             are schedules of their own; `curfew import custodian VALUE` translates one."
        ));
        if both.iter().any(|filter| filter.opt_out) {
            draft.note(
                "`opt-out`: the policy takes every instance without the tag. Here a schedule takes those that its `match` says; \
                 add one.",
            );
        }
        let fallback = both.iter().find_map(|filter| filter.fallback.as_deref());
        if fallback.is_some() {
            draft.note("The hours are those of `fallback-schedule`, which is for instances without the tag.");
        }
        let skip_days = |filter: &Option<Filter>| {
            filter
                .as_ref()
                .map(|it| it.skip_days.clone())
                .unwrap_or_default()
        };
        let (no_starts, no_stops) = (skip_days(&self.on), skip_days(&self.off));
        let defaults = Defaults {
            zone: both
                .first()
                .map(|filter| filter.zone.clone())
                .unwrap_or_default(),
            on: self.on.as_ref().map(|filter| filter.hours.clone()),
            off: self.off.as_ref().map(|filter| filter.hours.clone()),
            known: true,
        };
        match Tag::parse(fallback.unwrap_or_default())? {
            Tag::OptedOut => {
                return refuse("has `off` as its `fallback-schedule`, so that it says nothing");
            }
            Tag::Schedule(hours) => hours.apply(&mut draft, &defaults),
        }
        if !no_starts.is_empty() {
            draft.note(
                "`skip-days` are days without starts here too. What a day before them started is stopped at 00:00, and stops \
                 happen on them; Cloud Custodian does nothing at all on them.",
            );
        } else if !no_stops.is_empty() {
            draft.note(format!(
                "`skip-days` of `offhour` is not translated: here stops happen on {} too.",
                no_stops.join(", ")
            ));
        }
        draft.raw.except = no_starts;
        tell_inline_form(&mut draft);
        Ok(draft)
    }
}
