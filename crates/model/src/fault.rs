//! Injected faults: in the request, in the service, or in the response; selected by action, for a number of calls.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::action::ApiAction;
use crate::error::ModelError;
use crate::ids::{Ec2InstanceId, Home, HomeFilter, SeededRandom};
use crate::request::{ApiRequest, ModelResponse, StopMode};

/// An injected fault.
#[derive(Debug, Clone)]
pub struct Fault {
    action: Option<ApiAction>,
    scope: HomeFilter,
    instance: Option<Ec2InstanceId>,
    hibernating: bool,
    skip: u32,
    times: Option<u32>,
    percent: u8,
    symptom: Symptom,
}

/// The effect of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symptom {
    /// The call returns this error and has no effect.
    Error(ModelError),
    /// The call takes effect and the response is delayed (in tokio's time, so that a paused test doesn't wait).
    Latency(Duration),
    /// The request is lost and there is never a response.
    Hang,
    /// The connection is reset before the request arrives.
    Reset,
    /// The call takes effect, and the connection is reset before the response.
    ResetAfter,
    /// The call takes effect, and the response ends in the middle of its XML.
    Truncated,
    /// The call takes effect, and its response omits these instances.
    LeavesOut(BTreeSet<Ec2InstanceId>),
    /// The response names this token as the next page.
    NamesPage(String),
}

impl Symptom {
    /// Returns whether the request reaches the service.
    pub(crate) fn arrives(&self) -> bool {
        match self {
            Self::Latency(_)
            | Self::ResetAfter
            | Self::Truncated
            | Self::LeavesOut(_)
            | Self::NamesPage(_) => true,
            Self::Error(_) | Self::Hang | Self::Reset => false,
        }
    }

    /// Applies the fault to the response of a call that was carried out.
    pub(crate) fn alter(&self, answer: &mut ModelResponse) {
        match (self, answer) {
            (Self::LeavesOut(ids), ModelResponse::Changes(changes)) => {
                changes.retain(|change| !ids.contains(&change.id));
            }
            (Self::LeavesOut(ids), ModelResponse::Instances(page)) => {
                page.items.retain(|instance| !ids.contains(&instance.id));
            }
            (Self::NamesPage(token), ModelResponse::Instances(page)) => {
                page.next_token = Some(token.clone());
            }
            _ => {}
        }
    }
}

impl Fault {
    /// A fault of every call of this action.
    pub fn on(action: ApiAction, symptom: Symptom) -> Self {
        Self {
            action: Some(action),
            ..Self::everywhere(symptom)
        }
    }

    /// A fault of every call.
    pub fn everywhere(symptom: Symptom) -> Self {
        Self {
            action: None,
            scope: HomeFilter::default(),
            instance: None,
            hibernating: false,
            skip: 0,
            times: None,
            percent: 100,
            symptom,
        }
    }

    /// An error with this status and code.
    pub fn error(action: ApiAction, status: u16, code: &'static str) -> Self {
        let message = "Injected by the test.";
        Self::on(
            action,
            Symptom::Error(ModelError::with_status(status, code, message)),
        )
    }

    /// Limits the fault to calls that name this instance, alone or among others: EC2 refuses the whole call. `{id}` in
    /// an error's message is replaced by the id.
    #[must_use]
    pub fn for_instance(mut self, id: &Ec2InstanceId) -> Self {
        if let Symptom::Error(error) = &mut self.symptom {
            error.message = error.message.replace("{id}", id.as_str());
        }
        self.instance = Some(id.clone());
        self
    }

    /// Limits the fault to stops that hibernate.
    #[must_use]
    pub fn hibernating(mut self) -> Self {
        self.hibernating = true;
        self
    }

    /// Removes the fault after this many calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Starts the fault after this many calls.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Limits the fault to this percentage of calls, by the model's seed.
    #[must_use]
    pub fn percent(mut self, percent: u8) -> Self {
        self.percent = percent;
        self
    }

    /// Limits the fault to callers of this account.
    #[must_use]
    pub fn in_account(mut self, account: impl Into<String>) -> Self {
        self.scope.account = Some(account.into());
        self
    }

    /// Limits the fault to this region.
    #[must_use]
    pub fn in_region(mut self, region: impl Into<String>) -> Self {
        self.scope.region = Some(region.into());
        self
    }

    fn matches(
        &mut self,
        home: &Home,
        action: ApiAction,
        request: Option<&ApiRequest>,
        chance: &mut SeededRandom,
    ) -> bool {
        let names = |id: &Ec2InstanceId| {
            request.is_some_and(|request| request.ids().iter().any(|one| one == id.as_str()))
        };
        let hibernates = matches!(
            request,
            Some(ApiRequest::StopInstances(_, StopMode::Hibernate, _))
        );
        let concerned = self.times != Some(0)
            && self.action.is_none_or(|wanted| wanted == action)
            && self.scope.covers(home)
            && self.instance.as_ref().is_none_or(names)
            && (hibernates || !self.hibernating);
        if concerned && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        concerned && (self.percent == 100 || chance.happens(self.percent))
    }
}

/// The active faults, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActiveFaults(Vec<Fault>);

impl ActiveFaults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the effect of the first fault that matches this call, and removes the fault once it is used up.
    pub(crate) fn take_matching(
        &mut self,
        home: &Home,
        action: ApiAction,
        request: Option<&ApiRequest>,
        chance: &mut SeededRandom,
    ) -> Option<Symptom> {
        let striking = self
            .0
            .iter_mut()
            .position(|fault| fault.matches(home, action, request, chance))?;
        let fault = &mut self.0[striking];
        let symptom = fault.symptom.clone();
        fault.times = fault.times.map(|times| times - 1);
        if fault.times == Some(0) {
            self.0.remove(striking);
        }
        Some(symptom)
    }
}
