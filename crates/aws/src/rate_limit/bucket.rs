//! One token bucket on tokio's clock, from which tokens can be taken ahead of time.
//!
//! Written here rather than taken from `governor`, which counts by another algorithm (GCRA) on a clock of its own and sleeps
//! on another timer: neither a deadline that takes nothing, nor a bucket that EC2 says is empty, nor paused time fits it.

use std::time::Duration;

use tokio::time::Instant;

/// The size of a bucket and what comes back each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many tokens it holds at most, and at first.
    pub burst: u32,
    /// How many come back per second; at least one.
    pub per_second: u32,
}

impl Quota {
    pub(super) const ENDLESS: Self = Self::new(u32::MAX, u32::MAX);

    /// A quota of its two figures.
    ///
    /// # Panics
    ///
    /// Without any refill: nothing could ever be waited for.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        assert!(per_second > 0, "a bucket refills");
        Self { burst, per_second }
    }
}

/// After the first refusal, up to this long; then up to twice as long each time. A second is two of EC2's slowest tokens.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// And never longer than this, in which every request bucket of EC2 refills.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What a bucket holds.
#[derive(Debug)]
pub(super) struct Level {
    /// Below zero when tokens that are still to come have been promised already.
    tokens: f64,
    at: Instant,
    /// No call is made before this, after EC2 throttled one.
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

    /// When this many tokens are there.
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

    /// How many tokens there are by then.
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
        let whole = refilled.min(f64::from(quota.burst)).max(0.0) as usize;
        whole
    }

    pub(super) fn take(&mut self, tokens: usize) {
        self.tokens -= number(tokens);
    }

    /// EC2 refused a call for want of tokens: empties the bucket, and closes it for the time returned. ApiCalls that were under
    /// way together are refused together, which counts once.
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

/// A count of tokens; far below where a float is not exact any more.
fn number(tokens: usize) -> f64 {
    f64::from(u32::try_from(tokens).unwrap_or(u32::MAX))
}
