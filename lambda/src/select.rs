//! From what was named to the instances meant. What was named wrongly is refused before anything is done.

use curfew_core::assess::{Assessment, assess};
use curfew_core::govern::Governance;
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::plan::{Decision, Skip, SkipReason, World};
use jiff::Timestamp;

use crate::command::{Reach, Targets};
use crate::refusal::{Choice, Code, Refusal};

/// One observed instance, and where it stands before anything is asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) assessment: Assessment<'a>,
}

impl<'a> Seen<'a> {
    /// Judges every instance of `world`, which carries no request.
    pub(crate) fn all(world: &World<'a>, now: Timestamp) -> Vec<Self> {
        let seen = |instance| Self {
            instance,
            assessment: assess(instance, world, now),
        };
        world.instances.iter().map(seen).collect()
    }

    pub(crate) fn standing(&self) -> Standing<'_> {
        let skip = match &self.assessment.decision {
            Decision::Step(_) => return Standing::Governed,
            Decision::Skip(skip) => skip,
        };
        match &skip.reason {
            SkipReason::Ungoverned | SkipReason::OptedOut { .. } => Standing::Ungoverned(skip),
            SkipReason::UnknownSchedule { .. }
            | SkipReason::MalformedSchedule { .. }
            | SkipReason::Ambiguous { .. }
            | SkipReason::AutoScalingGroup { .. }
            | SkipReason::InstanceStore
            | SkipReason::OneTimeSpot
            | SkipReason::Gone => Standing::NeverTouched(skip),
            SkipReason::InFlight
            | SkipReason::HeldIgnored { .. }
            | SkipReason::Held { .. }
            | SkipReason::MalformedHold { .. }
            | SkipReason::AsDesired
            | SkipReason::LeftAlone
            | SkipReason::TooLate { .. }
            | SkipReason::NothingDue
            | SkipReason::NoHold => Standing::Governed,
        }
    }

    fn fits(&self, targets: &Targets) -> bool {
        let schedule = self.assessment.schedule.as_deref();
        let of_schedule = targets.schedules.is_empty()
            || schedule.is_some_and(|schedule| targets.schedules.contains(&schedule.name));
        of_schedule && targets.tags.iter().all(|tag| tag.fits(self.instance))
    }

    fn label(&self) -> String {
        match self.instance.name() {
            Some(name) => format!("`{}` ({})", self.instance.id, name.escape_debug()),
            None => format!("`{}`", self.instance.id),
        }
    }
}

/// Whether an instance can be asked for at all.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing<'a> {
    /// A schedule governs it.
    Governed,
    /// A schedule should govern it, and Curfew never touches such an instance, or can't tell which schedule is meant.
    NeverTouched(&'a Skip),
    /// No schedule governs it.
    Ungoverned(&'a Skip),
}

/// The instances that a change is for.
#[derive(Debug)]
pub(crate) struct Selection<'s, 'a> {
    /// These are changed.
    pub(crate) chosen: Vec<&'s Seen<'a>>,
    /// These fit as well, and are never touched.
    pub(crate) skipped: Vec<&'s Seen<'a>>,
}

/// Instances per request that does not say `all=true`: one batch of EC2's. A typo in a tag then costs a sentence, not a fleet.
pub(crate) const MOST: usize = 100;

/// The instances that a change is for.
pub(crate) fn for_change<'s, 'a>(
    targets: &Targets,
    seen: &'s [Seen<'a>],
    governance: &Governance,
) -> Result<Selection<'s, 'a>, Refusal> {
    let selection = if targets.are_unnamed() {
        the_only_one(seen)?
    } else if targets.ids.is_empty() {
        by_fit(targets, seen, governance)?
    } else {
        by_id(targets, seen)?
    };
    let many = selection.chosen.len();
    if many > MOST && targets.reach == Reach::Named {
        return Err(Refusal::new(
            Code::TooMany,
            format!("this is for {many} instances, more than {MOST}"),
            "add `all=true` if all of them are meant",
        ));
    }
    Ok(selection)
}

fn by_id<'s, 'a>(targets: &Targets, seen: &'s [Seen<'a>]) -> Result<Selection<'s, 'a>, Refusal> {
    known(targets, seen)?;
    for one in seen {
        match one.standing() {
            Standing::Governed => {}
            Standing::NeverTouched(skip) => {
                return Err(Refusal::new(
                    Code::NeverTouched,
                    format!("{}: {}", one.label(), skip.detail),
                    "nothing was done; leave it out, or change what the reason names",
                ));
            }
            Standing::Ungoverned(skip) => {
                return Err(Refusal::new(
                    Code::NotGoverned,
                    format!("{}: {}", one.label(), skip.detail),
                    "nothing was done; Curfew only changes instances that a schedule governs",
                ));
            }
        }
    }
    Ok(Selection {
        chosen: seen.iter().collect(),
        skipped: Vec::new(),
    })
}

