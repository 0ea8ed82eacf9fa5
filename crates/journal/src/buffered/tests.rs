//! Failures of the journal's file, and what they lose: no more than is reported.

use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex};

use curfew_core::instance::{AccountId, Region};
use jiff::SignedDuration;
use rusqlite::Connection;

use super::super::tests::{followed, record};
use super::*;
use crate::HistoryFilter;

fn numbered(number: usize) -> TransitionRecord {
    record(&format!(
        "2026-11-23T{:02}:{:02}:{:02}Z",
        number / 3600,
        number / 60 % 60,
        number % 60
    ))
}

fn count(directory: &Path) -> usize {
    let journal = Journal::read(directory).unwrap();
    journal.history(&HistoryFilter::default()).unwrap().len()
}

/// Collects this thread's log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Leaves no room beyond the current size, as on a full disk.
fn full(buffered: &mut BufferedJournal, pages: u32) {
    let connection = &buffered.open.as_mut().unwrap().journal.connection;
    connection
        .pragma_update(None, "max_page_count", pages)
        .unwrap();
}

#[test]
fn on_a_full_disk_records_wait_and_are_written_in_order_when_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let mut buffered = BufferedJournal::open(directory.path()).unwrap();
    full(&mut buffered, 1);
    for number in 0..300 {
        let record = TransitionRecord {
            event: Some(format!("event {number}")),
            ..numbered(number)
        };
        buffered.write(vec![record]);
    }
    let error = buffered.write(vec![numbered(300)]).error.unwrap();
    assert_eq!(error.hint(), Some("make room on its disk"));
    assert!(buffered.is_behind());
    assert_eq!(buffered.waiting(), 301 - count(directory.path()));
    let asked = ["event 299".to_owned(), "event 300".to_owned()];
    let waiting = buffered.events(&asked);
    assert_eq!(waiting, HashSet::from(["event 299".to_owned()]));

    full(&mut buffered, 1_000_000);
    let written = buffered.write(Vec::new());
    assert!(written.error.is_none());
    assert_eq!(written.lost, 0);
    assert!(!buffered.is_behind());
    let journal = Journal::read(directory.path()).unwrap();
    let entries = journal.history(&HistoryFilter::default()).unwrap();
    assert_eq!(entries.len(), 301);
    assert!(entries.is_sorted_by_key(|entry| (entry.transition.at, entry.number)));
    assert_eq!(written.entries.last(), entries.last());
}

#[test]
fn edges_wait_like_transitions() {
    let directory = tempfile::tempdir().unwrap();
    let mut buffered = BufferedJournal::open(directory.path()).unwrap();
    full(&mut buffered, 1);
    let start: jiff::Timestamp = "2026-11-23T19:00:00Z".parse().unwrap();
    let edge = |number: i64| {
        let edge = start + SignedDuration::from_secs(number);
        followed(&edge.to_string())
    };
    let all = i64::try_from(BufferedJournal::WAITING).unwrap() + 3;
    buffered.enqueue_edges((0..all).map(edge).collect());
    assert!(buffered.write(Vec::new()).error.is_some());
    assert!(buffered.is_behind());
    full(&mut buffered, 1_000_000);
    let (log, _logging) = Log::begin();
    assert!(buffered.write(Vec::new()).error.is_none());
    assert!(!buffered.is_behind());
    let lost = "journal writable again; records were lost transitions=0 edges=3";
    assert!(log.text().contains(lost), "{}", log.text());
    let journal = Journal::read(directory.path()).unwrap();
    let entries = journal.edges(&HistoryFilter::default()).unwrap();
    assert_eq!(entries.len(), BufferedJournal::WAITING);
    assert_eq!(entries[0].record, edge(3), "the oldest are lost");
}

#[test]
fn coverage_that_cannot_be_recorded_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let mut buffered = BufferedJournal::open(directory.path()).unwrap();
    full(&mut buffered, 1);
    // More than fits into the free space of the existing pages.
    let observations = (0..1000).map(|number| CoverageObservation {
        account: AccountId::new("123456789012"),
        region: Region::new(format!("region-{number}")),
        at: "2026-11-23T19:00:00Z".parse().unwrap(),
        bridges: SignedDuration::from_mins(10),
    });
    let observations: Vec<CoverageObservation> = observations.collect();
    let error = buffered
        .record_observations(&observations, &[])
        .unwrap_err();
    assert_eq!(error.hint(), Some("make room on its disk"));
    full(&mut buffered, 1_000_000);
    buffered.record_observations(&observations, &[]).unwrap();
}

#[test]
fn lost_transitions_are_counted_and_reported_when_the_journal_is_writable_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut buffered = BufferedJournal::open(directory.path()).unwrap();
    full(&mut buffered, 1);
    let all: Vec<TransitionRecord> = (0..BufferedJournal::WAITING + 7).map(numbered).collect();
    let first_kept = all[7].transition.clone().unwrap().at;
    assert!(buffered.write(all).error.is_some());
    full(&mut buffered, 1_000_000);
    assert_eq!(buffered.write(Vec::new()).lost, 7);
    assert_eq!(buffered.write(vec![numbered(20_000)]).lost, 0, "once");
    let journal = Journal::read(directory.path()).unwrap();
    let entries = journal.history(&HistoryFilter::default()).unwrap();
    assert_eq!(entries.len(), BufferedJournal::WAITING + 1);
    assert_eq!(
        entries[0].transition.at, first_kept,
        "the oldest are those that are lost"
    );
}

