//! Random histories: the guarantees hold whatever people, EC2 and the network do.

use std::collections::BTreeMap;

use curfew_aws::error::CloudError;
use curfew_aws::execute::Deadline;
use curfew_aws::pass::Pass;
use curfew_core::instance::InstanceId as CoreId;
use curfew_core::request::{Request, RequestDuration, RequestKind};
use curfew_core::schedule::ScheduleName;
use curfew_core::skip::Skip;
use curfew_core::state_tags::{Actor, LAST_TAG};
use curfew_core::step::{Step, StepAction};
use curfew_model::{
    ApiAction, Denial, Ec2InstanceId, Ec2InstanceState, Ec2StateReason, Fault, Launch, SpotKind,
    Symptom,
};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;
use tokio::time::{Duration, Instant};

use super::event::{self, Deed, Event, Trouble, Wish, event};
use super::guarantees::{Promises, assert_as_wanted, code, is_pending};
use super::world::{World, managed};

const SCHEDULES: &str = r#"{ "schedules": {
    "office": { "timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00" },
    "strict": { "timezone": "Europe/Paris", "running": "Mon-Fri 08:00-20:00", "enforce": true },
    "night-stop": { "timezone": "Europe/Paris", "stop": "cron(0 20 * * ? *)" },
    "deep": { "timezone": "America/New_York", "running": "08:00-20:00", "hibernate": true, "catch_up": "2h" }
} }"#;

/// The schedules with trigger rules.
pub(crate) const WAKING: [&str; 4] = ["office", "strict", "night-stop", "deep"];

/// One instance for each of these values of the managing tag; the last ones must never be changed.
pub(crate) const FLEET: [&str; 13] = [
    "office",
    "office",
    "strict",
    "night-stop",
    "deep",
    "deep",
    "Mon-Fri 08:00-20:00; except 12-25 Europe/Paris",
    "",
    "none",
    "offcie",
    "office", // of an Auto Scaling group
    "office", // on instance store
    "office", // one-time Spot
];
/// The number of managed instances.
pub(crate) const MANAGED: usize = 7;

