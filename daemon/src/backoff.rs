//! How long to wait before trying again.

use std::time::Duration;

/// Doubles from a second to a minute: an emulator that restarts is found within seconds, and one that stays away is not hammered.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_mins(1);

    /// How often in a row it has failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a failure and says how long to wait.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let wait = Self::FIRST
            .saturating_mul(1 << self.failures.min(6))
            .min(Self::LONGEST);
        self.failures += 1;
        wait
    }

    /// Notes a success; whether it ends a series of failures.
    pub(crate) fn after_success(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_minute_and_starts_over_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(backoff.after_success());
        assert!(!backoff.after_success());
        assert_eq!(backoff.after_failure().as_secs(), 1);
    }
}
