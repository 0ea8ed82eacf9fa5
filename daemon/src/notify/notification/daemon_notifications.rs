//! Notifications about Curfew's own work: account-regions that don't respond, the journal, dead letters, the daemon's tasks.
//! They belong to no schedule, and go to every destination that subscribes to failures.

use std::error::Error as _;

use curfew_aws::error::CloudError;
use curfew_config::notify::NotificationEvent;
use curfew_core::error_code::{DescribedError, ErrorCode};
use curfew_journal::{JournalError, JournalReplacement};
use jiff::{Timestamp, Unit};
use serde_json::{Map, json};

use super::{Notification, Subject, facts};

/// The subject of notifications about Curfew itself.
const CURFEW: &str = "Curfew";

impl Notification {
    /// Reports an account-region that does not respond.
    pub fn unreachable(place: &str, error: &CloudError, failures: u32, at: Timestamp) -> Self {
        Self {
            what: format!(
                "passes failed {failures} times in a row: {error}; {}",
                error.hint()
            ),
            facts: facts(
                json!({"error": error.described(), "error_code": error.code, "failure_count": failures}),
            ),
            ..Self::named(place, at)
        }
    }

    /// Reports an account-region that responds again.
    pub fn reachable(place: &str, at: Timestamp) -> Self {
        Self {
            what: "passes succeed again".to_owned(),
            facts: facts(json!({"recovered": true})),
            ..Self::named(place, at)
        }
    }

    /// Reports a journal that can't be written, with the number of waiting transitions.
    pub fn unwritable(error: &JournalError, waiting: usize, at: Timestamp) -> Self {
        let source = error.source().map(ToString::to_string);
        let mut what = error.to_string();
        for more in source.iter().map(String::as_str).chain(error.hint()) {
            what = format!("{what}; {more}");
        }
        let waiting_now = counted(waiting, "transition waits", "transitions wait");
        Self {
            what: format!("{what}. Schedules are kept; {waiting_now} in memory"),
            facts: facts(json!({
                "error": DescribedError {
                    code: ErrorCode::Failed,
                    message: source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
                    hint: error.hint().map(str::to_owned),
                },
                "waiting_count": waiting,
            })),
            ..Self::named(CURFEW, at)
        }
    }

    /// Reports a journal that can be written again, with the numbers of transitions that were written late and that were
    /// lost.
    pub fn writable(since: Timestamp, written: usize, lost: u64, at: Timestamp) -> Self {
        let written_now = counted(
            written,
            "transition was written",
            "transitions were written",
        );
        let lost_meanwhile = match lost {
            0 => "none was lost".to_owned(),
            1 => "1 was lost".to_owned(),
            lost => format!("{lost} were lost"),
        };
        let took = at.duration_since(since).round(Unit::Second);
        let took = took.map(|took| format!(" after {took:#}"));
        Self {
            what: format!(
                "the journal can be written again{}: {written_now}, {lost_meanwhile}",
                took.unwrap_or_default()
            ),
            facts: facts(
                json!({"recovered": true, "since": since, "written_count": written, "lost_count": lost}),
            ),
            ..Self::named(CURFEW, at)
        }
    }

    /// Reports a journal that was replaced by a new one, and why.
    pub fn journal_replaced(replaced: &JournalReplacement, at: Timestamp) -> Self {
        let (why, fact) = match replaced {
            JournalReplacement::Corrupt { quarantined } => {
                let quarantined = quarantined.display().to_string();
                let why = format!("was corrupt; it is quarantined as `{quarantined}`");
                (why, json!({"quarantined": quarantined}))
            }
            JournalReplacement::Detached { path } => {
                let path = path.display().to_string();
                let why = format!("`{path}` was removed or moved while the daemon ran");
                (why, json!({"detached": path}))
            }
        };
        Self {
            what: format!(
                "the journal {why}. A new one has begun: `curfew history` shows nothing from before"
            ),
            facts: facts(fact),
            ..Self::named(CURFEW, at)
        }
    }

    /// Reports a queue with dead letters, `new` of them since the last notification.
    pub fn dead_letters(queue: &str, messages: u64, new: u64, hint: &str, at: Timestamp) -> Self {
        let there = match messages {
            1 => "1 dead letter".to_owned(),
            messages => format!("{messages} dead letters"),
        };
        let there = if messages == new {
            there
        } else {
            format!("{there}, {new} of them new")
        };
        Self {
            what: format!("the queue `{queue}` has {there}: {hint}"),
            facts: facts(
                json!({"queue": queue, "message_count": messages, "new_count": new, "hint": hint}),
            ),
            ..Self::named(CURFEW, at)
        }
    }

    /// Reports that a queue has no dead letters any more.
    pub fn no_dead_letters(queue: &str, at: Timestamp) -> Self {
        Self {
            what: format!("the queue `{queue}` has no dead letters any more"),
            facts: facts(json!({"queue": queue, "recovered": true})),
            ..Self::named(CURFEW, at)
        }
    }

    /// Reports a task of the daemon that keeps failing after restarts.
    pub fn task_failing(task: &str, why: &str, deaths: u32, at: Timestamp) -> Self {
        Self {
            what: format!(
                "the daemon's task `{task}` failed {deaths} times in a row: {why}; it is restarted each time. \
                 A bug: please report it"
            ),
            facts: facts(json!({"task": task, "reason": why, "failure_count": deaths})),
            ..Self::named(CURFEW, at)
        }
    }

    /// Reports that a failing task has kept running since.
    pub fn task_recovered(task: &str, at: Timestamp) -> Self {
        Self {
            what: format!("the daemon's task `{task}` is running again"),
            facts: facts(json!({"task": task, "recovered": true})),
            ..Self::named(CURFEW, at)
        }
    }

    /// Returns the notification that `curfew notify test` sends.
    pub fn test(at: Timestamp) -> Self {
        Self {
            event: NotificationEvent::Test,
            what: "can reach you here: this is a test".to_owned(),
            ..Self::named(CURFEW, at)
        }
    }

    fn named(subject: &str, at: Timestamp) -> Self {
        Self {
            event: NotificationEvent::Failure,
            at,
            subject: Subject::Named(subject.to_owned()),
            schedule: None,
            what: String::new(),
            facts: Map::new(),
        }
    }
}

fn counted(number: usize, one: &str, several: &str) -> String {
    let what = if number == 1 { one } else { several };
    format!("{number} {what}")
}
