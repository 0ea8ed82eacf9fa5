//! Selects the instances of a command by ids, schedules and tags, with the same rules for the HTTP API and the command line. An
//! invalid selector is refused before anything is executed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::assess::{Assessment, assess};
use crate::decision::Decision;
use crate::error_code::ErrorCode;
use crate::instance::{Instance, InstanceId};
use crate::schedule::{Pattern, ScheduleName};
use crate::schedule_set::ScheduleSet;
use crate::skip::{Skip, SkipReason};
use crate::step::Step;
use crate::tag_problem::TagProblem;
use crate::world::World;

/// The instances that a command applies to. Ids and names can't be combined with schedules or tags; schedules and tags are combined by
/// AND.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceSelector {
    /// The ids of exactly these instances.
    pub ids: BTreeSet<InstanceId>,
    /// The names of exactly these instances: each is the value of the tag `Name` of one instance only.
    pub names: BTreeSet<String>,
    /// Instances managed by one of these schedules.
    pub schedules: BTreeSet<ScheduleName>,
    /// Instances with all of these tags.
    pub tags: Vec<TagFilter>,
    /// Whether the command may apply to any number of instances.
    pub scope: SelectionScope,
}

impl InstanceSelector {
    /// Whether neither ids, names, schedules, tags nor all instances are selected.
    pub fn is_empty(&self) -> bool {
        !self.is_by_instance()
            && self.schedules.is_empty()
            && self.tags.is_empty()
            && self.scope == SelectionScope::Named
    }

    /// Whether instances are selected by their ids or names.
    pub fn is_by_instance(&self) -> bool {
        !self.ids.is_empty() || !self.names.is_empty()
    }

    /// The ids to observe, if these suffice for the selection: names have to be looked up among all instances.
    pub fn sufficient_ids(&self) -> Option<&BTreeSet<InstanceId>> {
        (!self.ids.is_empty() && self.names.is_empty()).then_some(&self.ids)
    }
}

impl Extend<InstanceTarget> for InstanceSelector {
    fn extend<T: IntoIterator<Item = InstanceTarget>>(&mut self, targets: T) {
        for target in targets {
            match target {
                InstanceTarget::Id(id) => drop(self.ids.insert(id)),
                InstanceTarget::Name(name) => drop(self.names.insert(name)),
            }
        }
    }
}

/// One instance as users write it: by its id, or by its name if only one instance has it.
///
/// ```
/// use curfew_core::select::InstanceTarget;
///
/// let target = |text: &str| text.parse::<InstanceTarget>().unwrap();
/// assert!(matches!(target("i-0abc1234def567890"), InstanceTarget::Id(_)));
/// assert!(matches!(target("web-1"), InstanceTarget::Name(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceTarget {
    /// The instance with this id.
    Id(InstanceId),
    /// The value of the tag `Name`.
    Name(String),
}

impl InstanceTarget {
    /// Finds the instance. Fails if there is none, or if several have the name.
    pub fn find<'a>(
        &self,
        instances: impl IntoIterator<Item = &'a Instance>,
    ) -> Result<&'a Instance, SelectError> {
        let mut instances = instances.into_iter();
        match self {
            Self::Id(id) => {
                let unknown = || SelectError::UnknownInstance {
                    first: id.clone(),
                    more: 0,
                };
                instances.find(|one| one.id == *id).ok_or_else(unknown)
            }
            Self::Name(name) => {
                let named = instances.filter(|one| one.name() == Some(name));
                let found: Vec<&Instance> = named.collect();
                match found.as_slice() {
                    [] => Err(SelectError::UnknownName { name: name.clone() }),
                    [only] => Ok(only),
                    several => Err(SelectError::AmbiguousName {
                        name: name.clone(),
                        found: several.len(),
                        choices: several
                            .iter()
                            .take(SelectError::CHOICES)
                            .map(|one| InstanceChoice::of(one))
                            .collect(),
                    }),
                }
            }
        }
    }
}

impl FromStr for InstanceTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        /// The limit of AWS for the value of a tag.
        const MAX_CHARACTERS: usize = 256;
        let text = text.trim();
        if text.is_empty() || text.chars().count() > MAX_CHARACTERS {
            return Err(InvalidTarget);
        }
        let id = text.parse().map(Self::Id);
        Ok(id.unwrap_or_else(|_| Self::Name(text.to_owned())))
    }
}

/// The text is empty, or too long for the value of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instance has an id, such as `i-0abc1234def567890`, or a name of up to 256 characters")]
pub struct InvalidTarget;

