//! From what was named to the instances meant: the same rules for the HTTP API and the command line. What was named wrongly
//! is refused before anything is done.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use crate::assess::{Assessment, assess};
use crate::decision::Decision;
use crate::instance::{Instance, InstanceId};
use crate::schedule::{Pattern, ScheduleName};
use crate::schedule_set::ScheduleSet;
use crate::skip::{Skip, SkipReason};
use crate::step::Step;
use crate::world::World;

/// The instances that a command is about. Ids stand alone; schedules and tags narrow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Exactly these.
    pub ids: BTreeSet<InstanceId>,
    /// Managed by one of these.
    pub schedules: BTreeSet<ScheduleName>,
    /// Carrying all of these.
    pub tags: Vec<TagFilter>,
    /// How far it may go.
    pub reach: Reach,
}

impl Targets {
    /// Whether nothing was named at all.
    pub fn are_unnamed(&self) -> bool {
        self.ids.is_empty()
            && self.schedules.is_empty()
            && self.tags.is_empty()
            && self.reach == Reach::Named
    }
}

/// How far a command without ids may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Only what is named, and not very many at once.
    #[default]
    Named,
    /// Everything that fits, however many; a status then shows unmanaged instances too.
    All,
}

/// A tag that instances carry, written `Key:Value`; the value may have the wildcards `*` and `?`.
///
/// ```
/// use curfew_core::select::TagFilter;
///
/// assert!("Environment:dev*".parse::<TagFilter>().is_ok());
/// assert!("Environment".parse::<TagFilter>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    key: String,
    value: Pattern,
}

impl TagFilter {
    /// Whether an instance carries such a tag.
    pub fn fits(&self, instance: &Instance) -> bool {
        instance
            .tags
            .get(&self.key)
            .is_some_and(|value| self.value.matches(value))
    }
}

impl FromStr for TagFilter {
    type Err = BadTagFilter;

    fn from_str(text: &str) -> Result<Self, BadTagFilter> {
        match text.split_once(':') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: Pattern::new(value),
            }),
            _ => Err(BadTagFilter),
        }
    }
}

/// Not a tag's key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is a key and a value, such as `Environment:dev*`")]
pub struct BadTagFilter;

/// One observed instance, and where it stands before anything is asked.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// The judgement on it.
    pub assessment: Assessment<'a>,
}

impl<'a> Seen<'a> {
    /// Judges every instance of `world`, which carries no request.
    pub fn all(world: &World<'a>, now: Timestamp) -> Vec<Self> {
        let seen = |instance| Self {
            instance,
            assessment: assess(instance, world, now),
        };
        world.instances.iter().map(seen).collect()
    }

    /// Whether it can be asked for at all.
    pub fn standing(&self) -> Standing<'_> {
        let skip = match &self.assessment.decision {
            Decision::Step(_) => return Standing::Managed,
            Decision::Skip(skip) => skip,
        };
        match &skip.reason {
            SkipReason::Unmanaged | SkipReason::OptedOut { .. } => Standing::Unmanaged(skip),
            SkipReason::UnknownSchedule { .. }
            | SkipReason::MalformedSchedule { .. }
            | SkipReason::Ambiguous { .. }
            | SkipReason::InstanceStore
            | SkipReason::OneTimeSpot
            | SkipReason::UnknownSpot { .. }
            | SkipReason::UnknownState { .. }
            | SkipReason::Gone => Standing::NeverTouched(skip),
            SkipReason::Owned(_) => Standing::Owned(skip),
            SkipReason::InFlight
            | SkipReason::OverrideIgnored { .. }
            | SkipReason::Overridden { .. }
            | SkipReason::MalformedOverride { .. }
            | SkipReason::MalformedRequest { .. }
            | SkipReason::NoMemory
            | SkipReason::WaitingToRetry { .. }
            | SkipReason::AsDesired
            | SkipReason::LeftAlone
            | SkipReason::TooLate { .. }
            | SkipReason::NothingDue => Standing::Managed,
        }
    }

    fn fits(&self, targets: &Targets) -> bool {
        let schedule = self.assessment.schedule.as_deref();
        let of_schedule = targets.schedules.is_empty()
            || schedule.is_some_and(|schedule| targets.schedules.contains(&schedule.name));
        of_schedule && targets.tags.iter().all(|tag| tag.fits(self.instance))
    }

    fn choice(&self) -> Choice {
        Choice {
            id: self.instance.id.clone(),
            name: self.instance.name().map(str::to_owned),
        }
    }
}

