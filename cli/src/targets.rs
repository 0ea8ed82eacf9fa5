//! The options that select instances, and the errors of a selection.

use clap::Args;
use curfew_aws::fleet::Scope;
use curfew_core::schedule::{ScheduleName, known_schedules};
use curfew_core::select::{
    InstanceSelector, InstanceTarget, SelectError, SelectionScope, TagFilter,
};

use super::{CliError, Exit};

/// Selects instances by ID or name, or by schedule and tags combined.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// IDs or names of the instances; a name that several have is refused
    #[arg(value_name = "INSTANCE")]
    instances: Vec<InstanceTarget>,
    /// Select the instances of this schedule (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with = "instances")]
    schedule: Vec<ScheduleName>,
    /// Select the instances with this tag, such as Team=dev*; with * and ? as wildcards (repeatable; all must match)
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "instances")]
    tag: Vec<TagFilter>,
    /// Select all matching instances, however many
    #[arg(long, conflicts_with = "instances")]
    all: bool,
}

impl TargetArgs {
    /// Returns the scope of the observation that the selection needs.
    pub(crate) fn scope(&self) -> Scope {
        let selector = InstanceSelector::from(self.clone());
        let ids = selector.sufficient_ids().cloned();
        ids.map_or(Scope::All, Scope::Only)
    }
}

impl From<TargetArgs> for InstanceSelector {
    fn from(args: TargetArgs) -> Self {
        let mut selector = Self {
            schedules: args.schedule.into_iter().collect(),
            tags: args.tag,
            scope: if args.all {
                SelectionScope::All
            } else {
                SelectionScope::Named
            },
            ..Self::default()
        };
        selector.extend(args.instances);
        selector
    }
}

impl From<SelectError> for CliError {
    fn from(error: SelectError) -> Self {
        const STATUS: &str =
            "`curfew status --all` lists every instance with the reason it is skipped";
        let (exit, hint) = match &error {
            SelectError::TargetRequired { .. } => (
                Exit::Usage,
                "pass the name or the ID of an instance, --schedule, --tag or --all".to_owned(),
            ),
            SelectError::TooMany { .. } => {
                (Exit::Usage, "pass --all to select all of them".to_owned())
            }
            SelectError::AmbiguousName { .. } => (
                Exit::Usage,
                "pass the ID of the one that is meant, or several IDs".to_owned(),
            ),
            SelectError::UnknownInstance { .. } => (
                Exit::NothingMatched,
                "check the ID, the region and the account".to_owned(),
            ),
            SelectError::UnknownName { .. } => (
                Exit::NothingMatched,
                format!("check the name, the region and the account; {STATUS}"),
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
                "Curfew only changes instances that a schedule manages".to_owned(),
            ),
            SelectError::Protected { .. } => (
                Exit::NothingMatched,
                "remove it from the selection, or resolve the reason".to_owned(),
            ),
            SelectError::NothingMatched
            | SelectError::LeftAlone { .. }
            | SelectError::AllLeftAlone { .. } => (Exit::NothingMatched, STATUS.to_owned()),
        };
        Self::new(exit, error.to_string())
            .hint(hint)
            .coded(error.code())
    }
}
