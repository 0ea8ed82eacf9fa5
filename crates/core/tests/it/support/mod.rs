//! A small EC2 on virtual time, and Curfew's execution on it: what a scenario needs to see a plan's consequences.
//!
//! [`Cloud`] is the service: its instances take time to start and stop, a start may fall back, and it keeps (AWS) or does not
//! keep (emulators) the evidence of who did what. [`Cloud::pass`] plans and carries out, in the order of the real executor: what a
//! person says, the first memory, calls, and then `curfew:last`.

mod machine;

use std::collections::{BTreeMap, BTreeSet};

use curfew_core::assess::{Assessment, assess};
use curfew_core::configuration::RawScheduleSet;
use curfew_core::decision::Decision;
use curfew_core::instance::{Instance, InstanceId, InstanceState, InstanceType};
use curfew_core::memory::{
    Actor, Cause, Fallback, LAST_TAG, Last, OVERRIDE_TAG, REQUEST_TAG, RETRY_TAG, TYPE_TAG,
};
use curfew_core::plan::{Plan, plan};
use curfew_core::request::{Ask, Lasting, Request};
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::step::{FallbackChange, Remember, RetryChange, Step, StepAction, TypesToTry};
use curfew_core::world::World;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub(crate) use self::machine::{Evidence, Machine};

/// Longer than any start or stop takes here.
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

/// A wall time in Paris; in a fold, the first.
pub(crate) fn paris(time: &str) -> Timestamp {
    let time: jiff::civil::DateTime = time.parse().unwrap();
    let zone = TimeZone::get("Europe/Paris").unwrap();
    zone.to_ambiguous_timestamp(time).earlier().unwrap()
}

/// Something that goes wrong in the next pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// EC2 refuses all calls that start or stop.
    CallsFail,
    /// The process dies after those calls, before anything is remembered.
    CrashBeforeMemory,
    /// The process dies between the writes: new values are there, and what is over is not removed.
    CrashBeforeClearing,
    /// The process dies after what the person said, or the first memory, was written, before any call.
    CrashBeforeCalls,
}

/// EC2, and Curfew at work on it.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    pub(crate) schedule_set: ScheduleSet,
    pub(crate) now: Timestamp,
    pub(crate) evidence: Evidence,
    pub(crate) machines: BTreeMap<InstanceId, Machine>,
    pub(crate) trouble: Option<Trouble>,
    /// The types that EC2 has no room for.
    pub(crate) full: BTreeSet<String>,
    /// The instances that EC2 refuses to stop.
    pub(crate) protected: BTreeSet<InstanceId>,
    /// Every accepted start and stop by Curfew: `2026-11-23 20:00:10 stop web: schedule office`, in Paris time.
    pub(crate) calls: Vec<String>,
}

/// Runs a scenario on a Monday in November, as AWS and as an emulator would have it. At its end everything settles, and
/// planning again after that success must be empty.
pub(crate) fn scenario(configuration: &str, from: &str, run: impl Fn(&mut Cloud)) {
    for evidence in [Evidence::Kept, Evidence::Missing] {
        scenario_on(evidence, configuration, from, &run);
    }
}

/// Like [`scenario`], where EC2's own evidence makes the difference.
pub(crate) fn scenario_on(
    evidence: Evidence,
    configuration: &str,
    from: &str,
    run: impl Fn(&mut Cloud),
) {
    let mut cloud = Cloud::new(schedule_set(configuration), paris(from), evidence);
    run(&mut cloud);
    cloud.come_to_rest();
}

impl Cloud {
    pub(crate) fn new(schedule_set: ScheduleSet, now: Timestamp, evidence: Evidence) -> Self {
        Self {
            schedule_set,
            now,
            evidence,
            machines: BTreeMap::new(),
            trouble: None,
            full: BTreeSet::new(),
            protected: BTreeSet::new(),
            calls: Vec::new(),
        }
    }

    /// A machine that someone launched an hour ago and that has settled in `state`.
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

    /// A running machine with that schedule tag, which a pass has seen before.
    pub(crate) fn running(&mut self, schedule: &str) -> InstanceId {
        let id = self.add("web", InstanceState::Running, &[("Schedule", schedule)]);
        self.known(id)
    }

    /// A stopped machine with that schedule tag, which a pass has seen before.
    pub(crate) fn stopped(&mut self, schedule: &str) -> InstanceId {
        let id = self.add("web", InstanceState::Stopped, &[("Schedule", schedule)]);
        self.known(id)
    }

    /// Has a pass see the machine for the first time, if that does nothing more.
    fn known(&mut self, id: InstanceId) -> InstanceId {
        let plan = self.look();
        let step = plan.steps.iter().find(|step| step.instance == id);
        if let Some(step) = step.filter(|step| step.cause == Cause::Adopted) {
            self.carry_out_step(step, None);
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
            machine.settle(now, self.evidence);
        }
        self
    }

    pub(crate) fn machine(&mut self, id: &InstanceId) -> &mut Machine {
        self.machines.get_mut(id).unwrap()
    }

    pub(crate) fn state(&self, id: &InstanceId) -> InstanceState {
        self.machines[id].instance.state
    }

