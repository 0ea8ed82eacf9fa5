//! Reloads the configuration on SIGHUP, and when one of its files changes.
//!
//! Files are polled every few seconds rather than watched: editors and configuration management replace them by renaming,
//! behind symbolic links and on network file systems, and polling covers all of these. An invalid configuration leaves the
//! previous one in force.

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
use crate::systemd::{ServiceManager, SystemdMessage};

/// The interval between checks of the files. A change takes effect once the file is unchanged between two checks, so that it
/// is not read half-written: within four seconds.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The interval of retries while the configuration is invalid: a file that it names may be created later.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// How to read the configuration again.
#[derive(Debug)]
pub struct Reload {
    /// The options of the first load.
    pub overrides: LoadOptions,
    /// The configuration of the first load.
    pub configuration: Configuration,
    /// Connects to the accounts and regions that it names.
    pub connection: Connection,
    /// Requests a reload: SIGHUP.
    pub requested: Arc<Notify>,
}

/// The files and the version of each; `None` for a missing one.
type Files = Vec<(PathBuf, Option<Version>)>;

pub(crate) struct ReloadTask {
    overrides: LoadOptions,
    configuration: Configuration,
    connection: Connection,
    requested: Arc<Notify>,
    active: watch::Sender<Arc<ActiveConfiguration>>,
    health: Health,
    manager: Arc<ServiceManager>,
    announced: CancellationToken,
    /// Why the current files can't be used.
    problem: Option<String>,
    /// The changed keys that need a restart, as they were last logged.
    waiting: Vec<&'static str>,
}

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadReason {
    /// An explicit request; its result is always logged.
    Requested,
    /// A file has changed, or may have.
    FileChange,
}

impl ReloadTask {
    pub(crate) fn new(
        reload: Reload,
        active: watch::Sender<Arc<ActiveConfiguration>>,
        health: Health,
        manager: Arc<ServiceManager>,
        announced: CancellationToken,
    ) -> Self {
        Self {
            overrides: reload.overrides,
            configuration: reload.configuration,
            connection: reload.connection,
            requested: reload.requested,
            active,
            health,
            manager,
            announced,
            problem: None,
            waiting: Vec::new(),
        }
    }

