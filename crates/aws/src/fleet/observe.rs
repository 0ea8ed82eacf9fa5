//! Describes the fleet page by page, within EC2's rate limit.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types::{Filter, Reservation, SpotInstanceType};
use curfew_core::instance::{Instance, InstanceId, InstanceState, Purchase};
use tokio::time::Instant;
use tracing::warn;

use super::described_instance::DescribedInstance;
use super::response_filter::ResponseFilter;
use super::{Fleet, Scope};
use crate::error::{CloudError, CloudErrorKind, presentable};
use crate::pages::PageTokens;
use crate::rate_limit::{Limit, LimitedAction};

/// The operation's name in errors.
const DESCRIBE: &str = "ec2:DescribeInstances";

/// The maximum number of instances on a page of `DescribeInstances`.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
const PAGE: i32 = 1000;

/// The maximum number of values of a filter.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html>
const FILTER_VALUES: usize = 200;

/// The maximum number of retries of a throttled page, after the SDK's own attempts: up to seven seconds, which fits into a Lambda's
/// time limit and is bearable at a terminal.
const MOST_WAITS: u32 = 3;

/// Time limit for one page, the SDK's own retries included. EC2 answers a page of 1,000 instances in one to three seconds. A
/// longer limit lets an account-region that accepts connections and never answers delay a pass over all of them (three
/// attempts of 15 s took 46 s); a shorter one reports a slow region as unknown.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The position of the next page, as EC2 named it. Valid for the same account and region only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    /// Wraps the token that EC2 returned.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<PageToken> for String {
    fn from(token: PageToken) -> Self {
        token.0
    }
}

/// The instances as EC2 described them, and when.
#[derive(Debug, Default)]
pub struct Observation {
    /// The instances, sorted by id.
    pub instances: Vec<Instance>,
    /// For each instance, when the call that described it began: the description contains nothing that happened later.
    pub begun: Vec<Instant>,
    /// The page that follows the observed one; `None` after the last page, and unless the scope is a page.
    pub next_page: Option<PageToken>,
}

impl Fleet {
    /// Describes the instances of `scope`. The result lacks ids that EC2 doesn't know. Each page is reduced to what is kept of it, a
    /// tenth, before the next one is requested.
    ///
    /// # Errors
    ///
    /// If a call fails, or EC2 names a page twice: the fleet is then known in part at best.
    pub async fn observe(&self, scope: &Scope) -> Result<Observation, CloudError> {
        let mut seen = Vec::new();
        let mut next_page = None;
        match scope {
            Scope::All => self.describe(&alive(), &mut seen).await?,
            Scope::Page(from) => {
                let mut pages = PageTokens::new(DESCRIBE);
                let token = from.as_ref().map(|PageToken(token)| token.clone());
                if let Some(token) = &token {
                    pages = pages.from_page(token);
                }
                let named = self.describe_page(&alive(), token, &mut seen).await?;
                next_page = pages.follow(named)?.map(PageToken);
            }
            Scope::Only(ids) => {
                // `InstanceIds` fails the call for all instances if one id is unknown; a filter does not.
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                for chunk in ids.chunks(FILTER_VALUES) {
                    self.describe(&filter("instance-id", chunk), &mut seen)
                        .await?;
                }
            }
        }
        let observation = self.reduced(seen, scope).await?;
        Ok(Observation {
            next_page,
            ..observation
        })
    }

    /// Describes at most a hundred instances by their ids, in one call without pages.
    ///
    /// # Errors
    ///
    /// If the call fails. It fails for all instances if EC2 doesn't know one of the ids.
    pub(crate) async fn describe_again(
        &self,
        ids: &[InstanceId],
    ) -> Result<Observation, CloudError> {
        let mut seen = Vec::new();
        let wanted: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let (begun, answer) = self
            .at_its_pace(LimitedAction::DescribeInstances, || {
                let begun = Instant::now();
                let call = self
                    .client
                    .describe_instances()
                    .set_instance_ids(Some(wanted.clone()));
                let sent = call.customize().interceptor(ResponseFilter).send();
                async move {
                    let answer = sent.await;
                    let answer = answer.map_err(|error| CloudError::from_sdk(DESCRIBE, error))?;
                    Ok((begun, answer))
                }
            })
            .await?;
        self.keep(begun, answer.reservations.unwrap_or_default(), &mut seen);
        let scope = Scope::Only(ids.iter().cloned().collect());
        self.reduced(seen, &scope).await
    }

    /// Returns each described instance once, with its spot request's type and what this process wrote to its tags.
    async fn reduced(
        &self,
        mut seen: Vec<DescribedInstance>,
        scope: &Scope,
    ) -> Result<Observation, CloudError> {
        // MiniStack ignores some filters, and EC2 may list an instance twice when its state changes between two pages.
        seen.retain(|DescribedInstance { instance, .. }| match scope {
            Scope::All | Scope::Page(_) => !matches!(
                instance.state,
                InstanceState::ShuttingDown | InstanceState::Terminated
            ),
            Scope::Only(ids) => ids.contains(&instance.id),
        });
        // Of two descriptions, the later one.
        seen.sort_by(|a, b| (&a.instance.id, b.begun).cmp(&(&b.instance.id, a.begun)));
        seen.dedup_by(|a, b| a.instance.id == b.instance.id);
        let requests = seen.iter().filter_map(|one| one.spot_request.clone());
        let purchases = self.spot_purchases(requests.collect()).await;
        let instances = seen.into_iter().map(|described| {
            let mut instance = described.instance;
            let request = described.spot_request.as_ref();
            if let Some(purchase) = request.and_then(|request| purchases.get(request)) {
                instance.purchase = purchase.clone();
            }
            (instance, described.begun)
        });
        let (mut instances, begun): (Vec<Instance>, Vec<Instant>) = instances.unzip();
        self.own_writes.complete(&mut instances);
        Ok(Observation {
            instances,
            begun,
            next_page: None,
        })
    }