    /// `curfew:last` as it stands.
    pub(crate) fn last(&self, id: &InstanceId) -> &str {
        self.tag(id, LAST_TAG)
    }

    /// `curfew:request` as it stands.
    pub(crate) fn request(&self, id: &InstanceId) -> &str {
        self.tag(id, REQUEST_TAG)
    }

    /// `curfew:override` as it stands.
    pub(crate) fn override_(&self, id: &InstanceId) -> &str {
        self.tag(id, OVERRIDE_TAG)
    }

    /// `curfew:retry` as it stands.
    pub(crate) fn retry(&self, id: &InstanceId) -> &str {
        self.tag(id, RETRY_TAG)
    }

    /// The type, and `curfew:type` as it stands.
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

    /// Someone starts it in the console, if it can be started.
    pub(crate) fn person_starts(&mut self, id: &InstanceId) -> &mut Self {
        let (now, evidence) = (self.now, self.evidence);
        self.machine(id).start(now, evidence);
        self
    }

    /// Someone stops it in the console, if it can be stopped.
    pub(crate) fn person_stops(&mut self, id: &InstanceId) -> &mut Self {
        let (now, evidence) = (self.now, self.evidence);
        self.machine(id).stop(now, evidence);
        self
    }

    /// What would be done now, without doing it.
    pub(crate) fn look(&self) -> Plan {
        self.decide(None, None)
    }

    /// What a pass that the rule of a schedule woke would do now, without doing it.
    pub(crate) fn look_for(&self, schedule: &str) -> Plan {
        let schedule: ScheduleName = schedule.parse().unwrap();
        self.decide(None, Some(&schedule))
    }

    /// Writes what alice says of one instance, and nothing more.
    pub(crate) fn says(&mut self, id: &InstanceId, ask: Ask) {
        let request = Request {
            ask,
            targets: BTreeSet::from([id.clone()]),
            by: Actor::new("alice"),
        };
        for step in self.decide(Some(&request), None).steps {
            for (key, value) in step.word.iter().flat_map(|word| word.tags()) {
                self.machine(&step.instance).tag(key, &value);
            }
        }
    }

