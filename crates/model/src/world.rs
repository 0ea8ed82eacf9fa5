//! The state of the model and its changes over time. Single-threaded; no clock, no I/O.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::access::Access;
use crate::error::ModelError;
use crate::fault::ActiveFaults;
use crate::ids::{Ec2InstanceId, Home, SeededRandom};
use crate::instance::{
    Ec2Instance, Ec2InstanceState, Ec2StateReason, ModelCapacityPool, SpotKind, SpotRequest,
};
use crate::launch::Launch;
use crate::queue::SqsQueues;
use crate::record::{RecordedCall, StateTransition};
use crate::role::Roles;
use crate::throttle::Throttle;

/// The durations of state changes. The defaults are typical of small Linux instances; AWS guarantees none of them,
/// except the hour for which a terminated instance remains visible (`TerminateInstances`, API Reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations {
    /// From `pending` to `running`.
    pub pending: SignedDuration,
    /// From `stopping` to `stopped`.
    pub stopping: SignedDuration,
    /// From `stopping` to `stopped` with hibernation, which writes memory to disk.
    pub hibernating: SignedDuration,
    /// From `stopping` to `stopped` with force.
    pub forced: SignedDuration,
    /// From `shutting-down` to `terminated`.
    pub shutting_down: SignedDuration,
    /// From `terminated` to removal.
    pub visible: SignedDuration,
    /// The time for which status checks of a running instance are `initializing`.
    pub checking: SignedDuration,
    /// The time after a start during which an instance refuses to hibernate (*Troubleshoot hibernation*: "about two
    /// minutes for Linux").
    pub hibernation_ready: SignedDuration,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            pending: SignedDuration::from_secs(12),
            stopping: SignedDuration::from_secs(30),
            hibernating: SignedDuration::from_secs(60),
            forced: SignedDuration::from_secs(5),
            shutting_down: SignedDuration::from_secs(30),
            visible: SignedDuration::from_hours(1),
            checking: SignedDuration::from_secs(120),
            hibernation_ready: SignedDuration::from_secs(120),
        }
    }
}

/// The instances of one account and region by id, the order of pages.
pub(crate) type InstancesById = BTreeMap<Ec2InstanceId, Arc<Ec2Instance>>;

/// A change scheduled for later.
#[derive(Debug)]
pub(crate) enum ScheduledChange {
    Settle {
        to: Ec2InstanceState,
        reason: Option<Ec2StateReason>,
    },
    Vanish,
}

/// Whether `LaunchTime` and `StateTransitionReason` are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateRecording {
    /// Both are recorded, as on AWS.
    Kept,
    /// `LaunchTime` never changes and the reason is empty, as on the embedded emulator.
    Missing,
}

#[derive(Debug)]
pub(crate) struct ModelWorld {
    pub(crate) now: Timestamp,
    pub(crate) seed: u64,
    pub(crate) chance: SeededRandom,
    pub(crate) durations: Durations,
    pub(crate) access: Access,
    pub(crate) faults: ActiveFaults,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) calls: Vec<RecordedCall>,
    /// The number of calls, cleared ones included.
    pub(crate) received: u64,
    pub(crate) transitions: Vec<StateTransition>,
    /// The number of transitions returned by `drain_events`.
    pub(crate) drained: usize,
    pub(crate) queues: SqsQueues,
    /// The number of messages sent.
    pub(crate) sent: u64,
    pub(crate) roles: Roles,
    /// Free capacity, where it is limited.
    pub(crate) free_capacity: HashMap<ModelCapacityPool, u32>,
    /// The failures of the next starts of an instance, after they are accepted.
    pub(crate) failing_starts: HashMap<Ec2InstanceId, VecDeque<Ec2StateReason>>,
    /// Instances that hang at their next stop.
    pub(crate) stuck: Vec<Ec2InstanceId>,
    /// The durations of single instances, where they differ.
    pub(crate) durations_by_instance: HashMap<Ec2InstanceId, Durations>,
    /// Whether dates of starts and stops are recorded.
    pub(crate) dates: DateRecording,
    homes: HashMap<Ec2InstanceId, Arc<Home>>,
    instances_by_home: BTreeMap<Home, InstancesById>,
    due: BTreeMap<(Timestamp, u64), (Ec2InstanceId, ScheduledChange)>,
    scheduled: u64,
}

impl ModelWorld {
    pub(crate) fn new(now: Timestamp, seed: u64) -> Self {
        Self {
            now,
            seed,
            chance: SeededRandom::seeded(seed),
            durations: Durations::default(),
            access: Access::open(),
            faults: ActiveFaults::default(),
            throttle: None,
            calls: Vec::new(),
            received: 0,
            transitions: Vec::new(),
            drained: 0,
            queues: SqsQueues::new(),
            sent: 0,
            roles: Roles::default(),
            free_capacity: HashMap::new(),
            failing_starts: HashMap::new(),
            stuck: Vec::new(),
            durations_by_instance: HashMap::new(),
            dates: DateRecording::Kept,
            homes: HashMap::new(),
            instances_by_home: BTreeMap::new(),
            due: BTreeMap::new(),
            scheduled: 0,
        }
    }

