//! A small EC2 on virtual time, and the execution of Curfew's plans on it.
//!
//! [`Cloud`] is the service: its instances take time to start and stop, a start may fall back, and it reports (AWS) or does not
//! report (emulators) launch times and state reasons. [`Cloud::pass`] plans and executes in the order of the real executor: the tags
//! of a request, the first `curfew:last`, calls, and then `curfew:last`.

mod machine;

use std::collections::{BTreeMap, BTreeSet};

use curfew_core::assess::{Assessment, assess};
use curfew_core::configuration::RawScheduleSet;
use curfew_core::decision::Decision;
use curfew_core::instance::{Instance, InstanceId, InstanceState, InstanceType};
use curfew_core::plan::{Plan, plan};
use curfew_core::request::{Request, RequestDuration, RequestKind};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::{
    Actor, Cause, Fallback, LAST_TAG, LastApplied, OVERRIDE_TAG, REQUEST_TAG, RETRY_TAG, TYPE_TAG,
};
use curfew_core::step::{FallbackChange, RetryChange, Step, StepAction, TagChanges, TypesToTry};
use curfew_core::timetable::EARLY_TRIGGER;
use curfew_core::world::World;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub(crate) use self::machine::{Machine, StateDetails};

/// Longer than any start or stop takes in this model.
pub(crate) const SETTLING: SignedDuration = SignedDuration::from_secs(61);

/// The configuration of most scenarios: one schedule of each kind.
pub(crate) const CONFIGURATION: &str = r#"
    [schedules.office]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"

    [schedules.strict]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"
    enforce = true

    [schedules.night-stop]
    timezone = "Europe/Paris"
    stop = "cron(0 20 * * ? *)"

    [schedules.eager]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"
    adopt = "converge"
"#;

/// The schedules in a configuration text.
pub(crate) fn schedule_set(configuration: &str) -> ScheduleSet {
    let raw: RawScheduleSet = toml::from_str(configuration).unwrap();
    raw.resolve().unwrap()
}

/// Parses a wall time in Paris; in a fold, the first occurrence.
pub(crate) fn paris(time: &str) -> Timestamp {
    let time: jiff::civil::DateTime = time.parse().unwrap();
    let zone = TimeZone::get("Europe/Paris").unwrap();
    zone.to_ambiguous_timestamp(time).earlier().unwrap()
}

/// A failure in the next pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// EC2 refuses all calls that start or stop.
    CallsFail,
    /// The process dies after those calls, before anything is recorded.
    CrashBeforeRecord,
    /// The process dies between the writes: new values are written, and obsolete tags are not removed.
    CrashBeforeClearing,
    /// The process dies after the tags of a request, or the first `curfew:last`, were written, before any call.
    CrashBeforeCalls,
}

/// EC2, with Curfew's passes over it.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    pub(crate) schedule_set: ScheduleSet,
    pub(crate) now: Timestamp,
    pub(crate) state_details: StateDetails,
    pub(crate) machines: BTreeMap<InstanceId, Machine>,
    pub(crate) failure: Option<Failure>,
    /// The types that EC2 has no capacity for.
    pub(crate) full: BTreeSet<String>,
    /// The instances that EC2 refuses to stop.
    pub(crate) protected: BTreeSet<InstanceId>,
    /// Every accepted start and stop by Curfew: `2026-11-23 20:00:10 stop web: schedule office`, in Paris time.
    pub(crate) calls: Vec<String>,
}

/// Runs a scenario on AWS and on an emulator. At its end all transitions complete, and a plan after that success must be empty.
pub(crate) fn scenario(configuration: &str, from: &str, run: impl Fn(&mut Cloud)) {
    for state_details in [StateDetails::Reported, StateDetails::Missing] {
        scenario_on(state_details, configuration, from, &run);
    }
}

/// Like [`scenario`], for behaviour that depends on what EC2 reports.
pub(crate) fn scenario_on(
    state_details: StateDetails,
    configuration: &str,
    from: &str,
    run: impl Fn(&mut Cloud),
) {
    let mut cloud = Cloud::new(schedule_set(configuration), paris(from), state_details);
    run(&mut cloud);
    cloud.settle_all();
}

