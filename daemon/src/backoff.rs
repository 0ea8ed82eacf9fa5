//! The delay between retries.

use std::time::Duration;

/// A delay that doubles from a second to a minute: a restarting emulator is found within seconds, and one that stays down is
/// not flooded with requests.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_mins(1);

    /// The number of consecutive failures.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Records a failure, and returns the delay before the next attempt.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let wait = Self::FIRST
            .saturating_mul(1 << self.failures.min(6))
            .min(Self::LONGEST);
        self.failures += 1;
        wait
    }

    /// Records a success, and returns whether it ends a series of failures.
    pub(crate) fn after_success(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_starts_over_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(backoff.after_success());
        assert!(!backoff.after_success());
        assert_eq!(backoff.after_failure().as_secs(), 1);
    }
}
