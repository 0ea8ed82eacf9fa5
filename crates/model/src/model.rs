//! The handle that tests hold: build the world, let time pass, do what people do, read what happened.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{Timestamp, TimestampArithmetic};
use serde_json::Value;

use crate::access::{ClockCheck, CredentialFault, Denial};
use crate::action::ApiAction;
use crate::caller::ApiCaller;
use crate::error::ApiError;
use crate::fault::Fault;
use crate::ids::{Ec2InstanceId, Home};
use crate::instance::{Ec2Instance, Ec2InstanceState, Ec2StateReason, ModelCapacityPool};
use crate::launch::Launch;
use crate::queue::{QueueAttributes, QueueCall, QueueMessage};
use crate::record::{RecordedCall, StateTransition};
use crate::request::{ApiRequest, ApiResponse, ShutdownMode, StopMode};
use crate::role::Role;
use crate::service::Reply;
use crate::throttle::{Throttle, Throttling};
use crate::world::{DateRecording, Durations, ModelWorld};

/// A model of EC2 in memory, in virtual time. Clones are handles on the same world, so that a test and a
/// [`Server`](crate::Server) share it; nothing in it reads a clock, and the same seed and calls give the same world.
#[derive(Debug, Clone)]
pub struct Model {
    world: Arc<Mutex<ModelWorld>>,
}

/// The world at its start, and how it behaves.
impl Model {
    /// An empty world at this instant.
    pub fn new(now: Timestamp) -> Self {
        Self::seeded(now, 0)
    }

    /// An empty world with other names and other chance than [`new`](Self::new)'s.
    pub fn seeded(now: Timestamp, seed: u64) -> Self {
        Self {
            world: Arc::new(Mutex::new(ModelWorld::new(now, seed))),
        }
    }

    /// Adds an instance, as part of what the test finds: no call, no transition, no event.
    pub fn launch(&self, launch: Launch) -> Ec2InstanceId {
        self.world().place(launch, None)
    }

    /// Changes how long instances take, from the next change on.
    pub fn set_durations(&self, durations: Durations) {
        self.world().durations = durations;
    }

    /// Dates no start and no stop from now on, as the embedded emulator: `LaunchTime` never moves, and no reason has a date.
    pub fn date_nothing(&self) {
        self.world().dates = DateRecording::Missing;
    }

    /// Changes how long this instance takes, from the next change on: a state that is slow for one id.
    pub fn set_durations_of(&self, id: &Ec2InstanceId, durations: Durations) {
        self.world()
            .durations_by_instance
            .insert(id.clone(), durations);
    }

    /// Limits how many more instances of this type can start in this zone, on demand and without any placement. A start takes a
    /// place, a stop gives one back; a call that needs more places than there are starts nothing, so splitting it finds those
    /// that fit.
    pub fn set_capacity(&self, instance_type: &str, zone: &str, free: u32) {
        let pool = ModelCapacityPool::plain(instance_type, zone);
        self.world().free_capacity.insert(pool, free);
    }

    /// The same for the instances that share capacity with this one: of its type, zone, purchase option and placement.
    ///
    /// # Panics
    ///
    /// When there is no such instance.
    pub fn set_capacity_like(&self, id: &Ec2InstanceId, free: u32) {
        let pool = self.instance(id).pool();
        self.world().free_capacity.insert(pool, free);
    }

    /// Takes the limit of [`set_capacity`](Self::set_capacity) away again.
    pub fn clear_capacity(&self, instance_type: &str, zone: &str) {
        let pool = ModelCapacityPool::plain(instance_type, zone);
        self.world().free_capacity.remove(&pool);
    }

    /// Lets the instance's next start be accepted and then fall back to stopped for this reason. Once per call of this.
    pub fn fail_next_start(&self, id: &Ec2InstanceId, reason: Ec2StateReason) {
        self.world()
            .failing_starts
            .entry(id.clone())
            .or_default()
            .push_back(reason);
    }

    /// Lets the instance's next stop hang in `stopping` until somebody forces it.
    pub fn hang_next_stop(&self, id: &Ec2InstanceId) {
        self.world().stuck.push(id.clone());
    }

    /// Describes the instance's state by a word that EC2 does not document, whatever it is, from now on.
    pub fn describe_state_as(&self, id: &Ec2InstanceId, state: &'static str) {
        /// Beyond every number that the API Reference lists.
        const UNDOCUMENTED: u16 = 96;
        let mut world = self.world();
        if world.find(id).is_some() {
            world.change(id).described_as = Some((state, UNDOCUMENTED));
        }
    }

    /// Turns EC2's token buckets on, full. They are off in a new model.
    pub fn throttle(&self, figures: Throttling) {
        self.world().throttle = Some(Throttle::new(figures));
    }

    /// Turns them off.
    pub fn stop_throttling(&self) {
        self.world().throttle = None;
    }

