//! The instances of every account and region, seen as one fleet, and where each of them is.

use std::collections::HashMap;

use curfew_aws::clock::Clock;
use curfew_aws::decided_request::DecidedRequest;
use curfew_aws::execute::{Basis, Deadline, Outcome, StepResult};
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{
    AccountRegionError, AccountRegionFleet, ObservedFleet, Organisation,
};
use curfew_aws::pass::Pass;
use curfew_aws::progress::Progress;
use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::{AccountId, Instance, InstanceId, Region};
use serde::Serialize;

use super::error::all_answered;
use super::output::{count, counted, or_dash};
use super::{CliError, Exit};
use crate::progress;

/// What was seen, and who did not answer.
pub(crate) struct Seen {
    pub(crate) fleet: ObservedFleet,
    pub(crate) places: Places,
    pub(crate) failures: Vec<AccountRegionError>,
}

/// Looks for the instances of `scope` everywhere; fails if nobody answers.
pub(crate) async fn observe(
    organisation: &Organisation,
    scope: &Scope,
    progress: &dyn Progress,
) -> Result<Seen, CliError> {
    let looking = organisation.observe(scope, Deadline::NONE);
    let survey = progress::patiently(progress, LOOKING, looking, |survey| {
        let instances = survey.answers.iter().map(|(_, instances)| instances.len());
        looked_at(instances.sum())
    });
    let survey = survey.await;
    let none_answered = survey.answers.is_empty();
    let (fleet, mut failures) = survey.into_fleet();
    if none_answered {
        all_answered(std::mem::take(&mut failures))?;
    }
    Ok(Seen {
        places: Places::of(organisation, fleet.account_regions()),
        fleet,
        failures,
    })
}

/// In a document: an account-region that did not answer, so that what is there is unknown.
#[derive(Serialize)]
pub(crate) struct Unanswered {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    region: Region,
    message: String,
    hint: String,
}

impl Unanswered {
    pub(crate) fn all(failures: &[AccountRegionError]) -> Vec<Self> {
        let unanswered = failures.iter().map(|error| Self {
            account: error.account_region.account.clone(),
            region: error.account_region.region.clone(),
            message: error.to_string(),
            hint: error.hint(),
        });
        unanswered.collect()
    }
}

/// What is shown of a look that takes its time.
pub(crate) const LOOKING: &str = "Looking at the instances";

pub(crate) fn looked_at(instances: usize) -> String {
    format!("Looked at {}", counted(instances, "instance"))
}

/// Where each instance is.
pub(crate) struct Places {
    of: HashMap<InstanceId, Place>,
    /// Whether there is more than one place to be, answered or not.
    several: bool,
    /// Whether those are in more than one account.
    several_accounts: bool,
}

/// Where an instance is, and whose it is.
struct Place {
    account_region: AccountRegion,
    account: AccountId,
}

/// An entry about an instance in a document, with its account where several are managed. The HTTP API has the same entries and tells
/// no accounts.
#[derive(Serialize)]
pub(crate) struct Placed<'a, T> {
    #[serde(flatten)]
    entry: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a AccountId>,
}

impl Places {
    /// Of what each member showed.
    pub(crate) fn of<'a>(
        organisation: &Organisation,
        seen: impl Iterator<Item = (&'a AccountRegionFleet, &'a [Instance])>,
    ) -> Self {
        let placed = seen.flat_map(|(one, instances)| {
            let places = instances.iter();
            places.map(|instance| {
                let place = Place {
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

    /// An instance's account, where several are managed.
    pub(crate) fn account(&self, instance: &InstanceId) -> Option<&AccountId> {
        let place = self.of.get(instance).filter(|_| self.several_accounts);
        place.map(|place| &place.account)
    }

    /// A document's entries, each with its account where several are managed.
    pub(crate) fn placed<'a, T>(
        &'a self,
        entries: &'a [T],
        instance: impl Fn(&T) -> &InstanceId,
    ) -> Vec<Placed<'a, T>> {
        let placed = entries.iter().map(|entry| Placed {
            entry,
            account: self.account(instance(entry)),
        });
        placed.collect()
    }

    /// In a table of instances: after an instance's id and its name.
    const COLUMN: usize = 2;

    /// A table's header. It has a column for where instances are as soon as there are several places.
    pub(crate) fn header<'a>(&self, header: &[&'a str]) -> Vec<&'a str> {
        let mut header = header.to_vec();
        if self.several {
            header.insert(Self::COLUMN, "region");
        }
        header
    }

    /// An instance's row under that header.
    pub(crate) fn row(&self, instance: &InstanceId, mut row: Vec<String>) -> Vec<String> {
        if self.several {
            let place = self.of.get(instance).map(|place| &place.account_region);
            row.insert(Self::COLUMN, or_dash(place));
        }
        row
    }
}

/// Carries out a request where its instances are: its tag is written first.
pub(crate) async fn carry_out_request(
    request: &DecidedRequest<'_, '_>,
    clock: &Clock,
    progress: &dyn Progress,
) -> Vec<Outcome> {
    let all = counted(request.steps(), "step");
    let step = format!("Carrying out {all}");
    let work = request.carry_out(clock, Deadline::NONE);
    progress::patiently(progress, &step, work, |_| format!("Carried out {all}")).await
}

/// Carries out what was decided, where its instances are, until its next edge.
pub(crate) async fn carry_out(
    organisation: &Organisation,
    passes: Vec<(AccountRegion, Pass)>,
    basis: Basis<'_>,
    progress: &dyn Progress,
) -> Vec<Outcome> {
    let steps = passes.iter().map(|(_, pass)| pass.plan.steps.len());
    let all = counted(steps.sum(), "step");
    let step = format!("Carrying out {all}");
    let work = organisation.carry_out(passes, basis, Deadline::NONE);
    let done = progress::patiently(progress, &step, work, |_| format!("Carried out {all}")).await;
    let outcomes = done.into_iter().flat_map(|(_, pass)| pass.outcomes);
    outcomes.collect()
}

/// Where was looked, in words.
pub(crate) fn place(organisation: &Organisation) -> String {
    match organisation.account_regions() {
        [only] => only.account_region.to_string(),
        several => format!(
            "the {} accounts and regions of the configuration",
            several.len()
        ),
    }
}

/// The error that stands for all steps that did not go as planned: the first one's sentence, and how many they are. Where
/// all failed in one way, so does the command.
pub(crate) fn failure(outcomes: &[Outcome]) -> Result<(), CliError> {
    let failed: Vec<CliError> = outcomes
        .iter()
        .filter_map(|outcome| {
            let label = match &outcome.step.name {
                Some(name) => format!("`{}` ({})", outcome.step.instance, name.escape_debug()),
                None => format!("`{}`", outcome.step.instance),
            };
            match &outcome.result {
                // A newer word decided: that is no failure.
                StepResult::Done { .. } | StepResult::Dropped { .. } => None,
                StepResult::Failed(error) => Some(CliError::from(error.repeated()).about(&label)),
                StepResult::NotRemembered { error, .. } => {
                    let label = format!("{label} is done, and could not be remembered");
                    Some(CliError::from(error.repeated()).about(&label))
                }
                StepResult::OutOfTime => {
                    let message =
                        format!("{label}: its turn did not come before the plan's next edge");
                    let hint =
                        "from then on the plan is another one: look again with `curfew plan`";
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
