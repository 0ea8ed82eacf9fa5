//! The journal with a buffer. While it can't be written, records are buffered up to a limit; beyond that the oldest are
//! dropped and counted. A corrupt file is quarantined, a removed or moved one is detected; either way a new journal is
//! started.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};

use curfew_core::instance::InstanceId;
use curfew_core::transition::KnownState;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use tracing::{error, info, warn};

use super::quarantine::quarantine_and_log;
use super::{
    Attribution, CoverageObservation, EdgeRecord, FILE, Journal, JournalEntry, JournalError,
    TransitionRecord,
};

/// The lock file next to the journal: the writing daemon holds the lock, and the operating system releases it when the daemon
/// ends.
pub const LOCK: &str = "journal.lock";

/// Writes the journal of one state directory.
#[derive(Debug)]
pub struct BufferedJournal {
    directory: PathBuf,
    open: Option<OpenJournal>,
    waiting: VecDeque<TransitionRecord>,
    /// Edges that wait to be written.
    edges: VecDeque<EdgeRecord>,
    /// Transitions dropped since the last successful write.
    dropped: u64,
    /// Edges dropped since the last successful write.
    dropped_edges: u64,
    /// Why `open` started a new journal.
    replaced: Option<JournalReplacement>,
}

/// Why a new journal was started, without the known states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalReplacement {
    /// The file was corrupt, and was quarantined.
    Corrupt {
        /// The new path of the corrupt file.
        quarantined: PathBuf,
    },
    /// The file was removed or moved while the daemon wrote it.
    Detached {
        /// The path of the new file, which the old one had.
        path: PathBuf,
    },
}

#[derive(Debug)]
struct OpenJournal {
    journal: Journal,
    _lock: File,
}

/// The result of an attempt to write.
#[derive(Debug, Default)]
pub struct WriteReport {
    /// The new entries of the journal.
    pub entries: Vec<JournalEntry>,
    /// The events whose messages may be deleted: their records are in the journal, or will never be.
    pub events: Vec<String>,
    /// Why a new journal was started, without the known states; `None` if none was.
    pub replaced: Option<JournalReplacement>,
    /// Why records are waiting; `None` if they were written.
    pub error: Option<JournalError>,
    /// The number of transitions that were lost; reported once the journal can be written again.
    pub lost: u64,
    /// The number of transitions that wait to be written after the attempt.
    pub waiting: usize,
}

impl BufferedJournal {
    /// The capacity of the buffer: a transition is about 400 bytes, so this is 4 MB. A thousand instances that start and stop
    /// once a day have some 3,750 transitions a day, so this lasts for two and a half days.
    pub const WAITING: usize = 10_000;

