//! Random histories: the guarantees hold under any sequence of manual changes, requests, EC2 failures and crashes.

use std::collections::BTreeMap;

use curfew_core::decision::Decision;
use curfew_core::instance::{Instance, InstanceId, InstanceState, InstanceState::*};
use curfew_core::plan::Plan;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::schedule::{Enforcement, Schedule};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::skip::SkipReason;
use curfew_core::state_tags::{
    Cause, LastApplied, OVERRIDE_TAG, Override, OverrideState, REQUEST_TAG, RecordedRequest, Retry,
};
use curfew_core::step::{Step, StepAction};
use curfew_core::timetable::{Action, Desired, Edge};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::support::{CONFIGURATION, Cloud, Failure, StateDetails, paris, schedule_set};

/// One instance for each of these values of the managing tag; the last ones are never started or stopped.
const FLEET: [&str; 11] = [
    "office",
    "spare",
    "strict",
    "night-stop",
    "eager",
    "Mon-Fri 08:00-20:00; except 12-25 Europe/Paris",
    "start 0 6 * * 1-5 Europe/Paris",
    "",
    "none",
    "offcie",
    "Mon-Fri 08:00-25:00 Europe/Paris",
];
const MANAGED: usize = 7;

/// The configured type of every instance, and the fallback types of one of `spare`.
const OWN_TYPE: &str = "t3.micro";
const OTHER_TYPE: &str = "t3a.micro";

const SPARE: &str = r#"
    [schedules.spare]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"
    fallback_types = ["t3a.micro"]
"#;

const WAKING: [&str; 4] = ["office", "strict", "night-stop", "eager"];

#[derive(Clone, Debug)]
enum Event {
    Wait(SignedDuration),
    Pass,
    /// A trigger by a schedule's rule, now.
    TriggeredFor(usize),
    /// Time passes until this many seconds before a schedule's next edge, whose rule then fires.
    TriggeredEarlyFor(usize, i64),
    PersonStarts(usize),
    PersonStops(usize),
    Request(usize, Wish),
    NextStartFallsBack(usize),
    NextStartFindsNoRoom(usize),
    /// EC2 has no capacity for these types from now on.
    Full(&'static [&'static str]),
    /// Toggles whether EC2 refuses to stop the instance.
    Protected(usize, bool),
    /// A failure in the next pass.
    Failure(Failure),
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Start(Option<i64>),
    Stop(Option<i64>),
    Ignore(i64),
    Resume,
}