/// Whether an instance can be asked for at all.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// A schedule manages it.
    Managed,
    /// A schedule should manage it, and Curfew never touches such an instance, or can't tell which schedule is meant.
    NeverTouched(&'a Skip),
    /// A schedule should manage it, and another tool manages it: only its id names it.
    Owned(&'a Skip),
    /// No schedule manages it.
    Unmanaged(&'a Skip),
}

/// The instances that a change is for.
#[derive(Debug)]
pub struct Selection<'s, 'a> {
    /// These are changed.
    pub chosen: Vec<&'s Seen<'a>>,
    /// These fit as well, and are never touched.
    pub skipped: Vec<&'s Seen<'a>>,
}

/// What a request comes to, before anything is done.
#[derive(Debug)]
pub struct DecidedSelection<'s, 'a> {
    /// The steps to carry out.
    pub steps: Vec<Step>,
    /// The instances that are left alone, and why.
    pub skipped: Vec<(&'s Seen<'a>, Skip)>,
}

impl<'s, 'a> Selection<'s, 'a> {
    /// Decides about the chosen instances in `world`, which carries the request for them.
    pub fn decide(&self, world: &World<'_>, now: Timestamp) -> DecidedSelection<'s, 'a> {
        let mut decided = DecidedSelection {
            steps: Vec::new(),
            skipped: Vec::new(),
        };
        for seen in &self.chosen {
            match assess(seen.instance, world, now).decision {
                Decision::Step(step) => decided.steps.push(step),
                Decision::Skip(skip) => decided.skipped.push((*seen, skip)),
            }
        }
        for seen in &self.skipped {
            if let Decision::Skip(skip) = &seen.assessment.decision {
                decided.skipped.push((*seen, skip.clone()));
            }
        }
        decided
    }
}

/// Instances per command that does not say all, unless the configuration says otherwise: one batch of EC2's. A typo in a tag then
/// costs a sentence, not a fleet.
pub const DEFAULT_LIMIT: usize = 100;

/// The instances that a change is for: at most `limit`, unless all are meant.
pub fn for_change<'s, 'a>(
    targets: &Targets,
    seen: &'s [Seen<'a>],
    schedule_set: &ScheduleSet,
    limit: usize,
) -> Result<Selection<'s, 'a>, SelectError> {
    let selection = if targets.are_unnamed() {
        the_only_one(seen)?
    } else if targets.ids.is_empty() {
        by_fit(targets, seen, schedule_set)?
    } else {
        by_id(targets, seen)?
    };
    let found = selection.chosen.len();
    if found > limit && targets.reach == Reach::Named {
        return Err(SelectError::TooMany { found, limit });
    }
    Ok(selection)
}

fn by_id<'s, 'a>(
    targets: &Targets,
    seen: &'s [Seen<'a>],
) -> Result<Selection<'s, 'a>, SelectError> {
    known(targets, seen)?;
    for one in seen {
        match one.standing() {
            Standing::Managed | Standing::Owned(_) => {}
            Standing::NeverTouched(skip) => {
                return Err(SelectError::NeverTouched {
                    which: one.choice(),
                    detail: skip.detail.clone(),
                });
            }
            Standing::Unmanaged(skip) => {
                return Err(SelectError::NotManaged {
                    which: one.choice(),
                    detail: skip.detail.clone(),
                });
            }
        }
    }
    Ok(Selection {
        chosen: seen.iter().collect(),
        skipped: Vec::new(),
    })
}

/// Refuses ids that EC2 does not know.
fn known(targets: &Targets, seen: &[Seen<'_>]) -> Result<(), SelectError> {
    let mut unknown = targets
        .ids
        .iter()
        .filter(|id| !seen.iter().any(|one| one.instance.id == **id));
    match unknown.next() {
        None => Ok(()),
        Some(first) => Err(SelectError::UnknownInstance {
            first: first.clone(),
            more: unknown.count(),
        }),
    }
}

/// Refuses schedules that the configuration do not have.
fn known_schedules(targets: &Targets, schedule_set: &ScheduleSet) -> Result<(), SelectError> {
    let unknown = targets
        .schedules
        .iter()
        .find(|name| !schedule_set.schedules.contains_key(*name) && name.as_str() != "inline");
    match unknown {
        None => Ok(()),
        Some(name) => Err(SelectError::UnknownSchedule {
            name: name.clone(),
            known: schedule_set.schedules.keys().cloned().collect(),
        }),
    }
}

fn by_fit<'s, 'a>(
    targets: &Targets,
    seen: &'s [Seen<'a>],
    schedule_set: &ScheduleSet,
) -> Result<Selection<'s, 'a>, SelectError> {
    known_schedules(targets, schedule_set)?;
    let mut selection = Selection {
        chosen: Vec::new(),
        skipped: Vec::new(),
    };
    for one in seen.iter().filter(|one| one.fits(targets)) {
        match one.standing() {
            Standing::Managed => selection.chosen.push(one),
            Standing::NeverTouched(_) | Standing::Owned(_) => selection.skipped.push(one),
            // Who names a tag means every instance that has it; who says "all" means all that Curfew manages.
            Standing::Unmanaged(_) if !targets.tags.is_empty() => selection.skipped.push(one),
            Standing::Unmanaged(_) => {}
        }
    }
    if selection.chosen.is_empty() {
        return Err(nothing_chosen(&selection.skipped));
    }
    Ok(selection)
}

