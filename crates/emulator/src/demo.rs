//! The demo fleet that `curfew up` launches in an empty emulator: an instance for each schedule of the configuration.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Filter, InstanceStateName, InstanceType, Reservation, ResourceType, Tag, TagSpecification,
};
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::pages::PageTokens;
use curfew_core::schedule::{Pattern, Schedule};
use curfew_core::schedule_set::ScheduleSet;
use serde::Serialize;

/// The tag that marks the fleet, so that it is launched only once.
const MARK: &str = "curfew:demo";

/// The tag that names an instance.
const NAME: &str = "Name";

/// The hours of the only instance if the configuration has no schedules: they are written in its tag.
const INLINE: &str = "Mon-Fri 08:00-20:00 UTC";

/// An instance of the demo fleet, before it is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoInstance {
    /// The name, by which the instance is found again.
    pub name: String,
    /// Its tags, including `Name`.
    pub tags: BTreeMap<String, String>,
}

/// Returns an instance for each schedule, named after it. It has the tags that the schedule's `match` takes, or names the schedule in the
/// managing tag. Without schedules, the only instance has an inline schedule.
pub fn fleet(schedule_set: &ScheduleSet) -> Vec<DemoInstance> {
    let schedules = schedule_set.schedules.values();
    let fleet = schedules.map(|schedule| {
        let tags = matching_tags(schedule, schedule_set);
        DemoInstance::new(
            format!("{}-1", schedule.name),
            tags.unwrap_or_else(|| {
                let name = schedule.name.to_string();
                BTreeMap::from([(schedule_set.tag.clone(), name)])
            }),
        )
    });
    let fleet: Vec<DemoInstance> = fleet.collect();
    if fleet.is_empty() {
        let tags = BTreeMap::from([(schedule_set.tag.clone(), INLINE.to_owned())]);
        return vec![DemoInstance::new("demo-1".to_owned(), tags)];
    }
    fleet
}

impl DemoInstance {
    fn new(name: String, mut tags: BTreeMap<String, String>) -> Self {
        // A `match` may require another name.
        tags.entry(NAME.to_owned()).or_insert_with(|| name.clone());
        Self { name, tags }
    }
}

/// The tags that the schedule's `match` takes, unless it has none or another schedule takes them too.
fn matching_tags(
    schedule: &Schedule,
    schedule_set: &ScheduleSet,
) -> Option<BTreeMap<String, String>> {
    let patterns = schedule.matcher.tags.iter();
    let tags: BTreeMap<String, String> = patterns
        .map(|(key, pattern)| (key.clone(), matching_text(pattern)))
        .collect();
    let schedules = schedule_set.schedules.values();
    let takers = schedules.filter(|schedule| schedule.matcher.matches_tags(&tags));
    let names: Vec<_> = takers.map(|one| &one.name).collect();
    (names == [&schedule.name] && !tags.contains_key(&schedule_set.tag)).then_some(tags)
}

/// A text that the pattern matches.
fn matching_text(pattern: &Pattern) -> String {
    let mut text = String::new();
    let mut characters = pattern.as_str().chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => {}
            '?' => text.push('1'),
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    if text.is_empty() {
        "demo".to_owned()
    } else {
        text
    }
}

/// The instances of the fleet in the emulator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchedFleet {
    /// The id and the name of each instance, in the order of the fleet.
    pub instances: Vec<LaunchedInstance>,
    /// The names of the instances that were launched now.
    pub new: Vec<String>,
}

/// An instance of the fleet in the emulator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LaunchedInstance {
    /// The instance's id.
    pub id: String,
    /// The instance's name.
    pub name: String,
}

/// Launches the missing instances of the fleet. Refuses to launch anything on AWS.
pub async fn launch(
    conn: &Connection,
    fleet: &[DemoInstance],
) -> Result<LaunchedFleet, CloudError> {
    if !EndpointKind::of(conn).is_local() {
        return Err(CloudError::new(
            "ec2:RunInstances",
            CloudErrorKind::Refused,
            "the demo fleet is for the emulator on this machine, not for AWS",
        ));
    }
    let client = Client::new(&conn.sdk);
    let there = existing(&client).await?;
    let mut launched = LaunchedFleet::default();
    for DemoInstance { name, tags } in fleet {
        let id = if let Some(id) = there.get(name) {
            id.clone()
        } else {
            launched.new.push(name.clone());
            run(&client, name, tags).await?
        };
        launched.instances.push(LaunchedInstance {
            id,
            name: tags.get(NAME).unwrap_or(name).clone(),
        });
    }
    Ok(launched)
}

