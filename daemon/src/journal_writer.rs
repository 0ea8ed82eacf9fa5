//! The thread that owns the journal's connection, behind a channel that drops nothing.
//!
//! Each call waits until the thread has processed it, so that a caller has one request in the channel at most, and knows what
//! is on disk before it acknowledges anything. What can't be written waits in the thread's [`BufferedJournal`].

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use curfew_core::instance::InstanceId;
use curfew_core::transition::KnownState;
use curfew_journal::{
    Attribution, BufferedJournal, CoverageObservation, EdgeRecord, JournalError,
    JournalReplacement, TransitionRecord, WriteReport,
};
use jiff::Timestamp;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut BufferedJournal) + Send>;

/// A handle to the writer thread. Dropping it waits for the thread, which releases the journal's lock.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    /// Present until the handle is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A writer that can't be started.
#[derive(Debug, thiserror::Error)]
pub enum JournalWriterError {
    /// The journal can't be opened, and waiting does not help.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operating system has no thread for it.
    #[error("the journal's thread can't be started")]
    Thread(#[source] std::io::Error),
}

/// What one call of [`JournalWriter::write`] adds to the journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteRequest {
    /// Transitions with the resulting states.
    pub(crate) records: Vec<TransitionRecord>,
    /// Outcomes of edges.
    pub(crate) edges: Vec<EdgeRecord>,
    /// Complete observations, for the coverage.
    pub(crate) observations: Vec<CoverageObservation>,
    /// Principals of calls; the transitions that they explain may be written already.
    pub(crate) attributions: Vec<Attribution>,
    /// Transitions before this instant are removed.
    pub(crate) prune_before: Option<Timestamp>,
}

impl WriteRequest {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.edges.is_empty()
            && self.observations.is_empty()
            && self.attributions.is_empty()
            && self.prune_before.is_none()
    }
}

/// Events of a batch that need no record any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordedEvents {
    pub(crate) ids: HashSet<String>,
    /// Whether all of them are on disk, so that their messages can be deleted.
    pub(crate) durable: bool,
}

impl JournalWriter {
    /// Opens the journal in `directory` as [`BufferedJournal::open`] does, and starts its thread.
    pub(crate) fn open(directory: &Path) -> Result<Self, JournalWriterError> {
        let mut journal = BufferedJournal::open(directory)?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let thread = thread.spawn(move || {
            for job in queue {
                job(&mut journal);
            }
        });
        let thread = thread.map_err(JournalWriterError::Thread)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// The last known state of every instance; empty while the journal can't be read.
    pub(crate) async fn known_states(&self) -> HashMap<InstanceId, KnownState> {
        self.call(|journal| journal.known_states()).await
    }

    /// Whether the journal has a transition since `since` that an event reported.
    pub(crate) async fn has_events_since(&self, since: Timestamp) -> bool {
        self.call(move |journal| journal.has_events_since(since))
            .await
    }

    /// Returns those of `events` that are recorded, or wait to be.
    pub(crate) async fn recorded_events(&self, events: Vec<String>) -> RecordedEvents {
        self.call(move |journal| RecordedEvents {
            ids: journal.events(&events),
            durable: !journal.is_behind(),
        })
        .await
    }

    /// Returns why the journal began anew when it was opened; once.
    pub(crate) async fn take_replaced(&self) -> Option<JournalReplacement> {
        self.call(BufferedJournal::take_replaced).await
    }

    /// Whether records wait in memory.
    pub(crate) async fn is_behind(&self) -> bool {
        self.call(|journal| journal.is_behind()).await
    }

    /// Writes `request` after the waiting records, and returns once it is on disk, or the error because of which it waits too.
    /// A journal that begins anew receives the records of `baseline` as well: the known state of every instance. Returns `None`
    /// without calling `baseline`, which copies the state of the complete fleet, if there is nothing to write.
    pub(crate) async fn write(
        &self,
        request: WriteRequest,
        baseline: impl FnOnce() -> Vec<TransitionRecord>,
    ) -> Option<WriteReport> {
        let is_idle =
            |journal: &mut BufferedJournal| !journal.is_behind() && !journal.is_detached();
        if request.is_empty() && self.call(is_idle).await {
            return None;
        }
        let baseline = baseline();
        let report = self.call(move |journal| write(journal, request, baseline));
        Some(report.await)
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BufferedJournal) -> T + Send + 'static,
    ) -> T {
        const PANICKED: &str = "writing the journal does not panic";
        let (reply, result) = oneshot::channel();
        let job: Job = Box::new(move |journal| {
            // The caller may be gone; the work is done all the same.
            let _ = reply.send(work(journal));
        });
        let jobs = self.jobs.as_ref().expect("present until the drop");
        jobs.send(job).expect(PANICKED);
        result.await.expect(PANICKED)
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The caller has received a panic of the thread already.
            let _ = thread.join();
        }
    }
}

