//! What EC2 refuses to hibernate is stopped plainly, in the same pass: a schedule that hibernates wants its instances off first of
//! all. Hibernation is not asked for again before the next stop.

use std::collections::BTreeMap;

use curfew_core::step::{Step, StepAction};

use super::{BatchCall, Execution, StepProgress};
use crate::error::{CloudError, CloudErrorKind, presentable};

/// The members that EC2 refused to hibernate, and why.
#[derive(Debug, Default)]
pub(super) struct NotHibernated(BTreeMap<usize, CloudError>);

impl NotHibernated {
    /// Whether this is no reason to give the member up: it can be stopped plainly.
    pub(super) fn goes_on(&mut self, call: &BatchCall, member: usize, error: &CloudError) -> bool {
        // An instance that may not be stopped at all, or is gone, may not be stopped plainly either.
        let about_hibernation = matches!(
            error.kind,
            CloudErrorKind::Refused | CloudErrorKind::WrongState
        );
        let goes_on = *call == BatchCall::Change(StepAction::Hibernate) && about_hibernation;
        if goes_on {
            self.0.insert(member, error.repeated());
        }
        goes_on
    }

    /// What is told of the step of a member that was not hibernated: the call that was made instead, and why.
    pub(super) fn amend(&self, member: usize, step: &mut Step) {
        let Some(error) = self.0.get(&member) else {
            return;
        };
        step.action = StepAction::Stop;
        step.remark(format!(
            "stopped plainly: EC2 refused to hibernate it ({})",
            presentable(&error.message)
        ));
    }
}

impl Execution<'_> {
    /// Stops plainly what EC2 refused to hibernate.
    pub(super) fn queue_plain_stops(&mut self) {
        let refused = self.not_hibernated.0.keys().copied();
        let open: Vec<usize> = refused
            .filter(|member| matches!(self.progress[*member], StepProgress::Open))
            .collect();
        self.queue_change(StepAction::Stop, open);
    }
}
