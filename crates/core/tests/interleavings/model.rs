//! The model: one instance, two passes that may die at any point, requests, console changes, and EC2; and all possible next events.

use std::collections::{BTreeMap, HashMap};

use curfew_core::schedule::Enforcement;
use curfew_core::state_tags::{Cause, LAST_TAG, LastApplied};
use curfew_core::timetable::Action;

use crate::machine::{Machine, Pace, Power, Second, StoppedBy, instant, second};
use crate::people::{EDGES, NewestDirective, PersonRequests, Rank, next_edge};
use crate::search::{FastHasher, Model, Next};
use crate::shell::{
    Operation, OverrideTarget, PersonRequest, Planned, Rules, Shell, StepId, Trigger, last_in,
};
use crate::verdict::Violation;

/// The parameters of an exploration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    /// The instants at which events happen.
    pub(crate) instants: &'static [Second],
    pub(crate) templates: &'static [RequestTemplate],
    pub(crate) depth: Depth,
    pub(crate) enforcement: Enforcement,
    /// Whether no pass has observed the instance before.
    pub(crate) never_observed: bool,
    /// Whether rules fire before their edge.
    pub(crate) early: bool,
    pub(crate) pace: Pace,
}

/// How often each of these events may happen; the number of passes is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Depth {
    /// The number of requests.
    pub(crate) words: u8,
    /// Starts and stops in the console.
    pub(crate) console: u8,
    /// Calls that EC2 refuses.
    pub(crate) failures: u8,
    /// Starts that fall back.
    pub(crate) falls: u8,
}

/// A kind of request; overrides get their end from the instants of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestTemplate {
    Start,
    Stop,
    KeepRunning,
    KeepStopped,
    KeepOff,
    Resume,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    tick: u8,
    pub(crate) machine: Machine,
    pub(crate) requests: PersonRequests,
    left: Depth,
    pub(crate) passes: [Pass; 2],
    /// The latest change that came from the console.
    pub(crate) changed: Option<ConsoleChange>,
    /// The highest instant that `curfew:last` ever had.
    highest: Second,
    /// The newest directive that was recorded as done.
    done: (Second, Rank),
}