/// Refuses ids that EC2 does not know.
pub(crate) fn known(targets: &Targets, seen: &[Seen<'_>]) -> Result<(), Refusal> {
    let unknown: Vec<&InstanceId> = targets
        .ids
        .iter()
        .filter(|id| !seen.iter().any(|one| one.instance.id == **id))
        .collect();
    let Some(first) = unknown.first() else {
        return Ok(());
    };
    let more = match unknown.len() - 1 {
        0 => String::new(),
        more => format!(", nor {more} more of those named"),
    };
    Err(Refusal::new(
        Code::UnknownInstance,
        format!("there is no instance `{first}`{more}"),
        "nothing was done; check the id, the region and the account",
    ))
}

/// Refuses schedules that the settings do not have.
pub(crate) fn known_schedules(targets: &Targets, governance: &Governance) -> Result<(), Refusal> {
    let unknown = targets
        .schedules
        .iter()
        .find(|name| !governance.schedules.contains_key(*name) && name.as_str() != "inline");
    let Some(unknown) = unknown else {
        return Ok(());
    };
    let names: Vec<String> = governance
        .schedules
        .keys()
        .map(|name| format!("`{name}`"))
        .collect();
    let there_is = if names.is_empty() {
        "the settings have no schedules".to_owned()
    } else {
        format!("there is {}", names.join(", "))
    };
    Err(Refusal::new(
        Code::UnknownSchedule,
        format!("there is no schedule `{unknown}`"),
        there_is,
    ))
}

fn by_fit<'s, 'a>(
    targets: &Targets,
    seen: &'s [Seen<'a>],
    governance: &Governance,
) -> Result<Selection<'s, 'a>, Refusal> {
    known_schedules(targets, governance)?;
    let mut selection = Selection {
        chosen: Vec::new(),
        skipped: Vec::new(),
    };
    for one in seen.iter().filter(|one| one.fits(targets)) {
        match one.standing() {
            Standing::Governed => selection.chosen.push(one),
            Standing::NeverTouched(_) => selection.skipped.push(one),
            // Who names a tag means every instance that has it; who says "all" means all that Curfew governs.
            Standing::Ungoverned(_) if !targets.tags.is_empty() => selection.skipped.push(one),
            Standing::Ungoverned(_) => {}
        }
    }
    if selection.chosen.is_empty() {
        return Err(nothing_chosen(&selection.skipped));
    }
    Ok(selection)
}

fn nothing_chosen(skipped: &[&Seen<'_>]) -> Refusal {
    let hint = "`/status?all=true` lists every instance and says why it is left alone";
    match skipped {
        [] => Refusal::new(
            Code::NothingMatched,
            "no governed instance fits what was named",
            hint,
        ),
        [one] => {
            let (Standing::NeverTouched(skip) | Standing::Ungoverned(skip)) = one.standing() else {
                unreachable!("what is governed is chosen, not skipped")
            };
            let message = format!("{}: {}", one.label(), skip.detail);
            Refusal::new(Code::NeverTouched, message, hint)
        }
        several => Refusal::new(
            Code::NeverTouched,
            format!(
                "{} instances fit, and every one of them is left alone",
                several.len()
            ),
            hint,
        ),
    }
}

fn the_only_one<'s, 'a>(seen: &'s [Seen<'a>]) -> Result<Selection<'s, 'a>, Refusal> {
    /// Choices that are still read; the rest is counted.
    const SHOWN: usize = 20;
    let governed: Vec<&Seen<'a>> = seen
        .iter()
        .filter(|one| matches!(one.standing(), Standing::Governed))
        .collect();
    match governed.as_slice() {
        [] => Err(Refusal::new(
            Code::NothingMatched,
            "no schedule governs any instance here",
            "give an instance the governing tag; `/status?all=true` lists every instance and says why it is left alone",
        )),
        [_] => Ok(Selection {
            chosen: governed,
            skipped: Vec::new(),
        }),
        several => {
            let mut labels: Vec<String> =
                several.iter().take(SHOWN).map(|one| one.label()).collect();
            if several.len() > SHOWN {
                labels.push(format!("and {} more", several.len() - SHOWN));
            }
            let mut refusal = Refusal::new(
                Code::TargetNeeded,
                format!(
                    "which one? Curfew governs {} instances: {}",
                    several.len(),
                    labels.join(", ")
                ),
                "name one with `instance=ID`, several with `schedule=NAME` or `tag=Key:Value`, or say `all=true`",
            );
            refusal.choices = several
                .iter()
                .take(SHOWN)
                .map(|one| Choice {
                    id: one.instance.id.clone(),
                    name: one.instance.name().map(str::to_owned),
                })
                .collect();
            Err(refusal)
        }
    }
}

/// The instances that `/status` shows, and how many it leaves out because no schedule governs them.
pub(crate) fn for_status<'a>(
    targets: &Targets,
    seen: Vec<Seen<'a>>,
    governance: &Governance,
) -> Result<(Vec<Seen<'a>>, usize), Refusal> {
    known(targets, &seen)?;
    known_schedules(targets, governance)?;
    let all = targets.reach == Reach::All || !targets.ids.is_empty();
    let (shown, left_out): (Vec<_>, Vec<_>) = seen
        .into_iter()
        .filter(|one| one.fits(targets))
        .partition(|one| all || !matches!(one.standing(), Standing::Ungoverned(_)));
    Ok((shown, left_out.len()))
}