    /// Advances time to `then`; each scheduled change happens at its own instant, in order.
    pub(crate) fn pass(&mut self, then: Timestamp) {
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= then
        {
            let ((at, number), (id, due)) = first.remove_entry();
            self.now = at;
            match due {
                ScheduledChange::Vanish => self.remove(&id),
                ScheduledChange::Settle { to, reason }
                    if self
                        .find(&id)
                        .is_some_and(|it| it.scheduled_change == number) =>
                {
                    if let Some(reason) = reason {
                        self.record_reason(&id, reason);
                    }
                    self.enter_state(&id, to);
                }
                ScheduledChange::Settle { .. } => {}
            }
        }
        self.now = then;
    }

    /// Returns the instant of the next scheduled change.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Returns the durations of an instance.
    pub(crate) fn durations_of(&self, id: &Ec2InstanceId) -> Durations {
        self.durations_by_instance
            .get(id)
            .copied()
            .unwrap_or(self.durations)
    }

    /// Schedules an instance's next state and cancels the previous schedule.
    pub(crate) fn schedule_state(
        &mut self,
        id: &Ec2InstanceId,
        after: SignedDuration,
        to: Ec2InstanceState,
        reason: Option<Ec2StateReason>,
    ) {
        let number = self.schedule(id, after, ScheduledChange::Settle { to, reason });
        self.change(id).scheduled_change = number;
    }

    fn schedule(&mut self, id: &Ec2InstanceId, after: SignedDuration, due: ScheduledChange) -> u64 {
        self.scheduled += 1;
        self.due
            .insert((self.now + after, self.scheduled), (id.clone(), due));
        self.scheduled
    }

    /// Changes an instance's state, and with it the record, capacity and Spot request.
    pub(crate) fn enter_state(&mut self, id: &Ec2InstanceId, to: Ec2InstanceState) {
        let limited = !self.free_capacity.is_empty();
        let now = self.now;
        let instance = self.change(id);
        let from = instance.state;
        let taken = instance
            .state_reason
            .as_ref()
            .is_some_and(|reason| reason.code.starts_with("Server.Spot"));
        instance.state = to;
        instance.running_since = (to == Ec2InstanceState::Running).then_some(now);
        instance.ever_ran |= to == Ec2InstanceState::Running;
        if let Some(spot) = &mut instance.spot {
            (spot.state, spot.status) = match to {
                Ec2InstanceState::Stopped if taken => ("open", "instance-stopped-no-capacity"),
                _ => spot_status(spot.kind, to),
            };
        }
        let home = Arc::clone(&instance.home);
        // The pool is computed only if any capacity is limited, to save time for large fleets.
        let pool = limited.then(|| instance.pool());
        if let Some(free) = pool.and_then(|pool| self.free_capacity.get_mut(&pool)) {
            match (occupies(from), occupies(to)) {
                (false, true) => *free = free.saturating_sub(1),
                (true, false) => *free += 1,
                _ => {}
            }
        }
        self.transitions.push(StateTransition {
            instance: id.clone(),
            home,
            from: Some(from),
            to,
            at: now,
        });
        self.deliver_to_queues();
        if to == Ec2InstanceState::Terminated {
            self.schedule(id, self.durations_of(id).visible, ScheduledChange::Vanish);
        }
    }

    /// Records the reason in both of EC2's forms.
    pub(crate) fn record_reason(&mut self, id: &Ec2InstanceId, reason: Ec2StateReason) {
        let (now, dates) = (self.now, self.dates);
        let instance = self.change(id);
        instance.transition_reason = if dates == DateRecording::Missing {
            String::new()
        } else if reason.code.starts_with("Client.UserInitiated") {
            format!("User initiated ({})", now.strftime("%Y-%m-%d %H:%M:%S GMT"))
        } else {
            reason.message.clone()
        };
        instance.state_reason = Some(reason);
    }