impl Cloud {
    pub(crate) fn new(
        schedule_set: ScheduleSet,
        now: Timestamp,
        state_details: StateDetails,
    ) -> Self {
        Self {
            schedule_set,
            now,
            state_details,
            machines: BTreeMap::new(),
            failure: None,
            full: BTreeSet::new(),
            protected: BTreeSet::new(),
            calls: Vec::new(),
        }
    }

    /// Adds an instance that was launched an hour ago and has the state `state`.
    pub(crate) fn add(
        &mut self,
        name: &str,
        state: InstanceState,
        tags: &[(&str, &str)],
    ) -> InstanceId {
        let number = self.machines.len() + 1;
        let id: InstanceId = format!("i-{number:08x}").parse().unwrap();
        let launched = self.now - SignedDuration::from_hours(1);
        let mut machine = Machine::launched(id.clone(), name, state, launched);
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        machine.instance.tags.extend(tags);
        self.machines.insert(id.clone(), machine);
        id
    }

    /// Adds a running instance with that schedule tag, which a pass has observed before.
    pub(crate) fn running(&mut self, schedule: &str) -> InstanceId {
        let id = self.add("web", InstanceState::Running, &[("Schedule", schedule)]);
        self.known(id)
    }

    /// Adds a stopped instance with that schedule tag, which a pass has observed before.
    pub(crate) fn stopped(&mut self, schedule: &str) -> InstanceId {
        let id = self.add("web", InstanceState::Stopped, &[("Schedule", schedule)]);
        self.known(id)
    }

    /// Records the adoption of the instance, if a pass would do nothing else.
    fn known(&mut self, id: InstanceId) -> InstanceId {
        let plan = self.planned();
        let step = plan.steps.iter().find(|step| step.instance == id);
        if let Some(step) = step.filter(|step| step.cause == Cause::Adopted) {
            self.execute_step(step, None);
        }
        id
    }

    /// Lets time pass until it is `time` in Paris.
    pub(crate) fn until(&mut self, time: &str) -> &mut Self {
        self.at(paris(time))
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: SignedDuration) -> &mut Self {
        self.at(self.now + time)
    }

    /// Lets time pass until `now`.
    pub(crate) fn at(&mut self, now: Timestamp) -> &mut Self {
        assert!(now >= self.now, "time does not run backwards");
        self.now = now;
        for machine in self.machines.values_mut() {
            machine.settle(now, self.state_details);
        }
        self
    }

    pub(crate) fn machine(&mut self, id: &InstanceId) -> &mut Machine {
        self.machines.get_mut(id).unwrap()
    }

    pub(crate) fn state(&self, id: &InstanceId) -> InstanceState {
        self.machines[id].instance.state
    }

    /// The value of `curfew:last`, or an empty text.
    pub(crate) fn last(&self, id: &InstanceId) -> &str {
        self.tag(id, LAST_TAG)
    }

    /// The value of `curfew:request`, or an empty text.
    pub(crate) fn request(&self, id: &InstanceId) -> &str {
        self.tag(id, REQUEST_TAG)
    }

    /// The value of `curfew:override`, or an empty text.
    pub(crate) fn override_(&self, id: &InstanceId) -> &str {
        self.tag(id, OVERRIDE_TAG)
    }

    /// The value of `curfew:retry`, or an empty text.
    pub(crate) fn retry(&self, id: &InstanceId) -> &str {
        self.tag(id, RETRY_TAG)
    }

    /// The instance type, and the value of `curfew:type` or an empty text.
    pub(crate) fn types(&self, id: &InstanceId) -> (&str, &str) {
        let present = &self.machines[id].instance.instance_type;
        (present, self.tag(id, TYPE_TAG))
    }

    fn tag(&self, id: &InstanceId, key: &str) -> &str {
        self.machines[id]
            .instance
            .tags
            .get(key)
            .map_or("", String::as_str)
    }

