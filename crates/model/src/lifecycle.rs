//! Launch, start, stop and terminate: which states allow them, what is refused, and the resulting state.
//!
//! Sources: `StartInstances`, `StopInstances`, `TerminateInstances`, `ModifyInstanceAttribute` and `RunInstances` in
//! the API Reference; *Amazon EC2 instance state changes*, *Hibernate your Amazon EC2 instance*, *Troubleshoot* in the
//! EC2 User Guide. A call with several instances is checked for all of them before any changes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::error::ModelError;
use crate::ids::{Ec2InstanceId, Home};
use crate::instance::{
    Ec2Instance, Ec2InstanceState, Ec2StateReason, HibernationOption, ModelCapacityPool,
    RootDeviceType, SpotKind, StopProtection,
};
use crate::launch::Launch;
use crate::record::StateTransition;
use crate::request::{AttributeChange, InstanceStateChange, ShutdownMode, StopMode};
use crate::world::{DateRecording, ModelWorld};

/// The most ids in a call (`TerminateInstances`, `CreateTags`: "up to 1000").
pub(crate) const MAX_IDS: usize = 1000;

impl ModelWorld {
    /// `StartInstances`. A running or pending instance does not change and is listed.
    pub(crate) fn start(
        &mut self,
        home: &Home,
        ids: &[String],
    ) -> Result<Vec<InstanceStateChange>, ModelError> {
        let targets = self.targets(home, ids)?;
        let mut wanted: HashMap<ModelCapacityPool, u32> = HashMap::new();
        for instance in &targets {
            match instance.state {
                Ec2InstanceState::Pending | Ec2InstanceState::Running => {}
                Ec2InstanceState::Stopped => {
                    if instance
                        .spot
                        .as_ref()
                        .is_some_and(|spot| spot.state != "disabled")
                    {
                        return Err(ModelError::spot_not_startable(&instance.id));
                    }
                    *wanted.entry(instance.pool()).or_default() += 1;
                }
                Ec2InstanceState::Stopping
                | Ec2InstanceState::ShuttingDown
                | Ec2InstanceState::Terminated => {
                    return Err(ModelError::cannot_start(&instance.id));
                }
            }
        }
        for instance in &targets {
            let pool = instance.pool();
            if let (Some(count), Some(free)) = (wanted.get(&pool), self.free_capacity.get(&pool))
                && count > free
            {
                return Err(ModelError::no_capacity(&pool));
            }
        }
        let ids = ids_of(&targets);
        Ok(self.changing(ids, Self::begin_start))
    }

    /// `StopInstances`. A stopped or stopping instance does not change and is listed.
    pub(crate) fn stop(
        &mut self,
        home: &Home,
        ids: &[String],
        mode: StopMode,
        shutdown: ShutdownMode,
    ) -> Result<Vec<InstanceStateChange>, ModelError> {
        let targets = self.targets(home, ids)?;
        for instance in &targets {
            self.check_stop(instance, mode)?;
        }
        let ids = ids_of(&targets);
        let reason = match mode {
            StopMode::Plain => Ec2StateReason::user_shutdown(),
            StopMode::Hibernate => Ec2StateReason::user_hibernate(),
        };
        Ok(self.changing(ids, |world, id| {
            world.begin_stop(id, mode, shutdown, reason.clone());
        }))
    }

    /// `TerminateInstances`; may be repeated.
    pub(crate) fn terminate(
        &mut self,
        home: &Home,
        ids: &[String],
    ) -> Result<Vec<InstanceStateChange>, ModelError> {
        let ids = ids_of(&self.targets(home, ids)?);
        Ok(self.changing(ids, |world, id| {
            world.begin_termination(id, Ec2StateReason::user_shutdown());
        }))
    }

