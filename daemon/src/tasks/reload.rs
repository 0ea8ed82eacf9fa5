//! Reloads the configuration at a SIGHUP, and when one of its files changed.
//!
//! Files are polled every few seconds rather than watched: editors and configuration management replace them by renaming, behind
//! symbolic links and on network file systems, all of which a poll sees. An invalid configuration leaves the previous one in force.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_config::{Configuration, LoadOptions};
use curfew_deploy::DeployError;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::active_configuration::{ActiveConfiguration, PollIntervals, RulePublication};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::supervisor::{Task, TaskContext, TaskError};
use crate::systemd::{News, ServiceManager};

/// How often the files are looked at. What is written is taken up once it has not changed from one look to the next, so that a file
/// is not read half-written: within four seconds.
const LOOK: Duration = Duration::from_secs(2);

/// While the configuration can't be used, they are tried again after so long: a file that they name may come that was never there.
const AGAIN: Duration = Duration::from_secs(10);

/// How to read the configuration again.
#[derive(Debug)]
pub struct Reload {
    /// How they were read at the start.
    pub overrides: LoadOptions,
    /// What they said at the start.
    pub configuration: Configuration,
    /// The way to the accounts and regions that they name.
    pub connection: Connection,
    /// Requests a reload: SIGHUP.
    pub asked: Arc<Notify>,
}

/// Files, and what tells one version of each from another.
type Files = Vec<(PathBuf, Option<Version>)>;

pub(crate) struct ReloadTask {
    overrides: LoadOptions,
    configuration: Configuration,
    connection: Connection,
    asked: Arc<Notify>,
    active: watch::Sender<Arc<ActiveConfiguration>>,
    health: Health,
    metrics: Metrics,
    manager: Arc<ServiceManager>,
    announced: CancellationToken,
    /// Why the files can't be used as they are.
    problem: Option<String>,
    /// What of them needs a restart, as it was said last.
    waiting: Vec<&'static str>,
}

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    /// A request, which gets an answer.
    Asked,
    /// A file changed, or may have.
    FileChange,
}

impl ReloadTask {
    pub(crate) fn new(
        reload: Reload,
        active: watch::Sender<Arc<ActiveConfiguration>>,
        health: Health,
        metrics: Metrics,
        manager: Arc<ServiceManager>,
        announced: CancellationToken,
    ) -> Self {
        Self {
            overrides: reload.overrides,
            configuration: reload.configuration,
            connection: reload.connection,
            asked: reload.asked,
            active,
            health,
            metrics,
            manager,
            announced,
            problem: None,
            waiting: Vec::new(),
        }
    }

    /// The files that count, and what tells one version of each from another.
    async fn files(&self) -> Files {
        let holidays = self.configuration.holiday_files.iter();
        let files: Vec<PathBuf> = self
            .overrides
            .file
            .iter()
            .chain(holidays)
            .cloned()
            .collect();
        apart(move || {
            let files = files.into_iter();
            files
                .map(|path| {
                    let version = Version::of(&path);
                    (path, version)
                })
                .collect()
        })
        .await
    }

    /// Takes the configuration up, or says why not. An error is one that the daemon is not ready for: it watches over other schedules than
    /// those that are deployed.
    async fn reload(&mut self, because: Because) -> Result<(), String> {
        // Before it was ready there is nothing that the manager could call a reload.
        let manager = self
            .announced
            .is_cancelled()
            .then(|| Arc::clone(&self.manager));
        if let Some(manager) = &manager {
            manager.tell(&[News::Reloading]);
        }
        let overrides = self.overrides.clone();
        let result = match apart(move || curfew_config::load(&overrides)).await {
            Ok(configuration) => match self.loss(&configuration).await {
                None => {
                    self.take(configuration, because);
                    Ok(())
                }
                Some(error) => {
                    let told = error.to_string();
                    self.refuse(told.clone(), because);
                    Err(told)
                }
            },
            Err(error) => {
                let mut text = error.to_string();
                if let Some(source) = std::error::Error::source(&error) {
                    text = format!("{text}: {source}");
                }
                self.refuse(text, because);
                Ok(())
            }
        };
        let generation = self.active.borrow().generation;
        self.health.configuration(generation, self.problem.clone());
        self.metrics
            .configuration(generation, self.problem.is_none());
        if let Some(manager) = &manager {
            manager.tell(&[News::Ready, News::Status(&self.health.status())]);
        }
        result
    }

    /// What the cloud would lose by this configuration that another file published. Where the cloud does not say, nothing: it is asked again
    /// before anything is published.
    async fn loss(&self, found: &Configuration) -> Option<DeployError> {
        let rules = self.active.borrow().rules.clone()?;
        let has_all = |configuration: &Configuration| {
            let mut names = self.configuration.document.schedules.keys();
            names.all(|name| configuration.document.schedules.contains_key(name))
        };
        if has_all(found) {
            return None;
        }
        let stack = &self.configuration.stack.name;
        let loss =
            curfew_deploy::lost_schedules(&rules.connection, stack, &found.publication()).await;
        let loss = loss.ok().flatten()?;
        let stack = stack.clone();
        Some(DeployError::WouldDrop { stack, loss })
    }

    fn refuse(&mut self, text: String, because: Because) {
        if because == Because::Asked || self.problem.as_ref() != Some(&text) {
            let generation = self.active.borrow().generation;
            error!(
                error = text,
                generation, "the new configuration is invalid; the previous one stays in force"
            );
        }
        self.problem = Some(text);
    }

