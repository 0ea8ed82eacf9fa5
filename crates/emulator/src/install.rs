//! Installs the emulator once, into the user's cache.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use curfew_aws::progress::Progress;
use tokio::process::Command;

use super::EmulatorError;

/// The exact versions to install.
const CONSTRAINTS: &str = include_str!("constraints.txt");
const PACKAGE: &str = "ministack==1.5.33";
/// The oldest Python that `ministack` supports.
const OLDEST_PYTHON: (u32, u32) = (3, 10);
/// Variables of the user's Python that would redirect an installation. Package index and proxy variables stay in
/// effect.
const REDIRECTING_VARIABLES: [&str; 8] = [
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
];

/// An installed emulator.
#[derive(Clone, Debug)]
pub struct Installed {
    pub(super) python: PathBuf,
}

/// Installs into `cache`, or returns an existing installation. Waits for another curfew process that is installing; an
/// interrupted installation is started over.
pub(super) async fn provision(
    cache: &Path,
    python: OsString,
    progress: &dyn Progress,
) -> Result<Installed, EmulatorError> {
    let version = version_of(&python).await?;
    let stamp = stamp(&version);
    let venv = cache.join("emulator");
    let stamp_file = venv.join("curfew-stamp");
    let installed = Installed {
        python: venv.join("bin/python"),
    };
    let complete = || {
        installed.python.exists()
            && fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp)
    };
    if complete() {
        return Ok(installed);
    }

    let at_cache = |source| EmulatorError::Directory {
        path: cache.to_owned(),
        source,
    };
    fs::create_dir_all(cache).map_err(at_cache)?;
    let lock = File::create(cache.join("emulator.lock")).map_err(at_cache)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress.begin("Waiting for another curfew that is installing the emulator");
            let waiting = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
            let _held = waiting.await.map_err(io::Error::other).flatten();
            return Box::pin(provision(cache, python, progress)).await;
        }
        Err(TryLockError::Error(source)) => return Err(at_cache(source)),
    }
    // Another process may have completed it before the lock was acquired.
    if complete() {
        return Ok(installed);
    }

    progress.begin("Installing the emulator (MiniStack, about 90 MB, once)");
    progress.detail("making a virtual environment");
    let log = cache.join("emulator-install.log");
    let made = run(Command::new(&python)
        .args(["-m", "venv", "--clear"])
        .arg(&venv))
    .await;
    write_log(&log, &made)?;
    let made = made.map_err(|source| EmulatorError::Python { python, source })?;
    if !made.status.success() {
        return Err(EmulatorError::VirtualEnvironment { log });
    }
    progress.detail("downloading");
    let constraints = venv.join("constraints.txt");
    fs::write(&constraints, CONSTRAINTS).map_err(at_cache)?;
    let fetched = run(Command::new(&installed.python)
        .args(["-m", "pip", "install", "--disable-pip-version-check"])
        .args(["--no-input", "--progress-bar=off", "--constraint"])
        .arg(&constraints)
        .arg(PACKAGE))
    .await;
    write_log(&log, &fetched)?;
    match fetched {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return Err(EmulatorError::Download {
                reason: last_error(&output.stderr),
                log,
            });
        }
        Err(source) => {
            let python = installed.python.into_os_string();
            return Err(EmulatorError::Python { python, source });
        }
    }
    fs::write(&stamp_file, &stamp).map_err(at_cache)?;
    progress.end("The emulator is installed");
    Ok(installed)
}

/// Returns the interpreter's version; fails if it is too old for the emulator.
async fn version_of(python: &OsString) -> Result<String, EmulatorError> {
    let script = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let output = run(Command::new(python).args(["-I", "-S", "-c", script]))
        .await
        .map_err(|source| EmulatorError::Python {
            python: python.clone(),
            source,
        })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut parts = version.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Err(EmulatorError::Python {
            python: python.clone(),
            source: io::Error::other(last_error(&output.stderr)),
        });
    };
    if (major, minor) < OLDEST_PYTHON {
        return Err(EmulatorError::OldPython {
            python: python.clone(),
            version,
        });
    }
    Ok(version)
}

/// The inputs of an installation: if any changes, it is made again. The interpreter is one of them because a virtual
/// environment breaks when its interpreter is removed or upgraded.
fn stamp(python_version: &str) -> String {
    format!("{PACKAGE} on Python {python_version}\n{CONSTRAINTS}")
}

