//! The service manager's notification protocol, `sd_notify(3)`: one datagram for each notification.
//!
//! Implemented over a socket, where a crate would read the process's environment for each notification: so a test can have
//! its own manager.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// A notification for the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemdMessage<'a> {
    /// Start-up, or a reload, is complete.
    Ready,
    /// A reload has begun. It ends with [`SystemdMessage::Ready`].
    Reloading,
    /// The shutdown has begun.
    Stopping,
    /// The status line that `systemctl status` shows.
    Status(&'a str),
    /// All tasks make progress.
    Watchdog,
}

/// The service manager that started this process; absent outside systemd.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The time limit for a message to the manager, which reads at once unless it hangs.
    const SEND_TIMEOUT: Duration = Duration::from_secs(1);

    /// Returns a handle that sends nothing, for a process outside systemd.
    pub fn absent() -> Self {
        Self {
            socket: None,
            watchdog: None,
        }
    }

    /// Returns the service manager named in the environment: `NOTIFY_SOCKET`, with `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())
        else {
            return Self::absent();
        };
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        // Child processes inherit the variables that are meant for their parent.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0);
        Self::at(&address, watchdog.map(Duration::from_micros)).unwrap_or_else(|error| {
            warn!(%error, address = %address.display(), "service manager unreachable");
            Self::absent()
        })
    }

    /// Returns the manager that listens at `address`, a path or (with an `@` before it) an abstract name; it expects
    /// [`SystemdMessage::Watchdog`] at least once in every `watchdog`.
    pub fn at(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match address.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_write_timeout(Some(Self::SEND_TIMEOUT))?;
        Ok(Self {
            socket: Some(socket),
            watchdog,
        })
    }

    /// Returns the interval within which the manager expects a watchdog message.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends the messages in one datagram. Errors are only logged.
    pub fn notify(&self, messages: &[SystemdMessage<'_>]) {
        let Some(socket) = &self.socket else { return };
        let lines: Vec<String> = messages.iter().map(line).collect();
        if let Err(error) = socket.send(lines.join("\n").as_bytes()) {
            warn!(%error, "service manager could not be notified");
        }
    }
}

fn line(messages: &SystemdMessage<'_>) -> String {
    match messages {
        SystemdMessage::Ready => "READY=1".to_owned(),
        SystemdMessage::Reloading => {
            // The manager distinguishes reloads by it; it has to be the monotonic clock's.
            let now = clock_gettime(ClockId::Monotonic);
            let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            format!("RELOADING=1\nMONOTONIC_USEC={usec}")
        }
        SystemdMessage::Stopping => "STOPPING=1".to_owned(),
        // A line break would begin another variable.
        SystemdMessage::Status(text) => format!("STATUS={}", text.replace('\n', " ")),
        SystemdMessage::Watchdog => "WATCHDOG=1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_are_lines_of_one_datagram_and_a_status_stays_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager::at(path.as_os_str(), None).unwrap();
        manager.notify(&[
            SystemdMessage::Ready,
            SystemdMessage::Status("2 problems:\n  READY=0"),
        ]);
        assert_eq!(
            received(&listening),
            "READY=1\nSTATUS=2 problems:   READY=0"
        );
    }

    #[test]
    fn a_reload_carries_the_monotonic_time_at_an_abstract_address_too() {
        let name = format!("curfew-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listening = UnixDatagram::bind_addr(&address).unwrap();
        let manager = ServiceManager::at(OsStr::new(&format!("@{name}")), None).unwrap();
        let mut times = Vec::new();
        for _ in 0..2 {
            manager.notify(&[SystemdMessage::Reloading]);
            let message = received(&listening);
            let usec = message
                .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
                .unwrap();
            times.push(usec.parse::<u64>().unwrap());
        }
        assert!(times[0] > 0 && times[0] <= times[1], "{times:?}");
    }

    #[test]
    fn a_manager_that_went_away_is_ignored_and_a_missing_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager::at(path.as_os_str(), Some(Duration::from_secs(9))).unwrap();
        assert_eq!(manager.watchdog(), Some(Duration::from_secs(9)));
        drop(listening);
        manager.notify(&[SystemdMessage::Stopping]);
        let missing = directory.path().join("missing");
        assert!(ServiceManager::at(missing.as_os_str(), None).is_err());
        ServiceManager::absent().notify(&[SystemdMessage::Ready]);
    }
}
