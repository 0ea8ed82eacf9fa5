//! The watch task's notifications: transitions, overrides that come and go, and a journal that can't be written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::{Cause, Override, override_in_force};
use curfew_core::transition::Transition;
use curfew_journal::{JournalEntry, WriteReport};
use jiff::{SignedDuration, Timestamp};

use crate::active_configuration::schedule_of;
use crate::metrics::Metrics;
use crate::notify::{Notification, Notifier};
use crate::transitions::{InstanceObservation, RegionObservation};

/// Sends notifications of journalled transitions, of overrides as they come and go, and once each when the journal can't be
/// written and when it can again.
#[derive(Debug)]
pub(crate) struct TransitionNotifier {
    notifier: Notifier,
    metrics: Metrics,
    schedule_set: Arc<ScheduleSet>,
    overrides: KnownOverrides,
    in_flight: EdgesInFlight,
    /// Since when the journal can't be written.
    unwritable: Option<Timestamp>,
}

impl TransitionNotifier {
    pub(crate) fn new(
        notifier: Notifier,
        metrics: Metrics,
        schedule_set: Arc<ScheduleSet>,
    ) -> Self {
        Self {
            notifier,
            metrics,
            schedule_set,
            overrides: KnownOverrides::default(),
            in_flight: EdgesInFlight::default(),
            unwritable: None,
        }
    }

    /// Replaces the schedules.
    pub(crate) fn set_schedules(&mut self, schedule_set: &Arc<ScheduleSet>) {
        self.schedule_set = Arc::clone(schedule_set);
    }

    /// Reports the changed overrides of an observation.
    pub(crate) fn observe(&mut self, observation: &InstanceObservation, now: Timestamp) {
        if let InstanceObservation::Events(batch) = observation
            && let Some(newest) = batch.events.iter().map(|event| event.at).max()
        {
            let lag = now.duration_since(newest);
            self.metrics.queue_lag(lag.try_into().unwrap_or_default());
        }
        let mut news = Vec::new();
        match observation {
            InstanceObservation::Fleet(regions) => {
                for RegionObservation {
                    account_region,
                    instances,
                    ..
                } in regions
                {
                    news.extend(self.overrides.news(
                        Some(account_region),
                        instances,
                        &self.schedule_set,
                        now,
                    ));
                    self.overrides.forget_all_but(account_region, instances);
                    self.in_flight.forget_all_but(&self.overrides);
                }
            }
            InstanceObservation::Events(batch) => {
                news.extend(
                    self.overrides
                        .news(None, &batch.instances, &self.schedule_set, now),
                );
            }
        }
        for notification in news {
            self.notifier.notify(&notification);
        }
    }

