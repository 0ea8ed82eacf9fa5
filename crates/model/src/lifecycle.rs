//! Launching, starting, stopping, terminating: which states allow it, what is refused, what it looks like afterwards.
//!
//! Sources: `StartInstances`, `StopInstances`, `TerminateInstances`, `ModifyInstanceAttribute` and `RunInstances` in the API Reference;
//! *Amazon EC2 instance state changes*, *Hibernate your Amazon EC2 instance*, *Troubleshoot* in the EC2 User Guide. A call with
//! several instances is checked for all of them before any is touched.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::error::ApiError;
use crate::ids::{Home, InstanceId};
use crate::instance::{
    Hibernation, Instance, InstanceState, Pool, RootDevice, SpotKind, StateReason, StopProtection,
};
use crate::launch::Launch;
use crate::record::Transition;
use crate::request::{AttributeChange, Patience, StateChange, StopMode};
use crate::world::{Dates, World};

/// What one call may name at most (`TerminateInstances`, `CreateTags`: "up to 1000").
pub(crate) const MAX_IDS: usize = 1000;

impl World {
    /// `StartInstances`. One that runs, or is on its way to, stays as it is and is listed all the same.
    pub(crate) fn start(
        &mut self,
        home: &Home,
        ids: &[String],
    ) -> Result<Vec<StateChange>, ApiError> {
        let targets = self.targets(home, ids)?;
        let mut wanted: HashMap<Pool, u32> = HashMap::new();
        for instance in &targets {
            match instance.state {
                InstanceState::Pending | InstanceState::Running => {}
                InstanceState::Stopped => {
                    if instance
                        .spot
                        .as_ref()
                        .is_some_and(|spot| spot.state != "disabled")
                    {
                        return Err(ApiError::spot_not_startable(&instance.id));
                    }
                    *wanted.entry(instance.pool()).or_default() += 1;
                }
                InstanceState::Stopping
                | InstanceState::ShuttingDown
                | InstanceState::Terminated => return Err(ApiError::cannot_start(&instance.id)),
            }
        }
        for instance in &targets {
            let pool = instance.pool();
            if let (Some(count), Some(free)) = (wanted.get(&pool), self.room.get(&pool))
                && count > free
            {
                return Err(ApiError::no_capacity(&pool));
            }
        }
        let ids = ids_of(&targets);
        Ok(self.changing(ids, Self::begin_start))
    }

    /// `StopInstances`. One that is stopped, or is on its way to, stays as it is and is listed all the same.
    pub(crate) fn stop(
        &mut self,
        home: &Home,
        ids: &[String],
        mode: StopMode,
        patience: Patience,
    ) -> Result<Vec<StateChange>, ApiError> {
        let targets = self.targets(home, ids)?;
        for instance in &targets {
            self.check_stop(instance, mode)?;
        }
        let ids = ids_of(&targets);
        let reason = match mode {
            StopMode::Plain => StateReason::user_shutdown(),
            StopMode::Hibernate => StateReason::user_hibernate(),
        };
        Ok(self.changing(ids, |world, id| {
            world.begin_stop(id, mode, patience, reason.clone());
        }))
    }

    /// `TerminateInstances`; again and again if one likes.
    pub(crate) fn terminate(
        &mut self,
        home: &Home,
        ids: &[String],
    ) -> Result<Vec<StateChange>, ApiError> {
        let ids = ids_of(&self.targets(home, ids)?);
        Ok(self.changing(ids, |world, id| {
            world.begin_termination(id, StateReason::user_shutdown());
        }))
    }

    /// `RunInstances`: as many as there is room for, if that is enough; they come up like a start.
    pub(crate) fn run(
        &mut self,
        home: &Home,
        launch: &Launch,
        min: u32,
        max: u32,
    ) -> Result<Vec<Arc<Instance>>, ApiError> {
        let zone = launch
            .zone
            .clone()
            .unwrap_or_else(|| format!("{}a", home.region));
        let pool = Pool {
            spot: launch.spot.is_some(),
            placement: launch.placement.clone(),
            ..Pool::plain(&launch.instance_type, &zone)
        };
        let room = self.room.get(&pool).copied().unwrap_or(max);
        if room < min {
            return Err(ApiError::no_capacity(&pool));
        }
        let reservation = self.reservation();
        let mut launched = Vec::new();
        for _ in 0..max.min(room) {
            let mut launch = launch.clone();
            launch.home = home.clone();
            launch.state = InstanceState::Pending;
            let id = self.place(launch, Some(Arc::clone(&reservation)));
            if let Some(free) = self.room.get_mut(&pool) {
                *free -= 1;
            }
            self.settle(
                &id,
                self.durations_of(&id).pending,
                InstanceState::Running,
                None,
            );
            let instance = self.change(&id);
            let transition = Transition {
                instance: id.clone(),
                home: Arc::clone(&instance.home),
                from: None,
                to: InstanceState::Pending,
                at: instance.launch_time,
            };
            self.transitions.push(transition);
            launched.extend(self.find(&id).cloned());
        }
        Ok(launched)
    }

    /// `ModifyInstanceAttribute`, for the attributes that Curfew cares about.
    pub(crate) fn modify(
        &mut self,
        home: &Home,
        id: &str,
        change: &AttributeChange,
    ) -> Result<(), ApiError> {
        let targets = self.targets(home, std::slice::from_ref(&id.to_owned()))?;
        let (id, state) = (targets[0].id.clone(), targets[0].state);
        match change {
            AttributeChange::InstanceType(wanted) => {
                if state != InstanceState::Stopped {
                    return Err(ApiError::not_stopped(&id));
                }
                if !is_type(wanted) {
                    return Err(ApiError::client(
                        "InvalidInstanceAttributeValue",
                        format!("Invalid value '{wanted}' for InstanceType."),
                    ));
                }
                self.change(&id).instance_type.clone_from(wanted);
            }
            AttributeChange::StopProtection(wanted) => self.change(&id).stop_protection = *wanted,
        }
        Ok(())
    }

