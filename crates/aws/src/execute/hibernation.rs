//! Stops instances plainly, in the same pass, that EC2 refuses to hibernate: a schedule with hibernation wants them off above
//! all. Hibernation is not tried again before the next stop.

use std::collections::BTreeMap;

use curfew_core::step::{Step, StepAction};

use super::{BatchCall, Execution, StepProgress};
use crate::error::{CloudError, CloudErrorKind, presentable};

/// The members that EC2 refused to hibernate, with its error.
#[derive(Debug, Default)]
pub(super) struct NotHibernated(BTreeMap<usize, CloudError>);

impl NotHibernated {
    /// Whether the member continues after this error, with a plain stop.
    pub(super) fn continues_after(
        &mut self,
        call: &BatchCall,
        member: usize,
        error: &CloudError,
    ) -> bool {
        // An instance that is gone, or that EC2 does not allow to be stopped, can't be stopped without hibernation either.
        let about_hibernation = matches!(
            error.kind,
            CloudErrorKind::Refused | CloudErrorKind::WrongState
        );
        let continues_after =
            *call == BatchCall::Change(StepAction::Hibernate) && about_hibernation;
        if continues_after {
            self.0.insert(member, error.repeated());
        }
        continues_after
    }

    /// Changes the reported step of a member that was stopped instead of hibernated: the call, and a note with the reason.
    pub(super) fn amend(&self, member: usize, step: &mut Step) {
        let Some(error) = self.0.get(&member) else {
            return;
        };
        step.action = StepAction::Stop;
        step.remark(format!(
            "stopped instead of hibernated: EC2 refused to hibernate it ({})",
            presentable(&error.message)
        ));
    }
}

impl Execution<'_> {
    /// Stops the members plainly that EC2 refused to hibernate.
    pub(super) fn queue_plain_stops(&mut self) {
        let refused = self.not_hibernated.0.keys().copied();
        let open: Vec<usize> = refused
            .filter(|member| matches!(self.progress[*member], StepProgress::Open))
            .collect();
        self.queue_action(StepAction::Stop, open);
    }
}
