//! Determines how many instances can be started when EC2 lacks capacity.
//!
//! EC2 starts all instances of a call or none. When it lacks capacity for a *pool*, the members of that pool are removed from
//! their batch, and the others are started. A pool is the instances that share capacity: same type, zone, purchase option,
//! tenancy, host, placement group and reservation. Then single members of the pool are tried, at random. When several are
//! refused in a row, the remaining members of the pool fail without a call, in all batches; one refusal proves nothing, since
//! the reason may be specific to the instance (a volume, a network card, a price). When one is accepted, the available
//! capacity is searched by halving.

use std::collections::{HashMap, VecDeque};

use curfew_core::instance::{CapacitySource, Instance};
use curfew_core::step::StepAction;

use super::isolate::words;
use super::{BATCH, Batch, BatchCall, BatchEnd, Execution, QueuePosition};
use crate::error::CloudError;

/// The number of single members that must be refused in a row before the pool counts as full. More cost a call each for every
/// full pool, at two `StartInstances` per second; with one, a single instance could keep its whole pool stopped.
const REFUSED_ALONE: usize = 2;

/// The lifecycle of Spot Instances, and the word for them in EC2's message about capacity.
const SPOT: (&str, &str) = ("spot", "Spot");

/// The attributes that instances sharing capacity have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CapacityPool {
    instance_type: String,
    zone: String,
    source: CapacitySource,
}

/// The pools of a plan's members, and the search in those that lack capacity.
#[derive(Debug, Default)]
pub(super) struct CapacityPools {
    pool_of: Vec<usize>,
    pools: Vec<CapacityPool>,
    short: HashMap<usize, ShortPool>,
}

/// The search in a pool that lacks capacity.
#[derive(Debug)]
struct ShortPool {
    /// An upper bound of the remaining capacity. A guess for the size of the next try: the refusal may have been due to a
    /// single member.
    at_most: usize,
    /// Whether a member was accepted since the pool became short.
    found: bool,
    /// The number of single members refused since the last acceptance.
    refused_alone: usize,
    /// The members that have not been tried since the pool became short.
    waiting: VecDeque<usize>,
    /// The number of the search's batches that have not ended.
    in_flight: usize,
    error: CloudError,
}

impl ShortPool {
    /// The number of members to try next.
    fn next_try(&self) -> usize {
        if self.refused_alone >= REFUSED_ALONE {
            0
        } else if !self.found || self.refused_alone > 0 || self.at_most == 0 {
            1
        } else {
            let half = self.at_most.div_ceil(2);
            half.min(BATCH).min(self.waiting.len())
        }
    }

    /// Records that a batch of `members` members was accepted.
    fn accepted(&mut self, members: usize) {
        self.found = true;
        self.refused_alone = 0;
        // More were accepted than the guess: it was wrong.
        self.at_most = self.at_most.checked_sub(members).unwrap_or(usize::MAX);
    }

    /// Records that a batch of `members` members was refused.
    fn refused(&mut self, members: usize) {
        if members == 1 {
            self.refused_alone += 1;
        } else {
            self.at_most = self.at_most.min(members - 1);
        }
    }
}

impl CapacityPools {
    pub(super) fn of<'a>(members: impl Iterator<Item = &'a Instance>) -> Self {
        let mut capacity_pools = Self::default();
        let mut known: HashMap<CapacityPool, usize> = HashMap::new();
        for instance in members {
            let pool = CapacityPool {
                instance_type: instance.instance_type.clone(),
                zone: instance.availability_zone.clone().unwrap_or_default(),
                source: instance.capacity.clone(),
            };
            let pool = *known.entry(pool).or_insert_with_key(|pool| {
                capacity_pools.pools.push(pool.clone());
                capacity_pools.pools.len() - 1
            });
            capacity_pools.pool_of.push(pool);
        }
        capacity_pools
    }

    /// Moves a member to the pool of its new type.
    pub(super) fn move_to_type(&mut self, member: usize, instance_type: &str) {
        let pool = CapacityPool {
            instance_type: instance_type.to_owned(),
            ..self.pools[self.pool_of[member]].clone()
        };
        let known = self.pools.iter().position(|known| *known == pool);
        self.pool_of[member] = known.unwrap_or_else(|| {
            self.pools.push(pool);
            self.pools.len() - 1
        });
    }

    pub(super) fn pool(&self, member: usize) -> usize {
        self.pool_of[member]
    }

    /// Counts the parts of a batch of a search.
    pub(super) fn split(&mut self, batch: &Batch, parts: usize) {
        if let Some(short_pool) = batch.pool.and_then(|pool| self.short.get_mut(&pool)) {
            short_pool.in_flight = short_pool.in_flight + parts - 1;
        }
    }

    /// The pools of a batch for which EC2 may lack capacity, by its message; all of them if it names none.
    fn suspects(&self, batch: &Batch, error: &CloudError) -> Vec<usize> {
        let mut pools: Vec<usize> = batch.members.iter().map(|m| self.pool(*m)).collect();
        pools.sort_unstable();
        pools.dedup();
        let words = words(&error.message);
        let is_named = |pool: &&usize| {
            let pool = &self.pools[**pool];
            words.contains(pool.instance_type.as_str()) && words.contains(pool.zone.as_str())
        };
        let is_spot =
            |pool: &&usize| self.pools[**pool].source.lifecycle.as_deref() == Some(SPOT.0);
        let mut named: Vec<usize> = pools.iter().filter(is_named).copied().collect();
        if named.is_empty() && words.contains(SPOT.1) {
            named = pools.iter().filter(is_spot).copied().collect();
        }
        if named.is_empty() { pools } else { named }
    }
}