#[test]
fn records_wait_while_another_program_locks_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut buffered = BufferedJournal::open(directory.path()).unwrap();
    let connection = &buffered.open.as_mut().unwrap().journal.connection;
    connection
        .busy_timeout(std::time::Duration::from_millis(10))
        .unwrap();
    let other = Connection::open(directory.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = buffered.write(vec![numbered(1)]).error.unwrap();
    assert_eq!(
        error.hint(),
        Some("another program holds the file: see `fuser` or `lsof`")
    );
    other.execute_batch("ROLLBACK").unwrap();
    assert!(buffered.write(vec![numbered(2)]).error.is_none());
    assert_eq!(count(directory.path()), 2);
}

#[test]
fn a_second_daemon_writes_nothing_until_the_first_has_ended_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = BufferedJournal::open(directory.path()).unwrap();
    first.write(vec![numbered(1)]);
    let mut second = BufferedJournal::open(directory.path()).unwrap();
    assert_eq!(second.known_states().len(), 1, "it can read");
    assert!(
        second.write(Vec::new()).error.is_some(),
        "also while there is nothing to write"
    );
    let error = second.write(vec![numbered(2)]).error.unwrap();
    assert!(
        error
            .to_string()
            .ends_with("is written by another `curfew run`"),
        "{error}"
    );
    assert_eq!(count(directory.path()), 1);
    drop(first);
    assert!(second.write(vec![numbered(3)]).error.is_none());
    assert_eq!(count(directory.path()), 3);
}

#[test]
fn a_file_that_is_no_journal_is_quarantined_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    for number in 1..=2 {
        let garbage = format!("this is no database, and that {number} times");
        fs::write(&path, garbage.repeat(100)).unwrap();
        let mut buffered = BufferedJournal::open(directory.path()).unwrap();
        let quarantined = directory.path().join(format!("{FILE}.corrupt-{number}"));
        assert_eq!(
            buffered.take_replaced(),
            Some(JournalReplacement::Corrupt {
                quarantined: quarantined.clone()
            })
        );
        assert_eq!(buffered.take_replaced(), None, "once");
        assert!(buffered.write(vec![numbered(1)]).error.is_none());
        drop(buffered);
        assert_eq!(count(directory.path()), 1);
        assert_eq!(
            fs::read(&quarantined).unwrap(),
            garbage.repeat(100).as_bytes(),
            "nothing is thrown away"
        );
    }
}

#[test]
fn a_file_that_becomes_corrupt_is_replaced_and_the_records_go_into_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let mut buffered = BufferedJournal::open(directory.path()).unwrap();
    buffered.write((0..200).map(numbered).collect());
    // The written data is in the file, and SQLite has no copy of it.
    drop(buffered);
    let mut buffered = BufferedJournal::open(directory.path()).unwrap();
    let mut file = File::options().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xAA; usize::try_from(length - 4096).unwrap()])
        .unwrap();
    let written = buffered.write(vec![numbered(1000)]);
    let quarantined = directory.path().join(format!("{FILE}.corrupt-1"));
    assert_eq!(
        written.replaced,
        Some(JournalReplacement::Corrupt {
            quarantined: quarantined.clone()
        })
    );
    assert!(written.error.is_none());
    assert_eq!(written.entries.len(), 1);
    assert_eq!(count(directory.path()), 1);
    assert!(quarantined.exists());
}

#[test]
fn a_removed_or_moved_file_is_detected_and_a_new_one_receives_the_records() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let path = state.join(FILE);
    let moved = directory.path().join("moved");
    let ways: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::rename(&path, &moved).unwrap(),
        &|| fs::remove_dir_all(&state).unwrap(),
        // As when restored from a backup: SQLite would continue with the old file.
        &|| {
            fs::rename(&path, &moved).unwrap();
            fs::copy(&moved, &path).unwrap();
        },
    ];
    for (number, detach) in ways.into_iter().enumerate() {
        let mut buffered = BufferedJournal::open(&state).unwrap();
        buffered.write(vec![numbered(number)]);
        assert!(!buffered.is_detached());
        detach();
        assert!(buffered.is_detached());
        let written = buffered.write(Vec::new());
        let path = path.clone();
        assert_eq!(
            written.replaced,
            Some(JournalReplacement::Detached { path })
        );
        assert!(written.error.is_none(), "{written:?}");
        assert!(!buffered.is_detached());
        assert_eq!(buffered.write(vec![numbered(1000)]).replaced, None, "once");
        assert_eq!(buffered.write(vec![numbered(1001)]).entries.len(), 1);
        assert!(count(&state) >= 2, "readers find it");
        drop(buffered);
        fs::remove_dir_all(&state).unwrap();
    }
}

#[test]
fn a_newer_journal_is_an_error_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let newer = Connection::open(directory.path().join(FILE)).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let refused = BufferedJournal::open(directory.path());
    assert!(matches!(
        refused,
        Err(JournalError::TooNew { found: 99, .. })
    ));
}

#[test]
fn a_directory_that_cannot_be_created_is_an_error_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let taken = directory.path().join("state");
    fs::write(&taken, "a file").unwrap();
    assert!(matches!(
        BufferedJournal::open(&taken),
        Err(JournalError::Directory { .. })
    ));
}
