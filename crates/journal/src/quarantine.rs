//! Quarantines a corrupt journal: renames its files, so that a new journal can be started.

use std::path::{Path, PathBuf};

use tracing::error;

use super::{FILE, JournalError};

/// Quarantines the corrupt journal in `directory`, logs its new path and returns it.
pub(crate) fn quarantine_and_log(
    directory: &Path,
    error: &JournalError,
) -> Result<PathBuf, JournalError> {
    let quarantined = quarantine(directory)?;
    let source = std::error::Error::source(error).map(ToString::to_string);
    error!(%error, source, quarantined = %quarantined.display(), "corrupt journal quarantined; starting a new one");
    Ok(quarantined)
}

/// Renames the file and SQLite's auxiliary files to the first free name.
fn quarantine(directory: &Path) -> Result<PathBuf, JournalError> {
    let name = |number: u32| directory.join(format!("{FILE}.corrupt-{number}"));
    let quarantined = (1..u32::MAX)
        .map(name)
        .find(|path| !path.exists())
        .expect("no directory holds so many files");
    let path = directory.join(FILE);
    let failed = |source| JournalError::Quarantine {
        path: path.clone(),
        source,
    };
    std::fs::rename(&path, &quarantined).map_err(failed)?;
    for suffix in ["-wal", "-shm"] {
        let auxiliary = directory.join(format!("{FILE}{suffix}"));
        let renamed = PathBuf::from(format!("{}{suffix}", quarantined.display()));
        match std::fs::rename(&auxiliary, renamed) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(source));
            }
            _ => {}
        }
    }
    Ok(quarantined)
}
