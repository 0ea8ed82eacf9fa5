//! Keeps calls below EC2's rate limits for an account in a region, *before* EC2 throttles them.
//!
//! EC2 limits requests by token buckets for each account, region and action: a request costs one token, and for actions that
//! change instances each instance costs a token of another bucket. A [`RateLimiter`] models these buckets. All callers for
//! one account and region in a process share one, so that passes, requests and observations together stay below the limits.
//! Other processes and users draw on the same buckets unseen; when EC2 throttles a request nevertheless, the bucket is
//! emptied and all its callers wait.

mod bucket;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};
use tracing::info;

use self::bucket::{Level, Quota};

/// The rate-limited actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitedAction {
    /// `DescribeInstances` with filters, by pages.
    DescribeInstances,
    /// `DescribeSpotInstanceRequests` with filters.
    DescribeSpotInstanceRequests,
    /// The action `StartInstances`.
    StartInstances,
    /// `StopInstances`, with or without hibernation.
    StopInstances,
    /// The action `ModifyInstanceAttribute`.
    ModifyInstanceAttribute,
    /// The action `CreateTags`.
    CreateTags,
    /// The action `DeleteTags`.
    DeleteTags,
}

impl LimitedAction {
    fn name(self) -> &'static str {
        match self {
            Self::DescribeInstances => "DescribeInstances",
            Self::DescribeSpotInstanceRequests => "DescribeSpotInstanceRequests",
            Self::StartInstances => "StartInstances",
            Self::StopInstances => "StopInstances",
            Self::ModifyInstanceAttribute => "ModifyInstanceAttribute",
            Self::CreateTags => "CreateTags",
            Self::DeleteTags => "DeleteTags",
        }
    }

    /// The bucket of requests: `StartInstances` has its own, smaller than that of the other mutating actions.
    fn requests(self) -> Quota {
        match self {
            Self::DescribeInstances | Self::DescribeSpotInstanceRequests => Quota::new(100, 20),
            Self::StartInstances => Quota::new(5, 2),
            Self::StopInstances | Self::ModifyInstanceAttribute => Quota::new(50, 5),
            Self::CreateTags | Self::DeleteTags => Quota::new(100, 10),
        }
    }

    /// The bucket of instances.
    fn resources(self) -> Option<Quota> {
        match self {
            Self::StartInstances => Some(Quota::new(1000, 2)),
            Self::StopInstances => Some(Quota::new(1000, 20)),
            _ => None,
        }
    }
}

/// The bucket of an action that was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// The number of calls is limited.
    Requests,
    /// The number of instances is limited.
    Resources,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Resources => "instances",
        })
    }
}

/// The rate limit does not allow a call in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("EC2's rate limit allows only {affordable} more instances in time")]
pub struct TooSlow {
    /// The number of instances for which it would; 0 if not even for a call.
    pub affordable: usize,
}

/// The rate limiter of one account in one region. Clones share the buckets.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<Mutex<Buckets>>);

#[derive(Debug)]
struct Buckets {
    quotas: Quotas,
    levels: HashMap<(LimitedAction, Limit), Level>,
}

#[derive(Clone, Copy, Debug)]
enum Quotas {
    Unlimited,
    Published,
}

impl Quotas {
    fn of(self, action: LimitedAction, limit: Limit) -> Option<Quota> {
        match (self, limit) {
            (Self::Unlimited, _) => None,
            (Self::Published, Limit::Requests) => Some(action.requests()),
            (Self::Published, Limit::Resources) => action.resources(),
        }
    }
}

impl RateLimiter {
    /// A limiter with EC2's published quotas, which apply to every new account; the buckets start full.
    /// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>
    pub fn published() -> Self {
        Self::with(Quotas::Published)
    }

    /// A limiter without quotas, to measure the cost of everything else.
    pub fn unlimited() -> Self {
        Self::with(Quotas::Unlimited)
    }

    fn with(quotas: Quotas) -> Self {
        Self(Arc::new(Mutex::new(Buckets {
            quotas,
            levels: HashMap::new(),
        })))
    }

