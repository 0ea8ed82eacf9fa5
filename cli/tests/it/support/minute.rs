//! Full minutes, the resolution of cron.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, Unit};

/// The first full minute that is at least this far away.
#[derive(Clone, Copy)]
pub(crate) struct NextMinute(Timestamp);

impl NextMinute {
    pub(crate) fn after(lead: Duration) -> Self {
        let earliest = now().checked_add(lead).unwrap();
        let minute = earliest.round(
            jiff::TimestampRound::new()
                .smallest(Unit::Minute)
                .mode(jiff::RoundMode::Ceil),
        );
        Self(minute.unwrap())
    }

    /// `M H D Mo *` in the wall time of `zone`.
    pub(crate) fn unix_cron(self, zone: &str) -> String {
        let local = self.0.in_tz(zone).unwrap();
        format!(
            "{} {} {} {} *",
            local.minute(),
            local.hour(),
            local.day(),
            local.month()
        )
    }

    /// The same in AWS's syntax.
    pub(crate) fn aws_cron(self, zone: &str) -> String {
        let local = self.0.in_tz(zone).unwrap();
        format!(
            "cron({} {} {} {} ? {})",
            local.minute(),
            local.hour(),
            local.day(),
            local.month(),
            local.year()
        )
    }

    /// The minute this many minutes later.
    pub(crate) fn later(self, minutes: u64) -> Self {
        Self(self.0.checked_add(Duration::from_mins(minutes)).unwrap())
    }

    pub(crate) fn at(self) -> Timestamp {
        self.0
    }

    pub(crate) fn is_ahead(self) -> bool {
        now() < self.0
    }

    /// The time since this minute.
    pub(crate) fn passed(self) -> Duration {
        Duration::try_from(now().duration_since(self.0)).unwrap_or_default()
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::UNIX_EPOCH.checked_add(since).unwrap()
}
