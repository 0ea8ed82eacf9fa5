//! What the watch task tells: transitions, holds that come and go, and a journal that can't be written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use curfew_core::govern::Governance;
use curfew_core::instance::{Instance, InstanceId};
use curfew_core::memory::{Hold, hold_in_force};
use jiff::Timestamp;

use super::schedule;
use crate::journal::{Entry, Written};
use crate::metrics::Metrics;
use crate::notify::{Notice, Notifier};
use crate::run::watch::Seen;

/// Tells transitions once they are journalled, holds as they come and go, and once each that the journal can't be written and that it
/// can again.
#[derive(Debug)]
pub(in crate::run) struct Watched {
    notifier: Notifier,
    metrics: Metrics,
    governance: Arc<Governance>,
    holds: Holds,
    /// Since when the journal can't be written.
    unwritable: Option<Timestamp>,
}

impl Watched {
    pub(in crate::run) fn new(
        notifier: Notifier,
        metrics: Metrics,
        governance: Arc<Governance>,
    ) -> Self {
        Self {
            notifier,
            metrics,
            governance,
            holds: Holds::default(),
            unwritable: None,
        }
    }

    /// Goes by other schedules from now on.
    pub(in crate::run) fn govern(&mut self, governance: &Arc<Governance>) {
        self.governance = Arc::clone(governance);
    }

    /// A look at instances.
    pub(in crate::run) fn seen(&mut self, seen: &Seen, now: Timestamp) {
        if let Seen::Told(told) = seen
            && let Some(newest) = told.events.iter().map(|event| event.at).max()
        {
            let lag = now.duration_since(newest);
            self.metrics.queue_lag(lag.try_into().unwrap_or_default());
        }
        let looks = match seen {
            Seen::Everything(looks) => looks.iter().map(|look| &look.instances[..]).collect(),
            Seen::Told(told) => vec![&told.instances[..]],
        };
        for instances in &looks {
            for notice in self.holds.news(instances, &self.governance, now) {
                self.notifier.tell(&notice);
            }
        }
        if let Seen::Everything(_) = seen {
            // Of a region that did not answer nothing is known any more: its holds are no news when it does.
            self.holds.forget_all_but(looks.into_iter().flatten());
        }
    }

