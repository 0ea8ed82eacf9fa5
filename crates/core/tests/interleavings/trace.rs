//! The descriptions of events and states in traces.

use crate::machine::{Pace, wall};
use crate::model::{Event, Exploration, Pass, State};
use crate::shell::{Operation, PersonRequest, Trigger};

impl Exploration {
    pub(crate) fn describe_event(&self, before: &State, event: Event, after: &State) -> String {
        let now = wall(self.now(before));
        let doing = |slot: usize| match before.passes[slot] {
            Pass::Running(pass) => {
                let operations = self.shell.operations(pass.step, pass.refused);
                let operation = &operations[usize::from(pass.done)];
                (operation.clone(), pass.sent.is_some())
            }
            Pass::None => unreachable!("only passes under way do something"),
        };
        let what = match event {
            Event::Tick => return format!("it is {}", wall(self.now(after))),
            Event::Request(request) => format!("a request: {}", describe_request(request)),
            Event::Console(action) => format!("console: {action}"),
            Event::FallsBack => "the start falls back".to_owned(),
            Event::Arrives => format!("it is {:?} now", after.machine.power),
            Event::Observes(trigger, at, planned) => {
                let step = planned.step.expect("a pass that does something");
                let step = self.shell.text(step);
                let woken = match trigger {
                    Trigger::Heartbeat => "",
                    Trigger::Schedule => ", woken early for the schedule,",
                };
                format!(
                    "a pass{woken} observes {:?} and plans at {}: {step}",
                    before.machine.power,
                    wall(at),
                )
            }
            Event::Does(slot) => match doing(slot) {
                (Operation::Call(action), false) if self.scenario.pace == Pace::Late => {
                    format!("the pass sends: {action}")
                }
                (Operation::Call(action), _) => format!(
                    "the call takes effect: {action} -> {:?}",
                    after.machine.power
                ),
                (Operation::Create(set), _) => {
                    let skipped = if before.machine.tags == after.machine.tags {
                        " (not written: what is there is as new)"
                    } else {
                        ""
                    };
                    let set: Vec<String> = set
                        .iter()
                        .map(|(key, value)| format!("{key}={value}"))
                        .collect();
                    format!("the pass writes {}{skipped}", set.join(", "))
                }
                (Operation::Delete(keys), _) => format!("the pass deletes {}", keys.join(", ")),
            },
            Event::Refused(slot) => format!("EC2 refuses the call: {:?}", doing(slot).0),
            Event::Dies(slot) => format!("the pass dies before {:?}", doing(slot).0),
        };
        format!("{now} {what}")
    }

    pub(crate) fn format_state(&self, state: &State) -> String {
        let tags: Vec<String> = self
            .shell
            .tags
            .get(state.machine.tags)
            .iter()
            .filter(|(key, _)| key.starts_with("curfew:"))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!(
            "{}: {:?}, launched {}, stopped {}; {}",
            wall(self.now(state)),
            state.machine.power,
            state.machine.launched.map_or("never".to_owned(), wall),
            state
                .machine
                .stopped
                .map_or("never".to_owned(), |(at, by)| format!(
                    "{} by {by:?}",
                    wall(at)
                )),
            if tags.is_empty() {
                "no tags".to_owned()
            } else {
                tags.join("; ")
            },
        )
    }
}

fn describe_request(request: PersonRequest) -> String {
    match request {
        PersonRequest::Start => "start".to_owned(),
        PersonRequest::Stop => "stop".to_owned(),
        PersonRequest::Keep(kept, until) => format!("keep it {kept:?} until {}", wall(until)),
        PersonRequest::Resume => "resume".to_owned(),
    }
}
