//! Reports instances whose tags were probably meant to name a schedule, with the command that corrects them. Writes nothing.

use std::collections::BTreeMap;

use curfew_aws::connect::Connection;
use curfew_core::instance::{AccountId, Instance, InstanceId, Region};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::tag_problem::{TagMistakeCode, TagProblem};
use schemars::JsonSchema;
use serde::Serialize;

use super::Check;
use crate::output::counted;

/// Instances with the same mistake in their tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MistaggedGroup {
    /// The kind of the mistake, as a stable code.
    pub code: TagMistakeCode,
    /// The mistake: one sentence.
    pub message: String,
    /// The account of the instances.
    pub account: AccountId,
    /// The region of the instances.
    pub region: Region,
    /// The instances with this mistake.
    pub instances: Vec<MistaggedInstance>,
    /// The command that corrects the tags.
    pub command: String,
}

/// An instance with a mistake in its tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MistaggedInstance {
    /// The instance's id.
    pub id: InstanceId,
    /// The value of its tag `Name`.
    pub name: Option<String>,
}

/// The options of the AWS CLI that lead to the same endpoint with the same credentials as this connection.
#[derive(Clone, Debug, Default)]
pub(super) struct AwsOptions {
    endpoint: Option<String>,
    profile: Option<String>,
}

impl AwsOptions {
    pub(super) fn of(conn: &Connection, profile: Option<&str>) -> Self {
        Self {
            endpoint: conn.endpoint().map(str::to_owned),
            profile: profile.map(str::to_owned),
        }
    }
}

/// Checks the tags of all instances.
pub(super) fn tags(instances: &[Instance], schedule_set: &ScheduleSet, aws: &AwsOptions) -> Check {
    let groups = groups(instances, schedule_set, aws);
    let number = groups.iter().map(|group| group.instances.len()).sum();
    if number == 0 {
        let tag = &schedule_set.tag;
        return Check::ok("tags", format!("every tag `{tag}` has a schedule"));
    }
    let message = format!(
        "{} {} no schedule because of a mistake in the tags",
        counted(number, "instance"),
        if number == 1 { "has" } else { "have" }
    );
    Check {
        mistagged: groups,
        ..Check::warn(
            "tags",
            message,
            "run the commands, or correct the tags in the tool that sets them",
        )
    }
}

fn groups(
    instances: &[Instance],
    schedule_set: &ScheduleSet,
    aws: &AwsOptions,
) -> Vec<MistaggedGroup> {
    let mut groups: BTreeMap<(TagProblem, &AccountId, &Region), Vec<&Instance>> = BTreeMap::new();
    let mut by_name: Vec<&Instance> = instances.iter().collect();
    by_name.sort_by_key(|one| (one.name(), &one.id));
    for instance in by_name {
        if let Some(problem) = TagProblem::of(instance, schedule_set) {
            let place = (problem, &instance.account, &instance.region);
            groups.entry(place).or_default().push(instance);
        }
    }
    let groups = groups.into_iter();
    let mut groups: Vec<MistaggedGroup> = groups
        .map(|((problem, account, region), members)| MistaggedGroup {
            code: problem.mistake.code(),
            message: problem.mistake.to_string(),
            account: account.clone(),
            region: region.clone(),
            command: command(&problem, region, &members, schedule_set, aws),
            instances: members
                .iter()
                .map(|one| MistaggedInstance {
                    id: one.id.clone(),
                    name: one.name().map(str::to_owned),
                })
                .collect(),
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.instances.len()));
    groups
}

/// Returns the command of the AWS CLI that sets the managing tag of the instances. Without a likely value it has a placeholder.
fn command(
    problem: &TagProblem,
    region: &Region,
    instances: &[&Instance],
    schedule_set: &ScheduleSet,
    aws: &AwsOptions,
) -> String {
    let mut words = vec!["aws".to_owned(), "ec2".to_owned(), "create-tags".to_owned()];
    let mut option = |name: &str, values: Vec<String>| {
        words.push(name.to_owned());
        words.extend(values.iter().map(|value| quoted(value)));
    };
    if let Some(endpoint) = &aws.endpoint {
        option("--endpoint-url", vec![endpoint.clone()]);
    }
    if let Some(profile) = &aws.profile {
        option("--profile", vec![profile.clone()]);
    }
    option("--region", vec![region.to_string()]);
    let ids = instances.iter().map(|one| one.id.to_string());
    option("--resources", ids.collect());
    let mut names = schedule_set.schedules.keys();
    let only = names.next().filter(|_| names.next().is_none());
    let value = problem.suggestion.clone();
    let value = value.or_else(|| only.map(ToString::to_string));
    let value = value.unwrap_or_else(|| "NAME".to_owned());
    option("--tags", vec![tag_argument(&schedule_set.tag, &value)]);
    words.join(" ")
}

/// Formats a tag for the AWS CLI: in its short form, or as JSON if the short form would read it otherwise.
fn tag_argument(key: &str, value: &str) -> String {
    let is_plain = |text: &str| {
        let mut characters = text.chars();
        characters.all(|c| c.is_alphanumeric() || "-_./:@+".contains(c))
    };
    if is_plain(key) && is_plain(value) {
        format!("Key={key},Value={value}")
    } else {
        serde_json::json!([{"Key": key, "Value": value}]).to_string()
    }
}

/// Quotes a word for a POSIX shell if it needs to be.
fn quoted(word: &str) -> String {
    let mut characters = word.chars();
    if !word.is_empty() && characters.all(|c| c.is_ascii_alphanumeric() || "-_./:@+=,%".contains(c))
    {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_the_shell_and_the_aws_cli() {
        assert_eq!(
            quoted(&tag_argument("Schedule", "office")),
            "Key=Schedule,Value=office"
        );
        assert_eq!(
            quoted(&tag_argument("team:hours", "Mon-Fri 08:00-20:00 UTC")),
            r#"'[{"Key":"team:hours","Value":"Mon-Fri 08:00-20:00 UTC"}]'"#
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
