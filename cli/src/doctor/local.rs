//! Checks the configuration and the daemon on this machine.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use curfew_config::{Configuration, DEFAULT_FILE, Driver};
use curfew_journal::LOCK;
use tokio::process::Command;

use super::{Check, readiness};

/// The state directory of `curfew.service`. systemd passes it to the service only.
const SERVICE_STATE: &str = "/var/lib/curfew";

pub(super) fn configuration(configuration: &Configuration) -> Check {
    let place = match &configuration.file {
        Some(file) => described(file, std::env::var_os("CURFEW_CONFIG").as_deref()),
        None => "the built-in defaults".to_owned(),
    };
    match configuration.schedule_set.schedules.len() {
        0 => Check::warn(
            "configuration",
            format!(
                "{place}: no schedules; only instances with an inline schedule tag are managed"
            ),
            "add a schedule; see docs/reference/configuration.md and config/examples",
        ),
        1 => Check::ok("configuration", format!("{place}: 1 schedule")),
        several => Check::ok("configuration", format!("{place}: {several} schedules")),
    }
}

/// Returns the complete path of the file in use, and why it is this one.
fn described(file: &Path, variable: Option<&OsStr>) -> String {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let reason = if variable == Some(file.as_os_str()) {
        ", from CURFEW_CONFIG"
    } else if file == Path::new(DEFAULT_FILE) {
        ", the system's"
    } else {
        ""
    };
    format!("`{}`{reason}", path.display())
}

/// Checks whether a daemon runs, by the lock that it holds, and whether it is ready.
pub(super) async fn daemon(configuration: &Configuration) -> Check {
    let mut directories = vec![configuration.state_dir()];
    if configuration.daemon.state_dir.is_none() {
        directories.push(PathBuf::from(SERVICE_STATE));
    }
    let mut hidden = false;
    for directory in &directories {
        match holder(&directory.join(LOCK)) {
            Ok(Some(process)) => {
                let found = format!("process {process}, journal in `{}`", directory.display());
                return readiness::daemon(found, configuration).await;
            }
            Ok(None) => {}
            Err(error) => hidden |= error.kind() == ErrorKind::PermissionDenied,
        }
    }
    if hidden && service_is_active().await {
        return readiness::daemon("`curfew.service` is active".to_owned(), configuration).await;
    }
    let hint = "run `systemctl enable --now curfew` or `curfew run`";
    match configuration.daemon.driver {
        Driver::Daemon => Check::fail(
            "daemon",
            "not running; without it no passes run, because `daemon.driver` is `daemon`",
            hint,
        ),
        Driver::Cloud => Check::warn(
            "daemon",
            "not running: the schedules are applied, but not verified, and transitions are not journalled",
            hint,
        ),
    }
}

/// Returns the process that holds the lock of a file. Reads `/proc/locks`, because trying the lock would hold it for a moment.
fn holder(lock: &Path) -> std::io::Result<Option<u32>> {
    let file = fs::metadata(lock)?;
    let (device, inode) = (file.dev(), file.ino());
    let name = format!(
        "{:02x}:{:02x}:{inode}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let locks = fs::read_to_string("/proc/locks")?;
    Ok(locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 4711 fe:00:8345 0 EOF`; a waiting process has an arrow after the number.
        let mut fields = line.split_whitespace().skip(1);
        let (kind, _, _) = (fields.next()?, fields.next()?, fields.next()?);
        let process = fields.next()?.parse().ok()?;
        (kind == "FLOCK" && fields.next()? == name).then_some(process)
    }))
}

/// Asks systemd whether the service is active: other users cannot read the state directory of the service.
async fn service_is_active() -> bool {
    let status = Command::new("systemctl")
        .args(["is-active", "--quiet", "curfew.service"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_use_is_shown_with_its_complete_path_and_origin() {
        let named = Path::new("/srv/curfew.toml");
        let from = |variable: Option<&str>| described(named, variable.map(OsStr::new));
        assert_eq!(from(None), "`/srv/curfew.toml`");
        assert_eq!(from(Some("/srv/other.toml")), "`/srv/curfew.toml`");
        assert_eq!(
            from(Some("/srv/curfew.toml")),
            "`/srv/curfew.toml`, from CURFEW_CONFIG"
        );
        let system = described(Path::new(DEFAULT_FILE), None);
        assert_eq!(system, "`/etc/curfew/curfew.toml`, the system's");
        let relative = described(Path::new("curfew.toml"), None);
        assert!(relative.starts_with("`/"), "{relative}");
    }

    #[test]
    fn the_holder_of_a_lock_is_found_without_locking() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LOCK);
        assert_eq!(holder(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let file = fs::File::create(&path).unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        file.lock().unwrap();
        assert_eq!(holder(&path).unwrap(), Some(std::process::id()));
        file.unlock().unwrap();
        assert_eq!(holder(&path).unwrap(), None);
    }
}