fn write(
    journal: &mut BufferedJournal,
    request: WriteRequest,
    baseline: Vec<TransitionRecord>,
) -> WriteReport {
    let WriteRequest {
        records,
        edges,
        observations,
        attributions,
        prune_before,
    } = request;
    journal.enqueue_edges(edges);
    let mut report = journal.write(records);
    if report.replaced.is_some() {
        let baseline = journal.write(baseline);
        (report.error, report.waiting) = (baseline.error, baseline.waiting);
    }
    let noted = journal.record_observations(&observations, &attributions);
    let noted = noted.and_then(|()| prune_before.map_or(Ok(()), |cutoff| journal.prune(cutoff)));
    report.error = report.error.or(noted.err());
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{at, instance};
    use curfew_core::instance::{InstanceState, ResourceKind};
    use curfew_core::state_tags::Cause;
    use curfew_core::transition::{Transition, TransitionSource};
    use curfew_journal::{FILE, HistoryFilter, Journal};

    fn record(number: usize) -> TransitionRecord {
        let stopped = instance("i-0abc1234def567890", InstanceState::Stopped, &[]);
        TransitionRecord {
            instance: stopped.id.clone(),
            transition: Some(Transition {
                kind: ResourceKind::Instance,
                instance: stopped.id.clone(),
                name: None,
                from: InstanceState::Running,
                to: InstanceState::Stopped,
                at: at(&format!("19:00:0{number}")),
                cause: Cause::External,
                schedule: None,
                region: stopped.region.clone(),
                account: stopped.account.clone(),
                edge: None,
                source: TransitionSource::Event,
                actor: None,
                instance_type: None,
            }),
            event: Some(format!("event {number}")),
            known_state: Some(KnownState::of(&stopped, None)),
        }
    }

    #[tokio::test]
    async fn a_report_comes_after_the_commit_and_a_drop_releases_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        for count in 1..=2 {
            let writer = JournalWriter::open(directory.path()).unwrap();
            let request = WriteRequest {
                records: vec![record(count)],
                ..WriteRequest::default()
            };
            let report = writer.write(request, Vec::new).await.unwrap();
            assert_eq!(report.events, [format!("event {count}")]);
            assert!(report.error.is_none(), "{:?}", report.error);
            let journal = Journal::read(directory.path()).unwrap();
            let entries = journal.history(&HistoryFilter::default()).unwrap();
            assert_eq!(entries.len(), count);
            let recorded = writer.recorded_events(vec![format!("event {count}")]).await;
            assert!(recorded.durable && recorded.ids.len() == 1);
        }
    }

    #[tokio::test]
    async fn without_anything_to_write_there_is_no_report_until_the_file_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let writer = JournalWriter::open(directory.path()).unwrap();
        let unused = || unreachable!("there is nothing to write");
        let report = writer.write(WriteRequest::default(), unused).await;
        assert!(report.is_none());
        let path = directory.path().join(FILE);
        std::fs::remove_file(&path).unwrap();
        let report = writer.write(WriteRequest::default(), || vec![record(1)]);
        let report = report.await.unwrap();
        assert_eq!(report.replaced, Some(JournalReplacement::Detached { path }));
        let journal = Journal::read(directory.path()).unwrap();
        assert_eq!(journal.known_states().unwrap().len(), 1);
    }
}
