//! `plan(&World, now) -> Plan`: the whole of Curfew's judgement, as a pure function.
//!
//! A wake-up may be late, doubled or missing: a plan is made afresh from what EC2 says. Execution makes no choices, and a plan
//! made after a successful one has no steps.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::assess::decide;
use crate::govern::Governance;
use crate::instance::{Instance, InstanceId, InstanceState};
use crate::memory::{Cause, Held, Hold, Last, Who};
use crate::request::Request;
use crate::schedule::ScheduleName;
use crate::timetable::Edge;
use crate::view::Views;

/// A scheduled wake-up that arrives up to this long before the edge it names counts as that edge. LocalStack fires up to a
/// minute early, AWS never does. Longer would let a wake-up for one edge apply the next.
pub const EARLY_WAKE_UP: SignedDuration = SignedDuration::from_secs(60);

/// Everything a decision depends on, except the instant.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The schedules, and how they are bound to instances.
    pub governance: &'a Governance,
    /// What was observed in this pass: all instances, or only those that a request names.
    pub instances: &'a [Instance],
    /// What was asked for, if a person or program woke this pass.
    pub request: Option<&'a Request>,
    /// The schedule that a rule or timer named when it woke this pass. It decides nothing: it lets an early wake-up count.
    pub woken_for: Option<&'a ScheduleName>,
}

impl<'a> World<'a> {
    /// A world in which nobody asked for anything, and no schedule's wake-up may count early.
    pub fn unasked(governance: &'a Governance, instances: &'a [Instance]) -> Self {
        Self {
            governance,
            instances,
            request: None,
            woken_for: None,
        }
    }
}

/// What a pass is about to do, and what it leaves alone and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The instant of the decision.
    pub at: Timestamp,
    /// In the order of the instances observed.
    pub steps: Vec<Step>,
    /// Every instance that was looked at and has no step.
    pub skipped: Vec<Skip>,
    /// The earliest instant at which an observed instance is next due for something, once the steps are done.
    pub next_edge: Option<Timestamp>,
}

/// Decides what to do about every instance of `world` at `now`.
pub fn plan(world: &World<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan {
        at: now,
        steps: Vec::new(),
        skipped: Vec::new(),
        next_edge: None,
    };
    let mut views = Views::new(world.governance);
    for instance in world.instances {
        let (decision, next_edge) = decide(instance, views.governing(instance), world, now);
        plan.next_edge = [plan.next_edge, next_edge.map(|edge| edge.at)]
            .into_iter()
            .flatten()
            .min();
        match decision {
            Decision::Step(step) => plan.steps.push(step),
            Decision::Skip(skip) => plan.skipped.push(skip),
        }
    }
    plan
}

/// What becomes of one instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Something is done.
    Step(Step),
    /// Nothing is, for a reason.
    Skip(Skip),
}

/// One thing to do to one instance: a call, then what to remember about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The instance.
    pub instance: InstanceId,
    /// Its name, for people.
    pub name: Option<String>,
    /// Its state when the decision was made.
    pub state: InstanceState,
    /// What to do.
    pub action: StepAction,
    /// On whose behalf.
    pub cause: Cause,
    /// The edge that this applies, if it applies one.
    pub edge: Option<Edge>,
    /// A remark for people, such as why a hibernation became a plain stop.
    pub note: Option<String>,
    /// What to write to the instance's tags once the call was accepted.
    #[serde(skip)]
    pub remember: Remember,
}

/// The call a step makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// `StartInstances`.
    Start,
    /// `StopInstances`.
    Stop,
    /// `StopInstances` with hibernation.
    Hibernate,
    /// No call: only the memory is written, since the instance already is as it should be.
    Record,
}

impl fmt::Display for StepAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
            Self::Record => "record",
        })
    }
}

/// What a step writes to the instance's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remember {
    /// A new value for `curfew:last`.
    pub last: Option<Last>,
    /// What becomes of `curfew:hold`.
    pub hold: HoldChange,
}

/// What becomes of an instance's hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HoldChange {
    /// As it is.
    #[default]
    Keep,
    /// A new one replaces it.
    Set(Hold),
    /// It is removed.
    Clear,
}

/// An instance that was looked at and left alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skip {
    /// The instance.
    pub instance: InstanceId,
    /// Its name, for people.
    pub name: Option<String>,
    /// Its state.
    pub state: InstanceState,
    /// Why: a stable code for scripts.
    #[serde(flatten)]
    pub reason: SkipReason,
    /// Why: one sentence for people.
    pub detail: String,
}

