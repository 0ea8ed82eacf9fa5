//! Notifies the service manager: ready, the status line, and the watchdog.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::health::Health;
use crate::supervisor::{Task, TaskContext, TaskError};
use crate::systemd::{ServiceManager, SystemdMessage};

/// The interval of stall checks without a watchdog.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

pub(crate) struct SystemdNotifier {
    pub(crate) manager: Arc<ServiceManager>,
    pub(crate) health: Health,
    /// Cancelled with the first READY: before it, the manager does not expect a reload.
    pub(crate) announced: CancellationToken,
}

impl Task for SystemdNotifier {
    const NAME: &'static str = "systemd";

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        let shutdown = &ctx.shutdown;
        // Half of the watchdog's time, as sd_watchdog_enabled(3) recommends.
        let every = self
            .manager
            .watchdog()
            .map_or(CHECK_INTERVAL, |time| time / 2);
        let (mut status, mut stuck) = (String::new(), Vec::new());
        let mut next_check = Instant::now();
        ctx.health.ok();
        while !shutdown.is_cancelled() {
            self.announce();
            let now_status = self.health.status_line();
            if now_status != status {
                self.manager.notify(&[SystemdMessage::Status(&now_status)]);
                status = now_status;
            }
            if Instant::now() >= next_check {
                next_check = Instant::now() + every;
                self.feed_watchdog(&mut stuck);
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.health.changed() => {}
                () = tokio::time::sleep_until(next_check) => {}
            }
        }
        self.manager.notify(&[SystemdMessage::Stopping]);
        Ok(())
    }
}

impl SystemdNotifier {
    fn announce(&self) {
        if !self.announced.is_cancelled() && self.health.unready().is_empty() {
            info!("curfew ready");
            self.manager.notify(&[
                SystemdMessage::Ready,
                SystemdMessage::Status(&self.health.status_line()),
            ]);
            self.announced.cancel();
        }
    }

    /// Notifies the watchdog only while no task is past its deadline: the daemon can't recover a task that hangs, a restart
    /// can.
    fn feed_watchdog(&self, reported: &mut Vec<String>) {
        let stuck = self.health.stuck(Instant::now());
        if stuck.is_empty() {
            self.manager.notify(&[SystemdMessage::Watchdog]);
        } else if stuck != *reported {
            error!(
                tasks = stuck.join(", "),
                "tasks stalled; watchdog notifications stopped"
            );
        }
        *reported = stuck;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::metrics::Metrics;
    use curfew_aws::clock::Clock;

    /// A service manager in the test, and the daemon's end.
    struct TestManager {
        socket: UnixDatagram,
        manager: Arc<ServiceManager>,
        _directory: tempfile::TempDir,
    }

    impl TestManager {
        fn new(watchdog: Duration) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let manager = ServiceManager::at(path.as_os_str(), Some(watchdog)).unwrap();
            Self {
                socket,
                manager: Arc::new(manager),
                _directory: directory,
            }
        }

        fn received(&self) -> Vec<String> {
            let mut received = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(length) = self.socket.recv(&mut buffer) {
                received.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            received
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ready_follows_the_first_pass_and_the_watchdog_ends_when_a_task_stalls() {
        let listening = TestManager::new(Duration::from_secs(20));
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let reconcile = health.task_started("reconcile", Some("no pass has run yet"));
        let mut notifier = SystemdNotifier {
            manager: Arc::clone(&listening.manager),
            health: health.clone(),
            announced: CancellationToken::new(),
        };
        let context = TaskContext {
            clock: Clock::system(),
            metrics: Metrics::default(),
            health: health.task_started(SystemdNotifier::NAME, None),
            shutdown: shutdown.clone(),
        };
        let running = tokio::spawn(async move { notifier.run(&context).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let first = "STATUS=not ready: no pass has run yet; configuration 0".to_owned();
        assert_eq!(listening.received(), [first, "WATCHDOG=1".to_owned()]);

        reconcile.ok();
        reconcile.expect_within(Duration::from_mins(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let received = listening.received();
        assert!(received[0].starts_with("READY=1\nSTATUS="), "{received:?}");

        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(listening.received(), ["WATCHDOG=1"; 5]);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(
            listening.received().len(),
            1,
            "the deadline ran out at 61 s"
        );
        reconcile.expect_within(Duration::from_mins(1));
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(listening.received()[0], "WATCHDOG=1");

        shutdown.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(listening.received(), ["STOPPING=1"]);
    }
}