    /// Starts the instance in the console, if it can be started.
    pub(crate) fn start_by_hand(&mut self, id: &InstanceId) -> &mut Self {
        let (now, state_details) = (self.now, self.state_details);
        self.machine(id).start(now, state_details);
        self
    }

    /// Stops the instance in the console, if it can be stopped.
    pub(crate) fn stop_by_hand(&mut self, id: &InstanceId) -> &mut Self {
        let (now, state_details) = (self.now, self.state_details);
        self.machine(id).stop(now, state_details);
        self
    }

    /// The plan of a pass now, which is not executed.
    pub(crate) fn planned(&self) -> Plan {
        self.decide(None, self.now)
    }

    /// The plan of a pass that the rule of a schedule triggered, which is not executed. If the rule fires at most a minute early, the
    /// pass's clock is at the edge.
    pub(crate) fn planned_for_trigger(&self, schedule: &str) -> Plan {
        let schedule = self.schedule_set.schedules.get(schedule);
        let edge = schedule.and_then(|schedule| schedule.timetable.next_edge(self.now));
        let early = edge.filter(|edge| edge.at.duration_since(self.now) <= EARLY_TRIGGER);
        self.decide(None, early.map_or(self.now, |edge| edge.at))
    }

    /// Writes the tags of a request by alice for one instance, without a pass.
    pub(crate) fn write_request(&mut self, id: &InstanceId, ask: RequestKind) {
        let request = Request {
            kind: ask,
            targets: BTreeSet::from([id.clone()]),
            by: Actor::new("alice"),
        };
        for step in self.decide(Some(&request), self.now).steps {
            for (key, value) in step.request_tags.iter().flat_map(|word| word.tags()) {
                self.machine(&step.instance).tag(key, &value);
            }
        }
    }