    /// Denies calls, besides what is denied already.
    pub fn deny(&self, denial: Denial) {
        self.world().access.denials.push(denial);
    }

    /// Denies this account's callers every action that takes a permission which is not among these.
    pub fn grant_only(&self, account: &str, permissions: &BTreeSet<String>) {
        for action in ApiAction::ALL {
            if !permissions.contains(&action.permission()) {
                self.deny(Denial::of(*action).in_account(account));
            }
        }
    }

    /// Denies nothing any more.
    pub fn allow_everything(&self) {
        self.world().access.denials.clear();
    }

    /// Rejects every call with credentials of this account.
    pub fn reject_credentials(&self, account: &str, fault: CredentialFault) {
        self.world()
            .access
            .credentials
            .insert(account.to_owned(), fault);
    }

    /// Accepts them again: the session was renewed.
    pub fn accept_credentials(&self, account: &str) {
        self.world().access.credentials.remove(account);
    }

    /// Enables a region that accounts don't have by default.
    pub fn opt_in(&self, region: &str) {
        self.world().access.opt_in(region);
    }

    /// Whether a signature's time is compared with the model's. Off in a new model.
    pub fn check_clocks(&self, check: ClockCheck) {
        self.world().access.clock = check;
    }

    /// Lets calls over HTTP go wrong. The first fault that fits a call strikes it.
    pub fn fault(&self, fault: Fault) {
        self.world().faults.add(fault);
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.world().faults.clear();
    }
}

/// Queues and roles.
impl Model {
    /// A new queue of this account and region; its address.
    pub fn create_queue(&self, home: &Home, name: &str, configuration: QueueAttributes) -> String {
        self.world().create_queue(home, name, configuration)
    }

    /// Delivers every change of state in the queue's account and region to it from now on, as `EventBridge` does with a rule for
    /// them. [`drain_events`](Self::drain_events) gives them all the same.
    ///
    /// # Panics
    ///
    /// When there is no such queue.
    pub fn deliver_events_to(&self, url: &str) {
        self.world().subscribe_queue(url);
    }

    /// Puts a message into a queue as anybody might: an event a second time, or one that makes no sense.
    ///
    /// # Panics
    ///
    /// When there is no such queue.
    pub fn send(&self, url: &str, body: &str) {
        self.world().put(url, body.to_owned(), 0);
    }

    /// What is in a queue, hidden or not.
    pub fn messages(&self, url: &str) -> Vec<QueueMessage> {
        self.world().messages(url)
    }

    /// Adds a role; its resource name.
    pub fn add_role(&self, role: Role) -> String {
        self.world().roles.add(role)
    }
}

/// Time.
impl Model {
    /// The model's time.
    pub fn now(&self) -> Timestamp {
        self.world().now
    }

    /// Lets this much time pass; a span of hours and smaller, or a duration.
    ///
    /// # Panics
    ///
    /// On a span with days or more, whose length depends on a calendar, and on one that goes back.
    pub fn advance(&self, by: impl Into<TimestampArithmetic>) {
        let then = self
            .now()
            .checked_add(by)
            .expect("virtual time moves by hours and smaller");
        self.set_now(then);
    }

    /// Lets time pass until this instant.
    ///
    /// # Panics
    ///
    /// When it has passed already: a world can't be put back.
    pub fn set_now(&self, then: Timestamp) {
        let mut world = self.world();
        assert!(
            then >= world.now,
            "virtual time can't go back from {} to {then}",
            world.now
        );
        world.pass(then);
    }

    /// Moves on to this instant, unless the model is there already.
    pub(crate) fn catch_up(&self, then: Timestamp) {
        let mut world = self.world();
        if then > world.now {
            world.pass(then);
        }
    }

    /// The instant of the next change that time alone will bring, if any: where a simulation can go next.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.world().next_due()
    }
}

/// What people do behind Curfew's back, at the console: no credentials, no throttling, no faults, no entry in the call log; but
/// EC2's rules, its transitions and its events.
impl Model {
    /// Starts an instance.
    pub fn start(&self, id: &Ec2InstanceId) -> Result<(), ApiError> {
        let mut world = self.world();
        let home = home_of(&world, id)?;
        world.start(&home, &[id.to_string()]).map(drop)
    }

    /// Stops an instance.
    pub fn stop(&self, id: &Ec2InstanceId) -> Result<(), ApiError> {
        let mut world = self.world();
        let home = home_of(&world, id)?;
        let ids = [id.to_string()];
        world
            .stop(&home, &ids, StopMode::Plain, ShutdownMode::Graceful)
            .map(drop)
    }

    /// Terminates an instance.
    pub fn terminate(&self, id: &Ec2InstanceId) -> Result<(), ApiError> {
        let mut world = self.world();
        let home = home_of(&world, id)?;
        world.terminate(&home, &[id.to_string()]).map(drop)
    }