    async fn describe(
        &self,
        filter: &Filter,
        seen: &mut Vec<DescribedInstance>,
    ) -> Result<(), CloudError> {
        let mut pages = PageTokens::new(DESCRIBE);
        let mut token = None;
        loop {
            let named = self.describe_page(filter, token, seen).await?;
            token = pages.follow(named)?;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Describes one page. Returns the next page's token, which is valid for the same filter and page size only.
    async fn describe_page(
        &self,
        filter: &Filter,
        token: Option<String>,
        seen: &mut Vec<DescribedInstance>,
    ) -> Result<Option<String>, CloudError> {
        let (begun, page) = self
            .at_its_pace(LimitedAction::DescribeInstances, || {
                let begun = Instant::now();
                let call = self
                    .client
                    .describe_instances()
                    .filters(filter.clone())
                    .max_results(PAGE)
                    .set_next_token(token.clone());
                let sent = call.customize().interceptor(ResponseFilter).send();
                async move {
                    let page = sent.await;
                    let page = page.map_err(|error| CloudError::from_sdk(DESCRIBE, error))?;
                    Ok((begun, page))
                }
            })
            .await?;
        self.keep(begun, page.reservations.unwrap_or_default(), seen);
        Ok(page.next_token)
    }

    /// Keeps of an answer what a decision needs.
    fn keep(&self, begun: Instant, answer: Vec<Reservation>, seen: &mut Vec<DescribedInstance>) {
        for reservation in answer {
            let owner = reservation.owner_id.unwrap_or_default();
            for found in reservation.instances.unwrap_or_default() {
                match DescribedInstance::of(found, &owner, self.region(), begun) {
                    Ok(described) => seen.push(described),
                    // It can't be decided about; that is no reason to leave the others alone.
                    Err(error) => warn!(error, "instance left out of the pass"),
                }
            }
        }
    }

    /// How the instances of these Spot requests were bought; those of requests that EC2 does not know are left out. Only Spot
    /// Instances need this, so that a call that fails costs only them, whatever its reason: they are left alone by the pass, which
    /// says why.
    async fn spot_purchases(&self, requests: Vec<String>) -> BTreeMap<String, Purchase> {
        let mut purchases = BTreeMap::new();
        for chunk in requests.chunks(FILTER_VALUES) {
            match self.persistent_spot_requests(chunk).await {
                Ok(persistent) => {
                    let persistent = persistent.into_iter();
                    purchases.extend(persistent.map(|id| (id, Purchase::PersistentSpot)));
                }
                Err(error) => {
                    let (problem, hint) = (presentable(&error.to_string()), error.hint());
                    warn!(error = problem, hint, "Spot requests not read");
                    let unknown = Purchase::UnknownSpot { problem };
                    purchases.extend(chunk.iter().map(|id| (id.clone(), unknown.clone())));
                }
            }
        }
        purchases
    }

    /// Those of these Spot requests that are persistent: only their instances can be stopped.
    async fn persistent_spot_requests(
        &self,
        requests: &[String],
    ) -> Result<Vec<String>, CloudError> {
        let filter = filter("spot-instance-request-id", requests);
        let answer = self
            .at_its_pace(LimitedAction::DescribeSpotInstanceRequests, || {
                let call = self
                    .client
                    .describe_spot_instance_requests()
                    .filters(filter.clone());
                let sent = call.send();
                async {
                    sent.await.map_err(|error| {
                        CloudError::from_sdk("ec2:DescribeSpotInstanceRequests", error)
                    })
                }
            })
            .await?;
        let found = answer.spot_instance_requests.unwrap_or_default();
        let persistent = found
            .into_iter()
            .filter(|request| request.r#type == Some(SpotInstanceType::Persistent));
        Ok(persistent
            .filter_map(|request| request.spot_instance_request_id)
            .collect())
    }

    /// Makes a call that only looks, when its turn comes, and again when EC2 asks for patience.
    async fn at_its_pace<T, F>(
        &self,
        action: LimitedAction,
        call: impl Fn() -> F,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let mut waits = 0;
        loop {
            self.rate_limiter.acquire(action).await;
            let answer = tokio::time::timeout(ANSWER_LIMIT, call()).await;
            match answer.unwrap_or_else(|_| Err(unanswered(action))) {
                Ok(answer) => {
                    self.rate_limiter.accepted(action);
                    return Ok(answer);
                }
                Err(error) if error.kind == CloudErrorKind::Throttled => {
                    self.rate_limiter.refused(action, Limit::Requests);
                    if waits == MOST_WAITS {
                        return Err(error);
                    }
                    waits += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn unanswered(action: LimitedAction) -> CloudError {
    let operation = match action {
        LimitedAction::DescribeSpotInstanceRequests => "ec2:DescribeSpotInstanceRequests",
        _ => "ec2:DescribeInstances",
    };
    let message = format!("nothing within {} s", ANSWER_LIMIT.as_secs());
    CloudError::new(operation, CloudErrorKind::Unreachable, message)
}

/// Selects instances that are not terminated.
fn alive() -> Filter {
    let states = ["pending", "running", "stopping", "stopped"].map(String::from);
    filter("instance-state-name", &states)
}

fn filter(name: &str, values: &[String]) -> Filter {
    let filter = Filter::builder().name(name);
    filter.set_values(Some(values.to_vec())).build()
}