    /// Evaluates an instance now.
    pub(crate) fn assess(&self, id: &InstanceId) -> Assessment<'_> {
        let world = World::without_request(&self.schedule_set, &[]);
        assess(&self.machines[id].instance, &world, self.now)
    }

    /// Runs one complete pass.
    pub(crate) fn pass(&mut self) -> Plan {
        self.execute(self.decide(None, self.now))
    }

    /// Runs a pass that the rule of a schedule triggered.
    pub(crate) fn triggered_for(&mut self, schedule: &str) -> Plan {
        self.execute(self.planned_for_trigger(schedule))
    }

    /// Runs a pass with a request by alice for one instance.
    pub(crate) fn pass_with_request(&mut self, id: &InstanceId, ask: RequestKind) -> Plan {
        let request = Request {
            kind: ask,
            targets: BTreeSet::from([id.clone()]),
            by: Actor::new("alice"),
        };
        self.execute(self.decide(Some(&request), self.now))
    }

    /// `curfew start` without a duration.
    pub(crate) fn request_start(&mut self, id: &InstanceId) -> Plan {
        self.pass_with_request(id, RequestKind::Start(RequestDuration::NextEdge))
    }

    /// `curfew stop` without a duration.
    pub(crate) fn request_stop(&mut self, id: &InstanceId) -> Plan {
        self.pass_with_request(id, RequestKind::Stop(RequestDuration::NextEdge))
    }

    /// Runs passes until nothing is left to do, at most ten; after that, a plan must be empty.
    pub(crate) fn settle_all(&mut self) {
        self.failure = None;
        for _ in 0..10 {
            self.pass();
            assert!(
                self.decide(None, self.now).steps.is_empty(),
                "a plan after a successful pass has no steps: {self:#?}"
            );
            self.wait(SETTLING);
            if self.decide(None, self.now).steps.is_empty() {
                return;
            }
        }
        panic!("no rest: {:#?}", self.decide(None, self.now));
    }

    fn observe(&self) -> Vec<Instance> {
        self.machines
            .values()
            .map(|machine| machine.instance.clone())
            .collect()
    }

    /// Runs a pass without the checks of the plan, for scenarios with very many passes.
    pub(crate) fn quick_pass(&mut self) {
        let instances = self.observe();
        let world = World {
            schedule_set: &self.schedule_set,
            instances: &instances,
            request: None,
        };
        self.execute(plan(&world, self.now));
    }

    fn decide(&self, request: Option<&Request>, now: Timestamp) -> Plan {
        let instances = self.observe();
        let world = World {
            schedule_set: &self.schedule_set,
            instances: &instances,
            request,
        };
        let decided = plan(&world, now);
        assert_eq!(decided, plan(&world, now), "a plan is deterministic");
        assert_evaluated_one_by_one(&world, now, &decided);
        decided
    }

    fn execute(&mut self, plan: Plan) -> Plan {
        let failure = self.failure.take();
        for step in &plan.steps {
            self.execute_step(step, failure);
        }
        plan
    }

    fn execute_step(&mut self, step: &Step, failure: Option<Failure>) {
        for (key, value) in step.request_tags.iter().flat_map(|word| word.tags()) {
            self.machine(&step.instance).tag(key, &value);
        }
        let invalid = step.replaces.as_deref();
        if let Some(first) = &step.initial_tag {
            self.write_last(&step.instance, first, invalid);
        }
        if failure == Some(Failure::CrashBeforeCalls) {
            return;
        }
        if step.action != StepAction::Record {
            if failure == Some(Failure::CallsFail) {
                return;
            }
            match self.call(step) {
                Ok(()) => self.note_call(step),
                Err(code) => {
                    let crashed = failure == Some(Failure::CrashBeforeRecord);
                    if let Some(next) = step.if_refused.filter(|_| !crashed) {
                        self.record(
                            &step.instance,
                            TagChanges::refused(next, code),
                            invalid,
                            failure,
                        );
                    }
                    return;
                }
            }
        }
        let now = &self.machines[&step.instance].instance;
        let mut record = step.tag_changes.clone().after_response(now.state);
        let stands_in = |types: &TypesToTry| types.wanted.as_str() != now.instance_type;
        if step.types.as_deref().is_some_and(stands_in) {
            record.fallback = FallbackChange::Keep;
        }
        if failure != Some(Failure::CrashBeforeRecord) {
            self.record(&step.instance, record, invalid, failure);
        }
    }

    /// The call of a step, or EC2's error code.
    fn call(&mut self, step: &Step) -> Result<(), &'static str> {
        let (now, state_details) = (self.now, self.state_details);
        match (step.action, &step.types) {
            (StepAction::Start, None) => self.try_to_start(&step.instance),
            (StepAction::Start, Some(types)) => self.start_as_one_of(&step.instance, types),
            _ if self.protected.contains(&step.instance) => Err("OperationNotPermitted"),
            _ if self.machine(&step.instance).stop(now, state_details) => Ok(()),
            _ => Err("IncorrectInstanceState"),
        }
    }

    fn try_to_start(&mut self, id: &InstanceId) -> Result<(), &'static str> {
        let (now, state_details) = (self.now, self.state_details);
        let full = self.full.clone();
        let machine = self.machine(id);
        if full.contains(&machine.instance.instance_type) {
            Err("InsufficientInstanceCapacity")
        } else if machine.start(now, state_details) {
            Ok(())
        } else {
            Err("IncorrectInstanceState")
        }
    }

    fn start_as_one_of(&mut self, id: &InstanceId, types: &TypesToTry) -> Result<(), &'static str> {
        let mut answer = Err("?");
        for one in &types.order {
            self.give_type(id, &types.wanted, one);
            answer = self.try_to_start(id);
            if answer.is_ok() && *one == types.wanted {
                self.machine(id).instance.tags.remove(TYPE_TAG);
            }
            if answer != Err("InsufficientInstanceCapacity") {
                return answer;
            }
        }
        self.give_type(id, &types.wanted, &types.wanted);
        self.machine(id).instance.tags.remove(TYPE_TAG);
        answer
    }

    fn give_type(&mut self, id: &InstanceId, wanted: &InstanceType, one: &InstanceType) {
        let machine = self.machine(id);
        if machine.instance.instance_type == one.as_str() {
            return;
        }
        assert_eq!(
            machine.instance.state,
            InstanceState::Stopped,
            "EC2 changes the type of a stopped instance only"
        );
        if one != wanted {
            let (wanted, present) = (wanted.clone(), one.clone());
            machine.tag(
                TYPE_TAG,
                &Fallback {
                    desired_type: wanted,
                    current_type: present,
                }
                .to_string(),
            );
        }
        machine.instance.instance_type = one.to_string();
    }

    fn note_call(&mut self, step: &Step) {
        let local = self
            .now
            .to_zoned(TimeZone::get("Europe/Paris").unwrap())
            .strftime("%F %T")
            .to_string();
        let name = step.name.as_deref().unwrap_or_default();
        let call = format!("{local} {} {name}: {}", step.action, step.cause);
        self.calls.push(call);
    }

    /// Writes like the real executor: the tag is read again, and never goes back.
    fn write_last(&mut self, id: &InstanceId, last: &LastApplied, invalid: Option<&str>) {
        if last.may_be_written_over(Some(self.last(id)), invalid) {
            self.machine(id).tag(LAST_TAG, &last.to_string());
        }
    }

    fn record(
        &mut self,
        id: &InstanceId,
        record: TagChanges,
        invalid: Option<&str>,
        failure: Option<Failure>,
    ) {
        let set_only = || TagChanges {
            last: record.last.clone(),
            retry: Some(record.retry.clone())
                .filter(|retry| *retry != RetryChange::Clear)
                .unwrap_or_default(),
            fallback: FallbackChange::Keep,
        };
        let mut written = match failure {
            Some(Failure::CrashBeforeClearing) => set_only(),
            _ => record,
        };
        if let Some(last) = written.last.take() {
            self.write_last(id, &last, invalid);
        }
        let tags = &mut self.machine(id).instance.tags;
        written.write_to(tags);
        assert!(tags.values().all(|value| value.chars().count() <= 256));
    }
}