    /// Returns the configuration's files and the version of each.
    async fn files(&self) -> Files {
        let holidays = self.configuration.holiday_files.iter();
        let files: Vec<PathBuf> = self
            .overrides
            .file
            .iter()
            .chain(holidays)
            .cloned()
            .collect();
        read_blocking(move || {
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

    /// Loads and applies the configuration, or logs why not. Returns an error if the daemon is not ready for that reason: its
    /// schedules differ from the deployed ones.
    async fn reload(&mut self, reason: ReloadReason, metrics: &Metrics) -> Result<(), String> {
        // Before the daemon is ready, the service manager does not expect a reload.
        let manager = self
            .announced
            .is_cancelled()
            .then(|| Arc::clone(&self.manager));
        if let Some(manager) = &manager {
            manager.notify(&[SystemdMessage::Reloading]);
        }
        let overrides = self.overrides.clone();
        let result = match read_blocking(move || curfew_config::load(&overrides)).await {
            Ok(configuration) => match self.loss(&configuration).await {
                None => {
                    self.apply(configuration, reason);
                    Ok(())
                }
                Some(error) => {
                    let text = error.to_string();
                    self.reject(text.clone(), reason);
                    Err(text)
                }
            },
            Err(error) => {
                let mut text = error.to_string();
                if let Some(source) = std::error::Error::source(&error) {
                    text = format!("{text}: {source}");
                }
                self.reject(text, reason);
                Ok(())
            }
        };
        let generation = self.active.borrow().generation;
        self.health.configuration(generation, self.problem.clone());
        metrics.configuration(generation, self.problem.is_none());
        if let Some(manager) = &manager {
            manager.notify(&[
                SystemdMessage::Ready,
                SystemdMessage::Status(&self.health.status_line()),
            ]);
        }
        result
    }

    /// Returns an error if this configuration would remove schedules from the cloud that another file published. If the cloud
    /// can't be queried, returns `None`: the check is repeated before anything is published.
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

    fn reject(&mut self, text: String, reason: ReloadReason) {
        if reason == ReloadReason::Requested || self.problem.as_ref() != Some(&text) {
            let generation = self.active.borrow().generation;
            error!(
                error = text,
                generation, "invalid configuration; keeping the previous one"
            );
        }
        self.problem = Some(text);
    }

    fn apply(&mut self, mut found: Configuration, reason: ReloadReason) {
        if self.problem.take().is_some() {
            info!("configuration valid again");
        }
        let waiting = restore_fixed_keys(&mut found, &self.configuration);
        if !waiting.is_empty() && (reason == ReloadReason::Requested || waiting != self.waiting) {
            let keys = waiting.join(", ");
            warn!(keys, "changed keys need a restart");
        }
        self.waiting = waiting;
        if found.warnings != self.configuration.warnings {
            found.log_warnings();
        }
        if is_unchanged(&found, &self.configuration) {
            if reason == ReloadReason::Requested {
                info!("configuration reloaded; nothing has changed");
            }
            self.configuration = found;
            return;
        }
        let before = Arc::clone(&self.active.borrow());
        let organisation = if found.targets == self.configuration.targets {
            before.organisation.clone()
        } else {
            if before.rules.is_some() {
                // The stack's role and work queue cover the accounts and regions of the last deployment.
                warn!("accounts or regions changed; run `curfew deploy` to update the stack");
            }
            Organisation::open(&self.connection, &found.targets)
        };
        let generation = before.generation + 1;
        let schedules = found.schedule_set.schedules.len();
        info!(generation, schedules, "configuration applied");
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
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut files = self.files().await;
        // Changes between the first load and now count too.
        let mut changed = true;
        let mut tried = Instant::now();
        loop {
            let reason = tokio::select! {
                () = ctx.shutdown.cancelled() => return Ok(()),
                () = self.requested.notified() => Some(ReloadReason::Requested),
                _ = checks.tick() => {
                    let found = self.files().await;
                    let settled = found == files;
                    let again = self.problem.is_some() && tried.elapsed() >= RETRY_INTERVAL;
                    let read = settled && (changed || again);
                    changed = !settled;
                    files = found;
                    read.then_some(ReloadReason::FileChange)
                }
            };
            if let Some(reason) = reason {
                let before = self.files().await;
                match self.reload(reason, &ctx.metrics).await {
                    Ok(()) => ctx.health.ok(),
                    Err(dropping) => ctx.health.degraded(dropping),
                }
                tried = Instant::now();
                files = with_earlier_versions(before, self.files().await);
            }
        }
    }
}

/// Reads on a thread that may block on a disk.
async fn read_blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    let reading = tokio::task::spawn_blocking(read);
    reading.await.expect("reading files does not panic")
}

/// Restores the values that a running daemon can't change, and returns their keys.
fn restore_fixed_keys(found: &mut Configuration, running: &Configuration) -> Vec<&'static str> {
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

/// Whether nothing differs that the daemon uses.
fn is_unchanged(one: &Configuration, other: &Configuration) -> bool {
    one.document == other.document
        && one.schedule_set == other.schedule_set
        && one.targets == other.targets
        && one.stack.heartbeat == other.stack.heartbeat
        && one.daemon == other.daemon
}

/// Returns the files of `now`, in the versions from before they were read: a change during the read causes another one.
fn with_earlier_versions(before: Files, now: Files) -> Files {
    let before: BTreeMap<PathBuf, Option<Version>> = before.into_iter().collect();
    now.into_iter()
        .map(|(path, version)| {
            let version = before.get(&path).copied().unwrap_or(version);
            (path, version)
        })
        .collect()
}

/// Distinguishes versions of a file without reading it. A file that replaces another has a different inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    /// Returns the version of the file at `path`, following links; `None` if it does not exist.
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
    fn a_file_that_changes_while_it_is_read_is_detected_by_the_next_check() {
        let folder = tempfile::tempdir().unwrap();
        let versions = |names: &[&str]| -> Files {
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
        let before = versions(&["curfew.toml"]);
        // The file is rewritten after it was read, and what was read names another file.
        fs::write(folder.path().join("curfew.toml"), "newer").unwrap();
        let now = versions(&["curfew.toml", "holidays"]);
        let known = with_earlier_versions(before.clone(), now.clone());
        assert_eq!(known[0], before[0]);
        assert_eq!(known[1], now[1]);
        assert_ne!(known, versions(&["curfew.toml", "holidays"]));
    }
}
