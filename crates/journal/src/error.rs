//! The errors of the journal.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The state directory can't be created.
    #[error("the state directory `{}` can't be made", path.display())]
    Directory {
        /// The path of the directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// There is no journal yet.
    #[error("there is no journal at `{}` yet: `curfew run` writes it", path.display())]
    Missing {
        /// The path of the missing file.
        path: PathBuf,
    },
    /// Another daemon has the journal's lock.
    #[error("the journal `{}` is written by another `curfew run`", path.display())]
    Taken {
        /// The path of the journal.
        path: PathBuf,
    },
    /// It was written by a newer Curfew.
    #[error("the journal `{}` was written by a newer Curfew (format {found}, this one knows {known})", path.display())]
    TooNew {
        /// The path of the journal.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest format that this Curfew supports.
        known: u32,
    },
    /// It was written by an older Curfew, and reading must not change it.
    #[error("the journal `{}` was written by an older Curfew (format {found}, this one needs {known})", path.display())]
    TooOld {
        /// The path of the journal.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The format that this Curfew reads.
        known: u32,
    },
    /// SQLite reports an error.
    #[error("the journal `{}` can't be {what}", path.display())]
    Sqlite {
        /// The path of the journal.
        path: PathBuf,
        /// The attempted operation, as a participle: `opened`, `written`.
        what: &'static str,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// A corrupt file can't be renamed.
    #[error("the corrupt journal `{}` can't be quarantined", path.display())]
    Quarantine {
        /// The path of the corrupt file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl JournalError {
    /// Whether the file is corrupt, so that waiting does not help.
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self.sqlite(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }

    /// Returns what an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match (self, self.sqlite()) {
            (Self::Taken { .. }, _) => Some(
                "end the other one, or give each its own `[daemon] state_dir`: two daemons are no use to each other",
            ),
            (Self::TooOld { .. }, _) => {
                Some("the daemon brings it up to date: restart `curfew run`")
            }
            (_, Some(ErrorCode::DiskFull)) => Some("make room on its disk"),
            (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
                Some("another program holds the file: see `fuser` or `lsof`")
            }
            (
                _,
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied),
            ) => Some("the daemon's user must be able to write the file and its directory"),
            _ => None,
        }
    }

    fn sqlite(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code(),
            _ => None,
        }
    }
}
