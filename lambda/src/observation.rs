//! Reads the configuration and the instances of all account-regions, before a request is answered or carried out.

use std::sync::Arc;

use curfew_aws::error::presentable;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{
    AccountRegionError, AccountRegionFailure, ObservedFleet, UnansweredRegion,
};
use curfew_core::instance::InstanceId;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::select::{InstanceSelector, SelectError, SelectionScope};
use jiff::Timestamp;

use crate::api_error::ApiError;
use crate::app::App;
use crate::configuration_cache::MAX_AGE;

/// The configuration and the observed instances.
#[derive(Debug)]
pub(crate) struct FleetObservation {
    pub(crate) schedule_set: Arc<ScheduleSet>,
    /// The instances of all account-regions that answered.
    pub(crate) fleet: ObservedFleet,
    /// The errors of account-regions that did not answer.
    pub(crate) unanswered: Vec<UnansweredRegion<ApiError>>,
    pub(crate) now: Timestamp,
}

impl App {
    /// Reads the configuration and describes the instances that `targets` may select. Fails if the configuration can't be read or no
    /// account-region answers.
    pub(crate) async fn observe(
        &self,
        targets: &InstanceSelector,
        deadline: Deadline,
    ) -> Result<FleetObservation, ApiError> {
        let ids = targets.sufficient_ids().cloned();
        let scope = ids.map_or(Scope::All, Scope::Only);
        let read = self.configuration.current(&self.clock, MAX_AGE);
        let home = self.organisations.home();
        let (configuration, prefetched) = if self.organisations.is_home_only() {
            // Concurrent, so that neither waits for the other's connection.
            let (configuration, observed) = tokio::join!(read, home.observe(&scope, deadline));
            (configuration?, Some(observed))
        } else {
            (read.await?, None)
        };
        let observed = match prefetched {
            Some(observed)
                if self
                    .organisations
                    .includes_home_only(&configuration.targets) =>
            {
                observed
            }
            _ => {
                let organisation = self.organisations.of(&configuration.targets);
                organisation.observe(&scope, deadline).await
            }
        };
        let unanswered = UnansweredRegion::all(&observed.failures, |error| error.into());
        if observed.answers.is_empty()
            && let Some(error) = ApiError::combine(unanswered.iter().map(|one| &one.error))
        {
            return Err(error);
        }
        let (fleet, _) = observed.into_fleet();
        Ok(FleetObservation {
            schedule_set: configuration.schedule_set,
            fleet,
            unanswered,
            now: self.clock.now(),
        })
    }
}

impl FleetObservation {
    /// Fails if the unreachable account-regions are needed to resolve `targets`: to find an id, the only instance with a name, or the only
    /// managed instance.
    pub(crate) fn is_sufficient_for(&self, targets: &InstanceSelector) -> Result<(), ApiError> {
        let Some(unanswered) = self.all_unanswered() else {
            return Ok(());
        };
        if targets.is_empty() {
            return Err(unanswered.with_context("the only managed instance can't be determined"));
        }
        if let Some(name) = targets.names.first() {
            let name = name.escape_debug();
            return Err(unanswered.with_context(&format!(
                "the only instance named `{name}` can't be determined"
            )));
        }
        let is_observed = |id: &InstanceId| self.fleet.instances.iter().any(|one| one.id == *id);
        match targets.ids.iter().find(|id| !is_observed(id)) {
            None => Ok(()),
            Some(id) => Err(unanswered.with_context(&format!(
                "instance `{id}` was not found in the reachable account-regions"
            ))),
        }
    }

    /// Converts a selection error. An instance is not reported as missing while it may be in an unreachable account-region.
    pub(crate) fn selection_error(&self, error: SelectError) -> ApiError {
        match self.all_unanswered() {
            Some(unanswered) if error.claims_absence() => {
                unanswered.with_context(&format!("{error} in the reachable account-regions"))
            }
            _ => error.into(),
        }
    }

    /// Returns the errors of the unreachable account-regions, combined, if `targets` may select instances there.
    pub(crate) fn unreachable(&self, targets: &InstanceSelector) -> Option<ApiError> {
        let may_select = targets.scope == SelectionScope::All || targets.sufficient_ids().is_none();
        self.all_unanswered().filter(|_| may_select)
    }

    fn all_unanswered(&self) -> Option<ApiError> {
        ApiError::combine(self.unanswered.iter().map(|one| &one.error))
    }
}

impl From<&AccountRegionError> for ApiError {
    fn from(error: &AccountRegionError) -> Self {
        let mut api_error = match &error.failure {
            AccountRegionFailure::Cloud(cloud) => Self::from(&**cloud),
            AccountRegionFailure::OutOfTime => Self::new(error.code(), "", "retry"),
            AccountRegionFailure::NoAnswer { .. } => Self::new(error.code(), "", error.hint()),
        };
        api_error.message = presentable(&error.to_string());
        api_error
    }
}

impl From<AccountRegionError> for ApiError {
    fn from(error: AccountRegionError) -> Self {
        Self::from(&error)
    }
}