/// Launches one instance and returns its id.
async fn run(
    client: &Client,
    name: &str,
    tags: &BTreeMap<String, String>,
) -> Result<String, CloudError> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = tags.iter().map(|(key, value)| tag(key, value));
    let answer = client
        .run_instances()
        .image_id("ami-curfewdemo")
        .instance_type(InstanceType::T3Micro)
        .min_count(1)
        .max_count(1)
        .tag_specifications(
            TagSpecification::builder()
                .resource_type(ResourceType::Instance)
                .set_tags(Some(tags.chain([tag(MARK, name)]).collect()))
                .build(),
        )
        .send()
        .await
        .map_err(|error| CloudError::from_sdk("ec2:RunInstances", error))?;
    let id = answer.instances().first().and_then(|one| one.instance_id());
    Ok(id.unwrap_or_default().to_owned())
}

/// Returns the names of the existing instances of the fleet, with their ids. A terminated one is launched again.
async fn existing(client: &Client) -> Result<BTreeMap<String, String>, CloudError> {
    let marked = Filter::builder().name("tag-key").values(MARK).build();
    let mut pages = PageTokens::new("ec2:DescribeInstances");
    let mut token = None;
    let mut names = BTreeMap::new();
    loop {
        let page = client
            .describe_instances()
            .filters(marked.clone())
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:DescribeInstances", error))?;
        for instance in page.reservations().iter().flat_map(Reservation::instances) {
            let state = instance.state().and_then(|state| state.name());
            let gone = matches!(
                state,
                Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown)
            );
            let mark = instance.tags().iter().find(|tag| tag.key() == Some(MARK));
            if let (false, Some(name)) = (gone, mark.and_then(|tag| tag.value())) {
                let id = instance.instance_id().unwrap_or_default();
                names.insert(name.to_owned(), id.to_owned());
            }
        }
        token = pages.follow(page.next_token)?;
        if token.is_none() {
            return Ok(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use curfew_core::schedule::Matcher;
    use curfew_core::timetable::Timetable;

    use super::*;

    /// The names and tags of the fleet for schedules with these tags in their `match`.
    fn fleet_of(schedules: &[(&str, &[(&str, &str)])]) -> Vec<(String, String)> {
        let mut schedule_set = ScheduleSet {
            tag: "Schedule".to_owned(),
            schedules: BTreeMap::new(),
        };
        for (name, tags) in schedules {
            let timetable = Timetable::parse_inline(INLINE).unwrap();
            let mut schedule = Schedule::new(name.parse().unwrap(), timetable);
            let tags = tags.iter();
            schedule.matcher = Matcher {
                ids: Vec::new(),
                tags: tags
                    .map(|(key, pattern)| ((*key).to_owned(), Pattern::new(*pattern)))
                    .collect(),
            };
            schedule_set
                .schedules
                .insert(schedule.name.clone(), schedule);
        }
        fleet(&schedule_set)
            .into_iter()
            .map(|instance| {
                let tags = instance.tags.iter();
                let tags: Vec<String> = tags.map(|(key, value)| format!("{key}={value}")).collect();
                (instance.name, tags.join(" "))
            })
            .collect()
    }

    #[test]
    fn the_fleet_has_an_instance_for_each_schedule() {
        let lab: &[(&str, &str)] = &[("Environment", "lab*"), ("Stage", "?-\\*")];
        let named = |name: &str, tags: &str| (name.to_owned(), tags.to_owned());
        assert_eq!(
            fleet_of(&[("office", &[]), ("lab", lab)]),
            [
                named("lab-1", "Environment=lab Name=lab-1 Stage=1-*"),
                named("office-1", "Name=office-1 Schedule=office"),
            ]
        );
        // Both would take an instance with Team=a.
        assert_eq!(
            fleet_of(&[("a", &[("Team", "a")]), ("any", &[("Team", "*")])]),
            [
                named("a-1", "Name=a-1 Schedule=a"),
                named("any-1", "Name=any-1 Team=demo"),
            ]
        );
        assert_eq!(
            fleet_of(&[("web", &[("Name", "web-*")])]),
            [named("web-1", "Name=web-")]
        );
        assert_eq!(
            fleet_of(&[]),
            [named(
                "demo-1",
                "Name=demo-1 Schedule=Mon-Fri 08:00-20:00 UTC"
            )]
        );
    }
}