/// Asserts that every instance has exactly one step or skip, in order, and the same as when it is evaluated alone.
fn assert_evaluated_one_by_one(world: &World<'_>, now: Timestamp, decided: &Plan) {
    let assessed: Vec<_> = world
        .instances
        .iter()
        .map(|instance| assess(instance, world, now))
        .collect();
    let next_due = assessed
        .iter()
        .filter_map(|one| one.next_due.map(|next| next.at));
    assert_eq!(next_due.min(), decided.next.map(|next| next.at));
    let (mut steps, mut skipped) = (Vec::new(), Vec::new());
    for one in assessed {
        match one.decision {
            Decision::Step(step) => steps.push(step),
            Decision::Skip(skip) => skipped.push(skip),
        }
    }
    assert_eq!((&steps, &skipped), (&decided.steps, &decided.skipped));
}

/// The decision about a plan's only instance: `stop: schedule office`, or the code of the skip reason.
pub(crate) fn outcome(plan: &Plan) -> String {
    let decisions: Vec<String> = plan
        .steps
        .iter()
        .cloned()
        .map(Decision::Step)
        .chain(plan.skipped.iter().cloned().map(Decision::Skip))
        .map(|decision| match decision {
            Decision::Step(step) => format!("{}: {}", step.action, step.cause),
            Decision::Skip(skip) => {
                let json = serde_json::to_value(&skip.reason).unwrap();
                json["code"].as_str().unwrap().to_owned()
            }
        })
        .collect();
    let [decision] = decisions.as_slice() else {
        panic!("not one decision: {decisions:?}");
    };
    decision.clone()
}

/// The note of a plan's only step.
pub(crate) fn note(plan: &Plan) -> &str {
    plan.steps[0].note.as_deref().unwrap_or_default()
}

/// The detail of a plan's only skip.
pub(crate) fn detail(plan: &Plan) -> &str {
    &plan.skipped[0].detail
}
