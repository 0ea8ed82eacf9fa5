//! What the daemon knows of itself: which of its tasks are at work, what is still missing, and what is wrong.
//!
//! It decides nothing. It is what the service manager, `/readyz` and the end of the daemon go by.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How the daemon is. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inside: Mutex<Inside>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    tasks: BTreeMap<String, Task>,
    sight: Option<Sight>,
    generation: u64,
    configuration_problem: Option<String>,
}

#[derive(Debug)]
struct Task {
    condition: Condition,
    /// What has to happen once before the daemon is ready, in words, until it has.
    missing: Option<&'static str>,
    /// What is wrong at the moment.
    trouble: Option<String>,
    /// When it wants to have been heard of again.
    promise: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    AtWork,
    /// It died, and has not been started again yet.
    Down {
        why: String,
    },
    Ended,
}

/// What the last pass or check saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// When something is due next.
    pub(crate) next_edge: Option<Timestamp>,
    /// How many instances a schedule manages.
    pub(crate) managed: usize,
}

impl Health {
    /// Why the daemon is not ready, in words; nothing, if it is.
    pub fn unready(&self) -> Vec<String> {
        let inside = self.lock();
        if inside.tasks.is_empty() {
            return vec!["no task has begun yet".to_owned()];
        }
        let mut reasons = Vec::new();
        for (name, task) in &inside.tasks {
            match &task.condition {
                Condition::Down { why } => {
                    reasons.push(format!("the task `{name}` is being restarted: {why}"));
                }
                Condition::AtWork => {
                    reasons.extend(task.missing.map(ToOwned::to_owned));
                    reasons.extend(task.trouble.clone());
                }
                Condition::Ended => {}
            }
        }
        reasons
    }

    /// The tasks that should have been heard of by now.
    pub fn stuck(&self, now: Instant) -> Vec<String> {
        let inside = self.lock();
        let overdue = |task: &Task| {
            task.condition == Condition::AtWork && task.promise.is_some_and(|by| by < now)
        };
        let stuck = inside.tasks.iter().filter(|(_, task)| overdue(task));
        stuck.map(|(name, _)| name.clone()).collect()
    }

    /// The tasks that have not ended.
    pub fn at_work(&self) -> Vec<String> {
        let inside = self.lock();
        let tasks = inside.tasks.iter();
        let tasks = tasks.filter(|(_, task)| task.condition != Condition::Ended);
        tasks.map(|(name, _)| name.clone()).collect()
    }

    /// One line for people.
    pub fn status(&self) -> String {
        let unready = self.unready();
        let inside = self.lock();
        let mut line = match (&inside.sight, unready.is_empty()) {
            (Some(sight), true) => {
                let next = sight.next_edge.map_or_else(
                    || "no edge ahead".to_owned(),
                    |at| format!("next edge {}", at.round(jiff::Unit::Second).unwrap_or(at)),
                );
                match sight.managed {
                    1 => format!("{next}; 1 instance managed"),
                    managed => format!("{next}; {managed} instances managed"),
                }
            }
            _ => format!("not ready: {}", unready.join("; ")),
        };
        let _ = write!(line, "; configuration {}", inside.generation);
        if let Some(problem) = &inside.configuration_problem {
            let _ = write!(line, " stay in force: {problem}");
        }
        line
    }

    /// Waits until something may have changed. For one waiter.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// A task begins, or begins again. Until it says [`Pulse::well`], `missing` is.
    pub(crate) fn begins(&self, name: &str, missing: Option<&'static str>) -> Pulse {
        let task = Task {
            condition: Condition::AtWork,
            missing,
            trouble: None,
            promise: None,
        };
        self.change(|inside| {
            inside.tasks.insert(name.to_owned(), task);
        });
        Pulse {
            name: name.into(),
            health: self.clone(),
        }
    }

    /// A task died, and will begin again.
    pub(crate) fn is_down(&self, name: &str, why: &str) {
        let why = why.to_owned();
        self.change_task(name, |task| task.condition = Condition::Down { why });
    }