impl Execution<'_> {
    /// Handles a lack of capacity for a pool of the batch.
    pub(super) fn capacity_lacking(&mut self, batch: &Batch, error: &CloudError) {
        let suspects = self.capacity_pools.suspects(batch, error);
        let [pool] = suspects[..] else {
            let parts = self.apart(batch, &suspects);
            self.replace(batch, parts, QueuePosition::Next);
            return;
        };
        let (concerned, others): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| self.capacity_pools.pool(**member) == pool);
        let short_pool = self
            .capacity_pools
            .short
            .entry(pool)
            .or_insert_with(|| ShortPool {
                at_most: usize::MAX,
                found: false,
                refused_alone: 0,
                waiting: VecDeque::new(),
                in_flight: 0,
                error: error.repeated(),
            });
        short_pool.refused(concerned.len());
        if let [alone] = concerned[..] {
            self.fail(batch, &[alone], error);
        } else {
            short_pool.waiting.extend(concerned);
        }
        if others.is_empty() {
            self.on_end(batch, BatchEnd::Unknown);
        } else {
            self.queue.push_front(batch.with_members(others));
        }
        self.search(pool);
    }

    /// Removes members of short pools from a batch of starts.
    pub(super) fn without_short_pools(&mut self, batch: Batch) -> Option<Batch> {
        let starts = batch.call == BatchCall::Change(StepAction::Start);
        if !starts || batch.pool.is_some() || self.capacity_pools.short.is_empty() {
            return Some(batch);
        }
        let (short, others): (Vec<usize>, Vec<usize>) = batch.members.iter().partition(|member| {
            self.capacity_pools
                .short
                .contains_key(&self.capacity_pools.pool(**member))
        });
        let mut pools = Vec::new();
        for member in short {
            let pool = self.capacity_pools.pool(member);
            if let Some(short_pool) = self.capacity_pools.short.get_mut(&pool) {
                short_pool.waiting.push_back(member);
            }
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
        for pool in pools {
            self.search(pool);
        }
        if others.is_empty() {
            self.on_end(&batch, BatchEnd::Unknown);
            return None;
        }
        Some(batch.with_members(others))
    }

    /// Continues the search that a batch belongs to.
    pub(super) fn continue_search(&mut self, batch: &Batch, end: BatchEnd<'_>) {
        let Some(pool) = batch.pool else { return };
        if let Some(short_pool) = self.capacity_pools.short.get_mut(&pool) {
            short_pool.in_flight -= 1;
            if let BatchEnd::Accepted = end {
                short_pool.accepted(batch.members.len());
            }
        }
        self.search(pool);
    }

    /// Tries the next members of a short pool, unless a try is in flight.
    fn search(&mut self, pool: usize) {
        let Some(short_pool) = self.capacity_pools.short.get_mut(&pool) else {
            return;
        };
        if short_pool.in_flight > 0 || short_pool.waiting.is_empty() {
            return;
        }
        let tried = short_pool.next_try();
        let members: Vec<usize> = match tried {
            0 => short_pool.waiting.drain(..).collect(),
            // At random, so that a member with a fault of its own is not the one that every pass tries.
            1 => {
                let any = fastrand::usize(..short_pool.waiting.len());
                short_pool
                    .waiting
                    .swap_remove_front(any)
                    .into_iter()
                    .collect()
            }
            several => short_pool.waiting.drain(..several).collect(),
        };
        let error = short_pool.error.inferred();
        short_pool.in_flight += usize::from(tried > 0);
        let lineage = self.lineages.start();
        let mut batch = Batch::new(BatchCall::Change(StepAction::Start), members, lineage);
        if tried == 0 {
            self.fail(&batch, &batch.members, &error);
        } else {
            batch.pool = Some(pool);
            self.queue.push_front(batch);
        }
    }

    /// Splits a batch into the members outside `suspects` and two halves of the suspected pools.
    fn apart(&self, batch: &Batch, suspects: &[usize]) -> Vec<Batch> {
        let first_half = &suspects[..suspects.len() / 2];
        let is_of =
            |pools: &[usize], member: usize| pools.contains(&self.capacity_pools.pool(member));
        let (concerned, others): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| is_of(suspects, **member));
        let (first, second): (Vec<usize>, Vec<usize>) = concerned
            .into_iter()
            .partition(|member| is_of(first_half, *member));
        [others, first, second]
            .into_iter()
            .filter(|members| !members.is_empty())
            .map(|members| batch.with_members(members))
            .collect()
    }
}