fn event() -> impl Strategy<Value = Event> {
    let minutes = || prop_oneof![Just(None), (1_i64..3000).prop_map(Some)];
    let wish = prop_oneof![
        minutes().prop_map(Wish::Start),
        minutes().prop_map(Wish::Stop),
        (1_i64..3000).prop_map(Wish::Ignore),
        Just(Wish::Resume),
    ];
    let seconds = prop_oneof![3 => 0_i64..90, 3 => 90_i64..7_200, 3 => 7_200_i64..50_000, 1 => 50_000_i64..300_000];
    let failure = prop_oneof![
        Just(Failure::CallsFail),
        Just(Failure::CrashBeforeCalls),
        Just(Failure::CrashBeforeRecord),
        Just(Failure::CrashBeforeClearing),
    ];
    let room = prop_oneof![
        Just(&[][..]),
        Just(&[OWN_TYPE][..]),
        Just(&[OTHER_TYPE][..]),
        Just(&[OWN_TYPE, OTHER_TYPE][..]),
    ];
    prop_oneof![
        8 => seconds.prop_map(|seconds| Event::Wait(SignedDuration::from_secs(seconds))),
        8 => Just(Event::Pass),
        2 => (0..WAKING.len()).prop_map(Event::TriggeredFor),
        3 => (0..WAKING.len(), 0_i64..=60).prop_map(|(which, early)| Event::TriggeredEarlyFor(which, early)),
        4 => (0..FLEET.len()).prop_map(Event::PersonStarts),
        4 => (0..FLEET.len()).prop_map(Event::PersonStops),
        4 => (0..FLEET.len(), wish).prop_map(|(which, wish)| Event::Request(which, wish)),
        1 => (0..MANAGED).prop_map(Event::NextStartFallsBack),
        1 => (0..MANAGED).prop_map(Event::NextStartFindsNoRoom),
        3 => room.prop_map(Event::Full),
        1 => (0..MANAGED, any::<bool>()).prop_map(|(which, on)| Event::Protected(which, on)),
        2 => failure.prop_map(Event::Failure),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_guarantees_hold_in_every_history(
        state_details in prop_oneof![Just(StateDetails::Reported), Just(StateDetails::Missing)],
        start in 0_i64..365 * 24 * 60,
        running in proptest::array::uniform11(any::<bool>()),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let from = paris("2026-01-01 00:00") + SignedDuration::from_mins(start);
        let mut history = History::begin(state_details, from, running);
        for event in events {
            history.live(&event);
        }
        history.end();
    }
}

struct History {
    cloud: Cloud,
    ids: Vec<InstanceId>,
    /// The last manual change after all edges were applied, and the instant until which it must be kept.
    wishes: BTreeMap<InstanceId, Option<Timestamp>>,
    /// Each edge that led to a call, and whether that call or its record failed.
    acted: BTreeMap<(InstanceId, Timestamp, Action), bool>,
    /// The refused actions, with the number and the instant of the attempts: they must not be retried too soon.
    refused: BTreeMap<InstanceId, (Timestamp, Action, usize, Timestamp)>,
}

impl History {
    fn begin(state_details: StateDetails, from: Timestamp, running: [bool; 11]) -> Self {
        let mut cloud = Cloud::new(
            schedule_set(&format!("{CONFIGURATION}{SPARE}")),
            from,
            state_details,
        );
        let ids = FLEET
            .iter()
            .zip(running)
            .map(|(tag, running)| {
                let state = if running { Running } else { Stopped };
                cloud.add(tag, state, &[("Schedule", tag)])
            })
            .collect();
        Self {
            cloud,
            ids,
            wishes: BTreeMap::new(),
            acted: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    fn live(&mut self, event: &Event) {
        match event {
            Event::Wait(time) => self.until(self.cloud.now + *time),
            Event::Pass => self.pass(None),
            Event::TriggeredFor(which) => self.pass(Some(WAKING[*which])),
            Event::TriggeredEarlyFor(which, early) => {
                let timetable = &self.cloud.schedule_set.schedules[WAKING[*which]].timetable;
                let edge = timetable.next_edge(self.cloud.now).unwrap().at;
                let at = edge - SignedDuration::from_secs(*early);
                self.until(at.max(self.cloud.now));
                self.pass(Some(WAKING[*which]));
            }
            Event::PersonStarts(which) => self.person(*which, |cloud, id| {
                cloud.start_by_hand(id);
            }),
            Event::PersonStops(which) => self.person(*which, |cloud, id| {
                cloud.stop_by_hand(id);
            }),
            Event::Request(which, wish) => self.request(*which, *wish),
            Event::NextStartFallsBack(which) => {
                let id = self.ids[*which].clone();
                self.cloud.machine(&id).next_start_falls_back();
            }
            Event::NextStartFindsNoRoom(which) => {
                let id = self.ids[*which].clone();
                self.cloud.machine(&id).next_start_lacks_capacity();
            }
            Event::Full(types) => {
                self.cloud.full = types.iter().map(|&name| name.to_owned()).collect();
            }
            Event::Protected(which, on) => {
                let id = self.ids[*which].clone();
                if *on {
                    self.cloud.protected.insert(id);
                } else {
                    self.cloud.protected.remove(&id);
                }
            }
            Event::Failure(failure) => self.cloud.failure = Some(*failure),
        }
    }

    /// Once nothing is refused, every instance reaches its desired state after the longest wait.
    fn end(mut self) {
        self.cloud.full.clear();
        self.cloud.protected.clear();
        self.cloud.failure = None;
        for machine in self.cloud.machines.values_mut() {
            machine.next_start_runs();
        }
        self.until(self.cloud.now + Retry::LONGEST_WAIT);
        self.cloud.settle_all();
        let now = self.cloud.now;
        for id in &self.ids[..MANAGED] {
            let seen = self.cloud.assess(id);
            let held = seen.override_.map(|override_| override_.state.desired());
            let schedule = schedule(&self.cloud.schedule_set, &self.cloud.machines[id].instance);
            let wanted = match (held, schedule.enforcement) {
                (Some(held), _) => held,
                (None, Enforcement::Enforced) => seen.desired,
                (None, Enforcement::OncePerEdge) => Desired::Unmanaged,
            };
            self.assert_the_newest_request_is_recorded(id);
            let retry: Option<Retry> = self.cloud.retry(id).parse().ok();
            let ignored = held == Some(Desired::Unmanaged);
            let too_late = matches!(&seen.decision, Decision::Skip(skip) if matches!(skip.reason, SkipReason::TooLate { .. }));
            assert!(
                ignored || too_late || retry.is_none_or(|retry| retry.edge > now),
                "nothing is refused any more: {}",
                self.cloud.retry(id)
            );
            let state = self.cloud.state(id);
            match wanted {
                Desired::Running => assert_eq!(state, Running, "{id}"),
                Desired::Stopped => assert_eq!(state, Stopped, "{id}"),
                Desired::Unmanaged => {}
            }
        }
    }

    /// Lets time pass. The edge of a start that falls back may be retried.
    fn until(&mut self, now: Timestamp) {
        let pending: Vec<InstanceId> = self.all_in(Pending).collect();
        self.cloud.at(now);
        for id in pending {
            if self.cloud.state(&id) == Stopped {
                self.excuse(&id);
            }
        }
    }

    fn all_in(&self, state: InstanceState) -> impl Iterator<Item = InstanceId> {
        let machines = self.cloud.machines.iter();
        machines
            .filter(move |(_, machine)| machine.instance.state == state)
            .map(|(id, _)| id.clone())
    }

    fn excuse(&mut self, id: &InstanceId) {
        for ((acted, ..), came_to_nothing) in &mut self.acted {
            *came_to_nothing |= acted == id;
        }
    }

    /// Applies a manual change. It must be kept if everything due was done before it.
    fn person(&mut self, which: usize, change: impl FnOnce(&mut Cloud, &InstanceId)) {
        let id = self.ids[which].clone();
        let settled = last(&self.cloud, &id).is_some_and(|last| !last.pending);
        let all_was_done = settled
            && self.cloud.planned().skipped.iter().any(|skip| {
                skip.instance == id
                    && matches!(
                        skip.reason,
                        SkipReason::AsDesired
                            | SkipReason::ChangedByUser
                            | SkipReason::NothingDue
                            | SkipReason::TooLate { .. }
                    )
            });
        let before = self.cloud.state(&id);
        change(&mut self.cloud, &id);
        if self.cloud.state(&id) == before {
            return;
        }
        let last = last(&self.cloud, &id);
        self.wishes.remove(&id);
        if all_was_done && which < MANAGED {
            let schedule = schedule(&self.cloud.schedule_set, &self.cloud.machines[&id].instance);
            if schedule.enforcement == Enforcement::OncePerEdge {
                let now = self.cloud.now;
                let since = last.as_ref().map_or(now, |last| last.at.max(now));
                let until = schedule.timetable.next_edge(since).map(|edge| edge.at);
                self.wishes.insert(id.clone(), until);
            }
        }
        // Within 15 seconds, or longer if EC2 reports no dates, this is indistinguishable from a call that crossed the directive.
        if last.is_some_and(|last| last.pending) {
            self.excuse(&id);
        }
    }

    fn request(&mut self, which: usize, wish: Wish) {
        let id = self.ids[which].clone();
        let until = |minutes: i64| self.cloud.now + SignedDuration::from_mins(minutes);
        let lasting = |minutes: Option<i64>| {
            minutes.map_or(RequestDuration::NextEdge, |m| {
                RequestDuration::Until(until(m))
            })
        };
        let ask = match wish {
            Wish::Start(minutes) => RequestKind::Start(lasting(minutes)),
            Wish::Stop(minutes) => RequestKind::Stop(lasting(minutes)),
            Wish::Ignore(minutes) => RequestKind::Ignore {
                until: until(minutes),
            },
            Wish::Resume => RequestKind::Resume,
        };
        self.wishes.remove(&id);
        self.refused.remove(&id);
        self.watch(|cloud| cloud.pass_with_request(&id, ask));
    }

    fn pass(&mut self, triggered_for: Option<&str>) {
        let smooth = self.cloud.failure.is_none();
        let plan = self.watch(|cloud| match triggered_for {
            Some(schedule) => cloud.triggered_for(schedule),
            None => cloud.pass(),
        });
        if smooth {
            for id in &self.ids[..MANAGED] {
                self.assert_applied_or_reported(id, &plan);
            }
        }
    }

    /// Runs a pass, and asserts the guarantees for its steps.
    fn watch(&mut self, pass: impl FnOnce(&mut Cloud) -> Plan) -> Plan {
        let failure = self.cloud.failure;
        let before = self.cloud.machines.clone();
        let plan = pass(&mut self.cloud);
        for id in &self.ids[MANAGED..] {
            assert_eq!(
                before[id].instance, self.cloud.machines[id].instance,
                "unmanaged instances are unchanged"
            );
        }
        self.assert_the_desired_type_is_never_lost();
        for step in &plan.steps {
            if step.action == StepAction::Record {
                continue;
            }
            let id = &step.instance;
            let refused = before[id].instance.state == self.cloud.state(id);
            let no_calls = [Some(Failure::CallsFail), Some(Failure::CrashBeforeCalls)];
            if !no_calls.contains(&failure) {
                self.assert_not_retried_too_soon(step, refused, failure);
            }
            self.assert_no_manual_change_is_undone(step, plan.at);
            assert_no_override_is_broken(&before[&step.instance].instance, step, plan.at);
            if !no_calls.contains(&failure) && !refused {
                self.assert_first_action_of_its_edge(step);
            }
            if failure == Some(Failure::CrashBeforeRecord) {
                self.excuse(&step.instance);
            }
        }
        plan
    }

    /// Asserts that each refusal of the same action is followed by a longer wait. An early trigger may come up to a minute before.
    fn assert_not_retried_too_soon(
        &mut self,
        step: &Step,
        refused: bool,
        failure: Option<Failure>,
    ) {
        const WAITS: [i64; 6] = [1, 2, 5, 10, 20, 30];
        let Some(edge) = step.edge else { return };
        let now = self.cloud.now;
        let earlier = self.refused.remove(&step.instance);
        let earlier = earlier.filter(|(at, action, ..)| (*at, *action) == (edge.at, edge.action));
        let times = earlier.map_or(0, |(.., times, last)| {
            let least = SignedDuration::from_mins(WAITS[times.min(WAITS.len()) - 1] - 1);
            assert!(
                now.duration_since(last) >= least,
                "retried too soon after {last}: {step:#?}"
            );
            times
        });
        if refused && failure.is_none() {
            let refusal = (edge.at, edge.action, times + 1, now);
            self.refused.insert(step.instance.clone(), refusal);
        }
    }

    fn assert_the_desired_type_is_never_lost(&self) {
        for id in &self.ids[..MANAGED] {
            let (present, tag) = self.cloud.types(id);
            let is_spare = *id == self.ids[1];
            let on_record = is_spare && present == OTHER_TYPE && tag == "t3.micro as t3a.micro";
            assert!(present == OWN_TYPE || on_record, "{id} is {present}: {tag}");
        }
    }

    /// Asserts that every request is recorded in the end, unless a newer one or an `ignored` override preceded.
    fn assert_the_newest_request_is_recorded(&self, id: &InstanceId) {
        let seen = self.cloud.assess(id);
        if matches!(&seen.decision, Decision::Skip(skip) if matches!(skip.reason, SkipReason::OverrideIgnored { .. } | SkipReason::TooLate { .. }))
        {
            return;
        }
        let request = self.cloud.request(id).parse::<RecordedRequest>().ok();
        let override_ = self.cloud.override_(id).parse::<Override>().ok();
        let override_ = override_.filter(|override_| override_.state != OverrideState::Ignored);
        let newest = request
            .map(|one| one.at)
            .max(override_.map(|override_| override_.since));
        let last = last(&self.cloud, id);
        assert!(
            newest.is_none_or(|newest| last.is_some_and(|last| last.at >= newest && !last.pending)),
            "not recorded: {:#?}",
            self.cloud.machines[id]
        );
    }

    fn assert_no_manual_change_is_undone(&self, step: &Step, planned_at: Timestamp) {
        let Some(until) = self.wishes.get(&step.instance) else {
            return;
        };
        assert!(
            until.is_some_and(|until| planned_at >= until),
            "a person's change is undone before the next edge, {until:?}: {step:#?}"
        );
    }

    fn assert_first_action_of_its_edge(&mut self, step: &Step) {
        let schedule = schedule(
            &self.cloud.schedule_set,
            &self.cloud.machines[&step.instance].instance,
        );
        let Some(Edge { at, action }) = step
            .edge
            .filter(|_| schedule.enforcement != Enforcement::Enforced)
        else {
            return;
        };
        let earlier = self
            .acted
            .insert((step.instance.clone(), at, action), false);
        assert_ne!(
            earlier,
            Some(false),
            "a second action for one edge: {step:#?}"
        );
    }

    fn assert_applied_or_reported(&self, id: &InstanceId, plan: &Plan) {
        let now = self.cloud.now;
        let instance = &self.cloud.machines[id].instance;
        let schedule = schedule(&self.cloud.schedule_set, instance);
        let Some(edge) = schedule.timetable.last_edge(now) else {
            return;
        };
        let last = last(&self.cloud, id);
        if matches!(instance.state, Pending | Stopping) {
            return;
        }
        // A request at the edge's instant or later is the newest directive: its record is asserted at the end.
        let request = self.cloud.request(id).parse::<RecordedRequest>();
        if request.is_ok_and(|request| request.at >= edge.at) {
            return;
        }
        if last.as_ref().is_some_and(|last| last.at >= edge.at)
            || override_(&self.cloud, id).is_some()
        {
            return;
        }
        let done_by_others = match edge.action {
            Action::Start => instance.state == Running,
            Action::Stop => instance.state == Stopped,
        };
        let too_old = now.duration_since(edge.at) > schedule.catch_up;
        let launched_after = last.is_none() && instance.launched_at.unwrap() >= edge.at;
        let tried = |step: &Step| step.instance == *id && step.action != StepAction::Record;
        if plan.steps.iter().any(tried) {
            // It was not applied, so that it was refused, and the step reports that.
            return;
        }
        let skip = plan.skipped.iter().find(|skip| skip.instance == *id);
        let reported = match skip.map(|skip| &skip.reason) {
            Some(SkipReason::Transitioning | SkipReason::WaitingToRetry { .. }) => true,
            Some(SkipReason::TooLate { .. }) => too_old && !done_by_others,
            Some(SkipReason::AsDesired) => done_by_others && (too_old || launched_after),
            Some(SkipReason::NothingDue) => launched_after,
            Some(_) => false,
            // The note of the step has the other reasons.
            None => too_old || launched_after,
        };
        assert!(reported, "{edge:?} of {instance:#?} in {plan:#?}");
    }
}

/// An early trigger may end an override up to a minute before its end; nothing else may act against an override in force.
fn assert_no_override_is_broken(before: &Instance, step: &Step, planned_at: Timestamp) {
    let override_ = before
        .tags
        .get(OVERRIDE_TAG)
        .map(|override_| override_.parse::<Override>());
    if let (Some(Ok(override_)), Cause::Schedule(_)) = (override_, &step.cause) {
        let request = before.tags.get(REQUEST_TAG);
        let request = request.and_then(|request| request.parse::<RecordedRequest>().ok());
        if request.is_some_and(|request| request.at > override_.since) {
            return;
        }
        assert!(
            !override_.is_active(planned_at),
            "an override is broken: {step:#?}"
        );
    }
}

fn schedule(schedule_set: &ScheduleSet, instance: &Instance) -> Schedule {
    schedule_set.schedule_for(instance).unwrap().into_owned()
}

fn last(cloud: &Cloud, id: &InstanceId) -> Option<LastApplied> {
    cloud.last(id).parse().ok()
}

/// The override in force.
fn override_(cloud: &Cloud, id: &InstanceId) -> Option<Override> {
    let override_: Override = cloud.override_(id).parse().ok()?;
    override_.is_active(cloud.now).then_some(override_)
}
