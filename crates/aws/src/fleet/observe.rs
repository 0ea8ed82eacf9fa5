//! Looking at the fleet: pages, one after the other, at EC2's pace.

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

/// The operation, as errors name it.
const DESCRIBE: &str = "ec2:DescribeInstances";

/// `DescribeInstances` answers at most this many instances a page.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
const PAGE: i32 = 1000;

/// A filter takes at most this many values.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html>
const FILTER_VALUES: usize = 200;

/// How often a page that EC2 asks to wait for is asked for again, beyond the SDK's own tries: up to seven seconds, which a
/// Lambda has and a person at a terminal bears.
const MOST_WAITS: u32 = 3;

/// Time limit for one page, the SDK's own retries included. EC2 answers a page of 1,000 instances in one to three seconds. A
/// longer limit lets an account-region that accepts connections and never answers delay a pass over all of them (three
/// attempts of 15 s took 46 s); a shorter one reports a slow region as unknown.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Where a look at everything goes on, in EC2's words; good for the same account and region only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    /// As EC2 gave it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<PageToken> for String {
    fn from(token: PageToken) -> Self {
        token.0
    }
}

/// What EC2 said of instances, and when it was asked.
#[derive(Debug, Default)]
pub struct Observation {
    /// The instances, sorted by their ids.
    pub instances: Vec<Instance>,
    /// When the call was begun that described each of them: what happened after that is not in it.
    pub begun: Vec<Instant>,
}

impl Observation {
    /// An observation of instances, begun at one instant.
    pub fn begun_at(begun: Instant, instances: Vec<Instance>) -> Self {
        Self {
            begun: vec![begun; instances.len()],
            instances,
        }
    }
}

/// A part of everything.
#[derive(Debug)]
pub struct Page {
    /// Its instances.
    pub seen: Observation,
    /// Where the rest begins, if there is any.
    pub next: Option<PageToken>,
}

impl Fleet {
    /// Asks EC2 for the instances of `scope`, all pages. Ids that EC2 does not know are simply not in the answer.
    ///
    /// # Errors
    ///
    /// When a call fails, and when EC2 names one page twice: what it said until then is a part of the fleet at best.
    pub async fn observe(&self, scope: &Scope) -> Result<Vec<Instance>, CloudError> {
        Ok(self.look(scope).await?.instances)
    }

    /// The same, and when EC2 was asked for each of them.
    ///
    /// An answer of EC2 is ten times as large as what is kept of it, so each page is reduced before the next one is asked for.
    ///
    /// # Errors
    ///
    /// As of [`Self::observe`].
    pub async fn look(&self, scope: &Scope) -> Result<Observation, CloudError> {
        let mut seen = Vec::new();
        match scope {
            Scope::All => self.describe(&alive(), &mut seen).await?,
            Scope::Only(ids) => {
                // By filter and not by `InstanceIds`: there one unknown id fails the call for all the others.
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                for chunk in ids.chunks(FILTER_VALUES) {
                    self.describe(&filter("instance-id", chunk), &mut seen)
                        .await?;
                }
            }
        }
        self.reduced(seen, scope).await
    }

    /// Asks EC2 for one page of all instances: the first, or the one that an earlier page named.
    ///
    /// # Errors
    ///
    /// When the call fails, and when the page names itself as the next one.
    pub async fn observe_page(&self, from: Option<&PageToken>) -> Result<Page, CloudError> {
        let mut seen = Vec::new();
        let mut pages = PageTokens::new(DESCRIBE);
        let token = from.map(|PageToken(token)| token.clone());
        if let Some(token) = &token {
            pages = pages.from_page(token);
        }
        let named = self.describe_page(&alive(), token, &mut seen).await?;
        let next = pages.follow(named)?;
        Ok(Page {
            seen: self.reduced(seen, &Scope::All).await?,
            next: next.map(PageToken),
        })
    }

    /// Asks EC2 once more how these instances are, at most a hundred: by their ids, which go with no pages, in one answer.
    ///
    /// # Errors
    ///
    /// When the call fails: as a whole, where EC2 does not know one of the ids.
    pub(crate) async fn look_again(&self, ids: &[InstanceId]) -> Result<Observation, CloudError> {
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

    /// What was seen, each instance once, with what has to be asked besides.
    async fn reduced(
        &self,
        mut seen: Vec<DescribedInstance>,
        scope: &Scope,
    ) -> Result<Observation, CloudError> {
        // MiniStack ignores some filters, and EC2 may list an instance twice when its state changes between two pages.
        seen.retain(|DescribedInstance { instance, .. }| match scope {
            Scope::All => !matches!(
                instance.state,
                InstanceState::ShuttingDown | InstanceState::Terminated
            ),
            Scope::Only(ids) => ids.contains(&instance.id),
        });
        // Of two, the one seen later.
        seen.sort_by(|a, b| (&a.instance.id, b.begun).cmp(&(&b.instance.id, a.begun)));
        seen.dedup_by(|a, b| a.instance.id == b.instance.id);
        let requests = seen.iter().filter_map(|one| one.spot_request.clone());
        let purchases = self.spot_purchases(requests.collect()).await;
        let instances = seen.into_iter().map(|sighting| {
            let mut instance = sighting.instance;
            let request = sighting.spot_request.as_ref();
            if let Some(purchase) = request.and_then(|request| purchases.get(request)) {
                instance.purchase = purchase.clone();
            }
            (instance, sighting.begun)
        });
        let (mut instances, begun): (Vec<Instance>, Vec<Instant>) = instances.unzip();
        self.own_writes.complete(&mut instances);
        Ok(Observation { instances, begun })
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

    /// One page; returns the next one's token, which is good for the same filter and size of page only.
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
                    Ok(sighting) => seen.push(sighting),
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

/// Everything that is not terminated.
fn alive() -> Filter {
    let states = ["pending", "running", "stopping", "stopped"].map(String::from);
    filter("instance-state-name", &states)
}

fn filter(name: &str, values: &[String]) -> Filter {
    let filter = Filter::builder().name(name);
    filter.set_values(Some(values.to_vec())).build()
}