    /// `RunInstances`: launches as many as capacity allows, if at least `min`; they start like stopped ones.
    pub(crate) fn run(
        &mut self,
        home: &Home,
        launch: &Launch,
        min: u32,
        max: u32,
    ) -> Result<Vec<Arc<Ec2Instance>>, ModelError> {
        let zone = launch
            .zone
            .clone()
            .unwrap_or_else(|| format!("{}a", home.region));
        let pool = ModelCapacityPool {
            spot: launch.spot.is_some(),
            placement: launch.placement.clone(),
            ..ModelCapacityPool::plain(&launch.instance_type, &zone)
        };
        let free_capacity = self.free_capacity.get(&pool).copied().unwrap_or(max);
        if free_capacity < min {
            return Err(ModelError::no_capacity(&pool));
        }
        let reservation = self.reservation();
        let mut launched = Vec::new();
        for _ in 0..max.min(free_capacity) {
            let mut launch = launch.clone();
            launch.home = home.clone();
            launch.state = Ec2InstanceState::Pending;
            let id = self.place(launch, Some(Arc::clone(&reservation)));
            if let Some(free) = self.free_capacity.get_mut(&pool) {
                *free -= 1;
            }
            self.schedule_state(
                &id,
                self.durations_of(&id).pending,
                Ec2InstanceState::Running,
                None,
            );
            let instance = self.change(&id);
            let transition = StateTransition {
                instance: id.clone(),
                home: Arc::clone(&instance.home),
                from: None,
                to: Ec2InstanceState::Pending,
                at: instance.launch_time,
            };
            self.transitions.push(transition);
            launched.extend(self.find(&id).cloned());
        }
        Ok(launched)
    }