    /// Adds or overwrites a tag; `aws:` keys too, as AWS's own services do.
    pub fn set_tag(&self, id: &Ec2InstanceId, key: &str, value: &str) {
        let mut world = self.world();
        if world.find(id).is_some() {
            let tags = &mut world.change(id).tags;
            tags.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Removes a tag.
    pub fn remove_tag(&self, id: &Ec2InstanceId, key: &str) {
        let mut world = self.world();
        if world.find(id).is_some() {
            world.change(id).tags.remove(key);
        }
    }

    /// Stops a running instance for a reason of its own or of AWS's, past every protection.
    pub fn interrupt(&self, id: &Ec2InstanceId, reason: Ec2StateReason) {
        let mut world = self.world();
        if world.find(id).is_some() {
            world.stop_for(id, reason);
        }
    }
}

/// Calls without HTTP.
impl Model {
    /// Makes a call as a client would, with credentials, permissions, token buckets, faults and the log. What happens to an
    /// answer on its way back needs a way, so it does not happen here; a call that a fault loses on its way there is answered
    /// with `ServiceUnavailable`.
    pub fn call(&self, caller: &ApiCaller, request: ApiRequest) -> Result<ApiResponse, ApiError> {
        let name = request.action().name();
        let reply = self.receive(caller, name, Ok(request));
        reply.answer.unwrap_or_else(|| {
            Err(ApiError::with_status(
                503,
                "ServiceUnavailable",
                "The call was lost on its way.",
            ))
        })
    }

    pub(crate) fn receive(
        &self,
        caller: &ApiCaller,
        name: &str,
        request: Result<ApiRequest, ApiError>,
    ) -> Reply {
        self.world().receive(caller, name, request)
    }

    /// Looks once more for a long poll, which is one call however often it looks.
    pub(crate) fn receive_again(&self, home: &Home, call: &QueueCall) -> Option<ApiResponse> {
        self.world().queue_call(home, call).ok()
    }

    /// The instant to send as the service's, while clocks are checked.
    pub(crate) fn announced_time(&self) -> Option<Timestamp> {
        let world = self.world();
        (world.access.clock == ClockCheck::On).then_some(world.now)
    }
}

/// What happened.
impl Model {
    /// The state of an instance.
    ///
    /// # Panics
    ///
    /// When there is no such instance.
    pub fn state(&self, id: &Ec2InstanceId) -> Ec2InstanceState {
        self.instance(id).state
    }

    /// An instance as it is now.
    ///
    /// # Panics
    ///
    /// When there is no such instance: never was, or terminated more than an hour ago.
    pub fn instance(&self, id: &Ec2InstanceId) -> Arc<Ec2Instance> {
        match self.world().find(id) {
            Some(instance) => Arc::clone(instance),
            None => panic!("the model has no instance `{id}`"),
        }
    }

    /// Every instance, of every account and region.
    pub fn instances(&self) -> Vec<Arc<Ec2Instance>> {
        self.world().all().cloned().collect()
    }

    /// A tag of an instance.
    pub fn tag(&self, id: &Ec2InstanceId, key: &str) -> Option<String> {
        self.instance(id).tags.get(key).cloned()
    }

    /// Every change of state so far.
    pub fn transitions(&self) -> Vec<StateTransition> {
        self.world().transitions.clone()
    }

    /// The `EC2 Instance State-change Notification` events since the last time that somebody asked, as `EventBridge` delivers
    /// them. To deliver one twice, late or never is the test's to do.
    pub fn drain_events(&self) -> Vec<Value> {
        let mut world = self.world();
        let first = world.drained;
        world.drained = world.transitions.len();
        world.transitions[first..]
            .iter()
            .zip(u64::try_from(first).unwrap_or_default()..)
            .map(|(transition, number)| transition.event(world.seed, number))
            .collect()
    }

    /// Every call so far, whatever became of it.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.world().calls.clone()
    }

    /// Every call of this action so far.
    pub fn calls_of(&self, action: ApiAction) -> Vec<RecordedCall> {
        let world = self.world();
        world
            .calls
            .iter()
            .filter(|call| call.is(action))
            .cloned()
            .collect()
    }

    /// How often instances or their tags were changed over the API, or tried to be.
    pub fn changes(&self) -> usize {
        [
            ApiAction::StartInstances,
            ApiAction::StopInstances,
            ApiAction::CreateTags,
            ApiAction::DeleteTags,
        ]
        .map(|action| self.calls_of(action).len())
        .iter()
        .sum()
    }

    /// Forgets the calls so far: a long simulation needs not keep them.
    pub fn clear_calls(&self) {
        self.world().calls.clear();
    }

    fn world(&self) -> MutexGuard<'_, ModelWorld> {
        // A test that failed while it held the world has said so already; the others may still look at it.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn home_of(world: &ModelWorld, id: &Ec2InstanceId) -> Result<Home, ApiError> {
    world
        .find(id)
        .map(|instance| instance.home.as_ref().clone())
        .ok_or_else(|| ApiError::no_such_instances(&[id.as_str()]))
}
