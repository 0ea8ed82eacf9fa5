//! The watch task: observations in; transitions out to the log, the journal and the notifications.

mod housekeeping;
mod transition_notifier;

use std::path::PathBuf;
use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_core::transition::Transition;
use curfew_journal::{CoverageObservation, EdgeRecord, TransitionRecord};
use jiff::SignedDuration;
use tracing::{error, info};

use self::housekeeping::Housekeeping;
use self::transition_notifier::TransitionNotifier;
use super::channels::{Ack, WatchReceivers, WatchSenders};
use super::observation_source::STALLED_AFTER;
use super::polling::PollHint;
use super::queue::EventQueue;
use crate::active_configuration::ConfigurationReceiver;
use crate::health::TaskHealth;
use crate::journal_writer::{JournalWriter, WriteRequest};
use crate::notify::Notifier;
use crate::supervisor::{Task, TaskContext, TaskError};
use crate::transitions::{EventBatch, InstanceObservation, RecentActions, TransitionTracker};

/// Turns observations into journal entries.
pub(crate) struct WatchTask {
    pub(crate) state_dir: PathBuf,
    /// The journal that was opened at the start; `None` once a run of the task has failed.
    pub(crate) journal: Option<JournalWriter>,
    pub(crate) events: Option<EventQueue>,
    pub(crate) configuration: ConfigurationReceiver,
    pub(crate) recent_actions: RecentActions,
    pub(crate) notifier: Notifier,
    pub(crate) senders: WatchSenders,
    pub(crate) receivers: WatchReceivers,
}

impl Task for WatchTask {
    const NAME: &'static str = "watch";
    const NOT_READY: Option<&'static str> = Some("nothing has been observed yet");

    /// Records until the shutdown, including everything observed by then.
    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => JournalWriter::open(&self.state_dir)?,
        };
        let now = Arc::clone(&self.configuration.borrow_and_update());
        let tracker = TransitionTracker::new(journal.known_states().await, &now)
            .with_actions(self.recent_actions.clone());
        let tracker = with_events(tracker, &journal, self.events.as_ref(), &ctx.clock).await;
        let (notifier, schedule_set) = (self.notifier.clone(), Arc::clone(&now.schedule_set));
        let mut recorder = TransitionRecorder {
            tracker,
            journal,
            clock: ctx.clock.clone(),
            notifier: TransitionNotifier::new(notifier, ctx.metrics.clone(), schedule_set),
            senders: &self.senders,
            retention: now.retention,
            housekeeping: Housekeeping::default(),
            health: &ctx.health,
        };
        let receivers = &mut self.receivers;
        loop {
            tokio::select! {
                () = ctx.shutdown.cancelled() => break,
                Ok(()) = self.configuration.changed() => {
                    let now = Arc::clone(&self.configuration.borrow_and_update());
                    recorder.notifier.set_schedules(&now.schedule_set);
                    recorder.tracker.set_configuration(&now);
                    recorder.retention = now.retention;
                }
                Some(observation) = receivers.observations.recv() => {
                    ctx.health.expect_within(STALLED_AFTER);
                    recorder.record(observation).await;
                    ctx.health.waiting();
                    if recorder.is_writable() {
                        ctx.health.ok();
                    }
                }
                Some(edges) = receivers.edges.recv() => recorder.record_edges(edges).await,
            }
            if !recorder.is_writable() {
                ctx.health
                    .degraded("the journal can't be written".to_owned());
            }
        }
        recorder.finish(receivers).await;
        Ok(())
    }
}

/// Adds the event stream to `tracker` if there is a queue. The journal's last weeks show whether it delivers events.
async fn with_events(
    tracker: TransitionTracker,
    journal: &JournalWriter,
    events: Option<&EventQueue>,
    clock: &Clock,
) -> TransitionTracker {
    /// How far back an event counts. A fleet without a transition for this long needs no events.
    const RECENT: SignedDuration = SignedDuration::from_hours(28 * 24);
    let Some(events) = events else { return tracker };
    let now = clock.now();
    let since = now.checked_sub(RECENT).unwrap_or(now);
    let delivered = events.is_configured() || journal.has_events_since(since).await;
    tracker.with_events(events.region().clone(), delivered, now)
}

/// One run of the task.
struct TransitionRecorder<'a> {
    tracker: TransitionTracker,
    journal: JournalWriter,
    clock: Clock,
    notifier: TransitionNotifier,
    senders: &'a WatchSenders,
    /// How long transitions are kept.
    retention: SignedDuration,
    housekeeping: Housekeeping,
    health: &'a TaskHealth,
}

