//! The guarantees, checked by the calls that EC2 received, the states that it went through, and the tags it has.

use std::collections::{BTreeMap, BTreeSet};

use curfew_aws::execute::StepResult;
use curfew_aws::pass::Pass;
use curfew_core::plan::Plan;
use curfew_core::schedule::{Enforcement, Schedule, ScheduleName};
use curfew_core::skip::Skip;
use curfew_core::state_tags::{
    Cause, LAST_TAG, LastApplied, Override, REQUEST_TAG, RecordedRequest, override_in_force,
};
use curfew_core::timetable::{Action, Desired};
use curfew_model::{
    AUTO_SCALING_TAG, Ec2Instance, Ec2InstanceId, Ec2InstanceState, RootDeviceType, SpotKind,
};
use jiff::Timestamp;

use super::history::{Before, FLEET, MANAGED};
use super::world::World;

/// The state needed to check the guarantees.
#[derive(Default)]
pub(crate) struct Promises {
    /// What a person last did by hand after all edges were applied: it must stay until then.
    wishes: BTreeMap<Ec2InstanceId, Option<Timestamp>>,
    /// Each edge that led to an action, and whether the action or its record failed.
    acted: BTreeMap<(Ec2InstanceId, Timestamp, Action), Came>,
    /// Changed by a user during the pass: the expected result is undefined.
    away: BTreeSet<Ec2InstanceId>,
    /// Instances with a request: this pass executes it, and nothing else.
    asked: Option<Ec2InstanceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Through,
    ToNothing,
}

impl Promises {
    /// The actions of this instance's edges failed: they may be repeated.
    pub(crate) fn excuse(&mut self, id: &Ec2InstanceId) {
        for ((acted, ..), came) in &mut self.acted {
            if acted == id {
                *came = Came::ToNothing;
            }
        }
    }

    pub(crate) fn look_away(&mut self, id: &Ec2InstanceId) {
        self.away.insert(id.clone());
    }

    pub(crate) fn asked_for(&mut self, id: &Ec2InstanceId) {
        self.asked = Some(id.clone());
    }

    pub(crate) fn nothing_is_wished(&mut self, id: &Ec2InstanceId) {
        self.wishes.remove(id);
    }

    /// The state tags were removed, or belong to another schedule.
    pub(crate) fn begin_anew(&mut self, id: &Ec2InstanceId) {
        self.acted.retain(|(acted, ..), _| acted != id);
    }

    /// A person's change must be respected if everything due was done before it, as `plan` says.
    pub(crate) fn somebody_changed(
        &mut self,
        world: &World,
        id: &Ec2InstanceId,
        plan: Option<&Plan>,
    ) {
        let skip = plan.and_then(|plan| skip_of(plan, id));
        let all_was_done = skip.is_some_and(|skip| {
            ["as_desired", "manual_override", "nothing_due", "too_late"]
                .contains(&code(skip).as_str())
        });
        let Some(schedule) = schedule(world, &world.ec2.instance(id)) else {
            return;
        };
        // Within 15 seconds of a request, such a change can't be distinguished from a concurrent call.
        let settled = last(world, id).is_some_and(|last| !last.pending);
        if all_was_done && settled && schedule.enforcement == Enforcement::OncePerEdge {
            let now = world.now();
            let since = last(world, id).map_or(now, |last| last.at.max(now));
            let until = schedule.timetable.next_edge(since).map(|edge| edge.at);
            self.wishes.insert(id.clone(), until);
        }
    }

    /// Checks all guarantees about a pass; one that failed as a whole does not count.
    pub(crate) fn check(&mut self, world: &World, before: &Before, pass: Option<&Pass>) {
        assert_only_managed_are_touched(world, before, self.asked.as_ref());
        let transitions = world.ec2.transitions();
        let mut moved = BTreeSet::new();
        for transition in &transitions[before.transitions..] {
            let id = &transition.instance;
            let action = match (transition.from, transition.to) {
                (Some(Ec2InstanceState::Stopped), Ec2InstanceState::Pending) => Action::Start,
                (_, Ec2InstanceState::Stopping) => Action::Stop,
                _ => continue,
            };
            if self.away.contains(id) {
                continue;
            }
            let pass = pass.expect("a pass that could not look does nothing");
            assert!(moved.insert(id.clone()), "{id} was moved twice in one pass");
            self.check_action(world, before, pass, id, action);
        }
        if let Some(pass) = pass {
            let without_request =
                |id: &&Ec2InstanceId| !self.away.contains(*id) && self.asked.as_ref() != Some(id);
            let managed = before.instances.iter().filter(|(_, one)| is_managed(one));
            for id in managed.map(|(id, _)| id).filter(without_request) {
                assert_applied_or_reported(world, pass, id);
            }
        }
        self.away.clear();
        self.asked = None;
    }

