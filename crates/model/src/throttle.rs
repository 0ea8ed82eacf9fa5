//! EC2's two kinds of token bucket, with the figures of *Request throttling for the Amazon EC2 API* (EC2 Developer
//! Guide): one token per request for each action, and additionally one token per instance for the actions that change
//! instances. Buckets are per account and region; both figures are adjustable at AWS, so they are values here.
//!
//! Some actions have their own figures, which are not in the page's table of categories: `StartInstances` has a burst
//! of 5 and 2 per second, not the 50 and 5 of other mutating actions.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::action::ApiAction;
use crate::error::ModelError;
use crate::ids::Home;
use crate::request::{ApiRequest, DescribeQuery};

/// The capacity and refill rate of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    /// The maximum and initial number of tokens.
    pub capacity: u32,
    /// The tokens added per second.
    pub refill: u32,
}

impl TokenBucket {
    /// Creates a bucket.
    pub const fn new(capacity: u32, refill: u32) -> Self {
        Self { capacity, refill }
    }
}

/// The figures of the buckets.
#[derive(Debug, Clone, Default)]
pub struct Throttling {
    requests: HashMap<ApiAction, TokenBucket>,
    resources: HashMap<ApiAction, TokenBucket>,
}

impl Throttling {
    /// Returns AWS's published figures.
    pub fn published() -> Self {
        Self::default()
    }

    /// Sets the request bucket of an action, such as a raised limit.
    #[must_use]
    pub fn requests(mut self, action: ApiAction, bucket: TokenBucket) -> Self {
        self.requests.insert(action, bucket);
        self
    }

    /// Sets the resource bucket of an action.
    #[must_use]
    pub fn resources(mut self, action: ApiAction, bucket: TokenBucket) -> Self {
        self.resources.insert(action, bucket);
        self
    }

    /// Returns the request bucket; `None` for other services, which the page does not cover.
    fn request_bucket(&self, action: ApiAction, breadth: Breadth) -> Option<TokenBucket> {
        if let Some(bucket) = self.requests.get(&action) {
            return Some(*bucket);
        }
        Some(match action {
            ApiAction::DescribeInstances
            | ApiAction::DescribeInstanceStatus
            | ApiAction::DescribeSpotInstanceRequests
                if breadth == Breadth::Everything =>
            {
                TokenBucket::new(50, 10)
            }
            ApiAction::DescribeInstances
            | ApiAction::DescribeInstanceStatus
            | ApiAction::DescribeSpotInstanceRequests
            | ApiAction::DescribeTags
            | ApiAction::DescribeRegions => TokenBucket::new(100, 20),
            ApiAction::StopInstances | ApiAction::ModifyInstanceAttribute => {
                TokenBucket::new(50, 5)
            }
            ApiAction::StartInstances | ApiAction::RunInstances => TokenBucket::new(5, 2),
            ApiAction::TerminateInstances => TokenBucket::new(100, 5),
            ApiAction::CreateTags | ApiAction::DeleteTags => TokenBucket::new(100, 10),
            _ => return None,
        })
    }

    fn resource_bucket(&self, action: ApiAction) -> Option<TokenBucket> {
        if let Some(bucket) = self.resources.get(&action) {
            return Some(*bucket);
        }
        match action {
            ApiAction::StartInstances | ApiAction::RunInstances => Some(TokenBucket::new(1000, 2)),
            ApiAction::StopInstances | ApiAction::TerminateInstances => {
                Some(TokenBucket::new(1000, 20))
            }
            _ => None,
        }
    }
}

/// Whether a describe is unfiltered and unpaged, which uses a smaller bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Breadth {
    Everything,
    Selected,
}

impl Breadth {
    fn of(request: &ApiRequest) -> Self {
        match request {
            ApiRequest::DescribeInstances(query)
            | ApiRequest::DescribeInstanceStatus(query, _)
            | ApiRequest::DescribeSpotInstanceRequests(query)
                if is_everything(query) =>
            {
                Self::Everything
            }
            ApiRequest::DryRun(request) => Self::of(request),
            _ => Self::Selected,
        }
    }
}

fn is_everything(query: &DescribeQuery) -> bool {
    query.ids.is_empty()
        && query.filters.is_empty()
        && query.max_results.is_none()
        && query.next_token.is_none()
}

/// The buckets in use.
#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    figures: Throttling,
    requests: HashMap<(Home, ApiAction, Breadth), BucketLevel>,
    resources: HashMap<(Home, ApiAction), BucketLevel>,
}

/// The level in thousandths of a token, so that a rate per second is the same number per millisecond.
#[derive(Debug, Clone, Copy)]
struct BucketLevel {
    thousandths: i64,
    at: Timestamp,
}

impl BucketLevel {
    fn full(bucket: TokenBucket, at: Timestamp) -> Self {
        Self {
            thousandths: i64::from(bucket.capacity) * 1000,
            at,
        }
    }

    /// Takes the tokens if enough are left, else none.
    fn take(&mut self, bucket: TokenBucket, tokens: usize, now: Timestamp) -> bool {
        let waited = (now.as_millisecond() - self.at.as_millisecond()).max(0);
        let refilled = waited
            .saturating_mul(i64::from(bucket.refill))
            .saturating_add(self.thousandths);
        self.thousandths = refilled.min(i64::from(bucket.capacity) * 1000);
        self.at = now;
        let price = i64::try_from(tokens)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        let enough = price <= self.thousandths;
        if enough {
            self.thousandths -= price;
        }
        enough
    }
}

impl Throttle {
    pub(crate) fn new(figures: Throttling) -> Self {
        Self {
            figures,
            requests: HashMap::new(),
            resources: HashMap::new(),
        }
    }

    /// Takes a call's tokens, or refuses the call. A refused call has used its request token; whether AWS returns the
    /// tokens of a call that fails later is undocumented, and here it does not.
    pub(crate) fn admit(
        &mut self,
        home: &Home,
        request: &ApiRequest,
        now: Timestamp,
    ) -> Result<(), ModelError> {
        let action = request.action();
        let breadth = Breadth::of(request);
        let Some(bucket) = self.figures.request_bucket(action, breadth) else {
            return Ok(());
        };
        let level = self
            .requests
            .entry((home.clone(), action, breadth))
            .or_insert_with(|| BucketLevel::full(bucket, now));
        if !level.take(bucket, 1, now) {
            return Err(ModelError::throttled(home, action, "request"));
        }
        let Some(bucket) = self.figures.resource_bucket(action) else {
            return Ok(());
        };
        let instances = match request {
            ApiRequest::RunInstances { max, .. } => usize::try_from(*max).unwrap_or(usize::MAX),
            request => request.ids().len(),
        };
        let level = self
            .resources
            .entry((home.clone(), action))
            .or_insert_with(|| BucketLevel::full(bucket, now));
        if level.take(bucket, instances, now) {
            Ok(())
        } else {
            Err(ModelError::throttled(home, action, "resource"))
        }
    }
}