    /// Waits until a call of `action` for this many instances is allowed, and takes its tokens. If that would be after `by`,
    /// fails at once and takes none.
    pub async fn acquire_within(
        &self,
        action: LimitedAction,
        instances: usize,
        by: Option<Instant>,
    ) -> Result<(), TooSlow> {
        let now = Instant::now();
        let when = self.buckets().reserve(action, instances, now, by)?;
        if when > now {
            sleep_until(when).await;
        }
        Ok(())
    }

    /// Waits until a call of `action` that changes no instances is allowed, without a limit, and takes its token.
    pub async fn acquire(&self, action: LimitedAction) {
        let now = Instant::now();
        let turn = self.buckets().reserve(action, 0, now, None);
        if let Ok(when) = turn
            && when > now
        {
            sleep_until(when).await;
        }
    }

    /// Records that EC2 throttled a request: the bucket is empty, and all callers back off for a random time, which grows
    /// while throttling goes on. *Full jitter*, since clients that wait equally long collide again:
    /// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
    pub fn refused(&self, action: LimitedAction, limit: Limit) {
        let wait = self.buckets().refused(action, limit, Instant::now());
        let action = action.name();
        info!(
            action,
            %limit,
            wait_seconds = wait.as_secs_f64(),
            "EC2 throttled the request; backing off"
        );
    }

    /// Records that EC2 accepted a call: the backoff starts over.
    pub fn accepted(&self, action: LimitedAction) {
        let mut buckets = self.buckets();
        for limit in [Limit::Requests, Limit::Resources] {
            if let Some(level) = buckets.levels.get_mut(&(action, limit)) {
                level.accepted();
            }
        }
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        // A poisoned lock is ignored: every change is complete before code can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn reserve(
        &mut self,
        action: LimitedAction,
        instances: usize,
        now: Instant,
        by: Option<Instant>,
    ) -> Result<Instant, TooSlow> {
        let mut ready = now;
        for (limit, tokens) in [(Limit::Requests, 1), (Limit::Resources, instances)] {
            let Some(quota) = self.quota(action, limit) else {
                continue;
            };
            let level = self.level(action, limit, quota, now);
            let when = level.when(quota, tokens, now);
            if by.is_some_and(|by| when > by) {
                let affordable = match limit {
                    Limit::Requests => 0,
                    Limit::Resources => by.map_or(0, |by| level.affordable(quota, now, by)),
                };
                return Err(TooSlow { affordable });
            }
            ready = ready.max(when);
        }
        for (limit, tokens) in [(Limit::Requests, 1), (Limit::Resources, instances)] {
            if let Some(level) = self.levels.get_mut(&(action, limit)) {
                level.take(tokens);
            }
        }
        Ok(ready)
    }

    fn refused(
        &mut self,
        action: LimitedAction,
        limit: Limit,
        now: Instant,
    ) -> std::time::Duration {
        let quota = self.quotas.of(action, limit).unwrap_or(Quota::ENDLESS);
        self.level(action, limit, quota, now).refused(now)
    }

    /// A bucket without a quota is enforced once EC2 has throttled it.
    fn quota(&self, action: LimitedAction, limit: Limit) -> Option<Quota> {
        let known = self.levels.contains_key(&(action, limit));
        self.quotas
            .of(action, limit)
            .or_else(|| known.then_some(Quota::ENDLESS))
    }