    fn check_action(
        &mut self,
        world: &World,
        before: &Before,
        pass: &Pass,
        id: &Ec2InstanceId,
        action: Action,
    ) {
        let outcome = pass
            .outcomes
            .iter()
            .find(|outcome| outcome.step.instance.as_str() == id.as_str())
            .unwrap_or_else(|| panic!("{id}: {action} without a step"));
        let step = &outcome.step;
        if let Some(until) = self.wishes.get(id) {
            assert!(
                until.is_some_and(|until| pass.at >= until),
                "a person's change is undone before the next edge, {until:?}: {outcome:#?}"
            );
        }
        let held = override_in_force(&before.instances[id].tags, pass.at);
        if let (Ok(Some(_)), Cause::Schedule(_)) = (held, &step.cause) {
            panic!("an override is broken: {outcome:#?}");
        }
        let Some(schedule) = schedule(world, &before.instances[id]) else {
            assert!(is_owned(&before.instances[id]), "{outcome:#?}");
            return;
        };
        let Some(edge) = step
            .edge
            .filter(|_| schedule.enforcement == Enforcement::OncePerEdge)
        else {
            return;
        };
        let came = match outcome.result {
            StepResult::Done { .. } => Came::Through,
            _ => Came::ToNothing,
        };
        let earlier = self.acted.insert((id.clone(), edge.at, action), came);
        assert_ne!(
            earlier,
            Some(Came::Through),
            "a second action for one edge: {outcome:#?}"
        );
    }
}

/// Asserts, once all faults are over and all states settled, that the instance is as its override wants it, or its schedule
/// where that is enforced.
pub(crate) fn assert_as_wanted(world: &World, id: &Ec2InstanceId) {
    let instance = world.ec2.instance(id);
    if !is_managed(&instance) {
        return;
    }
    let schedule = schedule(world, &instance).expect("it is managed");
    let wanted = match (override_(world, id), schedule.enforcement) {
        (Some(override_), _) => override_.state.desired(),
        (None, Enforcement::Enforced) => {
            let request = instance.tags.get(REQUEST_TAG);
            let request = request.and_then(|tag| tag.parse::<RecordedRequest>().ok());
            let edge = schedule.timetable.last_edge(world.now());
            // A request is valid until the next edge.
            match request.filter(|one| edge.is_none_or(|edge| one.at >= edge.at)) {
                Some(request) if request.action == Action::Start => Desired::Running,
                Some(_) => Desired::Stopped,
                None => schedule.timetable.desired(world.now()),
            }
        }
        (None, Enforcement::OncePerEdge) => Desired::Unmanaged,
    };
    match wanted {
        Desired::Running => assert_eq!(instance.state, Ec2InstanceState::Running, "{instance:#?}"),
        Desired::Stopped => assert_eq!(instance.state, Ec2InstanceState::Stopped, "{instance:#?}"),
        Desired::Unmanaged => {}
    }
}

/// No changing call names an instance that is neither managed nor allowed to be changed. An instance that another tool
/// manages is changed only by a request or override for it.
fn assert_only_managed_are_touched(world: &World, before: &Before, asked: Option<&Ec2InstanceId>) {
    for call in world.ec2.calls() {
        let Some(request) = &call.request else {
            continue;
        };
        if request.action().is_describe() {
            continue;
        }
        for id in call.ids() {
            let instance = before.instances.get(id.as_str());
            let is_named = |instance: &Ec2Instance| {
                let id = &instance.id;
                asked == Some(id) || override_(world, id).is_some() || has_open_request(instance)
            };
            assert!(
                instance.is_some_and(|one| is_managed(one) || is_owned(one) && is_named(one)),
                "{} of {instance:#?}",
                call.name
            );
        }
    }
}

/// Judged independently of Curfew's code, by this fleet's tags.
fn is_managed(instance: &Ec2Instance) -> bool {
    may_be_managed(instance) && !instance.tags.contains_key(AUTO_SCALING_TAG)
}

/// Whether its tags have a person's request that is not recorded as done.
fn has_open_request(instance: &Ec2Instance) -> bool {
    let tag = |key| instance.tags.get(key).map(String::as_str);
    let request = tag(REQUEST_TAG).and_then(|tag| tag.parse::<RecordedRequest>().ok());
    let last = tag(LAST_TAG).and_then(|tag| tag.parse::<LastApplied>().ok());
    request.is_some_and(|request| last.is_none_or(|last| last.at < request.at || last.pending))
}

/// Whether a schedule would manage it if it were not part of an Auto Scaling group.
fn is_owned(instance: &Ec2Instance) -> bool {
    may_be_managed(instance) && instance.tags.contains_key(AUTO_SCALING_TAG)
}

