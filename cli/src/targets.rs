//! Which instances a command is about: flags in, and what was named wrongly as an error with its exit code.

use clap::Args;
use curfew_aws::fleet::Scope;
use curfew_core::instance::InstanceId;
use curfew_core::schedule::{ScheduleName, one_of};
use curfew_core::select::{InstanceSelector, SelectError, SelectionScope, TagFilter};

use super::{CliError, Exit};

/// Which instances: by id, or by schedule and tags, which narrow each other.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// Instances by id
    #[arg(value_name = "INSTANCE")]
    instances: Vec<InstanceId>,
    /// Instances that this schedule manages; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "instances")]
    schedule: Vec<ScheduleName>,
    /// Instances with this tag, * and ? being wildcards; may be repeated, and then all must fit
    #[arg(long, value_name = "KEY:VALUE", conflicts_with = "instances")]
    tag: Vec<TagFilter>,
    /// All instances that fit, however many
    #[arg(long, conflicts_with = "instances")]
    all: bool,
}

impl TargetArgs {
    /// What has to be looked at.
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
            "`curfew status --all` lists every instance and says why it is left alone";
        let (exit, hint) = match &error {
            SelectError::TargetNeeded { .. } => (
                Exit::Usage,
                "name one by its id, several with --schedule or --tag, or say --all".to_owned(),
            ),
            SelectError::TooMany { .. } => {
                (Exit::Usage, "add --all if all of them are meant".to_owned())
            }
            SelectError::UnknownInstance { .. } => (
                Exit::NothingMatched,
                "nothing was done; check the id, the region and the account".to_owned(),
            ),
            SelectError::UnknownSchedule { known, .. } => (Exit::NothingMatched, one_of(known)),
            SelectError::NothingManaged => (
                Exit::NothingMatched,
                format!("give an instance the managing tag; {STATUS}"),
            ),
            SelectError::NotManaged { .. } => (
                Exit::NothingMatched,
                "nothing was done; Curfew only changes instances that a schedule manages"
                    .to_owned(),
            ),
            SelectError::Protected { .. } => (
                Exit::NothingMatched,
                "nothing was done; leave it out, or change what the reason names".to_owned(),
            ),
            SelectError::NothingMatched
            | SelectError::LeftAlone { .. }
            | SelectError::AllLeftAlone { .. } => (Exit::NothingMatched, STATUS.to_owned()),
        };
        Self::new(exit, error.to_string()).hint(hint)
    }
}