/// The scope of a command without ids or names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectionScope {
    /// Only instances that match, up to a limit.
    #[default]
    Named,
    /// All instances that match, without a limit; a status then lists unmanaged instances too.
    All,
}

/// A filter by tag, written `Key=Value` or `Key:Value`; the value may have the wildcards `*` and `?`. If there is a `=`, it is the first
/// one that separates, otherwise the first `:`.
///
/// ```
/// use curfew_core::select::TagFilter;
///
/// assert_eq!("Environment=dev*".parse::<TagFilter>(), "Environment:dev*".parse());
/// assert!("aws:cloudformation:stack-name=web".parse::<TagFilter>().is_ok());
/// assert!("Environment".parse::<TagFilter>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    key: String,
    value: Pattern,
}

impl TagFilter {
    /// Whether the instance has a tag that matches.
    pub fn matches(&self, instance: &Instance) -> bool {
        instance
            .tags
            .get(&self.key)
            .is_some_and(|value| self.value.matches(value))
    }
}

impl FromStr for TagFilter {
    type Err = InvalidTagFilter;

    fn from_str(text: &str) -> Result<Self, InvalidTagFilter> {
        match text.split_once('=').or_else(|| text.split_once(':')) {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: Pattern::new(value),
            }),
            _ => Err(InvalidTagFilter),
        }
    }
}

/// The text is not a tag's key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is a key and a value, such as `Environment=dev*`")]
pub struct InvalidTagFilter;

/// An observed instance, and its evaluation before any request.
#[derive(Clone, Debug)]
pub struct EvaluatedInstance<'a> {
    /// The instance as it was observed.
    pub instance: &'a Instance,
    /// The evaluation of the instance.
    pub assessment: Assessment<'a>,
}

impl<'a> EvaluatedInstance<'a> {
    /// Evaluates every instance of `world`, which carries no request.
    pub fn all(world: &World<'a>, now: Timestamp) -> Vec<Self> {
        let instances = |instance| Self {
            instance,
            assessment: assess(instance, world, now),
        };
        world.instances.iter().map(instances).collect()
    }

    /// Returns whether a request may apply to the instance.
    pub fn eligibility(&self) -> Eligibility<'_> {
        let skip = match &self.assessment.decision {
            Decision::Step(_) => return Eligibility::Managed,
            Decision::Skip(skip) => skip,
        };
        match &skip.reason {
            SkipReason::Unmanaged | SkipReason::OptedOut { .. } => Eligibility::Unmanaged(skip),
            SkipReason::UnknownSchedule { .. }
            | SkipReason::MalformedSchedule { .. }
            | SkipReason::Ambiguous { .. }
            | SkipReason::InstanceStore
            | SkipReason::OneTimeSpot
            | SkipReason::UnknownSpot { .. }
            | SkipReason::UnknownState { .. }
            | SkipReason::Terminated => Eligibility::Protected(skip),
            SkipReason::Owned(_) => Eligibility::Owned(skip),
            SkipReason::Transitioning
            | SkipReason::OverrideIgnored { .. }
            | SkipReason::Overridden { .. }
            | SkipReason::MalformedOverride { .. }
            | SkipReason::MalformedRequest { .. }
            | SkipReason::TagLimitReached
            | SkipReason::WaitingToRetry { .. }
            | SkipReason::AsDesired
            | SkipReason::ChangedByUser
            | SkipReason::TooLate { .. }
            | SkipReason::NothingDue => Eligibility::Managed,
        }
    }

    fn matches(&self, selector: &InstanceSelector) -> bool {
        let schedule = self.assessment.schedule.as_deref();
        let of_schedule = selector.schedules.is_empty()
            || schedule.is_some_and(|schedule| selector.schedules.contains(&schedule.name));
        of_schedule && selector.tags.iter().all(|tag| tag.matches(self.instance))
    }

    fn choice(&self) -> InstanceChoice {
        InstanceChoice::of(self.instance)
    }
}