/// The progress of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Pass {
    /// There is no pass, or it can have no further effect.
    None,
    Running(RunningPass),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunningPass {
    pub(crate) step: StepId,
    /// Whether EC2 refused the call, so that the refusal is written.
    pub(crate) refused: bool,
    /// The number of completed operations.
    pub(crate) done: u8,
    /// The tick of the observation, as long as a call is ahead.
    observed: u8,
    /// The tick at which a call was sent that has not taken effect.
    pub(crate) sent: Option<u8>,
    ends: Second,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConsoleChange {
    pub(crate) to: Action,
    /// The newest directive before the change.
    pub(crate) directive: NewestDirective,
    /// Whether that directive was recorded as done.
    pub(crate) recorded: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Event {
    Tick,
    Request(PersonRequest),
    Console(Action),
    FallsBack,
    Arrives,
    Observes(Trigger, Second, Planned),
    Does(usize),
    Refused(usize),
    Dies(usize),
}

/// How old an observation may be when a call is sent: the 5 seconds that the shells allow, and some for the call itself.
pub(crate) const FRESH: Second = 8;

pub(crate) struct Exploration {
    pub(crate) scenario: Scenario,
    pub(crate) shell: Shell,
    initial: Vec<State>,
    checked: HashMap<StateKey, Vec<Violation>, FastHasher>,
}

type StateKey = (u8, Machine, PersonRequests, Option<ConsoleChange>);

impl Exploration {
    pub(crate) fn new(scenario: Scenario, mut shell: Shell) -> Self {
        let office = BTreeMap::from([("Schedule".to_owned(), "office".to_owned())]);
        let last = |tags: &BTreeMap<String, String>| {
            let mut tags = tags.clone();
            let stop = format!("{} stop schedule office", instant(EDGES[0].0));
            tags.insert(LAST_TAG.to_owned(), stop);
            tags
        };
        let machine = |power, launched, stopped, tags| Machine {
            power,
            launched,
            stopped,
            tags,
        };
        let night = (EDGES[0].0, Action::Stop);
        let machines = if scenario.never_observed {
            let tags = shell.tags.id(office);
            [
                machine(Power::Stopped, None, None, tags),
                machine(Power::Running, Some(-300), None, tags),
            ]
        } else {
            let tags = shell.tags.id(last(&office));
            let stopped = Some((night.0 + 2, StoppedBy::User));
            [
                machine(Power::Stopped, Some(night.0 - 120), stopped, tags),
                machine(Power::Running, Some(-300), stopped, tags),
            ]
        };
        let initial = machines.map(|machine| {
            let known = !scenario.never_observed;
            // Running at night: it was started in the console.
            let changed = (known && machine.power == Power::Running).then(|| ConsoleChange {
                to: Action::Start,
                directive: PersonRequests::default().newest(-1),
                recorded: true,
            });
            State {
                tick: 0,
                machine,
                requests: PersonRequests::default(),
                left: scenario.depth,
                passes: [Pass::None; 2],
                changed,
                highest: if known { night.0 } else { Second::MIN },
                done: (if known { night.0 } else { Second::MIN }, Rank::Edge),
            }
        });
        Self {
            scenario,
            shell,
            initial: initial.into(),
            checked: HashMap::default(),
        }
    }

    pub(crate) fn now(&self, state: &State) -> Second {
        self.scenario.instants[usize::from(state.tick)]
    }

    /// The instant of decisions: the latest of `now` and the instants in the tags.
    pub(crate) fn effective_now(
        &self,
        machine: Machine,
        requests: &PersonRequests,
        now: Second,
    ) -> Second {
        let last = self.shell.last(machine).map(|last| second(last.at));
        now.max(last.max(requests.latest()).unwrap_or(now))
    }

    fn request_from(&self, template: RequestTemplate, tick: u8) -> PersonRequest {
        let instants = self.scenario.instants;
        let later = usize::from(tick) + 2;
        let until = || instants.get(later).copied().unwrap_or(3_600);
        match template {
            RequestTemplate::Start => PersonRequest::Start,
            RequestTemplate::Stop => PersonRequest::Stop,
            RequestTemplate::KeepRunning => PersonRequest::Keep(OverrideTarget::Running, until()),
            RequestTemplate::KeepStopped => PersonRequest::Keep(OverrideTarget::Stopped, until()),
            RequestTemplate::KeepOff => PersonRequest::Keep(OverrideTarget::Ignored, until()),
            RequestTemplate::Resume => PersonRequest::Resume,
        }
    }

    fn ticks(&self, state: &State) -> Option<State> {
        let tick = state.tick + 1;
        let now = *self.scenario.instants.get(usize::from(tick))?;
        let overdue = |pass: &Pass| match pass {
            Pass::Running(pass) => pass.sent.is_some_and(|sent| sent + 1 < tick),
            Pass::None => false,
        };
        if state.machine.power.in_flight() || state.passes.iter().any(overdue) {
            return None;
        }
        let mut passes = state.passes;
        for pass in &mut passes {
            if self.is_over(pass, now) {
                *pass = Pass::None;
            }
        }
        passes.sort_unstable();
        Some(State {
            tick,
            passes,
            ..*state
        })
    }

    /// Whether a pass can have no further effect.
    fn is_over(&self, pass: &Pass, now: Second) -> bool {
        let Pass::Running(pass) = pass else {
            return false;
        };
        if pass.sent.is_some() {
            return false;
        }
        let rules = self.scenario.rules;
        let operations = self.shell.operations(pass.step, pass.refused);
        let calls = |operation: &Operation| matches!(operation, Operation::Call(_));
        let before_call = operations[usize::from(pass.done)..].iter().any(calls);
        let since = now - self.scenario.instants[usize::from(pass.observed)];
        now >= pass.ends || (before_call && rules.fresh_observation && since > FRESH)
    }

    fn observations(&mut self, state: &State) -> Vec<(Trigger, Second, Planned)> {
        let now = self.now(state);
        let mut triggers = vec![(Trigger::Heartbeat, now)];
        if let Some(before) = usize::from(state.tick).checked_sub(1) {
            // The pass read its clock before it observed the instance.
            let before = self.scenario.instants[before];
            if next_edge(before) > now && now - before <= FRESH {
                triggers.push((Trigger::Heartbeat, before));
            }
        }
        if self.scenario.early && next_edge(now) - now <= FRESH {
            triggers.push((Trigger::Schedule, now));
        }
        let planned = triggers.into_iter().map(|(trigger, at)| {
            let planned = self.shell.plan(state.machine, decided_at(trigger, at));
            (trigger, at, planned)
        });
        planned
            .filter(|(.., planned)| planned.step.is_some())
            .collect()
    }

    fn begins(
        &self,
        state: &State,
        now: Second,
        trigger: Trigger,
        planned: Planned,
    ) -> Option<Next<Self>> {
        let slot = state.passes.iter().position(|pass| *pass == Pass::None)?;
        let step = planned.step.filter(|_| self.now(state) < planned.ends)?;
        let calls = self.shell.calls(step);
        let decided = decided_at(trigger, now);
        let directive =
            state
                .requests
                .newest(self.effective_now(state.machine, &state.requests, decided));
        let again = calls
            && !directive.in_force
            && self.scenario.enforcement == Enforcement::OncePerEdge
            && (directive.at, directive.rank) <= state.done;
        let pass = Pass::Running(RunningPass {
            step,
            refused: false,
            done: 0,
            observed: if calls { state.tick } else { 0 },
            sent: None,
            ends: planned.ends,
        });
        Some(Next {
            event: Event::Observes(trigger, now, planned),
            state: with(state, slot, pass),
            violation: again.then_some(Violation::CalledAgain),
        })
    }

    /// The possible results of the next operation of a pass.
    fn advances(&mut self, state: &State, slot: usize) -> Vec<Next<Self>> {
        let Pass::Running(pass) = state.passes[slot] else {
            return Vec::new();
        };
        match self.operation(&pass) {
            Operation::Call(action) if pass.sent.is_none() => {
                let mut next = Vec::from_iter(self.refused(state, slot, pass));
                next.push(if self.scenario.pace == Pace::Late {
                    let sent = RunningPass {
                        sent: Some(state.tick),
                        ..pass
                    };
                    fine(Event::Does(slot), with(state, slot, Pass::Running(sent)))
                } else {
                    self.takes_effect(state, slot, pass, action)
                });
                next
            }
            Operation::Call(action) => vec![self.takes_effect(state, slot, pass, action)],
            write => self.writes(state, slot, pass, &write),
        }
    }

    fn operation(&self, pass: &RunningPass) -> Operation {
        self.shell.operations(pass.step, pass.refused)[usize::from(pass.done)].clone()
    }

    /// The pass after its next operation.
    fn advanced(&self, pass: RunningPass) -> Pass {
        let done = pass.done + 1;
        let ahead = &self.shell.operations(pass.step, pass.refused)[usize::from(done)..];
        if ahead.is_empty() {
            return Pass::None;
        }
        let calls = |operation: &Operation| matches!(operation, Operation::Call(_));
        Pass::Running(RunningPass {
            done,
            observed: if ahead.iter().any(calls) {
                pass.observed
            } else {
                0
            },
            sent: None,
            ..pass
        })
    }

    fn refused(&self, state: &State, slot: usize, pass: RunningPass) -> Option<Next<Self>> {
        let left = Depth {
            failures: state.left.failures.checked_sub(1)?,
            ..state.left
        };
        let pass = if self.shell.operations(pass.step, true).is_empty() {
            Pass::None
        } else {
            Pass::Running(RunningPass {
                refused: true,
                done: 0,
                observed: 0,
                ..pass
            })
        };
        let refused = State {
            left,
            ..with(state, slot, pass)
        };
        Some(fine(Event::Refused(slot), refused))
    }

    fn takes_effect(
        &self,
        state: &State,
        slot: usize,
        pass: RunningPass,
        action: Action,
    ) -> Next<Self> {
        let now = self.now(state);
        let mut after = if refuses(state.machine.power, action) {
            Pass::None
        } else {
            self.advanced(pass)
        };
        if self.is_over(&after, now) {
            after = Pass::None;
        }
        let called = State {
            machine: state.machine.called(action, now, self.scenario.pace),
            ..with(state, slot, after)
        };
        fine(Event::Does(slot), called)
    }

    fn writes(
        &mut self,
        state: &State,
        slot: usize,
        pass: RunningPass,
        write: &Operation,
    ) -> Vec<Next<Self>> {
        let (machine, violation) = self.write(state, write);
        let written = State {
            machine,
            ..with(state, slot, self.advanced(pass))
        };
        let mut next = vec![Next {
            event: Event::Does(slot),
            state: self.with_history(written),
            violation,
        }];
        if pass.done > 0 {
            next.push(fine(Event::Dies(slot), with(state, slot, Pass::None)));
        }
        next
    }

    fn write(&mut self, state: &State, write: &Operation) -> (Machine, Option<Violation>) {
        let machine = self.shell.write(state.machine, write);
        let Operation::Create(set) = write else {
            return (machine, None);
        };
        let written = last_in(set).filter(|_| machine.tags != state.machine.tags);
        let back = written.is_some_and(|last| second(last.at) < state.highest);
        (machine, back.then_some(Violation::LastWentBack))
    }

    fn with_history(&self, state: State) -> State {
        let Some(last) = self.shell.last(state.machine) else {
            return state;
        };
        let at = second(last.at);
        State {
            highest: state.highest.max(at),
            done: if last.pending {
                state.done
            } else {
                state.done.max((at, rank(&last, &state.requests)))
            },
            ..state
        }
    }

    fn sends_request(&mut self, state: &State, request: PersonRequest) -> Next<Self> {
        let now = self.now(state);
        let (machine, at) = self.shell.write_request(state.machine, request, now);
        let last = self.shell.last(state.machine).map(|last| second(last.at));
        let known = last.max(state.requests.latest());
        let is_newer = at >= now && known.is_none_or(|known| at > known);
        let requested = State {
            machine,
            requests: state.requests.and(request, at),
            left: Depth {
                words: state.left.words - 1,
                ..state.left
            },
            ..*state
        };
        Next {
            event: Event::Request(request),
            state: requested,
            violation: (!is_newer).then_some(Violation::InstantNotNewer),
        }
    }

    fn console(&self, state: &State) -> Option<Next<Self>> {
        let to = match state.machine.power {
            Power::Running => Action::Stop,
            Power::Stopped => Action::Start,
            Power::Starting | Power::Stopping => return None,
        };
        let now = self.now(state);
        let directive =
            state
                .requests
                .newest(self.effective_now(state.machine, &state.requests, now));
        let last = self.shell.last(state.machine);
        let recorded = last.is_some_and(|last| {
            let key = (second(last.at), rank(&last, &state.requests));
            !last.pending
                && key == (directive.at, directive.rank)
                && Some(last.action) == directive.want
        }) && directive
            .want
            .is_some_and(|want| state.machine.power.is_at(want));
        let changed = State {
            machine: state.machine.called(to, now, self.scenario.pace),
            left: Depth {
                console: state.left.console - 1,
                ..state.left
            },
            changed: Some(ConsoleChange {
                to,
                directive,
                recorded,
            }),
            ..*state
        };
        Some(Next {
            event: Event::Console(to),
            state: changed,
            violation: None,
        })
    }
}

/// Whether EC2 refuses a call because something else is under way.
/// The instant of a pass's decisions: the clock of a pass whose rule fired early is at the edge.
fn decided_at(trigger: Trigger, observed: Second) -> Second {
    match trigger {
        Trigger::Heartbeat => observed,
        Trigger::Schedule => next_edge(observed),
    }
}

fn refuses(power: Power, action: Action) -> bool {
    matches!(
        (power, action),
        (Power::Stopping, Action::Start) | (Power::Starting, Action::Stop)
    )
}

/// The rank of the directive that `curfew:last` records.
fn rank(last: &LastApplied, requests: &PersonRequests) -> Rank {
    match last.cause {
        Cause::Override(_) | Cause::Request(_) => Rank::Person,
        Cause::Schedule(_)
            if requests
                .kept
                .is_some_and(|kept| kept.until == second(last.at)) =>
        {
            Rank::EndOfOverride
        }
        Cause::Schedule(_) | Cause::Adopted | Cause::External => Rank::Edge,
    }
}

fn fine(event: Event, state: State) -> Next<Exploration> {
    Next {
        event,
        state,
        violation: None,
    }
}

fn with(state: &State, slot: usize, pass: Pass) -> State {
    let mut passes = state.passes;
    passes[slot] = pass;
    passes.sort_unstable();
    State { passes, ..*state }
}

impl Model for Exploration {
    type State = State;
    type Event = Event;
    type Violation = Violation;

    fn initial(&self) -> Vec<State> {
        self.initial.clone()
    }

    fn next(&mut self, state: &State) -> Vec<Next<Self>> {
        let mut all = Vec::new();
        if let Some(ticked) = self.ticks(state) {
            all.push(Next {
                event: Event::Tick,
                state: ticked,
                violation: None,
            });
        }
        if state.left.words > 0 {
            for &template in self.scenario.templates {
                let request = self.request_from(template, state.tick);
                all.push(self.sends_request(state, request));
            }
        }
        if state.left.console > 0 {
            all.extend(self.console(state));
        }
        let now = self.now(state);
        if state.machine.power.in_flight() {
            let arrived = State {
                machine: state.machine.arrived(),
                ..*state
            };
            all.push(Next {
                event: Event::Arrives,
                state: arrived,
                violation: None,
            });
        }
        if state.left.falls > 0
            && state.machine.launched == Some(now)
            && matches!(state.machine.power, Power::Running | Power::Starting)
        {
            let machine = Machine {
                power: Power::Stopped,
                stopped: Some((now, StoppedBy::Service)),
                ..state.machine
            };
            let fallen = State {
                machine,
                left: Depth {
                    falls: state.left.falls - 1,
                    ..state.left
                },
                changed: None,
                ..*state
            };
            all.push(Next {
                event: Event::FallsBack,
                state: fallen,
                violation: None,
            });
        }
        for (trigger, at, planned) in self.observations(state) {
            all.extend(self.begins(state, at, trigger, planned));
        }
        for slot in 0..state.passes.len() {
            if slot > 0 && state.passes[slot] == state.passes[slot - 1] {
                continue;
            }
            all.extend(self.advances(state, slot));
        }
        all
    }

    fn check(&mut self, state: &State) -> Vec<Violation> {
        if state.machine.power.in_flight() || state.passes.iter().any(|pass| *pass != Pass::None) {
            return Vec::new();
        }
        let key = (state.tick, state.machine, state.requests, state.changed);
        if let Some(known) = self.checked.get(&key) {
            return known.clone();
        }
        let wrong = self.verdict(state);
        self.checked.insert(key, wrong.clone());
        wrong
    }

    fn describe(&mut self, before: &State, event: Event, after: &State) -> String {
        self.describe_event(before, event, after)
    }

    fn describe_state(&self, state: &State) -> String {
        self.format_state(state)
    }
}
