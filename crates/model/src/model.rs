//! The handle for tests: set up the model, advance time, act as users do, and read the results.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{Timestamp, TimestampArithmetic};
use serde_json::Value;

use crate::access::{ClockCheck, CredentialFault, Denial};
use crate::action::ApiAction;
use crate::caller::ApiCaller;
use crate::error::ModelError;
use crate::fault::Fault;
use crate::ids::{Ec2InstanceId, Home};
use crate::instance::{Ec2Instance, Ec2InstanceState, Ec2StateReason, ModelCapacityPool};
use crate::launch::Launch;
use crate::queue::{ModelQueueMessage, QueueAttributes, QueueCall};
use crate::record::{RecordedCall, StateTransition};
use crate::request::{ApiRequest, ModelResponse, ShutdownMode, StopMode};
use crate::role::Role;
use crate::service::Reply;
use crate::throttle::{Throttle, Throttling};
use crate::world::{DateRecording, Durations, ModelWorld};

/// A model of EC2 in memory, in virtual time. Clones share one state, so that a test and a [`Server`](crate::Server)
/// can both use it. It reads no clock; the same seed and calls give the same results.
#[derive(Debug, Clone)]
pub struct Model {
    world: Arc<Mutex<ModelWorld>>,
}

/// Setup and behaviour.
impl Model {
    /// An empty model at this instant.
    pub fn new(now: Timestamp) -> Self {
        Self::seeded(now, 0)
    }

    /// An empty model with a different seed than [`new`](Self::new)'s.
    pub fn seeded(now: Timestamp, seed: u64) -> Self {
        Self {
            world: Arc::new(Mutex::new(ModelWorld::new(now, seed))),
        }
    }

    /// Adds an instance as initial state: no call, no transition, no event.
    pub fn launch(&self, launch: Launch) -> Ec2InstanceId {
        self.world().place(launch, None)
    }

    /// Sets the durations of state changes that begin from now on.
    pub fn set_durations(&self, durations: Durations) {
        self.world().durations = durations;
    }

    /// Records no dates of starts and stops from now on, like the embedded emulator: `LaunchTime` never changes, and
    /// reasons have no date.
    pub fn date_nothing(&self) {
        self.world().dates = DateRecording::Missing;
    }

    /// Sets the durations of one instance's state changes that begin from now on.
    pub fn set_durations_of(&self, id: &Ec2InstanceId, durations: Durations) {
        self.world()
            .durations_by_instance
            .insert(id.clone(), durations);
    }

    /// Limits how many more On-Demand instances of this type can start in this zone, without placement. A start uses
    /// capacity and a stop returns it; a call that needs more than is free starts nothing, so that splitting it finds
    /// those that fit.
    pub fn set_capacity(&self, instance_type: &str, zone: &str, free: u32) {
        let pool = ModelCapacityPool::plain(instance_type, zone);
        self.world().free_capacity.insert(pool, free);
    }

    /// Limits the capacity of the instances that share it with this one: same type, zone, purchase option and
    /// placement.
    ///
    /// # Panics
    ///
    /// If there is no such instance.
    pub fn set_capacity_like(&self, id: &Ec2InstanceId, free: u32) {
        let pool = self.instance(id).pool();
        self.world().free_capacity.insert(pool, free);
    }

    /// Removes the limit of [`set_capacity`](Self::set_capacity).
    pub fn clear_capacity(&self, instance_type: &str, zone: &str) {
        let pool = ModelCapacityPool::plain(instance_type, zone);
        self.world().free_capacity.remove(&pool);
    }

    /// Makes the instance's next start be accepted and then fall back to stopped with this reason. Each call affects
    /// one start.
    pub fn fail_next_start(&self, id: &Ec2InstanceId, reason: Ec2StateReason) {
        self.world()
            .failing_starts
            .entry(id.clone())
            .or_default()
            .push_back(reason);
    }

    /// Makes the instance's next stop hang in `stopping` until a forced stop.
    pub fn hang_next_stop(&self, id: &Ec2InstanceId) {
        self.world().stuck.push(id.clone());
    }

    /// Describes the instance with an undocumented state from now on, independent of its real state.
    pub fn describe_state_as(&self, id: &Ec2InstanceId, state: &'static str) {
        /// A code outside those of the API Reference.
        const UNDOCUMENTED: u16 = 96;
        let mut world = self.world();
        if world.find(id).is_some() {
            world.change(id).described_as = Some((state, UNDOCUMENTED));
        }
    }