    /// What is judged of a machine now.
    pub(crate) fn assess(&self, id: &InstanceId) -> Assessment<'_> {
        let world = World::unasked(&self.schedule_set, &[]);
        assess(&self.machines[id].instance, &world, self.now)
    }

    /// One whole pass.
    pub(crate) fn pass(&mut self) -> Plan {
        self.carry_out(self.decide(None, None))
    }

    /// A pass that the rule of a schedule woke.
    pub(crate) fn triggered_for(&mut self, schedule: &str) -> Plan {
        let schedule: ScheduleName = schedule.parse().unwrap();
        self.carry_out(self.decide(None, Some(&schedule)))
    }

    /// A pass with a request by alice for one instance.
    pub(crate) fn ask(&mut self, id: &InstanceId, ask: Ask) -> Plan {
        let request = Request {
            ask,
            targets: BTreeSet::from([id.clone()]),
            by: Actor::new("alice"),
        };
        self.carry_out(self.decide(Some(&request), None))
    }

    /// `curfew start` without a duration.
    pub(crate) fn ask_start(&mut self, id: &InstanceId) -> Plan {
        self.ask(id, Ask::Start(Lasting::NextEdge))
    }

    /// `curfew stop` without a duration.
    pub(crate) fn ask_stop(&mut self, id: &InstanceId) -> Plan {
        self.ask(id, Ask::Stop(Lasting::NextEdge))
    }

    /// Passes until there is nothing left to do, which must come soon; after that, planning again is empty.
    pub(crate) fn come_to_rest(&mut self) {
        self.trouble = None;
        for _ in 0..10 {
            self.pass();
            assert!(
                self.decide(None, None).steps.is_empty(),
                "a plan after a successful pass has no steps: {self:#?}"
            );
            self.wait(SETTLING);
            if self.decide(None, None).steps.is_empty() {
                return;
            }
        }
        panic!("no rest: {:#?}", self.decide(None, None));
    }

    fn observe(&self) -> Vec<Instance> {
        self.machines
            .values()
            .map(|machine| machine.instance.clone())
            .collect()
    }

    /// A pass without this support's own checks of the plan, for scenarios with very many of them.
    pub(crate) fn quick_pass(&mut self) {
        let instances = self.observe();
        let world = World {
            schedule_set: &self.schedule_set,
            instances: &instances,
            request: None,
            triggered_for: None,
        };
        self.carry_out(plan(&world, self.now));
    }

    fn decide(&self, request: Option<&Request>, triggered_for: Option<&ScheduleName>) -> Plan {
        let instances = self.observe();
        let world = World {
            schedule_set: &self.schedule_set,
            instances: &instances,
            request,
            triggered_for,
        };
        let decided = plan(&world, self.now);
        assert_eq!(decided, plan(&world, self.now), "a plan is deterministic");
        assert_judged_one_by_one(&world, self.now, &decided);
        decided
    }

    fn carry_out(&mut self, plan: Plan) -> Plan {
        let trouble = self.trouble.take();
        for step in &plan.steps {
            self.carry_out_step(step, trouble);
        }
        plan
    }

    fn carry_out_step(&mut self, step: &Step, trouble: Option<Trouble>) {
        for (key, value) in step.word.iter().flat_map(|word| word.tags()) {
            self.machine(&step.instance).tag(key, &value);
        }
        let mends = step.mends.as_deref();
        if let Some(first) = &step.adopt {
            self.write_last(&step.instance, first, mends);
        }
        if trouble == Some(Trouble::CrashBeforeCalls) {
            return;
        }
        if step.action != StepAction::Record {
            if trouble == Some(Trouble::CallsFail) {
                return;
            }
            match self.call(step) {
                Ok(()) => self.note_call(step),
                Err(code) => {
                    let crashed = trouble == Some(Trouble::CrashBeforeMemory);
                    if let Some(next) = step.if_refused.filter(|_| !crashed) {
                        self.remember(
                            &step.instance,
                            Remember::refused(next, code),
                            mends,
                            trouble,
                        );
                    }
                    return;
                }
            }
        }
        let now = &self.machines[&step.instance].instance;
        let mut remember = step.remember.clone().once_seen(now.state);
        let stands_in = |types: &TypesToTry| types.wanted.as_str() != now.instance_type;
        if step.types.as_deref().is_some_and(stands_in) {
            remember.fallback = FallbackChange::Keep;
        }
        if trouble != Some(Trouble::CrashBeforeMemory) {
            self.remember(&step.instance, remember, mends, trouble);
        }
    }

    /// The call of a step, or EC2's error code.
    fn call(&mut self, step: &Step) -> Result<(), &'static str> {
        let (now, evidence) = (self.now, self.evidence);
        match (step.action, &step.types) {
            (StepAction::Start, None) => self.try_to_start(&step.instance),
            (StepAction::Start, Some(types)) => self.start_as_one_of(&step.instance, types),
            _ if self.protected.contains(&step.instance) => Err("OperationNotPermitted"),
            _ if self.machine(&step.instance).stop(now, evidence) => Ok(()),
            _ => Err("IncorrectInstanceState"),
        }
    }

    fn try_to_start(&mut self, id: &InstanceId) -> Result<(), &'static str> {
        let (now, evidence) = (self.now, self.evidence);
        let full = self.full.clone();
        let machine = self.machine(id);
        if full.contains(&machine.instance.instance_type) {
            Err("InsufficientInstanceCapacity")
        } else if machine.start(now, evidence) {
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
            machine.tag(TYPE_TAG, &Fallback { wanted, present }.to_string());
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

    /// As the real writer does: the tag is read again, and never goes back.
    fn write_last(&mut self, id: &InstanceId, last: &Last, mends: Option<&str>) {
        if last.may_be_written_over(Some(self.last(id)), mends) {
            self.machine(id).tag(LAST_TAG, &last.to_string());
        }
    }

    fn remember(
        &mut self,
        id: &InstanceId,
        remember: Remember,
        mends: Option<&str>,
        trouble: Option<Trouble>,
    ) {
        let set_only = || Remember {
            last: remember.last.clone(),
            retry: Some(remember.retry.clone())
                .filter(|retry| *retry != RetryChange::Clear)
                .unwrap_or_default(),
            fallback: FallbackChange::Keep,
        };
        let mut written = match trouble {
            Some(Trouble::CrashBeforeClearing) => set_only(),
            _ => remember,
        };
        if let Some(last) = written.last.take() {
            self.write_last(id, &last, mends);
        }
        let tags = &mut self.machine(id).instance.tags;
        written.write_to(tags);
        assert!(tags.values().all(|value| value.chars().count() <= 256));
    }
}

/// Every instance has exactly one step or skip, in its order, and it is the one that judging it alone comes to.
fn assert_judged_one_by_one(world: &World<'_>, now: Timestamp, decided: &Plan) {
    let assessed: Vec<_> = world
        .instances
        .iter()
        .map(|instance| assess(instance, world, now))
        .collect();
    let next_due = assessed.iter().filter_map(|one| one.next_due);
    assert_eq!(next_due.min(), decided.next_edge);
    let (mut steps, mut skipped) = (Vec::new(), Vec::new());
    for one in assessed {
        match one.decision {
            Decision::Step(step) => steps.push(step),
            Decision::Skip(skip) => skipped.push(skip),
        }
    }
    assert_eq!((&steps, &skipped), (&decided.steps, &decided.skipped));
}

/// What a plan says about its only instance: `stop: schedule office`, or the code of the reason to skip it.
pub(crate) fn said(plan: &Plan) -> String {
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
                json["reason"].as_str().unwrap().to_owned()
            }
        })
        .collect();
    let [decision] = decisions.as_slice() else {
        panic!("not one decision: {decisions:?}");
    };
    decision.clone()
}

/// The remark on a plan's only step.
pub(crate) fn note(plan: &Plan) -> &str {
    plan.steps[0].note.as_deref().unwrap_or_default()
}

/// The sentence of a plan's only skip.
pub(crate) fn detail(plan: &Plan) -> &str {
    &plan.skipped[0].detail
}