/// The largest number of an instance's own tags.
const TAGS: usize = 50;

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_guarantees_hold_despite_faults(
        start in 0_i64..365 * 24 * 60,
        running in proptest::array::uniform7(any::<bool>()),
        events in proptest::collection::vec(event(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(live(start, running, &events));
    }
}

/// A case takes about a fifth of a second unoptimised. `PROPTEST_CASES=1000` runs more.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

async fn live(start: i64, running: [bool; MANAGED], events: &[Event]) {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let now = begin + SignedDuration::from_mins(start);
    let mut history = History::begin(now, running).await;
    for event in events {
        history.live(event).await;
    }
    history.end().await;
}

struct History {
    world: World,
    ids: Vec<Ec2InstanceId>,
    promises: Promises,
}

impl History {
    async fn begin(now: Timestamp, running: [bool; MANAGED]) -> Self {
        let world = World::new(SCHEDULES, now).await;
        let ids: Vec<Ec2InstanceId> = FLEET
            .iter()
            .enumerate()
            .map(|(place, tag)| {
                let launch = managed(&format!("{place}"), tag).launched_at(now - 3.hours());
                let launch = match running.get(place) {
                    Some(false) => launch.stopped(),
                    _ => launch,
                };
                world.ec2.launch(peculiar(place, launch))
            })
            .collect();
        Self {
            world,
            ids,
            promises: Promises::default(),
        }
    }

    async fn live(&mut self, event: &Event) {
        match event {
            Event::Wait(time) => self.until(self.world.ec2.now() + *time),
            Event::Pass(pass) => self.pass(pass).await,
            Event::Person(which, deed) => self.person(*which, *deed).await,
            Event::Asked(which, wish) => self.asked(*which, *wish).await,
            Event::Trouble(trouble) => self.trouble(trouble),
            Event::Mended => self.mend(),
            Event::NextStartFallsBack(which) => {
                let reason = Ec2StateReason::kms_key();
                self.world.ec2.fail_next_start(&self.ids[*which], reason);
            }
        }
    }

    /// Lets time pass. A start that falls back has failed, so that its edge may be applied again.
    fn until(&mut self, then: Timestamp) {
        let known = self.world.ec2.transitions().len();
        self.world.ec2.set_now(then);
        for transition in &self.world.ec2.transitions()[known..] {
            let fell_back = (Some(Ec2InstanceState::Pending), Ec2InstanceState::Stopped);
            if (transition.from, transition.to) == fell_back {
                self.promises.excuse(&transition.instance);
            }
        }
    }

    async fn pass(&mut self, pass: &event::Pass) {
        let schedule = pass.triggered_for.map(|(which, early)| {
            let schedule: ScheduleName = WAKING[which].parse().unwrap();
            (schedule, early)
        });
        if let Some((schedule, Some(early))) = &schedule {
            let timetable = &self.world.schedule_set.schedules[schedule.as_str()].timetable;
            let edge = timetable.next_edge(self.world.now()).unwrap().at;
            let by_our_clock = edge - SignedDuration::from_secs(*early);
            let at = by_our_clock - self.world.clock_fast;
            self.until(at.max(self.world.ec2.now()));
        }
        for fault in &pass.faults {
            let fault = Fault::on(fault.action, fault.symptom.clone())
                .after(fault.after)
                .times(fault.times);
            self.world.ec2.fault(fault);
        }
        let deadline = if pass.hurried {
            Deadline::at(Instant::now())
        } else {
            Deadline::NONE
        };
        let schedule = schedule.as_ref().map(|(schedule, _)| schedule);
        if let Some((which, deed)) = pass.meanwhile {
            // The response to the observation is in flight when it happens.
            let late = Symptom::Latency(Duration::from_secs(2));
            self.world
                .ec2
                .fault(Fault::on(ApiAction::DescribeInstances, late).times(1));
            self.promises.nothing_is_wished(&self.ids[which]);
            self.promises.excuse(&self.ids[which]);
            self.promises.look_away(&self.ids[which]);
            let meanwhile = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.deed(which, deed);
            };
            let before = self.before();
            let (done, ()) = tokio::join!(self.world.woken(schedule, None, deadline), meanwhile);
            self.check(&before, done);
        } else {
            let before = self.before();
            let done = self.world.woken(schedule, None, deadline).await;
            self.world.ec2.clear_faults();
            self.assert_done(&done).await;
            self.check(&before, done);
        }
        self.world.ec2.clear_faults();
    }

    fn before(&self) -> Before {
        self.world.ec2.clear_calls();
        let instances = self.world.ec2.instances();
        Before {
            instances: instances
                .iter()
                .map(|one| (one.id.clone(), one.as_ref().clone()))
                .collect(),
            transitions: self.world.ec2.transitions().len(),
        }
    }

    fn check(&mut self, before: &Before, done: Result<Pass, CloudError>) {
        // A pass without an observation did nothing, and returned the reason.
        let (pass, error) = match done {
            Ok(pass) => (Some(pass), None),
            Err(error) => (None, Some(error)),
        };
        self.promises.check(&self.world, before, pass.as_ref());
        if let Some(error) = error {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
        }
    }

    /// Planning again after success yields no steps.
    async fn assert_done(&self, done: &Result<Pass, CloudError>) {
        let went_well = done.as_ref().is_ok_and(|pass| pass.failures() == 0);
        if let (true, Ok(again)) = (went_well, self.world.look().await) {
            // Slow changes have settled meanwhile, which is recorded.
            let left = |step: &&Step| step.action != StepAction::Record;
            let left: Vec<&Step> = again.steps.iter().filter(left).collect();
            assert!(left.is_empty(), "{left:#?} after {done:#?}");
        }
    }

    /// A change by hand must be respected if all that was due was done before it.
    async fn person(&mut self, which: usize, deed: Deed) {
        let id = self.ids[which].clone();
        let plan = self.world.look().await.ok();
        let Some(before) = self.state(&id) else {
            return;
        };
        self.deed(which, deed);
        self.promises.nothing_is_wished(&id);
        // A change within 15 seconds of a request can't be distinguished from a concurrent call, and EC2's times mean little
        // to a wrong clock.
        if is_pending(&self.world, &id) {
            self.promises.excuse(&id);
        }
        if self.state(&id).is_some_and(|after| after != before) {
            self.promises
                .somebody_changed(&self.world, &id, plan.as_ref());
        }
        match deed {
            // An instance with another schedule, or without its state tags, may be changed again.
            Deed::Reschedule(_) | Deed::Forget | Deed::Scribble => self.promises.begin_anew(&id),
            _ => {}
        }
    }

    fn deed(&self, which: usize, deed: Deed) {
        let (ec2, id) = (&self.world.ec2, &self.ids[which]);
        if self.state(id).is_none() {
            return;
        }
        // EC2 may refuse this like any other call.
        match deed {
            Deed::Start => drop(ec2.start(id)),
            Deed::Stop => drop(ec2.stop(id)),
            Deed::Terminate => drop(ec2.terminate(id)),
            Deed::Reschedule(other) => ec2.set_tag(id, "Schedule", FLEET[other]),
            Deed::Forget => ec2.remove_tag(id, LAST_TAG),
            Deed::Scribble => ec2.set_tag(id, LAST_TAG, "yesterday, I think"),
            Deed::FillTags => {
                let free = TAGS.saturating_sub(ec2.instance(id).tags.len());
                (0..free).for_each(|n| ec2.set_tag(id, &format!("filler-{n}"), ""));
            }
            Deed::FreeTags => {
                (0..TAGS).for_each(|n| ec2.remove_tag(id, &format!("filler-{n}")));
            }
        }
    }

    async fn asked(&mut self, which: usize, wish: Wish) {
        let now = self.world.now();
        let until = |minutes: i64| now + SignedDuration::from_mins(minutes);
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
        let target: CoreId = self.ids[which].as_str().parse().unwrap();
        let request = Request {
            kind: ask,
            targets: [target].into(),
            by: Actor::new("alice"),
        };
        self.promises.nothing_is_wished(&self.ids[which]);
        // A pass for a request does nothing else for the instance.
        self.promises.asked_for(&self.ids[which]);
        let before = self.before();
        let done = self.world.woken(None, Some(request), Deadline::NONE).await;
        self.check(&before, done);
    }

    fn trouble(&mut self, trouble: &Trouble) {
        let ec2 = &self.world.ec2;
        match trouble {
            Trouble::Denied(action) => ec2.deny(Denial::of(*action)),
            Trouble::DeniedFor(action, which) => {
                ec2.deny(Denial::of(*action).if_tagged("Schedule", WAKING[*which]));
            }
            Trouble::Credentials(fault) => ec2.reject_credentials("000000000000", *fault),
            Trouble::NoCapacity => ec2.set_capacity("t3.micro", "eu-west-3a", 0),
            Trouble::Clock(minutes) => {
                self.world.clock_fast = SignedDuration::from_mins(*minutes);
            }
        }
    }

    fn mend(&mut self) {
        let ec2 = &self.world.ec2;
        ec2.allow_everything();
        ec2.accept_credentials("000000000000");
        ec2.clear_capacity("t3.micro", "eu-west-3a");
        self.world.clock_fast = SignedDuration::ZERO;
    }

    /// Ends all faults and lets all states settle: then nothing is left to do, and every instance is as its override or its
    /// schedule wants it.
    async fn end(mut self) {
        self.mend();
        for which in 0..self.ids.len() {
            self.deed(which, Deed::FreeTags);
        }
        let undisturbed = event::Pass {
            triggered_for: None,
            faults: Vec::new(),
            meanwhile: None,
            hurried: false,
        };
        // Failed starts are retried, and refused calls back off longer each time.
        for _ in 0..40 {
            self.pass(&undisturbed).await;
            self.until(self.world.ec2.now() + SignedDuration::from_mins(20));
            if self.is_at_rest().await {
                break;
            }
        }
        assert!(self.is_at_rest().await, "there is always more to do");
        for id in &self.ids {
            if self.state(id).is_some() {
                assert_as_wanted(&self.world, id);
            }
        }
    }

    /// Whether nothing is to be done, and no state is transitional.
    async fn is_at_rest(&self) -> bool {
        let plan = self.world.look().await.unwrap();
        let waits =
            |skip: &Skip| ["transitioning", "waiting_to_retry"].contains(&code(skip).as_str());
        plan.steps.is_empty() && !plan.skipped.iter().any(waits)
    }

    fn state(&self, id: &Ec2InstanceId) -> Option<Ec2InstanceState> {
        let instances = self.world.ec2.instances();
        instances
            .iter()
            .find(|one| one.id == *id)
            .map(|one| one.state)
    }
}

/// The state before a pass.
pub(crate) struct Before {
    pub(crate) instances: BTreeMap<Ec2InstanceId, curfew_model::Ec2Instance>,
    pub(crate) transitions: usize,
}

/// Applies the peculiarities of the instance at this index.
fn peculiar(place: usize, launch: Launch) -> Launch {
    match place {
        5 => launch.hibernation(),
        10 => launch.auto_scaling_group("web"),
        11 => launch.instance_store(),
        12 => launch.spot(SpotKind::OneTime),
        _ => launch,
    }
}
