//! The number of instances of each schedule and type: of the fleet, or as the command line gives them. There is no other source, so
//! that no cost is computed for instances that nobody has.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionError, Organisation};
use curfew_config::Configuration;
use curfew_core::instance::{Instance, InstanceState};
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::simulate::InstanceCount;

use crate::commands::next::named;
use crate::{CliError, Context, Exit, fleet_view, progress};

/// A number of instances in a schedule: `office=12`, or `office=12:t3.micro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CountArg {
    schedule: ScheduleName,
    count: u32,
    instance_type: Option<String>,
}

impl FromStr for CountArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write `NAME=N` or `NAME=N:TYPE`, such as `office=12:t3.micro`".to_owned();
        let (schedule, rest) = text.split_once('=').ok_or_else(form)?;
        let (count, instance_type) = match rest.split_once(':') {
            Some((count, instance_type)) => (count, Some(instance_type)),
            None => (rest, None),
        };
        if instance_type == Some("") {
            return Err(form());
        }
        Ok(Self {
            schedule: schedule.parse().map_err(|error| format!("{error}"))?,
            count: count.parse().map_err(|_| form())?,
            instance_type: instance_type.map(str::to_owned),
        })
    }
}

/// The number of instances by schedule and type.
#[derive(Debug, Default)]
pub(super) struct InstanceCounts {
    by_schedule: BTreeMap<ScheduleName, BTreeMap<Option<String>, u32>>,
    /// The number of instances whose tag holds a schedule.
    pub(super) inline: usize,
    /// The account-regions that did not answer.
    pub(super) failures: Vec<AccountRegionError>,
}

impl InstanceCounts {
    /// Takes the counts of the command line. Fails if one names a schedule that does not exist or a type without a price, or if
    /// several types have a price and none is named.
    pub(super) fn given(
        counts: &[CountArg],
        default_type: Option<&str>,
        configuration: &Configuration,
    ) -> Result<Self, CliError> {
        let mut found = Self::default();
        for one in counts {
            named(configuration, &one.schedule)?;
            let named_type = one.instance_type.as_deref().or(default_type);
            let instance_type = priced_type(named_type, one, configuration)?;
            found.add(&one.schedule, instance_type, one.count);
        }
        Ok(found)
    }

    /// Counts the instances that each schedule manages now. Fails if no account or region answers.
    pub(super) async fn of_fleet(
        context: &Context,
        configuration: &Configuration,
    ) -> Result<Self, CliError> {
        let connection = context.connect(configuration).await?;
        let organisation = Organisation::open(&connection, &configuration.targets);
        let progress = progress::if_terminal();
        let seen = fleet_view::observe(&organisation, &Scope::All, progress.as_ref()).await?;
        drop(progress);
        Ok(Self {
            failures: seen.failures,
            ..Self::of_instances(&seen.fleet.instances, &configuration.schedule_set)
        })
    }

    fn of_instances(instances: &[Instance], schedule_set: &ScheduleSet) -> Self {
        let mut found = Self::default();
        let is_there = |one: &&Instance| {
            let is_gone = matches!(
                one.state,
                InstanceState::Terminated | InstanceState::ShuttingDown
            );
            !is_gone
        };
        for instance in instances.iter().filter(is_there) {
            match schedule_set.schedule_for(instance) {
                Ok(Cow::Borrowed(schedule)) => {
                    found.add(&schedule.name, Some(instance.instance_type.clone()), 1);
                }
                Ok(Cow::Owned(_)) => found.inline += 1,
                Err(_) => {}
            }
        }
        found
    }

    fn add(&mut self, schedule: &ScheduleName, instance_type: Option<String>, count: u32) {
        let types = self.by_schedule.entry(schedule.clone()).or_default();
        let sum = types.entry(instance_type).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Returns the instances of a schedule, each type with its price.
    pub(super) fn of(
        &self,
        schedule: &ScheduleName,
        prices: &BTreeMap<String, f64>,
    ) -> Vec<InstanceCount> {
        let types = self.by_schedule.get(schedule).into_iter().flatten();
        types
            .map(|(instance_type, count)| InstanceCount {
                instance_type: instance_type.clone(),
                count: *count,
                per_hour: instance_type
                    .as_ref()
                    .and_then(|instance_type| prices.get(instance_type).copied()),
            })
            .collect()
    }
}

/// Returns the type of counted instances: the named one, else the only one with a price.
fn priced_type(
    named: Option<&str>,
    count: &CountArg,
    configuration: &Configuration,
) -> Result<Option<String>, CliError> {
    let prices = &configuration.prices;
    match named {
        Some(name) if prices.contains_key(name) => Ok(Some(name.to_owned())),
        Some(name) => {
            let message = format!("there is no price for `{name}`");
            let hint = format!("add the hourly price to [prices]: `\"{name}\" = 0.0118`");
            Err(CliError::new(Exit::Usage, message).hint(hint))
        }
        None => match prices.keys().collect::<Vec<_>>().as_slice() {
            [] => Ok(None),
            [only] => Ok(Some((*only).clone())),
            several => {
                let types: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
                let CountArg {
                    schedule, count, ..
                } = count;
                let message = format!(
                    "`--count {schedule}={count}` needs an instance type: [prices] has {}",
                    types.join(", ")
                );
                let hint = format!(
                    "write `--count {schedule}={count}:{}`, or add `--type`",
                    several[0]
                );
                Err(CliError::new(Exit::Usage, message).hint(hint))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_schedule_a_number_and_optionally_a_type() {
        let parsed = |text: &str| text.parse::<CountArg>();
        let office = |count, instance_type: Option<&str>| CountArg {
            schedule: "office".parse().unwrap(),
            count,
            instance_type: instance_type.map(str::to_owned),
        };
        assert_eq!(parsed("office=12"), Ok(office(12, None)));
        assert_eq!(parsed("office=0:m5.large"), Ok(office(0, Some("m5.large"))));
        for wrong in ["office", "office=", "office=-1", "office=1:", "=3", "a b=3"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