impl TransitionRecorder<'_> {
    fn is_writable(&self) -> bool {
        *self.senders.writable.borrow()
    }

    async fn record(&mut self, mut observation: InstanceObservation) {
        let now = self.clock.now();
        self.notifier.observe(&observation, now);
        let mut coverage = Vec::new();
        match &mut observation {
            InstanceObservation::Fleet(regions) => coverage = self.tracker.coverage(regions, now),
            InstanceObservation::Events(batch) => self.drop_recorded(batch).await,
        }
        let records = self.tracker.apply(observation, now);
        let coverage = self.housekeeping.due(coverage);
        for event in self.tracker.take_finished() {
            self.acknowledge(event);
        }
        let hint = PollHint {
            in_flight: self.tracker.is_busy(),
            events_flowing: self.tracker.has_event_stream(now),
        };
        self.senders.hint.send_if_modified(|current| {
            let changed = *current != hint;
            *current = hint;
            changed
        });
        self.write(records, Vec::new(), coverage).await;
    }

    async fn record_edges(&mut self, edges: Vec<EdgeRecord>) {
        self.health.expect_within(STALLED_AFTER);
        self.write(Vec::new(), edges, Vec::new()).await;
        self.health.waiting();
    }

    /// Records what was observed until the shutdown.
    async fn finish(&mut self, receivers: &mut WatchReceivers) {
        while let Ok(observation) = receivers.observations.try_recv() {
            self.record(observation).await;
        }
        let rest = self.tracker.flush_all();
        self.write(rest, Vec::new(), Vec::new()).await;
        // The reconcile task may still be finishing its last pass.
        while let Some(edges) = receivers.edges.recv().await {
            self.record_edges(edges).await;
        }
        if self.journal.is_behind().await {
            error!("records could not be journalled before shutdown");
        }
    }

    /// Drops the events that the journal has already: a message is delivered again when its deletion was lost.
    async fn drop_recorded(&mut self, batch: &mut EventBatch) {
        let ids: Vec<String> = batch.events.iter().map(|event| event.id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let recorded = self.journal.recorded_events(ids).await;
        batch
            .events
            .retain(|event| !recorded.ids.contains(&event.id));
        if recorded.durable {
            for event in recorded.ids {
                self.acknowledge(event);
            }
        }
    }

    fn acknowledge(&self, event: String) {
        // Fails at shutdown only: the message is delivered again, and its event is recognised then.
        let _ = self.senders.acks.send(Ack::Finished { event });
    }

    /// Writes the records, or leaves them in the writer's buffer. Notifications are sent for new entries of the journal, so
    /// once for each.
    async fn write(
        &mut self,
        records: Vec<TransitionRecord>,
        edges: Vec<EdgeRecord>,
        observations: Vec<CoverageObservation>,
    ) {
        let now = self.clock.now();
        let prunes = self.housekeeping.is_time_to_prune(now);
        let cutoff = now.checked_sub(self.retention).ok();
        for record in &records {
            record.transition.iter().for_each(log);
        }
        let request = WriteRequest {
            records,
            edges,
            observations,
            attributions: self.tracker.take_attributions(),
            prune_before: cutoff.filter(|_| prunes),
        };
        let baseline = || self.tracker.everything();
        let Some(report) = self.journal.write(request, baseline).await else {
            return;
        };
        self.notifier.journal_written(&report, self.clock.now());
        self.notifier.journalled(&report.entries);
        let writable = report.error.is_none();
        for event in report.events {
            self.acknowledge(event);
        }
        self.senders.writable.send_if_modified(|current| {
            let changed = *current != writable;
            *current = writable;
            changed
        });
    }
}

fn log(transition: &Transition) {
    let Transition {
        instance,
        name,
        from,
        to,
        at,
        cause,
        schedule,
        region,
        account,
        edge,
        source,
        actor,
        kind: _,
        instance_type: _,
    } = transition;
    let latency_seconds = edge.map(|edge| at.duration_since(edge).as_secs_f64());
    info!(
        %instance,
        name,
        %from,
        %to,
        %at,
        %cause,
        by = actor,
        schedule = schedule.as_ref().map(ToString::to_string),
        %region,
        %account,
        latency_seconds,
        %source,
        "instance changed state"
    );
}