/// Whether a request may apply to an instance.
#[derive(Clone, Copy, Debug)]
pub enum Eligibility<'a> {
    /// A schedule manages it.
    Managed,
    /// Curfew never starts or stops such an instance, or its schedule is unknown, malformed or ambiguous.
    Protected(&'a Skip),
    /// Another tool manages it: it can be selected only by its id or name.
    Owned(&'a Skip),
    /// No schedule manages it.
    Unmanaged(&'a Skip),
}

/// The instances that a change applies to.
#[derive(Debug)]
pub struct Selection<'s, 'a> {
    /// The instances to change.
    pub chosen: Vec<&'s EvaluatedInstance<'a>>,
    /// Instances that match as well, and can't be changed.
    pub skipped: Vec<&'s EvaluatedInstance<'a>>,
}

/// A wall time has no meaning for instances whose schedules have several time zones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a wall time, but the schedules of these instances use {} zones: {}", .0.len(), .0.join(", "))]
pub struct SeveralTimeZones(Vec<String>);

impl SeveralTimeZones {
    /// How to resolve the error.
    pub const HINT: &'static str =
        "use an instant, such as 2026-11-27T22:00:00+01:00, or a length, such as 2h30m";
}

/// The plan of a request, before it is executed.
#[derive(Debug)]
pub struct DecidedSelection<'s, 'a> {
    /// The steps to carry out.
    pub steps: Vec<Step>,
    /// The skipped instances, with the reasons.
    pub skipped: Vec<(&'s EvaluatedInstance<'a>, Skip)>,
}

impl<'s, 'a> Selection<'s, 'a> {
    /// The time zone of the schedules that manage the chosen instances, if any: that of wall times in a request. Fails if they have
    /// several.
    pub fn time_zone(&self) -> Result<Option<TimeZone>, SeveralTimeZones> {
        let mut zones: Vec<&TimeZone> = Vec::new();
        for seen in &self.chosen {
            if let Some(schedule) = &seen.assessment.schedule
                && !zones.contains(&schedule.timetable.time_zone())
            {
                zones.push(schedule.timetable.time_zone());
            }
        }
        match zones.as_slice() {
            [] => Ok(None),
            [zone] => Ok(Some((*zone).clone())),
            several => {
                let names = several.iter().map(|zone| zone.iana_name().unwrap_or("UTC"));
                Err(SeveralTimeZones(names.map(str::to_owned).collect()))
            }
        }
    }

    /// Decides about the selected instances in `world`, which carries the request for them.
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

/// The default limit of instances for a command without `all`: one batch of EC2 calls. A typo in a tag then causes an error
/// instead of stopping a fleet.
pub const DEFAULT_LIMIT: usize = 100;

/// Selects the instances to change. Fails if nothing matches, if ids, names or schedules are unknown, if a name is ambiguous, or if more
/// than `limit` instances match and the scope is not [`SelectionScope::All`].
pub fn for_change<'s, 'a>(
    selector: &InstanceSelector,
    instances: &'s [EvaluatedInstance<'a>],
    schedule_set: &ScheduleSet,
    limit: usize,
) -> Result<Selection<'s, 'a>, SelectError> {
    let selection = if selector.is_empty() {
        single_managed(instances)?
    } else if selector.is_by_instance() {
        by_instance(selector, instances)?
    } else {
        by_match(selector, instances, schedule_set)?
    };
    let found = selection.chosen.len();
    if found > limit && selector.scope == SelectionScope::Named {
        return Err(SelectError::TooMany { found, limit });
    }
    Ok(selection)
}

fn by_instance<'s, 'a>(
    selector: &InstanceSelector,
    instances: &'s [EvaluatedInstance<'a>],
) -> Result<Selection<'s, 'a>, SelectError> {
    let ids = resolved(selector, instances)?;
    let chosen = instances
        .iter()
        .filter(|one| ids.contains(&one.instance.id));
    let chosen: Vec<&EvaluatedInstance<'a>> = chosen.collect();
    for one in &chosen {
        match one.eligibility() {
            Eligibility::Managed | Eligibility::Owned(_) => {}
            Eligibility::Protected(skip) => {
                return Err(SelectError::Protected {
                    which: one.choice(),
                    detail: skip.detail.clone(),
                });
            }
            Eligibility::Unmanaged(skip) => {
                return Err(SelectError::NotManaged {
                    which: one.choice(),
                    detail: skip.detail.clone(),
                });
            }
        }
    }
    Ok(Selection {
        chosen,
        skipped: Vec::new(),
    })
}

/// The ids that are selected, and those of the names. Fails if EC2 does not know one of them, or if several instances have a name.
fn resolved(
    selector: &InstanceSelector,
    instances: &[EvaluatedInstance<'_>],
) -> Result<BTreeSet<InstanceId>, SelectError> {
    let observed: BTreeSet<&InstanceId> = instances.iter().map(|one| &one.instance.id).collect();
    let mut unknown = selector.ids.iter().filter(|id| !observed.contains(id));
    if let Some(first) = unknown.next() {
        return Err(SelectError::UnknownInstance {
            first: first.clone(),
            more: unknown.count(),
        });
    }
    let mut ids = selector.ids.clone();
    for name in &selector.names {
        let target = InstanceTarget::Name(name.clone());
        let found = target.find(instances.iter().map(|one| one.instance))?;
        ids.insert(found.id.clone());
    }
    Ok(ids)
}

/// Refuses schedules that the configuration does not have.
fn check_schedules(
    selector: &InstanceSelector,
    schedule_set: &ScheduleSet,
) -> Result<(), SelectError> {
    let unknown = selector
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

fn by_match<'s, 'a>(
    selector: &InstanceSelector,
    instances: &'s [EvaluatedInstance<'a>],
    schedule_set: &ScheduleSet,
) -> Result<Selection<'s, 'a>, SelectError> {
    check_schedules(selector, schedule_set)?;
    let mut selection = Selection {
        chosen: Vec::new(),
        skipped: Vec::new(),
    };
    for one in instances.iter().filter(|one| one.matches(selector)) {
        match one.eligibility() {
            Eligibility::Managed => selection.chosen.push(one),
            Eligibility::Protected(_) | Eligibility::Owned(_) => selection.skipped.push(one),
            // A tag selects every instance that has it, so that unmanaged ones are reported; "all" means all managed instances.
            Eligibility::Unmanaged(_) if !selector.tags.is_empty() => selection.skipped.push(one),
            Eligibility::Unmanaged(_) => {}
        }
    }
    if selection.chosen.is_empty() {
        return Err(nothing_chosen(&selection.skipped));
    }
    Ok(selection)
}

fn nothing_chosen(skipped: &[&EvaluatedInstance<'_>]) -> SelectError {
    match skipped {
        [] => SelectError::NothingMatched,
        [one] => {
            let (Eligibility::Protected(skip)
            | Eligibility::Owned(skip)
            | Eligibility::Unmanaged(skip)) = one.eligibility()
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

fn single_managed<'s, 'a>(
    instances: &'s [EvaluatedInstance<'a>],
) -> Result<Selection<'s, 'a>, SelectError> {
    let managed: Vec<&EvaluatedInstance<'a>> = instances
        .iter()
        .filter(|one| matches!(one.eligibility(), Eligibility::Managed))
        .collect();
    match managed.as_slice() {
        [] => Err(SelectError::NothingManaged),
        [_] => Ok(Selection {
            chosen: managed,
            skipped: Vec::new(),
        }),
        several => Err(SelectError::TargetRequired {
            managed: several.len(),
            choices: several
                .iter()
                .take(SelectError::CHOICES)
                .map(|one| one.choice())
                .collect(),
        }),
    }
}

/// Selects the instances that a status lists, and counts the unmanaged ones that it does not list. Instances that are unmanaged because
/// of a mistake in a tag are listed. Fails if ids, names or schedules are unknown, or a name is ambiguous.
pub fn for_status<'a>(
    selector: &InstanceSelector,
    instances: Vec<EvaluatedInstance<'a>>,
    schedule_set: &ScheduleSet,
) -> Result<(Vec<EvaluatedInstance<'a>>, usize), SelectError> {
    let ids = resolved(selector, &instances)?;
    check_schedules(selector, schedule_set)?;
    let by_instance = selector.is_by_instance();
    let all = selector.scope == SelectionScope::All || by_instance;
    let (shown, left_out): (Vec<_>, Vec<_>) = instances
        .into_iter()
        .filter(|one| !by_instance || ids.contains(&one.instance.id))
        .filter(|one| one.matches(selector))
        .partition(|one| {
            all || !matches!(one.eligibility(), Eligibility::Unmanaged(_))
                || TagProblem::of_assessed(one.instance, &one.assessment, schedule_set).is_some()
        });
    Ok((shown, left_out.len()))
}

/// Why a command is refused before anything is executed. Hints depend on the interface, which adds them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The selector is empty, and several instances are managed.
    #[error("which one? Curfew manages {managed} instances: {}", listed(choices, *managed))]
    TargetRequired {
        /// The number of managed instances.
        managed: usize,
        /// The first of them, at most 20.
        choices: Vec<InstanceChoice>,
    },
    /// The selector is empty, and no instance is managed.
    #[error("no schedule manages any instance here")]
    NothingManaged,
    /// More instances match than a command may change that does not select all.
    #[error("this is for {found} instances, more than {limit}")]
    TooMany {
        /// The number of instances that match.
        found: usize,
        /// The limit that applies.
        limit: usize,
    },
    /// EC2 has no instance with this id.
    #[error("there is no instance `{first}`{}", nor_more(*more))]
    UnknownInstance {
        /// The first unknown id.
        first: InstanceId,
        /// The number of further unknown ids.
        more: usize,
    },
    /// No instance has this name.
    #[error("there is no instance named `{}`", name.escape_debug())]
    UnknownName {
        /// The unknown name.
        name: String,
    },
    /// Several instances have this name.
    #[error("{found} instances are named `{}`: {}", name.escape_debug(), ids_of(choices, *found))]
    AmbiguousName {
        /// The name that several instances have.
        name: String,
        /// The number of instances with this name.
        found: usize,
        /// The first of them, at most 20.
        choices: Vec<InstanceChoice>,
    },
    /// The configuration has no such schedule.
    #[error("there is no schedule `{name}`")]
    UnknownSchedule {
        /// The unknown name.
        name: ScheduleName,
        /// The schedules of the configuration.
        known: Vec<ScheduleName>,
    },
    /// No managed instance matches the schedules and tags.
    #[error("no managed instance fits what was named")]
    NothingMatched,
    /// No schedule manages an instance that is selected by its id or name.
    #[error("{which}: {detail}")]
    NotManaged {
        /// The selected instance.
        which: InstanceChoice,
        /// The reason, as one sentence.
        detail: String,
    },
    /// Curfew never starts or stops an instance that is selected by its id or name.
    #[error("{which}: {detail}")]
    Protected {
        /// The selected instance.
        which: InstanceChoice,
        /// The reason, as one sentence.
        detail: String,
    },
    /// The only instance that matches can't be changed.
    #[error("{which}: {detail}")]
    LeftAlone {
        /// The instance that matches.
        which: InstanceChoice,
        /// The reason, as one sentence.
        detail: String,
    },
    /// Several instances match, and none of them can be changed.
    #[error("{found} instances fit, and every one of them is left alone")]
    AllLeftAlone {
        /// The number of instances that match.
        found: usize,
    },
}

impl SelectError {
    /// The kind of the error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TargetRequired { .. } => ErrorCode::TargetRequired,
            Self::TooMany { .. } => ErrorCode::TooMany,
            Self::UnknownInstance { .. } | Self::UnknownName { .. } => ErrorCode::UnknownInstance,
            Self::AmbiguousName { .. } => ErrorCode::AmbiguousName,
            Self::UnknownSchedule { .. } => ErrorCode::UnknownSchedule,
            Self::NothingManaged | Self::NothingMatched => ErrorCode::NothingMatched,
            Self::NotManaged { .. } => ErrorCode::NotManaged,
            Self::Protected { .. } | Self::LeftAlone { .. } | Self::AllLeftAlone { .. } => {
                ErrorCode::Protected
            }
        }
    }

    /// The most instances that the message lists; the rest is counted, so that the message stays readable.
    const CHOICES: usize = 20;

    /// Whether the error claims that no matching instance exists. The claim is unfounded if an account-region did not answer.
    pub fn claims_absence(&self) -> bool {
        match self {
            Self::UnknownInstance { .. }
            | Self::UnknownName { .. }
            | Self::NothingMatched
            | Self::NothingManaged
            | Self::LeftAlone { .. }
            | Self::AllLeftAlone { .. } => true,
            Self::TargetRequired { .. }
            | Self::TooMany { .. }
            | Self::AmbiguousName { .. }
            | Self::UnknownSchedule { .. }
            | Self::NotManaged { .. }
            | Self::Protected { .. } => false,
        }
    }

    /// The instances to choose from, if the selector is empty or a name ambiguous.
    pub fn choices(&self) -> &[InstanceChoice] {
        match self {
            Self::TargetRequired { choices, .. } | Self::AmbiguousName { choices, .. } => choices,
            _ => &[],
        }
    }
}

/// An instance that a command can select.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InstanceChoice {
    /// The instance's id.
    pub id: InstanceId,
    /// The value of its tag `Name`.
    pub name: Option<String>,
}

impl InstanceChoice {
    fn of(instance: &Instance) -> Self {
        Self {
            id: instance.id.clone(),
            name: instance.name().map(str::to_owned),
        }
    }
}

impl fmt::Display for InstanceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{}` ({})", self.id, name.escape_debug()),
            None => write!(f, "`{}`", self.id),
        }
    }
}

fn listed(choices: &[InstanceChoice], all: usize) -> String {
    joined(choices.iter().map(ToString::to_string), all)
}

fn ids_of(choices: &[InstanceChoice], all: usize) -> String {
    joined(choices.iter().map(|choice| format!("`{}`", choice.id)), all)
}

fn joined(labels: impl Iterator<Item = String>, all: usize) -> String {
    let mut labels: Vec<String> = labels.collect();
    if all > labels.len() {
        labels.push(format!("and {} more", all - labels.len()));
    }
    labels.join(", ")
}

fn nor_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(", nor {more} more of those named"),
    }
}
