//! The instances of every account and region, seen as one fleet, and where each of them is.

use std::collections::{BTreeMap, HashMap};

use curfew_aws::execute::{Deadline, Outcome};
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{MemberError, MemberFleet, Organisation};
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::membership::Member;
use curfew_core::plan::Step;

use super::CliError;
use super::output::count;
use crate::progress::{self, Progress};

/// What was seen, and who did not answer.
pub(super) struct Seen {
    pub(super) instances: Vec<Instance>,
    pub(super) places: Places,
    pub(super) failures: Vec<MemberError>,
}

/// Looks for the instances of `scope` everywhere; fails if nobody answers.
pub(super) async fn observe(
    organisation: &Organisation,
    scope: &Scope,
    progress: &dyn Progress,
) -> Result<Seen, CliError> {
    let looking = organisation.observe(scope, Deadline::NONE);
    let survey = progress::patiently(progress, LOOKING, looking, |survey| {
        let instances = survey.answers.iter().map(|(_, instances)| instances.len());
        looked_at(instances.sum())
    });
    let mut survey = survey.await;
    if survey.answers.is_empty() && !survey.failures.is_empty() {
        return Err(survey.failures.swap_remove(0).into());
    }
    let places = Places::of(
        survey
            .answers
            .iter()
            .map(|(one, instances)| (one, instances.as_slice())),
    );
    let instances = survey.answers.into_iter();
    Ok(Seen {
        instances: instances.flat_map(|(_, instances)| instances).collect(),
        places,
        failures: survey.failures,
    })
}

/// What is shown of a look that takes its time.
pub(super) const LOOKING: &str = "Looking at the instances";

pub(super) fn looked_at(instances: usize) -> String {
    format!("Looked at {} instances", count(instances))
}

/// Where each instance is.
pub(super) struct Places(HashMap<InstanceId, Member>);

impl Places {
    /// Of what each member showed.
    pub(super) fn of<'a>(seen: impl Iterator<Item = (&'a MemberFleet, &'a [Instance])>) -> Self {
        let placed = seen.flat_map(|(one, instances)| {
            let places = instances.iter();
            places.map(|instance| (instance.id.clone(), one.member.clone()))
        });
        Self(placed.collect())
    }

    /// Carries out steps where their instances are.
    pub(super) async fn carry_out(
        &self,
        organisation: &Organisation,
        instances: &[Instance],
        steps: Vec<Step>,
        progress: &dyn Progress,
    ) -> Vec<Outcome> {
        let all = count(steps.len());
        let step = format!("Carrying out {all} steps");
        let work = organisation.execute(instances, self.sorted(steps), Deadline::NONE);
        progress::patiently(progress, &step, work, |_| {
            format!("Carried out {all} steps")
        })
        .await
    }

    fn sorted(&self, steps: Vec<Step>) -> Vec<(Member, Vec<Step>)> {
        let mut sorted: BTreeMap<Member, Vec<Step>> = BTreeMap::new();
        for step in steps {
            let place = self.0.get(&step.instance);
            let place = place.expect("a step is for an instance that was seen");
            sorted.entry(place.clone()).or_default().push(step);
        }
        sorted.into_iter().collect()
    }
}

/// Where was looked, in words.
pub(super) fn place(organisation: &Organisation) -> String {
    match organisation.members() {
        [only] => only.member.to_string(),
        several => format!("the {} accounts and regions of the settings", several.len()),
    }
}