    /// Somebody or something other than the API stops an instance: its own shutdown, AWS, a Spot interruption.
    pub(crate) fn stop_for(&mut self, id: &InstanceId, reason: StateReason) {
        self.begin_stop(id, StopMode::Plain, Patience::Graceful, reason);
    }

    fn targets(&self, home: &Home, ids: &[String]) -> Result<Vec<&Instance>, ApiError> {
        match ids.len() {
            0 => Err(ApiError::missing_parameter("InstanceId")),
            many if many > MAX_IDS => Err(ApiError::invalid_value(format!(
                "A call can name at most {MAX_IDS} instances"
            ))),
            _ => self.resolve(home, ids),
        }
    }

    fn changing(
        &mut self,
        ids: Vec<InstanceId>,
        mut act: impl FnMut(&mut Self, &InstanceId),
    ) -> Vec<StateChange> {
        ids.into_iter()
            .map(|id| {
                let previous = self.change(&id).state;
                act(self, &id);
                let current = self.change(&id).state;
                StateChange {
                    id,
                    previous,
                    current,
                }
            })
            .collect()
    }

    fn check_stop(&self, instance: &Instance, mode: StopMode) -> Result<(), ApiError> {
        let id = &instance.id;
        match instance.state {
            InstanceState::ShuttingDown | InstanceState::Terminated => {
                return Err(ApiError::cannot_stop(id));
            }
            InstanceState::Pending if !instance.ever_ran => return Err(ApiError::never_ran(id)),
            InstanceState::Stopping | InstanceState::Stopped => return Ok(()),
            InstanceState::Pending | InstanceState::Running => {}
        }
        if instance.root == RootDevice::InstanceStore {
            return Err(ApiError::instance_store(id));
        }
        if instance
            .spot
            .as_ref()
            .is_some_and(|spot| spot.kind == SpotKind::OneTime)
        {
            return Err(ApiError::one_time_spot(id));
        }
        if instance.stop_protection == StopProtection::On {
            return Err(ApiError::stop_protected(id));
        }
        if mode == StopMode::Hibernate {
            if instance.hibernation == Hibernation::NotConfigured {
                return Err(ApiError::not_configured_for_hibernation(id));
            }
            let ready = instance.running_since.is_some_and(|since| {
                self.now.duration_since(since) >= self.durations_of(id).hibernation_ready
            });
            if !ready {
                return Err(ApiError::not_ready_to_hibernate());
            }
        }
        Ok(())
    }

    fn begin_start(&mut self, id: &InstanceId) {
        let (now, dates) = (self.now, self.dates);
        let instance = self.change(id);
        if instance.state != InstanceState::Stopped {
            return;
        }
        if dates == Dates::Kept {
            instance.launch_time = now;
        }
        instance.transition_reason.clear();
        instance.state_reason = None;
        self.enter(id, InstanceState::Pending);
        let failure = self
            .failing_starts
            .get_mut(id)
            .and_then(VecDeque::pop_front);
        let to = match failure {
            Some(_) => InstanceState::Stopped,
            None => InstanceState::Running,
        };
        self.settle(id, self.durations_of(id).pending, to, failure);
    }

    fn begin_stop(
        &mut self,
        id: &InstanceId,
        mode: StopMode,
        patience: Patience,
        reason: StateReason,
    ) {
        match (self.change(id).state, patience) {
            (InstanceState::Pending | InstanceState::Running, _) => {
                self.note(id, reason);
                self.enter(id, InstanceState::Stopping);
            }
            (InstanceState::Stopping, Patience::Forced) => {}
            _ => return,
        }
        let after = match (patience, mode) {
            (Patience::Forced, _) => self.durations_of(id).forced,
            (Patience::Graceful, StopMode::Plain) => self.durations_of(id).stopping,
            (Patience::Graceful, StopMode::Hibernate) => self.durations_of(id).hibernating,
        };
        if patience == Patience::Graceful
            && let Some(stuck) = self.stuck.iter().position(|stuck| stuck == id)
        {
            self.stuck.swap_remove(stuck);
            // Its way to `running`, if it was on one, is off as well.
            self.change(id).settles = 0;
            return;
        }
        self.settle(id, after, InstanceState::Stopped, None);
    }

    fn begin_termination(&mut self, id: &InstanceId, reason: StateReason) {
        match self.change(id).state {
            InstanceState::ShuttingDown | InstanceState::Terminated => {}
            InstanceState::Stopped => {
                self.note(id, reason);
                self.enter(id, InstanceState::Terminated);
            }
            InstanceState::Pending | InstanceState::Running | InstanceState::Stopping => {
                self.note(id, reason);
                self.enter(id, InstanceState::ShuttingDown);
                let after = self.durations_of(id).shutting_down;
                self.settle(id, after, InstanceState::Terminated, None);
            }
        }
    }
}

fn ids_of(instances: &[&Instance]) -> Vec<InstanceId> {
    instances
        .iter()
        .map(|instance| instance.id.clone())
        .collect()
}

/// Whether this has the form of an instance type, FAMILY.SIZE.
fn is_type(text: &str) -> bool {
    text.split_once('.').is_some_and(|(family, size)| {
        [family, size].iter().all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
    })
}