fn may_be_managed(instance: &Ec2Instance) -> bool {
    let tag = instance.tags.get("Schedule").map_or("", String::as_str);
    FLEET[..MANAGED].contains(&tag)
        && instance.root == RootDeviceType::Ebs
        && instance
            .spot
            .as_ref()
            .is_none_or(|spot| spot.kind == SpotKind::Persistent)
        && !matches!(
            instance.state,
            Ec2InstanceState::ShuttingDown | Ec2InstanceState::Terminated
        )
}

/// Asserts that every due edge was applied, or that the pass reports the reason.
fn assert_applied_or_reported(world: &World, pass: &Pass, id: &Ec2InstanceId) {
    let seen = pass
        .instances
        .iter()
        .find(|seen| seen.id.as_str() == id.as_str());
    let seen = seen.unwrap_or_else(|| panic!("{id} was not seen"));
    let schedule = world
        .schedule_set
        .schedule_for(seen)
        .expect("it is managed");
    let Some(edge) = schedule.timetable.last_edge(pass.at) else {
        return;
    };
    // The process's own recent writes count, even if they were removed since.
    let own = seen.tags.get(LAST_TAG).and_then(|tag| tag.parse().ok());
    let remembered = last(world, id).or(own);
    let moving = [
        Ec2InstanceState::Pending.name(),
        Ec2InstanceState::Stopping.name(),
    ];
    if moving.contains(&seen.state.to_string().as_str()) {
        return;
    }
    let is_held = override_(world, id).is_some_and(|override_| override_.is_active(pass.at));
    if is_held || remembered.as_ref().is_some_and(|last| last.at >= edge.at) {
        return;
    }
    // A person's request at the edge's instant or later is newer than the edge.
    let request = seen.tags.get(REQUEST_TAG);
    let request = request.and_then(|tag| tag.parse::<RecordedRequest>().ok());
    if request.is_some_and(|request| request.at >= edge.at) {
        return;
    }
    // If there is no space for the state tag, an enforced state is restored at every pass and can't be recorded.
    if remembered.is_none() && seen.tags.len() >= 50 {
        return;
    }
    let outcome = pass
        .outcomes
        .iter()
        .find(|outcome| outcome.step.instance == seen.id);
    if outcome.is_some_and(|outcome| !matches!(outcome.result, StepResult::Done { .. })) {
        return;
    }
    let state = seen.state.to_string();
    let done_by_others = match edge.action {
        Action::Start => state == Ec2InstanceState::Running.name(),
        Action::Stop => state == Ec2InstanceState::Stopped.name(),
    };
    let too_old = pass.at.duration_since(edge.at) > schedule.catch_up;
    let launched_after = remembered.is_none() && seen.launched_at.is_some_and(|at| at >= edge.at);
    let reported = match skip_of(&pass.plan, id).map(code).as_deref() {
        Some("transitioning" | "waiting_to_retry" | "no_memory") => true,
        Some("too_late") => too_old && !done_by_others,
        Some("as_desired") => done_by_others && (too_old || launched_after),
        Some("nothing_due") => launched_after,
        Some(_) => false,
        // The note of the step that removed an ended override has the other reason.
        None => too_old || launched_after,
    };
    assert!(
        reported,
        "{edge:?} of {seen:#?} in {:#?} {:#?}",
        pass.plan, pass.outcomes
    );
}

fn skip_of<'a>(plan: &'a Plan, id: &Ec2InstanceId) -> Option<&'a Skip> {
    plan.skipped
        .iter()
        .find(|skip| skip.instance.as_str() == id.as_str())
}

/// The code that scripts go by.
pub(crate) fn code(skip: &Skip) -> String {
    let skip = serde_json::to_value(skip).unwrap();
    skip["code"].as_str().unwrap().to_owned()
}

fn schedule(world: &World, instance: &Ec2Instance) -> Option<Schedule> {
    let tag = instance
        .tags
        .get("Schedule")
        .filter(|_| is_managed(instance))?;
    let named = world.schedule_set.schedules.get(tag.as_str()).cloned();
    named.or_else(|| {
        let timetable = curfew_core::timetable::Timetable::parse_inline(tag).ok()?;
        Some(Schedule::new(ScheduleName::inline(), timetable))
    })
}

/// Whether a start was made and the instance has not been observed running since.
pub(crate) fn is_pending(world: &World, id: &Ec2InstanceId) -> bool {
    last(world, id).is_some_and(|last| last.pending)
}

fn last(world: &World, id: &Ec2InstanceId) -> Option<LastApplied> {
    world
        .ec2
        .instances()
        .iter()
        .find(|one| one.id == *id)?
        .tags
        .get(LAST_TAG)?
        .parse()
        .ok()
}

/// The override in force by Curfew's clock.
fn override_(world: &World, id: &Ec2InstanceId) -> Option<Override> {
    let instances = world.ec2.instances();
    let instance = instances.iter().find(|one| one.id == *id)?;
    override_in_force(&instance.tags, world.now()).ok()?
}
