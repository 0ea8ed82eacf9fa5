//! The daemon's health: which of its tasks are running, which conditions of readiness are missing, and which problems there
//! are.
//!
//! It decides nothing. The service manager, `/readyz` and the end of the daemon use it.

mod status_line;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use self::status_line::shutdown_status;

/// The health of the daemon and its tasks. Clones share the same state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<HealthState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct HealthState {
    tasks: BTreeMap<String, TaskRecord>,
    fleet: Option<FleetSummary>,
    generation: u64,
    configuration_problem: Option<String>,
}

#[derive(Debug)]
struct TaskRecord {
    run_state: TaskState,
    /// The condition that must hold once before the daemon is ready; `None` once it has.
    missing: Option<&'static str>,
    /// The current problem.
    problem: Option<String>,
    /// When the task has to report progress again.
    deadline: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum TaskState {
    Running,
    /// It failed, and has not been restarted yet.
    Down {
        why: String,
    },
    Ended,
}

/// A summary of what the last passes or checks observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FleetSummary {
    /// When something is due next.
    pub(crate) next_edge: Option<Timestamp>,
    /// The number of instances that a schedule manages.
    pub(crate) managed: usize,
}

impl Health {
    /// Returns the reasons why the daemon is not ready; empty if it is.
    pub fn unready(&self) -> Vec<String> {
        let state = self.lock();
        if state.tasks.is_empty() {
            return vec!["no task has begun yet".to_owned()];
        }
        let mut reasons = Vec::new();
        for (name, task) in &state.tasks {
            match &task.run_state {
                TaskState::Down { why } => {
                    reasons.push(format!("the task `{name}` is being restarted: {why}"));
                }
                TaskState::Running => {
                    reasons.extend(task.missing.map(ToOwned::to_owned));
                    reasons.extend(task.problem.clone());
                }
                TaskState::Ended => {}
            }
        }
        reasons
    }

    /// Returns the tasks that are past their deadline at `now`.
    pub fn stuck(&self, now: Instant) -> Vec<String> {
        let state = self.lock();
        let overdue = |task: &TaskRecord| {
            task.run_state == TaskState::Running && task.deadline.is_some_and(|by| by < now)
        };
        let stuck = state.tasks.iter().filter(|(_, task)| overdue(task));
        stuck.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the tasks that have not ended.
    pub fn running_tasks(&self) -> Vec<String> {
        let state = self.lock();
        let tasks = state.tasks.iter();
        let tasks = tasks.filter(|(_, task)| task.run_state != TaskState::Ended);
        tasks.map(|(name, _)| name.clone()).collect()
    }

    /// Waits until something may have changed. Supports one waiter only.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Records that a task starts or restarts. Until it reports [`TaskHealth::ok`], the daemon is not ready because of
    /// `missing`.
    pub(crate) fn task_started(&self, name: &str, missing: Option<&'static str>) -> TaskHealth {
        let task = TaskRecord {
            run_state: TaskState::Running,
            missing,
            problem: None,
            deadline: None,
        };
        self.change(|state| {
            state.tasks.insert(name.to_owned(), task);
        });
        TaskHealth {
            name: name.into(),
            health: self.clone(),
        }
    }

    /// Records that a task failed and will be restarted.
    pub(crate) fn task_failed(&self, name: &str, why: &str) {
        let why = why.to_owned();
        self.change_task(name, |task| task.run_state = TaskState::Down { why });
    }

    /// Records that a task has ended as intended.
    pub(crate) fn task_ended(&self, name: &str) {
        self.change_task(name, |task| task.run_state = TaskState::Ended);
    }

    /// Replaces the summary of the fleet.
    pub(crate) fn set_fleet(&self, fleet: FleetSummary) {
        self.change(|state| state.fleet = Some(fleet));
    }

    /// Records the generation of the configuration in force, and the problem of a newer configuration that was rejected.
    pub(crate) fn configuration(&self, generation: u64, problem: Option<String>) {
        self.change(|state| {
            state.generation = generation;
            state.configuration_problem = problem;
        });
    }

    fn change_task(&self, name: &str, change: impl FnOnce(&mut TaskRecord)) {
        self.change(|state| {
            if let Some(task) = state.tasks.get_mut(name) {
                change(task);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut HealthState)) {
        change(&mut self.lock());
        self.0.changed.notify_one();
    }

    /// Returns the state even if a thread panicked with the lock: each change is complete at once.
    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's handle for reporting its own health.
#[derive(Clone, Debug)]
pub(crate) struct TaskHealth {
    name: Arc<str>,
    health: Health,
}

impl TaskHealth {
    /// Reports that the task works: nothing is missing, and no problem exists.
    pub(crate) fn ok(&self) {
        self.health.change_task(&self.name, |task| {
            task.missing = None;
            task.problem = None;
        });
    }

    /// Reports a problem that the task can't solve.
    pub(crate) fn degraded(&self, problem: String) {
        self.health
            .change_task(&self.name, |task| task.problem = Some(problem));
    }

    /// Sets the deadline: the task calls this again within `time`, or counts as stuck.
    pub(crate) fn expect_within(&self, time: Duration) {
        let by = Instant::now() + time;
        self.health
            .change_task(&self.name, |task| task.deadline = Some(by));
    }

    /// Removes the deadline: the task waits for an external event.
    pub(crate) fn waiting(&self) {
        self.health
            .change_task(&self.name, |task| task.deadline = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_daemon_is_ready_when_nothing_is_missing_and_lists_what_is() {
        let health = Health::default();
        assert_eq!(health.unready(), ["no task has begun yet"]);
        let reconcile = health.task_started("reconcile", Some("no pass has run yet"));
        health.task_started("polling", None);
        assert_eq!(health.unready(), ["no pass has run yet"]);
        reconcile.degraded("EC2 can't be reached".to_owned());
        assert_eq!(
            health.unready(),
            ["no pass has run yet", "EC2 can't be reached"]
        );
        reconcile.ok();
        assert_eq!(health.unready(), [""; 0]);
        health.task_failed("polling", "it panicked: a bug");
        assert_eq!(
            health.unready(),
            ["the task `polling` is being restarted: it panicked: a bug"]
        );
        health.task_started("polling", None);
        assert_eq!(health.unready(), [""; 0]);
        health.task_ended("polling");
        assert_eq!(health.running_tasks(), ["reconcile"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_past_its_deadline_is_stuck() {
        let health = Health::default();
        let reconcile = health.task_started("reconcile", None);
        reconcile.expect_within(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(health.stuck(Instant::now()), [""; 0]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(health.stuck(Instant::now()), ["reconcile"]);
        reconcile.waiting();
        assert_eq!(health.stuck(Instant::now()), [""; 0]);
    }
}