    /// A task has ended as it should.
    pub(crate) fn ended(&self, name: &str) {
        self.change_task(name, |task| task.condition = Condition::Ended);
    }

    /// What was seen last.
    pub(crate) fn sees(&self, sight: Sight) {
        self.change(|inside| inside.sight = Some(sight));
    }

    /// The configuration in force, and why newer ones are not, if there are newer ones.
    pub(crate) fn configuration(&self, generation: u64, problem: Option<String>) {
        self.change(|inside| {
            inside.generation = generation;
            inside.configuration_problem = problem;
        });
    }

    fn change_task(&self, name: &str, change: impl FnOnce(&mut Task)) {
        self.change(|inside| {
            if let Some(task) = inside.tasks.get_mut(name) {
                change(task);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Inside)) {
        change(&mut self.lock());
        self.0.changed.notify_one();
    }

    /// Nothing of ours panics while it holds the lock, and half a change can't be seen.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By it a task says how it is.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    name: Arc<str>,
    health: Health,
}

impl Pulse {
    /// It has done what it is there for, and nothing is wrong.
    pub(crate) fn well(&self) {
        self.health.change_task(&self.name, |task| {
            task.missing = None;
            task.trouble = None;
        });
    }

    /// Something is wrong that it can't mend.
    pub(crate) fn trouble(&self, what: String) {
        self.health
            .change_task(&self.name, |task| task.trouble = Some(what));
    }

    /// It will say so again within `time`, or is stuck.
    pub(crate) fn within(&self, time: Duration) {
        let by = Instant::now() + time;
        self.health
            .change_task(&self.name, |task| task.promise = Some(by));
    }

    /// It waits for others, for however long.
    pub(crate) fn idle(&self) {
        self.health
            .change_task(&self.name, |task| task.promise = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_nothing_is_missing_and_says_in_words_what_is() {
        let health = Health::default();
        assert_eq!(health.unready(), ["no task has begun yet"]);
        let reconcile = health.begins("reconcile", Some("no pass has been made yet"));
        health.begins("polling", None);
        assert_eq!(health.unready(), ["no pass has been made yet"]);
        reconcile.trouble("EC2 can't be reached".to_owned());
        assert_eq!(
            health.unready(),
            ["no pass has been made yet", "EC2 can't be reached"]
        );
        reconcile.well();
        assert_eq!(health.unready(), [""; 0]);
        health.is_down("polling", "it panicked: a bug");
        assert_eq!(
            health.unready(),
            ["the task `polling` is being restarted: it panicked: a bug"]
        );
        health.begins("polling", None);
        assert_eq!(health.unready(), [""; 0]);
        health.ended("polling");
        assert_eq!(health.at_work(), ["reconcile"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_breaks_a_promise_is_stuck() {
        let health = Health::default();
        let reconcile = health.begins("reconcile", None);
        reconcile.within(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(health.stuck(Instant::now()), [""; 0]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(health.stuck(Instant::now()), ["reconcile"]);
        reconcile.idle();
        assert_eq!(health.stuck(Instant::now()), [""; 0]);
    }

    #[test]
    fn the_status_says_what_is_next_and_why_newer_configuration_is_not_in_force() {
        let health = Health::default();
        let reconcile = health.begins("reconcile", Some("no pass has been made yet"));
        health.configuration(1, None);
        assert_eq!(
            health.status(),
            "not ready: no pass has been made yet; configuration 1"
        );
        reconcile.well();
        health.sees(Sight {
            next_edge: Some("2026-11-23T19:00:00.25Z".parse().unwrap()),
            managed: 12,
        });
        let good = "next edge 2026-11-23T19:00:00Z; 12 instances managed; configuration 1";
        assert_eq!(health.status(), good);
        health.configuration(1, Some("`/etc/curfew.toml` is not TOML".to_owned()));
        assert_eq!(
            health.status(),
            format!("{good} stay in force: `/etc/curfew.toml` is not TOML")
        );
    }
}