    fn level(
        &mut self,
        action: LimitedAction,
        limit: Limit,
        quota: Quota,
        now: Instant,
    ) -> &mut Level {
        let level = self
            .levels
            .entry((action, limit))
            .or_insert_with(|| Level::full(quota, now));
        level.refill(quota, now);
        level
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    async fn seconds(admitted: impl Future<Output = Result<(), TooSlow>>) -> f64 {
        let began = Instant::now();
        admitted.await.unwrap();
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_at_once_and_further_calls_at_ec2s_rate() {
        let rate_limiter = RateLimiter::published();
        for _ in 0..5 {
            assert!(
                seconds(rate_limiter.acquire_within(LimitedAction::StartInstances, 1, None)).await
                    < 0.01
            );
        }
        for _ in 0..4 {
            let waited =
                seconds(rate_limiter.acquire_within(LimitedAction::StartInstances, 1, None)).await;
            assert!((waited - 0.5).abs() < 0.01, "{waited}");
        }
        assert!(
            seconds(rate_limiter.acquire_within(LimitedAction::StopInstances, 1, None)).await
                < 0.01
        );
    }

    #[tokio::test(start_paused = true)]
    async fn instances_are_counted_besides_calls() {
        let rate_limiter = RateLimiter::published();
        for _ in 0..10 {
            assert!(
                seconds(rate_limiter.acquire_within(LimitedAction::StopInstances, 100, None)).await
                    < 0.01
            );
        }
        let waited =
            seconds(rate_limiter.acquire_within(LimitedAction::StopInstances, 100, None)).await;
        assert!((waited - 5.0).abs() < 0.01, "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_fails_at_once_and_takes_no_tokens() {
        let rate_limiter = RateLimiter::published();
        for _ in 0..10 {
            rate_limiter
                .acquire_within(LimitedAction::StopInstances, 100, None)
                .await
                .unwrap();
        }
        let by = Some(Instant::now() + Duration::from_secs(2));
        let began = Instant::now();
        let refused = rate_limiter
            .acquire_within(LimitedAction::StopInstances, 100, by)
            .await;
        assert_eq!(refused, Err(TooSlow { affordable: 40 }));
        assert_eq!(Instant::now(), began);
        rate_limiter
            .acquire_within(LimitedAction::StopInstances, 40, by)
            .await
            .unwrap();
        assert_eq!(Instant::now().duration_since(began).as_millis(), 2000);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_of_a_shared_limiter_wait_in_turn() {
        let rate_limiter = RateLimiter::published();
        for _ in 0..5 {
            rate_limiter
                .acquire_within(LimitedAction::StartInstances, 1, None)
                .await
                .unwrap();
        }
        let (first, second) = (rate_limiter.clone(), rate_limiter.clone());
        let (first, second) = tokio::join!(
            seconds(first.acquire_within(LimitedAction::StartInstances, 1, None)),
            seconds(second.acquire_within(LimitedAction::StartInstances, 1, None)),
        );
        assert!((first - 0.5).abs() < 0.01 && (second - 1.0).abs() < 0.01);
    }

    #[tokio::test(start_paused = true)]
    async fn all_callers_back_off_after_throttling_and_longer_each_time() {
        let rate_limiter = RateLimiter::published();
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            rate_limiter.refused(LimitedAction::CreateTags, Limit::Requests);
            let began = Instant::now();
            let shared = rate_limiter.clone();
            shared
                .acquire_within(LimitedAction::CreateTags, 1, None)
                .await
                .unwrap();
            longest = longest.max(began.elapsed());
        }
        assert!(longest > Duration::from_secs(10), "{longest:?}");
        assert!(longest <= bucket::LONGEST_WAIT, "{longest:?}");

        rate_limiter.accepted(LimitedAction::CreateTags);
        rate_limiter.refused(LimitedAction::CreateTags, Limit::Requests);
        let waited = seconds(rate_limiter.acquire_within(LimitedAction::CreateTags, 1, None)).await;
        assert!(waited <= 1.0, "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_refills_to_its_capacity() {
        let rate_limiter = RateLimiter::published();
        rate_limiter
            .acquire_within(LimitedAction::StopInstances, 1000, None)
            .await
            .unwrap();
        advance(Duration::from_hours(1)).await;
        assert!(
            seconds(rate_limiter.acquire_within(LimitedAction::StopInstances, 1000, None)).await
                < 0.01
        );
        let waited =
            seconds(rate_limiter.acquire_within(LimitedAction::StopInstances, 20, None)).await;
        assert!((waited - 1.0).abs() < 0.01, "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unlimited_limiter_waits_only_after_throttling() {
        let rate_limiter = RateLimiter::unlimited();
        for _ in 0..1000 {
            assert!(
                seconds(rate_limiter.acquire_within(LimitedAction::StartInstances, 100, None))
                    .await
                    < 0.01
            );
        }
        let began = Instant::now();
        rate_limiter.refused(LimitedAction::StartInstances, Limit::Requests);
        let by = Some(began);
        let result = rate_limiter
            .acquire_within(LimitedAction::StartInstances, 100, by)
            .await;
        assert_eq!(result, Err(TooSlow { affordable: 0 }));
        rate_limiter
            .acquire_within(LimitedAction::StartInstances, 100, None)
            .await
            .unwrap();
        assert!(Instant::now() > began);
    }
}