    /// Adds an instance as a test describes it, without a record of its launch.
    pub(crate) fn place(&mut self, launch: Launch, reservation: Option<Arc<str>>) -> Ec2InstanceId {
        let number = self.chance.draw();
        let id = Ec2InstanceId::numbered(number);
        let at = launch.launched_at.unwrap_or(self.now);
        let running = launch.state == Ec2InstanceState::Running;
        let spot = launch.spot.map(|kind| {
            let (state, status) = spot_status(kind, launch.state);
            SpotRequest {
                id: launch
                    .spot_request
                    .clone()
                    .unwrap_or_else(|| format!("sir-{:08x}", number & 0xffff_ffff)),
                kind,
                state,
                status,
                created: at,
            }
        });
        let home = match self
            .instances_by_home
            .get(&launch.home)
            .and_then(|s| s.values().next())
        {
            Some(neighbour) => Arc::clone(&neighbour.home),
            None => Arc::new(launch.home.clone()),
        };
        let instance = Ec2Instance {
            id: id.clone(),
            reservation: reservation.unwrap_or_else(|| self.reservation()),
            zone: launch.zone.unwrap_or_else(|| format!("{}a", home.region)),
            home: Arc::clone(&home),
            instance_type: launch.instance_type,
            image: launch.image,
            private_ip: format!(
                "10.{}.{}.{}",
                number >> 16 & 0xff,
                number >> 8 & 0xff,
                number & 0xff
            ),
            root: launch.root,
            hibernation: launch.hibernation,
            stop_protection: launch.stop_protection,
            spot,
            placement: launch.placement,
            xml: launch.xml,
            state: launch.state,
            described_as: None,
            launch_time: at,
            transition_reason: String::new(),
            state_reason: None,
            tags: launch.tags,
            running_since: running.then_some(at),
            ever_ran: launch.state != Ec2InstanceState::Pending,
            scheduled_change: 0,
        };
        self.homes.insert(id.clone(), home);
        self.instances_by_home
            .entry(launch.home)
            .or_default()
            .insert(id.clone(), Arc::new(instance));
        if launch.state == Ec2InstanceState::Stopped {
            let now = std::mem::replace(&mut self.now, at);
            self.record_reason(&id, Ec2StateReason::user_shutdown());
            self.now = now;
        }
        id
    }

    /// Returns a new reservation id.
    pub(crate) fn reservation(&mut self) -> Arc<str> {
        format!("r-0{:016x}", self.chance.draw()).into()
    }

    /// Returns the instances of an account and region.
    pub(crate) fn instances_of(&self, home: &Home) -> Option<&InstancesById> {
        self.instances_by_home.get(home)
    }

    /// Returns all instances.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Ec2Instance>> {
        self.instances_by_home.values().flat_map(BTreeMap::values)
    }

    /// Returns an instance of any account and region.
    pub(crate) fn find(&self, id: &Ec2InstanceId) -> Option<&Arc<Ec2Instance>> {
        self.instances_by_home
            .get(self.homes.get(id)?.as_ref())?
            .get(id)
    }

    /// Returns an existing instance for changing. Responses that hold a copy are not affected.
    pub(crate) fn change(&mut self, id: &Ec2InstanceId) -> &mut Ec2Instance {
        self.homes
            .get(id)
            .and_then(|home| self.instances_by_home.get_mut(home.as_ref()))
            .and_then(|instances_of| instances_of.get_mut(id))
            .map(Arc::make_mut)
            .expect("an id that was looked up in this world is on one of its shelves")
    }

    fn remove(&mut self, id: &Ec2InstanceId) {
        if let Some(home) = self.homes.remove(id)
            && let Some(instances_of) = self.instances_by_home.get_mut(home.as_ref())
        {
            instances_of.remove(id);
        }
    }

    /// Returns the instances of these ids in the given order, without duplicates. All ids must be well-formed and
    /// exist: EC2 reports the first failed check for the whole call and has no effect (*Error codes*,
    /// `InvalidInstanceID`).
    pub(crate) fn resolve(
        &self,
        home: &Home,
        ids: &[String],
    ) -> Result<Vec<&Ec2Instance>, ModelError> {
        let parsed = ids
            .iter()
            .map(|id| id.parse::<Ec2InstanceId>())
            .collect::<Result<Vec<_>, _>>()?;
        let here = self.instances_of(home);
        let (mut found, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
        let mut seen = HashSet::new();
        for id in &parsed {
            if !seen.insert(id) {
                continue;
            }
            match here.and_then(|instances_of| instances_of.get(id)) {
                Some(instance) => found.push(instance.as_ref()),
                None => missing.push(id.as_str()),
            }
        }
        if missing.is_empty() {
            Ok(found)
        } else {
            Err(ModelError::no_such_instances(&missing))
        }
    }
}

/// Returns whether an instance in this state uses capacity.
fn occupies(state: Ec2InstanceState) -> bool {
    !matches!(
        state,
        Ec2InstanceState::Stopped | Ec2InstanceState::Terminated
    )
}

/// Returns the state and status of a Spot request for the state of its instance (*Spot request status codes*, EC2 User
/// Guide).
fn spot_status(kind: SpotKind, state: Ec2InstanceState) -> (&'static str, &'static str) {
    match (state, kind) {
        (Ec2InstanceState::Pending | Ec2InstanceState::Running, _) => ("active", "fulfilled"),
        (Ec2InstanceState::Stopping, _) => ("active", "marked-for-stop"),
        (Ec2InstanceState::Stopped, _) => ("disabled", "instance-stopped-by-user"),
        (Ec2InstanceState::ShuttingDown, _) => ("active", "marked-for-termination"),
        (Ec2InstanceState::Terminated, SpotKind::OneTime) => {
            ("closed", "instance-terminated-by-user")
        }
        (Ec2InstanceState::Terminated, SpotKind::Persistent) => {
            ("open", "instance-terminated-by-user")
        }
    }
}