    /// Reports whether a write of the journal failed or succeeded, with the number of waiting transitions.
    pub(crate) fn journal_written(&mut self, written: &WriteReport, now: Timestamp) {
        self.metrics.journal_written(written.error.is_none());
        if let Some(replaced) = &written.replaced {
            self.notifier
                .notify(&Notification::journal_replaced(replaced, now));
        }
        match (&written.error, self.unwritable) {
            (Some(error), None) => {
                self.notifier
                    .notify(&Notification::unwritable(error, written.waiting, now));
                self.unwritable = Some(now);
            }
            (None, Some(since)) => {
                let (kept, lost) = (written.entries.len(), written.lost);
                self.notifier
                    .notify(&Notification::writable(since, kept, lost, now));
                self.unwritable = None;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Reports new entries of the journal.
    pub(crate) fn journalled(&mut self, entries: &[JournalEntry]) {
        for entry in entries {
            self.metrics.journalled(&entry.transition);
            if let Some(latency) = self.in_flight.latency(&entry.transition) {
                self.metrics.edge_done(latency);
            }
            if let Some(notification) = Notification::transition(&entry.transition) {
                self.notifier.notify(&notification);
            }
        }
    }
}

/// The edges with instances in transition. The journal attributes an edge to the transition that it began (running to
/// stopping); its latency is known when that has ended (stopping to stopped).
#[derive(Debug, Default)]
struct EdgesInFlight(HashMap<InstanceId, Timestamp>);

impl EdgesInFlight {
    /// Returns how long after its edge the instance came to rest; `None` unless this transition ends one with an edge.
    fn latency(&mut self, transition: &Transition) -> Option<SignedDuration> {
        let id = &transition.instance;
        match transition.to {
            InstanceState::Pending | InstanceState::Stopping => {
                match transition.edge {
                    Some(edge) => self.0.insert(id.clone(), edge),
                    // Another cause replaced the edge.
                    None => self.0.remove(id),
                };
                None
            }
            InstanceState::Running | InstanceState::Stopped => {
                let begun = self.0.remove(id);
                // The same cause, or a transition that reversed: then the edge's state was not reached.
                let reached = matches!(transition.cause, Cause::Schedule(_) | Cause::Override(_));
                let edge = transition.edge.or(begun).filter(|_| reached)?;
                Some(transition.at.duration_since(edge))
            }
            InstanceState::ShuttingDown | InstanceState::Terminated | InstanceState::Other => {
                self.0.remove(id);
                None
            }
        }
    }

    /// Forgets instances that are gone: their transitions have no end.
    fn forget_all_but(&mut self, there: &KnownOverrides) {
        self.0.retain(|id, _| there.0.contains_key(id));
    }
}

/// The overrides of the last observation.
#[derive(Debug, Default)]
struct KnownOverrides(HashMap<InstanceId, KnownOverride>);

/// The last observation of an instance.
#[derive(Debug)]
struct KnownOverride {
    /// The account-region in which a poll found it; events don't contain one.
    account_region: Option<AccountRegion>,
    override_: Option<Override>,
}

impl KnownOverrides {
    /// Returns the overrides that came and went since the last observation of these instances. An instance that is observed
    /// for the first time contributes none: its override may be days old.
    fn news(
        &mut self,
        account_region: Option<&AccountRegion>,
        instances: &[Instance],
        schedule_set: &ScheduleSet,
        now: Timestamp,
    ) -> Vec<Notification> {
        let mut news = Vec::new();
        for instance in instances {
            // An unreadable override is skipped: its content is unknown.
            let Ok(override_) = override_in_force(&instance.tags, now) else {
                continue;
            };
            let known = KnownOverride {
                account_region: account_region.cloned(),
                override_: override_.clone(),
            };
            let Some(before) = self.0.insert(instance.id.clone(), known) else {
                continue;
            };
            if let (None, Some(known)) = (account_region, self.0.get_mut(&instance.id)) {
                known.account_region = before.account_region;
            }
            let notification = match (before.override_, override_) {
                (before, Some(override_)) if before.as_ref() != Some(&override_) => {
                    Notification::override_placed(instance, &override_, now)
                }
                (Some(before), None) => Notification::override_ended(instance, &before, now),
                _ => continue,
            };
            news.push(notification.of_schedule(schedule_of(schedule_set, instance)));
        }
        news
    }

    /// Forgets instances that an account-region does not list any more. One that does not respond is not listed, so what
    /// changed there meanwhile is reported when it does.
    fn forget_all_but(&mut self, account_region: &AccountRegion, instances: &[Instance]) {
        let there: HashSet<&InstanceId> = instances.iter().map(|one| &one.id).collect();
        self.0.retain(|id, known| {
            known.account_region.as_ref() != Some(account_region) || there.contains(id)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::TestSink;
    use crate::test_support::{self, at};
    use curfew_core::instance::ResourceKind;
    use curfew_core::state_tags::{OVERRIDE_TAG, REQUEST_TAG};
    use curfew_journal::{JournalError, JournalReplacement};

    fn schedule_set() -> ScheduleSet {
        test_support::schedule_set(test_support::OFFICE)
    }

    fn instance(state: InstanceState, tags: &[(&str, &str)]) -> Instance {
        let tags = [tags, &[("Name", "web")]].concat();
        test_support::instance("i-0abc1234def567890", state, &tags)
    }

    #[tokio::test(start_paused = true)]
    async fn an_unwritable_journal_is_reported_once_and_its_losses_when_it_is_writable_again() {
        let (notifier, sink) = TestSink::new();
        let mut watched =
            TransitionNotifier::new(notifier, Metrics::default(), Arc::new(schedule_set()));
        let failed = |waiting| WriteReport {
            waiting,
            error: Some(JournalError::Taken {
                path: "/var/lib/curfew/journal.sqlite".into(),
            }),
            ..WriteReport::default()
        };
        watched.journal_written(&WriteReport::default(), at("12:00:00"));
        assert_eq!(sink.sentences().await, [""; 0]);
        watched.journal_written(&failed(1), at("12:01:00"));
        watched.journal_written(&failed(2), at("12:02:00"));
        insta::assert_snapshot!(
            sink.sentences().await.join("\n"),
            @"Curfew: the journal `/var/lib/curfew/journal.sqlite` is written by another `curfew run`; end the other one, or give each its own `[daemon] state_dir`: two daemons are no use to each other. Schedules are kept; 1 transition waits in memory"
        );
        let written = WriteReport {
            lost: 3,
            ..WriteReport::default()
        };
        watched.journal_written(&written, at("12:13:30"));
        watched.journal_written(&WriteReport::default(), at("12:14:00"));
        insta::assert_snapshot!(
            sink.sentences().await.join("\n"),
            @"Curfew: the journal can be written again after 12m 30s: 0 transitions were written, 3 were lost"
        );
        watched.journal_written(&failed(0), at("12:15:00"));
        assert_eq!(sink.sentences().await.len(), 1, "it begins anew");
        let replaced = WriteReport {
            replaced: Some(JournalReplacement::Corrupt {
                quarantined: "/var/lib/curfew/journal.sqlite.corrupt-1".into(),
            }),
            ..WriteReport::default()
        };
        watched.journal_written(&replaced, at("12:16:00"));
        let removed = WriteReport {
            replaced: Some(JournalReplacement::Detached {
                path: "/var/lib/curfew/journal.sqlite".into(),
            }),
            ..WriteReport::default()
        };
        watched.journal_written(&removed, at("12:17:00"));
        insta::assert_snapshot!(
            sink.sentences().await.join("\n"),
            @"
        Curfew: the journal was corrupt; it is quarantined as `/var/lib/curfew/journal.sqlite.corrupt-1`. A new one has begun: `curfew history` shows nothing from before
        Curfew: the journal can be written again after 1m: 0 transitions were written, none was lost
        Curfew: the journal `/var/lib/curfew/journal.sqlite` was removed or moved while the daemon ran. A new one has begun: `curfew history` shows nothing from before
        "
        );
    }

    #[test]
    fn placed_and_ended_overrides_are_reported_and_earlier_ones_are_not() {
        let override_ = "running since 2026-11-23T11:00:00Z until 2026-11-23T22:00:00Z by alice";
        // A newer request ends it, and no pass removes a tag that a request wrote.
        let free = instance(
            InstanceState::Running,
            &[
                ("Schedule", "office"),
                (OVERRIDE_TAG, override_),
                (REQUEST_TAG, "2026-11-23T12:00:30Z start by alice"),
            ],
        );
        let kept = instance(
            InstanceState::Running,
            &[("Schedule", "office"), (OVERRIDE_TAG, override_)],
        );
        let mut known = KnownOverrides::default();
        let mut news = |instance: &Instance, now: &str| {
            let news = known.news(
                None,
                std::slice::from_ref(instance),
                &schedule_set(),
                at(now),
            );
            news.iter()
                .map(Notification::sentence)
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(news(&kept, "12:00:00"), "", "it may be days old");
        let early = news(&free, "12:01:00");
        assert_eq!(
            early,
            "web (i-0abc1234def567890): the override by alice (running until 2026-11-23T22:00:00Z) was ended early"
        );
        let placed = news(&kept, "12:02:00");
        assert_eq!(
            placed,
            "web (i-0abc1234def567890): override running until 2026-11-23T22:00:00Z by alice"
        );
        assert_eq!(news(&kept, "12:03:00"), "");
        assert!(news(&kept, "22:00:05").ends_with("has ended"));
    }

    #[test]
    fn the_latency_of_an_edge_is_known_when_its_instance_has_come_to_rest() {
        use InstanceState::{Pending, Running, Stopped, Stopping};
        let transition = |from, to, time: &str, edge: Option<&str>, cause: &str| Transition {
            kind: ResourceKind::Instance,
            instance: "i-0abc1234def567890".parse().unwrap(),
            name: None,
            from,
            to,
            at: at(time),
            cause: cause.parse().unwrap(),
            schedule: None,
            region: curfew_core::instance::Region::new("eu-west-3"),
            account: curfew_core::instance::AccountId::new("123456789012"),
            edge: edge.map(at),
            source: curfew_core::transition::TransitionSource::Poll,
            actor: None,
            instance_type: None,
        };
        let mut in_flight = EdgesInFlight::default();
        let mut latency = |from, to, time: &str, edge: Option<&str>, cause: &str| {
            let latency = in_flight.latency(&transition(from, to, time, edge, cause));
            latency.map(|latency| latency.as_secs())
        };
        let office = "schedule office";
        let edge = Some("20:00:00");
        assert_eq!(latency(Running, Stopping, "20:00:03", edge, office), None);
        assert_eq!(
            latency(Stopping, Stopped, "20:01:10", None, office),
            Some(70)
        );
        // An instance at rest at once, as on an emulator.
        assert_eq!(latency(Running, Stopped, "20:00:03", edge, office), Some(3));
        // An external change has no edge, and neither has a start that falls back.
        assert_eq!(
            latency(Stopped, Pending, "21:00:00", None, "external"),
            None
        );
        assert_eq!(
            latency(Pending, Running, "21:01:00", None, "external"),
            None
        );
        assert_eq!(
            latency(Stopped, Pending, "08:00:05", Some("08:00:00"), office),
            None
        );
        assert_eq!(
            latency(Pending, Stopped, "08:00:30", None, "external"),
            None
        );
    }
}