async fn run(command: &mut Command) -> io::Result<Output> {
    for variable in REDIRECTING_VARIABLES {
        command.env_remove(variable);
    }
    // An interrupted installation must not continue in the background.
    command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
}

/// Writes the output to the log.
fn write_log(log: &Path, output: &io::Result<Output>) -> Result<(), EmulatorError> {
    let Ok(output) = output else { return Ok(()) };
    fs::write(log, [&*output.stdout, &*output.stderr].concat()).map_err(|source| {
        EmulatorError::Directory {
            path: log.to_owned(),
            source,
        }
    })
}

/// Returns the last error line: pip's output ends with advice.
fn last_error(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().rev().map(str::trim).filter(|l| !l.is_empty());
    let error = lines
        .clone()
        .find_map(|line| line.strip_prefix("ERROR:"))
        .or_else(|| lines.next());
    error.unwrap_or("no reason given").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use curfew_aws::progress::Silent;

    /// Creates an executable from a script.
    fn fake_python(folder: &Path, script: &str) -> OsString {
        let path = folder.join("python3");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.into_os_string()
    }

    async fn failure(script: &str) -> (EmulatorError, String) {
        let folder = tempfile::tempdir().unwrap();
        let python = fake_python(folder.path(), script);
        let error = provision(&folder.path().join("cache"), python, &Silent)
            .await
            .unwrap_err();
        let text = error.to_string();
        let folder = folder.path().display().to_string();
        (error, text.replace(&folder, "DIR"))
    }

    #[tokio::test]
    async fn python_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = provision(folder.path(), folder.path().join("python3").into(), &Silent)
            .await
            .unwrap_err();
        assert!(matches!(error, EmulatorError::Python { .. }), "{error}");
        assert!(error.hint().contains("Python 3.10"), "{}", error.hint());
    }

    #[tokio::test]
    async fn python_is_too_old() {
        let (_, text) = failure("echo 3.9.18").await;
        insta::assert_snapshot!(text, @"`DIR/python3` is Python 3.9.18, and the emulator needs 3.10 or newer");
    }

    #[tokio::test]
    async fn python_has_no_venv_module() {
        let (error, text) = failure(
            "case $1 in -I) echo 3.11.7;; *) echo 'ensurepip is not available' >&2; exit 1;; esac",
        )
        .await;
        insta::assert_snapshot!(text, @"Python's `venv` module could not make a virtual environment (see `DIR/cache/emulator-install.log`)");
        assert!(error.hint().contains("python3-venv"));
    }

    #[tokio::test]
    async fn the_download_fails_and_the_next_run_starts_over() {
        // `venv` creates an interpreter that can't install anything.
        let venv = "mkdir -p \"$4/bin\"; cp \"$0\" \"$4/bin/python\"";
        let pip = "echo 'ERROR: No matching distribution found' >&2; echo '[notice] upgrade pip' >&2; exit 1";
        let script = format!("case $2 in -S) echo 3.11.7;; venv) {venv};; pip) {pip};; esac");
        let (_, text) = failure(&script).await;
        insta::assert_snapshot!(text, @"the emulator could not be downloaded: No matching distribution found (see `DIR/cache/emulator-install.log`)");
    }

    #[tokio::test]
    async fn a_complete_installation_is_reused_and_an_incomplete_one_is_redone() {
        let folder = tempfile::tempdir().unwrap();
        let calls = folder.path().join("calls");
        let venv = "mkdir -p \"$4/bin\"; cp \"$0\" \"$4/bin/python\"";
        let python = fake_python(
            folder.path(),
            &format!(
                "echo $2 >> '{}'; case $2 in -S) echo 3.11.7;; venv) {venv};; esac",
                calls.display()
            ),
        );
        let cache = folder.path().join("cache");
        let provision = || provision(&cache, python.clone(), &Silent);
        provision().await.unwrap();
        provision().await.unwrap();
        assert_eq!(fs::read_to_string(&calls).unwrap(), "-S\nvenv\npip\n-S\n");
        // Simulates an interrupted first run.
        fs::remove_file(cache.join("emulator/curfew-stamp")).unwrap();
        provision().await.unwrap();
        assert!(fs::read_to_string(&calls).unwrap().ends_with("venv\npip\n"));
    }
}