/// Why nothing is done about an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum SkipReason {
    /// No tag names a schedule and no schedule takes it.
    Ungoverned,
    /// Its tag says `none`.
    OptedOut {
        /// The governing tag's key.
        tag: String,
    },
    /// Its tag names a schedule that the settings do not have.
    UnknownSchedule {
        /// The name in the tag.
        #[serde(rename = "schedule")]
        name: String,
        /// The names there are.
        known: Vec<ScheduleName>,
    },
    /// Its tag holds a schedule that can't be read.
    MalformedSchedule {
        /// The governing tag's key.
        tag: String,
        /// What is wrong with it.
        problems: Vec<String>,
    },
    /// Several schedules take it.
    Ambiguous {
        /// Those schedules.
        schedules: Vec<ScheduleName>,
    },
    /// An Auto Scaling group owns it.
    AutoScalingGroup {
        /// The group.
        group: String,
    },
    /// Its root volume would not survive a stop.
    InstanceStore,
    /// One-time Spot instances can't be stopped.
    OneTimeSpot,
    /// EC2 is still moving it from one state to another.
    InFlight,
    /// It is terminated, or about to be.
    Gone,
    /// A hold keeps hands off.
    HeldIgnored {
        /// The hold's end.
        until: Timestamp,
        /// Who placed it.
        by: Who,
    },
    /// A hold keeps it as it is.
    Held {
        /// At what.
        #[serde(rename = "held")]
        state: Held,
        /// The hold's end.
        until: Timestamp,
        /// Who placed it.
        by: Who,
    },
    /// Its hold can't be read, so nobody knows what was meant: hands off until someone mends or removes the tag.
    MalformedHold {
        /// What is wrong with it.
        problem: String,
    },
    /// It is as its schedule wants it.
    AsDesired,
    /// It is not as its schedule wants it, and that is somebody's wish: it stays until the next edge.
    LeftAlone,
    /// The newest edge is older than the schedule's catch-up limit.
    TooLate {
        /// That edge.
        edge: Edge,
    },
    /// Its schedule has said nothing since it was launched.
    NothingDue,
    /// There is no hold to end.
    NoHold,
}

impl SkipReason {
    /// The sentence for people.
    pub fn detail(&self, instance: &Instance) -> String {
        let state = instance.state;
        match self {
            Self::Ungoverned => "no schedule governs it: it has no governing tag, and no schedule's `match` takes it".into(),
            Self::OptedOut { tag } => format!("its tag `{tag}` opts it out"),
            Self::UnknownSchedule { name, known } => {
                format!("its tag names the schedule `{name}`, which does not exist; {}", one_of(known))
            }
            Self::MalformedSchedule { tag, problems } => {
                format!("its tag `{tag}` is neither a schedule's name nor a schedule: {}", problems.join("; "))
            }
            Self::Ambiguous { schedules } => {
                format!("several schedules take it ({}); name one in its tag", names(schedules))
            }
            Self::AutoScalingGroup { group } => {
                format!("the Auto Scaling group `{group}` owns it and would replace it; `include_asg = true` governs it all the same")
            }
            Self::InstanceStore => "its root volume is instance store, which does not survive a stop".into(),
            Self::OneTimeSpot => "it is a one-time Spot instance, which can't be stopped".into(),
            Self::InFlight => format!("it is {state}; a later pass looks again"),
            Self::Gone => format!("it is {state}"),
            Self::HeldIgnored { until, by } => format!("{by} asked for hands off until {until}"),
            Self::Held { state, until, by } => format!("{by} holds it {state} until {until}"),
            Self::MalformedHold { problem } => format!("{problem}; mend or remove it"),
            Self::AsDesired => format!("it is {state}, as it should be"),
            Self::LeftAlone => format!("someone made it {state} since the last edge; that stays until the next edge"),
            Self::TooLate { edge } => {
                format!("its {} of {} was missed by more than the catch-up limit", edge.action, edge.at)
            }
            Self::NothingDue => "its schedule has asked for nothing since it was launched".into(),
            Self::NoHold => "it has no hold to end".into(),
        }
    }
}

fn names(names: &[ScheduleName]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The names that could have been meant, for a sentence.
pub fn one_of(known: &[ScheduleName]) -> String {
    if known.is_empty() {
        "the settings have no schedules".into()
    } else {
        format!("there is {}", names(known))
    }
}
