//! How instances are, and why: one view for the HTTP API, the page and the command line. The words are a contract: scripts
//! read them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::assess::Assessment;
use crate::decision::Decision;
use crate::explain::verdict;
use crate::instance::{Instance, InstanceId, InstanceState, Region};
use crate::latest::Latest;
use crate::memory::{Fallback, Last, Override, Retry, whole_second};
use crate::schedule::ScheduleName;
use crate::select::Seen;
use crate::skip::SkipCode;
use crate::step::StepAction;
use crate::timetable::{Desired, Edge};

/// A look at instances, as `/status` and `curfew status` answer it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    /// The instant of the look.
    pub at: Timestamp,
    /// One entry per instance.
    pub instances: Vec<InstanceStatus>,
    /// How many instances no schedule manages and this answer leaves out; who asks for all sees them.
    pub unmanaged: usize,
    /// The earliest instant at which something is due for one of the instances.
    pub next_edge: Option<Timestamp>,
}

impl Status {
    /// What was seen at `now`, besides `unmanaged` instances that are left out.
    pub fn of(seen: Vec<Seen<'_>>, unmanaged: usize, now: Timestamp) -> Self {
        let mut sentences = Sentences::default();
        let instances: Vec<InstanceStatus> = seen
            .into_iter()
            .map(|one| InstanceStatus::of(one.instance, one.assessment, &mut sentences, now))
            .collect();
        Self {
            at: whole_second(now),
            next_edge: instances
                .iter()
                .filter_map(|one| one.next_edge.map(|edge| edge.at))
                .min(),
            instances,
            unmanaged,
        }
    }
}

/// How one instance is, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InstanceStatus {
    /// Its id.
    pub id: InstanceId,
    /// Its name.
    pub name: Option<String>,
    /// The region it lives in.
    pub region: Region,
    /// Its type, such as `t3.micro`.
    pub instance_type: String,
    /// Its state.
    pub state: InstanceState,
    /// The schedule that manages it.
    pub schedule: Option<ScheduleName>,
    /// What its override, or else its schedule, wants now.
    pub desired: Desired,
    /// Why that is wanted: one sentence. Nothing where no schedule manages it.
    pub because: Option<String>,
    /// The newest edge or request applied to it, with its cause.
    pub last: Option<Last>,
    /// How it came to its present state, as far as it tells itself.
    pub changed: Option<Latest>,
    /// The override in force.
    #[serde(rename = "override")]
    pub override_: Option<Override>,
    /// When something is next due for it, and what.
    pub next_edge: Option<Edge>,
    /// What came to nothing, such as a start for want of capacity, and when it is tried again.
    pub retry: Option<Retry>,
    /// The type that it has for want of capacity, and the one that it gets back.
    pub fallback: Option<Fallback>,
    /// What a pass would do now; nothing when it would leave the instance alone.
    pub due: Option<StepAction>,
    /// Why a pass would leave the instance alone, as a stable code; nothing where something is due.
    pub skip: Option<SkipCode>,
    /// Why the instance is as it is, or what is due: one sentence.
    pub reason: String,
}

impl InstanceStatus {
    fn of(
        instance: &Instance,
        assessment: Assessment<'_>,
        sentences: &mut Sentences,
        now: Timestamp,
    ) -> Self {
        let because = sentences.because(&assessment, now);
        let changed = Latest::of(instance, &assessment);
        let reason = verdict(&assessment.decision);
        let (due, skip) = match assessment.decision {
            Decision::Skip(skip) => (None, Some(skip.reason.code())),
            Decision::Step(step) => (Some(step.action), None),
        };
        Self {
            id: instance.id.clone(),
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            instance_type: instance.instance_type.clone(),
            state: instance.state,
            schedule: assessment.schedule.map(|schedule| schedule.name.clone()),
            desired: assessment.desired,
            because,
            last: assessment.last,
            changed,
            override_: assessment.override_,
            next_edge: assessment.next_edge,
            retry: assessment.retry,
            fallback: assessment.fallback,
            due,
            skip,
            reason,
        }
    }
}

/// Why schedules want what they want now: a thousand instances of one schedule ask for the same sentence.
#[derive(Default)]
struct Sentences(BTreeMap<ScheduleName, String>);

impl Sentences {
    fn because(&mut self, assessment: &Assessment<'_>, now: Timestamp) -> Option<String> {
        if let Some(override_) = &assessment.override_ {
            return Some(format!("the override by {}", override_.by));
        }
        if let Some(request) = &assessment.request {
            return Some(format!("the request by {}", request.by));
        }
        match assessment.schedule.as_ref()? {
            Cow::Borrowed(schedule) => {
                let sentence = self.0.entry(schedule.name.clone());
                let sentence = sentence.or_insert_with(|| schedule.timetable.because(now));
                Some(sentence.clone())
            }
            // Written out in the instance's own tag: all of these go by one name.
            Cow::Owned(schedule) => Some(schedule.timetable.because(now)),
        }
    }
}
