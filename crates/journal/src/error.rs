//! What can be wrong with a journal.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// A journal that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory can't be made.
    #[error("the state directory `{}` can't be made", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no journal yet.
    #[error("there is no journal at `{}` yet: `curfew run` writes it", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another daemon writes it.
    #[error("the journal `{}` is written by another `curfew run`", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer Curfew.
    #[error("the journal `{}` was written by a newer Curfew (format {found}, this one knows {known})", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// It was written by an older Curfew, and reading must not change it.
    #[error("the journal `{}` was written by an older Curfew (format {found}, this one needs {known})", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The one that is read.
        known: u32,
    },
    /// SQLite says no.
    #[error("the journal `{}` can't be {what}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A broken file can't be put out of the way.
    #[error("the broken journal `{}` can't be set aside", path.display())]
    Stuck {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl JournalError {
    /// Whether the file itself is broken, so that waiting does not help.
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self.sqlite(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }

    /// What a person can do about it.
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
