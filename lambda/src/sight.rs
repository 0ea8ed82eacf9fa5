//! What is seen before anything is answered or done: the configuration, and the instances of every member.

use std::sync::Arc;

use curfew_aws::error::presentable;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{AccountRegionError, AccountRegionFailure, ObservedFleet};
use curfew_core::instance::InstanceId;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::select::{InstanceSelector, SelectError, SelectionScope};
use jiff::Timestamp;

use crate::app::App;
use crate::configuration::FRESH;
use crate::refusal::{Code, Refusal};

/// What is seen.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) schedule_set: Arc<ScheduleSet>,
    pub(crate) fleet: ObservedFleet,
    /// What went wrong where no answer came: what is there is unknown.
    pub(crate) unanswered: Vec<Refusal>,
    pub(crate) now: Timestamp,
}

impl App {
    /// The configuration and the instances that `targets` may mean. Fails only if nobody answers.
    pub(crate) async fn look(
        &self,
        targets: &InstanceSelector,
        deadline: Deadline,
    ) -> Result<Sight, Refusal> {
        let scope = if targets.ids.is_empty() {
            Scope::All
        } else {
            Scope::Only(targets.ids.clone())
        };
        let configuration = self.configuration.current(&self.clock, FRESH);
        let home = self.account_regions.home();
        let (in_force, early) = if self.account_regions.are_home_alone() {
            // Asked for at the same time: neither waits for the other's connection.
            let (in_force, seen) = tokio::join!(configuration, home.observe(&scope, deadline));
            (in_force?, Some(seen))
        } else {
            (configuration.await?, None)
        };
        let survey = match early {
            Some(seen) if self.account_regions.is_home_alone(&in_force.targets) => seen,
            _ => {
                let organisation = self.account_regions.of(&in_force.targets);
                organisation.observe(&scope, deadline).await
            }
        };
        let unanswered: Vec<Refusal> = survey.failures.iter().map(Refusal::from).collect();
        if survey.answers.is_empty()
            && let Some(none) = Refusal::of_all(&unanswered)
        {
            return Err(none);
        }
        let (fleet, _) = survey.into_fleet();
        Ok(Sight {
            schedule_set: in_force.schedule_set,
            fleet,
            unanswered,
            now: self.clock.now(),
        })
    }
}

impl Sight {
    /// Refuses what can't be told while somebody does not answer: whether an id exists, and which instance is the only one.
    pub(crate) fn suffices(&self, targets: &InstanceSelector) -> Result<(), Refusal> {
        let Some(unanswered) = Refusal::of_all(&self.unanswered) else {
            return Ok(());
        };
        if targets.are_unnamed() {
            return Err(unanswered.about("which instance is meant is unknown"));
        }
        let known = |id: &InstanceId| self.fleet.instances.iter().any(|one| one.id == *id);
        match targets.ids.iter().find(|id| !known(id)) {
            None => Ok(()),
            Some(id) => {
                Err(unanswered.about(&format!("whether there is an instance `{id}` is unknown")))
            }
        }
    }

    /// What an error of a selection means here: nothing is "not found" while what would be found may be where no answer came.
    pub(crate) fn selecting(&self, error: SelectError) -> Refusal {
        match Refusal::of_all(&self.unanswered) {
            Some(unanswered) if error.claims_absence() => {
                unanswered.about(&format!("{error}, as far as accounts and regions answered"))
            }
            _ => error.into(),
        }
    }

    /// What went wrong where nobody answered, as long as `targets` may mean instances there.
    pub(crate) fn unreached(&self, targets: &InstanceSelector) -> Option<Refusal> {
        let wide = targets.scope == SelectionScope::All || targets.ids.is_empty();
        Refusal::of_all(&self.unanswered).filter(|_| wide)
    }
}

impl From<&AccountRegionError> for Refusal {
    fn from(error: &AccountRegionError) -> Self {
        let mut refusal = match &error.failure {
            AccountRegionFailure::Cloud(cloud) => Self::from(&**cloud),
            AccountRegionFailure::OutOfTime => Self::new(Code::OutOfTime, "", "ask again"),
            AccountRegionFailure::NoAnswer { .. } => Self::new(Code::Unreachable, "", error.hint()),
        };
        refusal.message = presentable(&error.to_string());
        refusal
    }
}

impl From<AccountRegionError> for Refusal {
    fn from(error: AccountRegionError) -> Self {
        Self::from(&error)
    }
}