    /// Opens the journal in `directory`, or continues without it if it can't be opened now. Fails only if waiting can't help.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let mut buffered = Self {
            directory: directory.to_owned(),
            open: None,
            waiting: VecDeque::new(),
            edges: VecDeque::new(),
            dropped: 0,
            dropped_edges: 0,
            replaced: None,
        };
        match buffered.reopen() {
            Ok(replaced) => buffered.replaced = replaced,
            Err(
                error @ (JournalError::TooNew { .. }
                | JournalError::Directory { .. }
                | JournalError::Quarantine { .. }),
            ) => return Err(error),
            Err(error) => log_error(&error, 0),
        }
        Ok(buffered)
    }

    /// Returns the last known state of every instance; empty while the journal can't be read.
    pub fn known_states(&self) -> HashMap<InstanceId, KnownState> {
        let states = match &self.open {
            Some(open) => open.journal.known_states(),
            // Another process writes the journal; it can be read meanwhile.
            None => Journal::read(&self.directory).and_then(|journal| journal.known_states()),
        };
        states.unwrap_or_else(|error| {
            log_error(&error, self.waiting.len());
            HashMap::new()
        })
    }

    /// Whether the journal has a transition since `since` that an event reported.
    pub fn has_events_since(&self, since: Timestamp) -> bool {
        let journal = self.open.as_ref().map(|open| &open.journal);
        journal.is_some_and(|journal| journal.has_events_since(since).unwrap_or(false))
    }

    /// Returns those of `events` that no longer need a record: they are in the journal, or wait to be written.
    pub fn events(&self, events: &[String]) -> HashSet<String> {
        let written = self.open.as_ref().map(|open| open.journal.events(events));
        let mut recorded = written.and_then(Result::ok).unwrap_or_default();
        let waiting = self
            .waiting
            .iter()
            .filter_map(|record| record.event.as_ref());
        recorded.extend(waiting.filter(|event| events.contains(event)).cloned());
        recorded
    }

    /// Whether records wait to be written, so that their events must not be deleted yet.
    pub fn is_behind(&self) -> bool {
        !self.waiting.is_empty() || !self.edges.is_empty()
    }

    /// Takes the outcomes of edges, for the next [`Self::write`].
    pub fn enqueue_edges(&mut self, edges: Vec<EdgeRecord>) {
        for edge in edges {
            if self.edges.len() == Self::WAITING {
                self.edges.pop_front();
                self.dropped_edges += 1;
            }
            self.edges.push_back(edge);
        }
    }

    /// Returns, once, why `open` started a new journal.
    pub fn take_replaced(&mut self) -> Option<JournalReplacement> {
        self.replaced.take()
    }

    /// Whether the open journal's file was removed or moved, so that the next [`Self::write`] starts a new one.
    pub fn is_detached(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.journal.is_detached())
    }

    /// The number of transitions that wait to be written.
    pub fn waiting(&self) -> usize {
        let transitions = self.waiting.iter();
        let transitions = transitions.filter(|record| record.transition.is_some());
        transitions.count()
    }

    /// Writes the waiting transitions and edges, then `records`; on failure all of them wait. Retries to open a journal that
    /// could not be opened.
    pub fn write(&mut self, records: Vec<TransitionRecord>) -> WriteReport {
        self.enqueue(records);
        let mut written = WriteReport::default();
        self.close_detached(&mut written);
        if !self.is_behind() && self.open.is_some() {
            return written;
        }
        // Up to two attempts: if the file proves to be corrupt, it is quarantined, and the new one receives everything.
        for _ in 0..2 {
            match self.try_write(&mut written) {
                Ok(()) => {
                    written.error = None;
                    written.lost = std::mem::take(&mut self.dropped);
                    let edges = std::mem::take(&mut self.dropped_edges);
                    if written.lost > 0 || edges > 0 {
                        error!(
                            transitions = written.lost,
                            edges, "journal writable again; records were lost"
                        );
                    }
                    return written;
                }
                Err(error) if error.is_corrupt() => {
                    self.open = None;
                    match quarantine_and_log(&self.directory, &error) {
                        Ok(quarantined) => {
                            written.replaced = Some(JournalReplacement::Corrupt { quarantined });
                        }
                        Err(error) => {
                            written.error = Some(error);
                            break;
                        }
                    }
                    written.error = Some(error);
                }
                Err(error) => {
                    written.error = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = &written.error {
            log_error(error, self.waiting.len());
        }
        written.waiting = self.waiting();
        written
    }

    /// Records coverage and principals, if there is a journal. A failure is logged; those hours stay unknown, and the principals
    /// are missing.
    pub fn record_observations(
        &mut self,
        observations: &[CoverageObservation],
        attributions: &[Attribution],
    ) -> Result<(), JournalError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let result = match (observations, attributions) {
            ([], []) => Ok(()),
            (observations, []) => open.journal.record_coverage(observations),
            ([], attributions) => open.journal.attribute(attributions),
            (observations, attributions) => open
                .journal
                .record_coverage(observations)
                .and_then(|()| open.journal.attribute(attributions)),
        };
        result.inspect_err(|error| log_error(error, self.waiting.len()))
    }

    /// Removes transitions older than `cutoff`, if there is a journal.
    pub fn prune(&mut self, cutoff: Timestamp) -> Result<(), JournalError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let pruned = open.journal.prune(cutoff);
        let transitions = pruned.inspect_err(|error| log_error(error, self.waiting.len()))?;
        if transitions > 0 {
            info!(transitions, before = %cutoff, "old transitions removed from the journal");
        }
        Ok(())
    }

    fn enqueue(&mut self, records: Vec<TransitionRecord>) {
        for record in records {
            if self.waiting.len() == Self::WAITING {
                // The newest record has the current state, so the oldest one is dropped.
                let oldest = self.waiting.pop_front();
                let lost = oldest.is_some_and(|oldest| oldest.transition.is_some());
                self.dropped += u64::from(lost);
                if lost && (self.dropped == 1 || self.dropped.is_multiple_of(1000)) {
                    error!(
                        transitions = self.dropped,
                        waiting = Self::WAITING,
                        "journal buffer full; losing transitions"
                    );
                }
            }
            self.waiting.push_back(record);
        }
    }

    fn try_write(&mut self, written: &mut WriteReport) -> Result<(), JournalError> {
        if self.open.is_none() {
            written.replaced = self.reopen()?.or(written.replaced.take());
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let records = self.waiting.make_contiguous();
        written.entries.extend(open.journal.record(records)?);
        let events = self.waiting.drain(..).filter_map(|record| record.event);
        written.events.extend(events);
        if !self.edges.is_empty() {
            open.journal.record_edges(self.edges.make_contiguous())?;
            self.edges.clear();
        }
        Ok(())
    }

    /// Closes the journal after its file was removed or moved, before a new one is opened in its place: closing removes SQLite's
    /// auxiliary files by name.
    fn close_detached(&mut self, written: &mut WriteReport) {
        if !self.is_detached() {
            return;
        }
        self.open = None;
        let path = self.directory.join(FILE);
        error!(path = %path.display(), "journal file removed or moved; starting a new one");
        written.replaced = Some(JournalReplacement::Detached { path });
    }

    /// Opens the journal. If it was corrupt, quarantines it, starts a new one, and returns the corrupt one's new path.
    fn reopen(&mut self) -> Result<Option<JournalReplacement>, JournalError> {
        let lock = lock(&self.directory)?;
        let (journal, replaced) = match Journal::open(&self.directory) {
            Err(error) if error.is_corrupt() => {
                let quarantined = quarantine_and_log(&self.directory, &error)?;
                (
                    Journal::open(&self.directory)?,
                    Some(JournalReplacement::Corrupt { quarantined }),
                )
            }
            opened => (opened?, None),
        };
        self.open = Some(OpenJournal {
            journal,
            _lock: lock,
        });
        Ok(replaced)
    }
}

fn log_error(error: &JournalError, waiting: usize) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    error!(%error, source, hint = error.hint(), waiting, "journal not writable; buffering records in memory");
}

fn lock(directory: &Path) -> Result<File, JournalError> {
    let made = std::fs::create_dir_all(directory).and_then(|()| {
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        options.open(directory.join(LOCK))
    });
    let lock = made.map_err(|source| JournalError::Directory {
        path: directory.to_owned(),
        source,
    })?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(JournalError::Taken {
            path: directory.join(FILE),
        }),
        Err(errno) => {
            // Some network file systems have no locks: the operator must ensure that only one daemon runs.
            warn!(error = %errno, "file system has no locks; a second daemon could write the journal");
            Ok(lock)
        }
    }
}

#[cfg(test)]
mod tests;