    /// Enables EC2's token buckets, full. They are disabled in a new model.
    pub fn throttle(&self, figures: Throttling) {
        self.world().throttle = Some(Throttle::new(figures));
    }

    /// Disables the token buckets.
    pub fn stop_throttling(&self) {
        self.world().throttle = None;
    }

    /// Adds a denial.
    pub fn deny(&self, denial: Denial) {
        self.world().access.denials.push(denial);
    }

    /// Denies callers of this account every action without a permission in this set.
    pub fn grant_only(&self, account: &str, permissions: &BTreeSet<String>) {
        for action in ApiAction::ALL {
            if !permissions.contains(&action.permission()) {
                self.deny(Denial::of(*action).in_account(account));
            }
        }
    }

    /// Removes all denials.
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

    /// Accepts the account's credentials again.
    pub fn accept_credentials(&self, account: &str) {
        self.world().access.credentials.remove(account);
    }

    /// Enables an opt-in region.
    pub fn opt_in(&self, region: &str) {
        self.world().access.opt_in(region);
    }

    /// Sets whether a signature's time is checked against the model's. Off in a new model.
    pub fn check_clocks(&self, check: ClockCheck) {
        self.world().access.clock = check;
    }

    /// Adds a fault for calls over HTTP. The first fault that matches a call applies.
    pub fn fault(&self, fault: Fault) {
        self.world().faults.add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.world().faults.clear();
    }
}

/// Queues and roles.
impl Model {
    /// Creates a queue in this account and region and returns its URL.
    pub fn create_queue(&self, home: &Home, name: &str, configuration: QueueAttributes) -> String {
        self.world().create_queue(home, name, configuration)
    }

    /// Sends every state change of the queue's account and region to the queue from now on, like an `EventBridge` rule.
    /// [`drain_events`](Self::drain_events) returns them too.
    ///
    /// # Panics
    ///
    /// If there is no such queue.
    pub fn deliver_events_to(&self, url: &str) {
        self.world().subscribe_queue(url);
    }

    /// Adds a message to a queue: a duplicated event, or a malformed one.
    ///
    /// # Panics
    ///
    /// If there is no such queue.
    pub fn send(&self, url: &str, body: &str) {
        self.world().put(url, body.to_owned(), 0);
    }

    /// Returns all messages in a queue, hidden ones included.
    pub fn messages(&self, url: &str) -> Vec<ModelQueueMessage> {
        self.world().messages(url)
    }

    /// Adds a role and returns its ARN.
    pub fn add_role(&self, role: Role) -> String {
        self.world().roles.add(role)
    }
}

/// Control of virtual time.
impl Model {
    /// The current time of the model.
    pub fn now(&self) -> Timestamp {
        self.world().now
    }

    /// Advances time by a span of hours and smaller units, or a duration.
    ///
    /// # Panics
    ///
    /// If the span has days or larger units, whose length depends on a calendar, or is negative.
    pub fn advance(&self, by: impl Into<TimestampArithmetic>) {
        let then = self
            .now()
            .checked_add(by)
            .expect("virtual time moves by hours and smaller");
        self.set_now(then);
    }

    /// Advances time to this instant.
    ///
    /// # Panics
    ///
    /// If the instant is in the past.
    pub fn set_now(&self, then: Timestamp) {
        let mut world = self.world();
        assert!(
            then >= world.now,
            "virtual time can't go back from {} to {then}",
            world.now
        );
        world.pass(then);
    }

    /// Advances time to this instant unless it is in the past.
    pub(crate) fn catch_up(&self, then: Timestamp) {
        let mut world = self.world();
        if then > world.now {
            world.pass(then);
        }
    }

    /// Returns the instant of the next scheduled change, if any: the next step of a simulation.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.world().next_due()
    }
}

/// Actions of users outside Curfew, for example in the console: no credentials, throttling, faults or call log, but
/// EC2's rules, transitions and events.
impl Model {
    /// Starts an instance.
    pub fn start(&self, id: &Ec2InstanceId) -> Result<(), ModelError> {
        let mut world = self.world();
        let home = home_of(&world, id)?;
        world.start(&home, &[id.to_string()]).map(drop)
    }

    /// Stops an instance.
    pub fn stop(&self, id: &Ec2InstanceId) -> Result<(), ModelError> {
        let mut world = self.world();
        let home = home_of(&world, id)?;
        let ids = [id.to_string()];
        world
            .stop(&home, &ids, StopMode::Plain, ShutdownMode::Graceful)
            .map(drop)
    }

