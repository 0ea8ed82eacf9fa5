//! A token bucket on tokio's clock, with tokens that can be taken ahead of time.
//!
//! `governor` does not fit: it uses another algorithm (GCRA), its own clock and its own timer, and supports neither a
//! deadline that takes nothing, nor a bucket that EC2 reports empty, nor paused time.

use std::time::Duration;

use tokio::time::Instant;

/// The size of a bucket and its refill rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// The capacity, and the initial number of tokens.
    burst: u32,
    /// The number of tokens added per second; at least one.
    per_second: u32,
}

impl Quota {
    pub(super) const ENDLESS: Self = Self::new(u32::MAX, u32::MAX);

    /// A quota with these two figures.
    ///
    /// # Panics
    ///
    /// If `per_second` is zero: nothing could ever be waited for.
    pub(super) const fn new(burst: u32, per_second: u32) -> Self {
        assert!(per_second > 0, "a bucket refills");
        Self { burst, per_second }
    }
}

/// The longest backoff after the first throttling; it doubles each time. A second is two tokens of EC2's slowest bucket.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The upper bound of the backoff, within which every request bucket of EC2 refills.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The state of a bucket.
#[derive(Debug)]
pub(super) struct Level {
    /// Negative if future tokens were taken.
    tokens: f64,
    at: Instant,
    /// After EC2 throttled a call, no call is made before this instant.
    closed_until: Option<Instant>,
    refusals: u32,
}

impl Level {
    pub(super) fn full(quota: Quota, now: Instant) -> Self {
        Self {
            tokens: f64::from(quota.burst),
            at: now,
            closed_until: None,
            refusals: 0,
        }
    }

    pub(super) fn refill(&mut self, quota: Quota, now: Instant) {
        let waited = now.saturating_duration_since(self.at).as_secs_f64();
        let refilled = waited.mul_add(f64::from(quota.per_second), self.tokens);
        self.tokens = refilled.min(f64::from(quota.burst));
        self.at = now;
    }

    /// The instant from which this many tokens are available.
    pub(super) fn when(&self, quota: Quota, tokens: usize, now: Instant) -> Instant {
        let missing = number(tokens) - self.tokens;
        let filled = if missing > 0.0 {
            now + Duration::from_secs_f64(missing / f64::from(quota.per_second))
        } else {
            now
        };
        self.closed_until
            .map_or(filled, |opening| filled.max(opening))
    }

    /// The number of tokens available at `by`.
    pub(super) fn affordable(&self, quota: Quota, now: Instant, by: Instant) -> usize {
        if self.closed_until.is_some_and(|opening| opening > by) {
            return 0;
        }
        let waited = by.saturating_duration_since(now).as_secs_f64();
        let refilled = waited.mul_add(f64::from(quota.per_second), self.tokens);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number of tokens, not below zero"
        )]
        let affordable = refilled.min(f64::from(quota.burst)).max(0.0) as usize;
        affordable
    }

    pub(super) fn take(&mut self, tokens: usize) {
        self.tokens -= number(tokens);
    }

    /// Records that EC2 throttled a call: empties the bucket, and closes it for the time returned. Calls that were in flight
    /// together are throttled together, which counts once.
    pub(super) fn refused(&mut self, now: Instant) -> Duration {
        self.tokens = self.tokens.min(0.0);
        if let Some(opening) = self.closed_until.filter(|opening| *opening > now) {
            return opening - now;
        }
        let longest = FIRST_WAIT
            .saturating_mul(2_u32.saturating_pow(self.refusals))
            .min(LONGEST_WAIT);
        self.refusals += 1;
        let wait = longest.mul_f64(fastrand::f64());
        self.closed_until = Some(now + wait);
        wait
    }

    pub(super) fn accepted(&mut self) {
        self.refusals = 0;
    }
}

/// Converts a count of tokens, which is far below where floats become inexact.
fn number(tokens: usize) -> f64 {
    f64::from(u32::try_from(tokens).unwrap_or(u32::MAX))
}
