//! Combines the instances of all accounts and regions into one fleet, and records the location of each.

use std::collections::HashMap;

use curfew_aws::clock::Clock;
use curfew_aws::decided_request::DecidedRequest;
use curfew_aws::execute::{Basis, Deadline, Outcome, StepResult};
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{
    self, AccountRegionError, AccountRegionFleet, ObservedFleet, Organisation,
};
use curfew_aws::pass::Pass;
use curfew_aws::progress::Progress;
use curfew_core::account_regions::AccountRegion;
use curfew_core::error_code::DescribedError;
use curfew_core::instance::{AccountId, Instance, InstanceId};
use curfew_core::schedule_set::ScheduleSet;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::error::all_answered;
use super::output::{count, counted, or_dash};
use super::{CliError, Exit};
use crate::progress;
use crate::table::Column;

/// The observed instances with their locations, and the account-regions that failed.
pub(crate) struct FleetView {
    pub(crate) fleet: ObservedFleet,
    pub(crate) locations: InstanceLocations,
    pub(crate) failures: Vec<AccountRegionError>,
}

/// Observes the instances of `scope` in all account-regions. Fails if none of them responds.
pub(crate) async fn observe(
    organisation: &Organisation,
    scope: &Scope,
    progress: &dyn Progress,
) -> Result<FleetView, CliError> {
    let observing = organisation.observe(scope, Deadline::NONE);
    let observed = progress::with_progress(progress, OBSERVING, observing, |observed| {
        let instances = observed
            .answers
            .iter()
            .map(|(_, instances)| instances.len());
        observed_count(instances.sum())
    });
    let observed = observed.await;
    let none_answered = observed.answers.is_empty();
    let (fleet, mut failures) = observed.into_fleet();
    if none_answered {
        all_answered(std::mem::take(&mut failures))?;
    }
    Ok(FleetView {
        locations: InstanceLocations::of(organisation, fleet.account_regions()),
        fleet,
        failures,
    })
}

/// An account-region that did not answer, as JSON.
pub(crate) type UnansweredRegionDocument = organisation::UnansweredRegion<DescribedError>;

/// Lists the account-regions that did not answer.
pub(crate) fn unanswered(failures: &[AccountRegionError]) -> Vec<UnansweredRegionDocument> {
    UnansweredRegionDocument::all(failures, |error| DescribedError {
        code: error.code(),
        message: error.to_string(),
        hint: Some(error.hint()),
    })
}

/// The progress text of an observation.
pub(crate) const OBSERVING: &str = "Observing the instances";

pub(crate) fn observed_count(instances: usize) -> String {
    format!("Observed {}", counted(instances, "instance"))
}

/// The location of each instance.
pub(crate) struct InstanceLocations {
    of: HashMap<InstanceId, InstanceLocation>,
    /// Whether several account-regions are configured, including those that failed.
    several: bool,
    /// Whether several accounts are configured.
    several_accounts: bool,
}

/// The account-region of an instance, and its account.
struct InstanceLocation {
    account_region: AccountRegion,
    account: AccountId,
}

/// A JSON entry about an instance, with its account if several accounts are managed. The HTTP API has the same entries without accounts.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct WithAccount<'a, T> {
    #[serde(flatten)]
    entry: &'a T,
    /// The account of the instance; only if several accounts are managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a AccountId>,
}

impl InstanceLocations {
    /// Collects the locations from the observation of each account-region.
    pub(crate) fn of<'a>(
        organisation: &Organisation,
        seen: impl Iterator<Item = (&'a AccountRegionFleet, &'a [Instance])>,
    ) -> Self {
        let placed = seen.flat_map(|(one, instances)| {
            let locations = instances.iter();
            locations.map(|instance| {
                let place = InstanceLocation {
                    account_region: one.account_region.clone(),
                    account: instance.account.clone(),
                };
                (instance.id.clone(), place)
            })
        });
        let account_regions = organisation.account_regions();
        Self {
            of: placed.collect(),
            several: account_regions.len() > 1,
            several_accounts: account_regions.iter().any(|one| one.account.is_some()),
        }
    }

    /// Returns the account of an instance if several accounts are managed.
    pub(crate) fn account(&self, instance: &InstanceId) -> Option<&AccountId> {
        let place = self.of.get(instance).filter(|_| self.several_accounts);
        place.map(|place| &place.account)
    }

    /// Adds accounts to JSON entries if several accounts are managed.
    pub(crate) fn with_accounts<'a, T>(
        &'a self,
        entries: &'a [T],
        instance: impl Fn(&T) -> &InstanceId,
    ) -> Vec<WithAccount<'a, T>> {
        let placed = entries.iter().map(|entry| WithAccount {
            entry,
            account: self.account(instance(entry)),
        });
        placed.collect()
    }

    /// The index of the region column, after the ID and the name.
    const COLUMN: usize = 2;

    /// Returns the columns of a table, with a region column if there are several account-regions.
    pub(crate) fn columns<const N: usize>(&self, columns: [Column; N]) -> Vec<Column> {
        let mut columns = Vec::from(columns);
        if self.several {
            columns.insert(Self::COLUMN, Column::optional("region"));
        }
        columns
    }

    /// Returns the row of an instance for that header or those columns.
    pub(crate) fn row<C: From<String>>(&self, instance: &InstanceId, mut row: Vec<C>) -> Vec<C> {
        if self.several {
            let place = self.of.get(instance).map(|place| &place.account_region);
            row.insert(Self::COLUMN, or_dash(place).into());
        }
        row
    }
}