    /// The journal was written, or could not be, and so many transitions wait for it now.
    pub(in crate::run) fn wrote(&mut self, written: &Written, waiting: usize, now: Timestamp) {
        self.metrics.journal_written(written.trouble.is_none());
        if let Some(replaced) = &written.replaced {
            self.notifier.tell(&Notice::journal_replaced(replaced, now));
        }
        match (&written.trouble, self.unwritable) {
            (Some(error), None) => {
                self.notifier.tell(&Notice::unwritable(error, waiting, now));
                self.unwritable = Some(now);
            }
            (None, Some(since)) => {
                let (kept, lost) = (written.entries.len(), written.lost);
                self.notifier
                    .tell(&Notice::writable(since, kept, lost, now));
                self.unwritable = None;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// New entries of the journal.
    pub(in crate::run) fn journalled(&self, entries: &[Entry]) {
        for entry in entries {
            self.metrics.journalled(&entry.transition);
            if let Some(notice) = Notice::transition(&entry.transition) {
                self.notifier.tell(&notice);
            }
        }
    }
}

/// The holds that were there at the last look.
#[derive(Debug, Default)]
struct Holds(HashMap<InstanceId, Option<Hold>>);

impl Holds {
    /// The holds that came and went since the last look at these instances. An instance that is seen for the first time has no
    /// news: its hold may be days old.
    fn news(
        &mut self,
        instances: &[Instance],
        governance: &Governance,
        now: Timestamp,
    ) -> Vec<Notice> {
        let mut news = Vec::new();
        for instance in instances {
            // Where it can't be read, nobody knows what it says now.
            let Ok(hold) = hold_in_force(&instance.tags, now) else {
                continue;
            };
            let Some(before) = self.0.insert(instance.id.clone(), hold.clone()) else {
                continue;
            };
            let notice = match (before, hold) {
                (before, Some(hold)) if before.as_ref() != Some(&hold) => {
                    Notice::held(instance, &hold, now)
                }
                (Some(before), None) => Notice::released(instance, &before, now),
                _ => continue,
            };
            news.push(notice.of_schedule(schedule(governance, instance)));
        }
        news
    }

    fn forget_all_but<'a>(&mut self, instances: impl Iterator<Item = &'a Instance>) {
        let there: HashSet<&InstanceId> = instances.map(|one| &one.id).collect();
        self.0.retain(|id, _| there.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{JournalError, Replaced};
    use crate::notify::Overheard;
    use crate::run::fixture::{self, at};
    use curfew_core::instance::InstanceState;
    use curfew_core::memory::{HOLD_TAG, REQUEST_TAG};

    fn governance() -> Governance {
        fixture::governance(fixture::OFFICE)
    }

    fn instance(state: InstanceState, tags: &[(&str, &str)]) -> Instance {
        let tags = [tags, &[("Name", "web")]].concat();
        fixture::instance("i-0abc1234def567890", state, &tags)
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_cannot_be_written_is_told_once_and_what_was_lost_when_it_can_again() {
        let (notifier, overheard) = Overheard::new();
        let mut watched = Watched::new(notifier, Metrics::default(), Arc::new(governance()));
        let failed = || Written {
            trouble: Some(JournalError::Taken {
                path: "/var/lib/curfew/journal.sqlite".into(),
            }),
            ..Written::default()
        };
        watched.wrote(&Written::default(), 0, at("12:00:00"));
        assert_eq!(overheard.told().await, [""; 0]);
        watched.wrote(&failed(), 1, at("12:01:00"));
        watched.wrote(&failed(), 2, at("12:02:00"));
        insta::assert_snapshot!(
            overheard.told().await.join("\n"),
            @"Curfew: the journal `/var/lib/curfew/journal.sqlite` is written by another `curfew run`; end the other one, or give each its own `[daemon] state_dir`: two daemons are no use to each other. Schedules are kept; 1 transition waits in memory"
        );
        let written = Written {
            lost: 3,
            ..Written::default()
        };
        watched.wrote(&written, 0, at("12:13:30"));
        watched.wrote(&Written::default(), 0, at("12:14:00"));
        insta::assert_snapshot!(
            overheard.told().await.join("\n"),
            @"Curfew: the journal can be written again after 12m 30s: 0 transitions were written, 3 were lost"
        );
        watched.wrote(&failed(), 0, at("12:15:00"));
        assert_eq!(overheard.told().await.len(), 1, "it begins anew");
        let replaced = Written {
            replaced: Some(Replaced::Broken {
                kept: "/var/lib/curfew/journal.sqlite.broken-1".into(),
            }),
            ..Written::default()
        };
        watched.wrote(&replaced, 0, at("12:16:00"));
        let removed = Written {
            replaced: Some(Replaced::Detached {
                path: "/var/lib/curfew/journal.sqlite".into(),
            }),
            ..Written::default()
        };
        watched.wrote(&removed, 0, at("12:17:00"));
        insta::assert_snapshot!(
            overheard.told().await.join("\n"),
            @"
        Curfew: the journal was broken; the old one is kept as `/var/lib/curfew/journal.sqlite.broken-1`. A new one has begun: `curfew history` shows nothing from before
        Curfew: the journal can be written again after 1m: 0 transitions were written, none was lost
        Curfew: the journal `/var/lib/curfew/journal.sqlite` was removed or moved while the daemon ran. A new one has begun: `curfew history` shows nothing from before
        "
        );
    }

    #[test]
    fn holds_that_come_and_go_are_told_and_those_that_were_there_are_not() {
        let hold = "running since 2026-11-23T11:00:00Z until 2026-11-23T22:00:00Z by alice";
        // A newer request ends it, and no pass removes a person's tag.
        let free = instance(
            InstanceState::Running,
            &[
                ("Schedule", "office"),
                (HOLD_TAG, hold),
                (REQUEST_TAG, "2026-11-23T12:00:30Z start by alice"),
            ],
        );
        let upheld = instance(
            InstanceState::Running,
            &[("Schedule", "office"), (HOLD_TAG, hold)],
        );
        let mut holds = Holds::default();
        let mut news = |instance: &Instance, now: &str| {
            let news = holds.news(std::slice::from_ref(instance), &governance(), at(now));
            news.iter()
                .map(Notice::sentence)
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(news(&upheld, "12:00:00"), "", "it may be days old");
        let early = news(&free, "12:01:00");
        assert_eq!(
            early,
            "web (i-0abc1234def567890): free again: the override by alice (running until 2026-11-23T22:00:00Z) was ended early"
        );
        let placed = news(&upheld, "12:02:00");
        assert_eq!(
            placed,
            "web (i-0abc1234def567890): held running until 2026-11-23T22:00:00Z by alice"
        );
        assert_eq!(news(&upheld, "12:03:00"), "");
        assert!(news(&upheld, "22:00:05").ends_with("is over"));
    }
}