fn nothing_chosen(skipped: &[&Seen<'_>]) -> SelectError {
    match skipped {
        [] => SelectError::NothingMatched,
        [one] => {
            let (Standing::NeverTouched(skip) | Standing::Owned(skip) | Standing::Unmanaged(skip)) =
                one.standing()
            else {
                unreachable!("what is managed is chosen, not skipped")
            };
            SelectError::LeftAlone {
                which: one.choice(),
                detail: skip.detail.clone(),
            }
        }
        several => SelectError::AllLeftAlone {
            found: several.len(),
        },
    }
}

fn the_only_one<'s, 'a>(seen: &'s [Seen<'a>]) -> Result<Selection<'s, 'a>, SelectError> {
    let managed: Vec<&Seen<'a>> = seen
        .iter()
        .filter(|one| matches!(one.standing(), Standing::Managed))
        .collect();
    match managed.as_slice() {
        [] => Err(SelectError::NothingManaged),
        [_] => Ok(Selection {
            chosen: managed,
            skipped: Vec::new(),
        }),
        several => Err(SelectError::TargetNeeded {
            managed: several.len(),
            choices: several
                .iter()
                .take(SelectError::CHOICES)
                .map(|one| one.choice())
                .collect(),
        }),
    }
}

/// The instances that a status shows, and how many it leaves out because no schedule manages them.
pub fn for_status<'a>(
    targets: &Targets,
    seen: Vec<Seen<'a>>,
    schedule_set: &ScheduleSet,
) -> Result<(Vec<Seen<'a>>, usize), SelectError> {
    known(targets, &seen)?;
    known_schedules(targets, schedule_set)?;
    let all = targets.reach == Reach::All || !targets.ids.is_empty();
    let (shown, left_out): (Vec<_>, Vec<_>) = seen
        .into_iter()
        .filter(|one| one.fits(targets))
        .partition(|one| all || !matches!(one.standing(), Standing::Unmanaged(_)));
    Ok((shown, left_out.len()))
}

/// Why a command is refused before anything is done. What to do about it depends on how it was asked, so the hint is the
/// shell's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Nothing was named, and several instances are managed.
    #[error("which one? Curfew manages {managed} instances: {}", listed(choices, *managed))]
    TargetNeeded {
        /// How many.
        managed: usize,
        /// The first of them.
        choices: Vec<Choice>,
    },
    /// Nothing was named, and nothing is managed.
    #[error("no schedule manages any instance here")]
    NothingManaged,
    /// More instances than one command changes that does not say all.
    #[error("this is for {found} instances, more than {limit}")]
    TooMany {
        /// How many.
        found: usize,
        /// How many may be.
        limit: usize,
    },
    /// EC2 knows no such instance.
    #[error("there is no instance `{first}`{}", nor_more(*more))]
    UnknownInstance {
        /// The first one that it does not know.
        first: InstanceId,
        /// How many others it does not know either.
        more: usize,
    },
    /// The configuration has no such schedule.
    #[error("there is no schedule `{name}`")]
    UnknownSchedule {
        /// The name.
        name: ScheduleName,
        /// The names there are.
        known: Vec<ScheduleName>,
    },
    /// Nothing fits the schedules and tags that were named.
    #[error("no managed instance fits what was named")]
    NothingMatched,
    /// No schedule manages an instance that was named by its id.
    #[error("{which}: {detail}")]
    NotManaged {
        /// The instance.
        which: Choice,
        /// Why not.
        detail: String,
    },
    /// Curfew never touches an instance that was named by its id.
    #[error("{which}: {detail}")]
    NeverTouched {
        /// The instance.
        which: Choice,
        /// Why not.
        detail: String,
    },
    /// The one instance that fits is left alone.
    #[error("{which}: {detail}")]
    LeftAlone {
        /// The instance.
        which: Choice,
        /// Why.
        detail: String,
    },
    /// Several instances fit, and every one of them is left alone.
    #[error("{found} instances fit, and every one of them is left alone")]
    AllLeftAlone {
        /// How many.
        found: usize,
    },
}

impl SelectError {
    /// Choices that are still read; the rest is counted.
    const CHOICES: usize = 20;

    /// Whether it says that there is nothing of what was asked for. Where an account-region did not answer, nobody can say so.
    pub fn claims_absence(&self) -> bool {
        match self {
            Self::UnknownInstance { .. }
            | Self::NothingMatched
            | Self::NothingManaged
            | Self::LeftAlone { .. }
            | Self::AllLeftAlone { .. } => true,
            Self::TargetNeeded { .. }
            | Self::TooMany { .. }
            | Self::UnknownSchedule { .. }
            | Self::NotManaged { .. }
            | Self::NeverTouched { .. } => false,
        }
    }

    /// The instances to choose from, where none was named.
    pub fn choices(&self) -> &[Choice] {
        match self {
            Self::TargetNeeded { choices, .. } => choices,
            _ => &[],
        }
    }
}

/// An instance that a command could have named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// Its id.
    pub id: InstanceId,
    /// Its name.
    pub name: Option<String>,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{}` ({})", self.id, name.escape_debug()),
            None => write!(f, "`{}`", self.id),
        }
    }
}

fn listed(choices: &[Choice], all: usize) -> String {
    let mut labels: Vec<String> = choices.iter().map(ToString::to_string).collect();
    if all > choices.len() {
        labels.push(format!("and {} more", all - choices.len()));
    }
    labels.join(", ")
}

fn nor_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(", nor {more} more of those named"),
    }
}