/// The time zone of each instance, for the times that are shown with it: that of its schedule, otherwise that of this machine.
pub(crate) struct InstanceZones(HashMap<InstanceId, TimeZone>);

impl InstanceZones {
    pub(crate) fn of<'a>(
        schedule_set: &ScheduleSet,
        instances: impl IntoIterator<Item = &'a Instance>,
    ) -> Self {
        let zones = instances.into_iter().filter_map(|instance| {
            let schedule = schedule_set.schedule_for(instance).ok()?;
            Some((instance.id.clone(), schedule.timetable.time_zone().clone()))
        });
        Self(zones.collect())
    }

    pub(crate) fn of_instance(&self, instance: &InstanceId) -> TimeZone {
        self.0
            .get(instance)
            .cloned()
            .unwrap_or_else(TimeZone::system)
    }
}

/// Executes a request in the account-region of each instance. The tag of the request is written first.
pub(crate) async fn carry_out_request(
    request: &DecidedRequest<'_, '_>,
    clock: &Clock,
    progress: &dyn Progress,
) -> Vec<Outcome> {
    let all = counted(request.steps().len(), "step");
    let step = format!("Executing {all}");
    let work = request.carry_out(clock, Deadline::NONE);
    progress::with_progress(progress, &step, work, |_| format!("Executed {all}")).await
}

/// Executes passes in their account-regions, until the next edge of the plan.
pub(crate) async fn carry_out(
    organisation: &Organisation,
    passes: Vec<(AccountRegion, Pass)>,
    basis: Basis<'_>,
    progress: &dyn Progress,
) -> Vec<Outcome> {
    let steps = passes.iter().map(|(_, pass)| pass.plan.steps.len());
    let all = counted(steps.sum(), "step");
    let step = format!("Executing {all}");
    let work = organisation.carry_out(passes, basis, Deadline::NONE);
    let done = progress::with_progress(progress, &step, work, |_| format!("Executed {all}")).await;
    let outcomes = done.into_iter().flat_map(|(_, pass)| pass.outcomes);
    outcomes.collect()
}

/// Describes the observed account-regions.
pub(crate) fn place(organisation: &Organisation) -> String {
    match organisation.account_regions() {
        [only] => only.account_region.to_string(),
        several => format!(
            "the {} accounts and regions of the configuration",
            several.len()
        ),
    }
}

/// Fails if a step failed, with the message of the first and the number of failed steps. The exit code is the one that all
/// failures have in common, otherwise [`Exit::Failed`].
pub(crate) fn failure(outcomes: &[Outcome]) -> Result<(), CliError> {
    let failed: Vec<CliError> = outcomes
        .iter()
        .filter_map(|outcome| {
            let label = match &outcome.step.name {
                Some(name) => format!("`{}` ({})", outcome.step.instance, name.escape_debug()),
                None => format!("`{}`", outcome.step.instance),
            };
            match &outcome.result {
                // A newer request or edge replaced the step.
                StepResult::Done { .. } | StepResult::Dropped { .. } => None,
                StepResult::Failed(error) => Some(CliError::from(error.repeated()).about(&label)),
                StepResult::TagsNotWritten { error, .. } => {
                    let label =
                        format!("{label} was changed, but its state tag could not be written");
                    Some(CliError::from(error.repeated()).about(&label))
                }
                StepResult::OutOfTime => {
                    let message = format!("{label}: not started before the next edge of the plan");
                    let hint = "the plan is different after an edge; check it with `curfew plan`";
                    Some(CliError::new(Exit::Failed, message).hint(hint))
                }
            }
        })
        .collect();
    let exits: Vec<Exit> = failed.iter().map(CliError::exit).collect();
    let number = failed.len();
    let Some(first) = failed.into_iter().next() else {
        return Ok(());
    };
    let exit = if exits.iter().all(|exit| *exit == exits[0]) {
        exits[0]
    } else {
        Exit::Failed
    };
    let among = match number {
        1 => "1 step failed".to_owned(),
        several => format!("{} steps failed, the first", count(several)),
    };
    Err(first.about(&among).exiting(exit))
}