    /// `ModifyInstanceAttribute`, for the attributes that Curfew uses.
    pub(crate) fn modify(
        &mut self,
        home: &Home,
        id: &str,
        change: &AttributeChange,
    ) -> Result<(), ModelError> {
        let targets = self.targets(home, std::slice::from_ref(&id.to_owned()))?;
        let (id, state) = (targets[0].id.clone(), targets[0].state);
        match change {
            AttributeChange::InstanceType(wanted) => {
                if state != Ec2InstanceState::Stopped {
                    return Err(ModelError::not_stopped(&id));
                }
                if !is_type(wanted) {
                    return Err(ModelError::client(
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

    /// Stops an instance other than through the API: its own shutdown, AWS, a Spot interruption.
    pub(crate) fn stop_for(&mut self, id: &Ec2InstanceId, reason: Ec2StateReason) {
        self.begin_stop(id, StopMode::Plain, ShutdownMode::Graceful, reason);
    }

    fn targets(&self, home: &Home, ids: &[String]) -> Result<Vec<&Ec2Instance>, ModelError> {
        match ids.len() {
            0 => Err(ModelError::missing_parameter("InstanceId")),
            many if many > MAX_IDS => Err(ModelError::invalid_value(format!(
                "A call can name at most {MAX_IDS} instances"
            ))),
            _ => self.resolve(home, ids),
        }
    }

    fn changing(
        &mut self,
        ids: Vec<Ec2InstanceId>,
        mut act: impl FnMut(&mut Self, &Ec2InstanceId),
    ) -> Vec<InstanceStateChange> {
        ids.into_iter()
            .map(|id| {
                let previous = self.change(&id).state;
                act(self, &id);
                let current = self.change(&id).state;
                InstanceStateChange {
                    id,
                    previous,
                    current,
                }
            })
            .collect()
    }

    fn check_stop(&self, instance: &Ec2Instance, mode: StopMode) -> Result<(), ModelError> {
        let id = &instance.id;
        match instance.state {
            Ec2InstanceState::ShuttingDown | Ec2InstanceState::Terminated => {
                return Err(ModelError::cannot_stop(id));
            }
            Ec2InstanceState::Pending if !instance.ever_ran => {
                return Err(ModelError::never_ran(id));
            }
            Ec2InstanceState::Stopping | Ec2InstanceState::Stopped => return Ok(()),
            Ec2InstanceState::Pending | Ec2InstanceState::Running => {}
        }
        if instance.root == RootDeviceType::InstanceStore {
            return Err(ModelError::instance_store(id));
        }
        if instance
            .spot
            .as_ref()
            .is_some_and(|spot| spot.kind == SpotKind::OneTime)
        {
            return Err(ModelError::one_time_spot(id));
        }
        if instance.stop_protection == StopProtection::On {
            return Err(ModelError::stop_protected(id));
        }
        if mode == StopMode::Hibernate {
            if instance.hibernation == HibernationOption::NotConfigured {
                return Err(ModelError::not_configured_for_hibernation(id));
            }
            let ready = instance.running_since.is_some_and(|since| {
                self.now.duration_since(since) >= self.durations_of(id).hibernation_ready
            });
            if !ready {
                return Err(ModelError::not_ready_to_hibernate());
            }
        }
        Ok(())
    }

    fn begin_start(&mut self, id: &Ec2InstanceId) {
        let (now, dates) = (self.now, self.dates);
        let instance = self.change(id);
        if instance.state != Ec2InstanceState::Stopped {
            return;
        }
        if dates == DateRecording::Kept {
            instance.launch_time = now;
        }
        instance.transition_reason.clear();
        instance.state_reason = None;
        self.enter_state(id, Ec2InstanceState::Pending);
        let failure = self
            .failing_starts
            .get_mut(id)
            .and_then(VecDeque::pop_front);
        let to = match failure {
            Some(_) => Ec2InstanceState::Stopped,
            None => Ec2InstanceState::Running,
        };
        self.schedule_state(id, self.durations_of(id).pending, to, failure);
    }

    fn begin_stop(
        &mut self,
        id: &Ec2InstanceId,
        mode: StopMode,
        shutdown: ShutdownMode,
        reason: Ec2StateReason,
    ) {
        match (self.change(id).state, shutdown) {
            (Ec2InstanceState::Pending | Ec2InstanceState::Running, _) => {
                self.record_reason(id, reason);
                self.enter_state(id, Ec2InstanceState::Stopping);
            }
            (Ec2InstanceState::Stopping, ShutdownMode::Forced) => {}
            _ => return,
        }
        let after = match (shutdown, mode) {
            (ShutdownMode::Forced, _) => self.durations_of(id).forced,
            (ShutdownMode::Graceful, StopMode::Plain) => self.durations_of(id).stopping,
            (ShutdownMode::Graceful, StopMode::Hibernate) => self.durations_of(id).hibernating,
        };
        if shutdown == ShutdownMode::Graceful
            && let Some(stuck) = self.stuck.iter().position(|stuck| stuck == id)
        {
            self.stuck.swap_remove(stuck);
            // A scheduled change to `running` is cancelled too.
            self.change(id).scheduled_change = 0;
            return;
        }
        self.schedule_state(id, after, Ec2InstanceState::Stopped, None);
    }

    fn begin_termination(&mut self, id: &Ec2InstanceId, reason: Ec2StateReason) {
        match self.change(id).state {
            Ec2InstanceState::ShuttingDown | Ec2InstanceState::Terminated => {}
            Ec2InstanceState::Stopped => {
                self.record_reason(id, reason);
                self.enter_state(id, Ec2InstanceState::Terminated);
            }
            Ec2InstanceState::Pending | Ec2InstanceState::Running | Ec2InstanceState::Stopping => {
                self.record_reason(id, reason);
                self.enter_state(id, Ec2InstanceState::ShuttingDown);
                let after = self.durations_of(id).shutting_down;
                self.schedule_state(id, after, Ec2InstanceState::Terminated, None);
            }
        }
    }
}

fn ids_of(instances: &[&Ec2Instance]) -> Vec<Ec2InstanceId> {
    instances
        .iter()
        .map(|instance| instance.id.clone())
        .collect()
}

/// Returns whether the text has the form of an instance type, FAMILY.SIZE.
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