    fn take(&mut self, mut found: Configuration, because: Because) {
        if self.problem.take().is_some() {
            info!("the configuration can be used again");
        }
        let waiting = keep_what_needs_a_restart(&mut found, &self.configuration);
        if !waiting.is_empty() && (because == Because::Asked || waiting != self.waiting) {
            let keys = waiting.join(", ");
            warn!(keys, "some settings only change with a restart");
        }
        self.waiting = waiting;
        if found.warnings != self.configuration.warnings {
            found.log_warnings();
        }
        if is_the_same(&found, &self.configuration) {
            if because == Because::Asked {
                info!("the configuration was read again: nothing has changed");
            }
            self.configuration = found;
            return;
        }
        let before = Arc::clone(&self.active.borrow());
        let organisation = if found.targets == self.configuration.targets {
            before.organisation.clone()
        } else {
            if before.rules.is_some() {
                // The role and the work queue are the stack's, and know the accounts and regions that were there when it was made.
                warn!("the accounts or regions have changed: `curfew deploy` tells the stack");
            }
            Organisation::open(&self.connection, &found.targets)
        };
        let generation = before.generation + 1;
        let schedules = found.schedule_set.schedules.len();
        info!(generation, schedules, "configuration is in force");
        let rules = before.rules.as_ref().map(|rules| RulePublication {
            connection: rules.connection.clone(),
            configuration: found.clone(),
        });
        self.active.send_replace(Arc::new(ActiveConfiguration {
            generation,
            schedule_set: Arc::new(found.schedule_set.clone()),
            organisation,
            intervals: PollIntervals::of(&found.daemon),
            retention: found.daemon.retention,
            grace: found.daemon.grace,
            rules,
        }));
        self.configuration = found;
    }
}

impl Task for ReloadTask {
    const NAME: &'static str = "reload";

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        ctx.health.ok();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut files = self.files().await;
        // What was changed between the reading at the start and now counts too.
        let mut changed = true;
        let mut tried = Instant::now();
        loop {
            let because = tokio::select! {
                () = ctx.shutdown.cancelled() => return Ok(()),
                () = self.asked.notified() => Some(Because::Asked),
                _ = looks.tick() => {
                    let found = self.files().await;
                    let settled = found == files;
                    let again = self.problem.is_some() && tried.elapsed() >= AGAIN;
                    let read = settled && (changed || again);
                    changed = !settled;
                    files = found;
                    read.then_some(Because::FileChange)
                }
            };
            if let Some(because) = because {
                let before = self.files().await;
                match self.reload(because).await {
                    Ok(()) => ctx.health.ok(),
                    Err(dropping) => ctx.health.degraded(dropping),
                }
                tried = Instant::now();
                files = as_they_were(before, self.files().await);
            }
        }
    }
}

/// Reads on a thread that may wait for a disk.
async fn apart<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    let reading = tokio::task::spawn_blocking(read);
    reading.await.expect("reading files does not panic")
}

/// Puts back what a running daemon can't change, and names it.
fn keep_what_needs_a_restart(
    found: &mut Configuration,
    running: &Configuration,
) -> Vec<&'static str> {
    let mut keys = Vec::new();
    keep(&mut found.aws, &running.aws, "aws", &mut keys);
    keep(&mut found.notify, &running.notify, "notify", &mut keys);
    keep(
        &mut found.metrics,
        &running.metrics,
        "daemon.metrics",
        &mut keys,
    );
    keep(
        &mut found.stack.name,
        &running.stack.name,
        "stack.name",
        &mut keys,
    );
    let (new, old) = (&mut found.daemon, &running.daemon);
    keep(&mut new.driver, &old.driver, "daemon.driver", &mut keys);
    keep(
        &mut new.state_dir,
        &old.state_dir,
        "daemon.state_dir",
        &mut keys,
    );
    keep(&mut new.queue, &old.queue, "daemon.queue", &mut keys);
    keys
}

fn keep<T: PartialEq + Clone>(
    found: &mut T,
    running: &T,
    key: &'static str,
    keys: &mut Vec<&'static str>,
) {
    if found != running {
        found.clone_from(running);
        keys.push(key);
    }
}

/// Whether nothing differs that the daemon goes by.
fn is_the_same(one: &Configuration, other: &Configuration) -> bool {
    one.document == other.document
        && one.schedule_set == other.schedule_set
        && one.targets == other.targets
        && one.stack.heartbeat == other.stack.heartbeat
        && one.daemon == other.daemon
}

/// The files that count `now`, in the versions that were seen before they were read: what changed while they were is read again.
fn as_they_were(before: Files, now: Files) -> Files {
    let before: BTreeMap<PathBuf, Option<Version>> = before.into_iter().collect();
    now.into_iter()
        .map(|(path, version)| {
            let version = before.get(&path).copied().unwrap_or(version);
            (path, version)
        })
        .collect()
}

/// What tells one version of a file from another without reading it. A file that replaces another has an inode of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    /// Of the file at `path`, behind every link; none, if it is not there.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_while_the_configuration_is_read_is_seen_by_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let look = |names: &[&str]| -> Files {
            let paths = names.iter().map(|name| folder.path().join(name));
            paths
                .map(|path| {
                    let version = Version::of(&path);
                    (path, version)
                })
                .collect()
        };
        fs::write(folder.path().join("curfew.toml"), "old").unwrap();
        fs::write(folder.path().join("holidays"), "").unwrap();
        let before = look(&["curfew.toml"]);
        // It is written anew after it was read, and what was read names another file.
        fs::write(folder.path().join("curfew.toml"), "newer").unwrap();
        let now = look(&["curfew.toml", "holidays"]);
        let known = as_they_were(before.clone(), now.clone());
        assert_eq!(known[0], before[0]);
        assert_eq!(known[1], now[1]);
        assert_ne!(known, look(&["curfew.toml", "holidays"]));
    }
}