    /// Terminates an instance.
    pub fn terminate(&self, id: &Ec2InstanceId) -> Result<(), ModelError> {
        let mut world = self.world();
        let home = home_of(&world, id)?;
        world.terminate(&home, &[id.to_string()]).map(drop)
    }

    /// Adds or overwrites a tag; `aws:` keys are allowed, as for AWS's own services.
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

    /// Stops a running instance from within or by AWS, ignoring every protection.
    pub fn interrupt(&self, id: &Ec2InstanceId, reason: Ec2StateReason) {
        let mut world = self.world();
        if world.find(id).is_some() {
            world.stop_for(id, reason);
        }
    }
}

/// Calls without HTTP.
impl Model {
    /// Makes a call as a client would, subject to credentials, permissions, token buckets, faults and the log. Faults
    /// of the response need a transport and do not apply; a request lost by a fault returns `ServiceUnavailable`.
    pub fn call(
        &self,
        caller: &ApiCaller,
        request: ApiRequest,
    ) -> Result<ModelResponse, ModelError> {
        let name = request.action().name();
        let reply = self.receive(caller, name, Ok(request));
        reply.answer.unwrap_or_else(|| {
            Err(ModelError::with_status(
                503,
                "ServiceUnavailable",
                "The request was lost.",
            ))
        })
    }

    pub(crate) fn receive(
        &self,
        caller: &ApiCaller,
        name: &str,
        request: Result<ApiRequest, ModelError>,
    ) -> Reply {
        self.world().receive(caller, name, request)
    }

    /// Receives again for a long poll, which counts as one call.
    pub(crate) fn receive_again(&self, home: &Home, call: &QueueCall) -> Option<ModelResponse> {
        self.world().queue_call(home, call).ok()
    }

    /// The time for the `Date` header while clocks are checked.
    pub(crate) fn announced_time(&self) -> Option<Timestamp> {
        let world = self.world();
        (world.access.clock == ClockCheck::On).then_some(world.now)
    }
}

/// The results that a test reads.
impl Model {
    /// Returns the state of an instance.
    ///
    /// # Panics
    ///
    /// If there is no such instance.
    pub fn state(&self, id: &Ec2InstanceId) -> Ec2InstanceState {
        self.instance(id).state
    }

    /// Returns the current description of an instance.
    ///
    /// # Panics
    ///
    /// If there is no such instance, or it was terminated more than an hour ago.
    pub fn instance(&self, id: &Ec2InstanceId) -> Arc<Ec2Instance> {
        match self.world().find(id) {
            Some(instance) => Arc::clone(instance),
            None => panic!("the model has no instance `{id}`"),
        }
    }

    /// Returns every instance of every account and region.
    pub fn instances(&self) -> Vec<Arc<Ec2Instance>> {
        self.world().all().cloned().collect()
    }

    /// Returns the value of an instance's tag.
    pub fn tag(&self, id: &Ec2InstanceId, key: &str) -> Option<String> {
        self.instance(id).tags.get(key).cloned()
    }

    /// Returns every transition so far.
    pub fn transitions(&self) -> Vec<StateTransition> {
        self.world().transitions.clone()
    }

    /// Returns the `EC2 Instance State-change Notification` events since the previous call, as `EventBridge` delivers
    /// them. A test simulates duplicate, late or lost delivery itself.
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

    /// Returns every call so far, with its outcome.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.world().calls.clone()
    }

    /// Returns every call of this action so far.
    pub fn calls_of(&self, action: ApiAction) -> Vec<RecordedCall> {
        let world = self.world();
        world
            .calls
            .iter()
            .filter(|call| call.is(action))
            .cloned()
            .collect()
    }

    /// Returns the number of calls that start, stop or tag, successful or not.
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

    /// Clears the recorded calls, to save memory in a long simulation.
    pub fn clear_calls(&self) {
        self.world().calls.clear();
    }

    fn world(&self) -> MutexGuard<'_, ModelWorld> {
        // A test that panicked with the lock held has failed already; others may still read.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn home_of(world: &ModelWorld, id: &Ec2InstanceId) -> Result<Home, ModelError> {
    world
        .find(id)
        .map(|instance| instance.home.as_ref().clone())
        .ok_or_else(|| ModelError::no_such_instances(&[id.as_str()]))
}
