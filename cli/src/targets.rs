//! The options that select instances, and the errors of a selection.

use clap::Args;
use curfew_aws::fleet::Scope;
use curfew_core::instance::InstanceId;
use curfew_core::schedule::{ScheduleName, known_schedules};
use curfew_core::select::{InstanceSelector, SelectError, SelectionScope, TagFilter};

use super::{CliError, Exit};

/// Selects instances by ID, or by schedule and tags combined.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// IDs of the instances to select
    #[arg(value_name = "INSTANCE")]
    instances: Vec<InstanceId>,
    /// Select instances managed by this schedule (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with = "instances")]
    schedule: Vec<ScheduleName>,
    /// Select instances with this tag; * and ? are wildcards (repeatable; all must match)
    #[arg(long, value_name = "KEY:VALUE", conflicts_with = "instances")]
    tag: Vec<TagFilter>,
    /// Select all matching instances, however many
    #[arg(long, conflicts_with = "instances")]
    all: bool,
}

impl TargetArgs {
    /// Returns the scope of the observation that the selection needs.
    pub(crate) fn scope(&self) -> Scope {
        if self.instances.is_empty() {
            Scope::All
        } else {
            Scope::Only(self.instances.iter().cloned().collect())
        }
    }
}

impl From<TargetArgs> for InstanceSelector {
    fn from(args: TargetArgs) -> Self {
        Self {
            ids: args.instances.into_iter().collect(),
            schedules: args.schedule.into_iter().collect(),
            tags: args.tag,
            scope: if args.all {
                SelectionScope::All
            } else {
                SelectionScope::Named
            },
        }
    }
}

impl From<SelectError> for CliError {
    fn from(error: SelectError) -> Self {
        const STATUS: &str =
            "`curfew status --all` lists every instance with the reason it is skipped";
        let (exit, hint) = match &error {
            SelectError::TargetRequired { .. } => (
                Exit::Usage,
                "pass an instance ID, --schedule, --tag or --all".to_owned(),
            ),
            SelectError::TooMany { .. } => {
                (Exit::Usage, "pass --all to select all of them".to_owned())
            }
            SelectError::UnknownInstance { .. } => (
                Exit::NothingMatched,
                "nothing was changed; check the ID, the region and the account".to_owned(),
            ),
            SelectError::UnknownSchedule { known, .. } => {
                (Exit::NothingMatched, known_schedules(known))
            }
            SelectError::NothingManaged => (
                Exit::NothingMatched,
                format!("add the schedule tag to an instance; {STATUS}"),
            ),
            SelectError::NotManaged { .. } => (
                Exit::NothingMatched,
                "nothing was changed; Curfew only changes instances that a schedule manages"
                    .to_owned(),
            ),
            SelectError::Protected { .. } => (
                Exit::NothingMatched,
                "nothing was changed; remove it from the selection, or resolve the reason"
                    .to_owned(),
            ),
            SelectError::NothingMatched
            | SelectError::LeftAlone { .. }
            | SelectError::AllLeftAlone { .. } => (Exit::NothingMatched, STATUS.to_owned()),
        };
        Self::new(exit, error.to_string()).hint(hint)
    }
}
