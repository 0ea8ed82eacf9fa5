//! Capacity: how many of a type find room in a zone.
//!
//! EC2 starts all of a batch or none. When it has no room for some type in a zone, the members of that *pool* leave their
//! batch, and the others go on. Then one of the pool is tried alone: mostly there is no room at all, and the rest needs no
//! call to know it. Where there is some, the room is found out by halves. What a pool has no room for in this pass fails
//! without a call, in whatever batch it stands.

use std::collections::{HashMap, VecDeque};

use curfew_core::instance::Instance;
use curfew_core::plan::StepAction;

use super::isolate::words;
use super::{BATCH, Batch, Call, End, Execution, Turn};
use crate::error::CloudError;

/// The pools of a plan's members, and what is known of those that are short.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    pool_of: Vec<usize>,
    /// Types and zones.
    names: Vec<(String, String)>,
    short: HashMap<usize, Room>,
}

/// What is known of a pool that is short.
#[derive(Debug)]
struct Room {
    /// One more than these did not fit.
    at_most: usize,
    /// Whether somebody found room since.
    found: bool,
    /// Those that have not been tried since.
    waiting: VecDeque<usize>,
    /// Batches of the search that have not ended.
    under_way: usize,
    /// EC2's own words.
    error: CloudError,
}

impl Rooms {
    pub(super) fn of<'a>(members: impl Iterator<Item = Option<&'a Instance>>) -> Self {
        let mut rooms = Self::default();
        let mut known: HashMap<(String, String), usize> = HashMap::new();
        for instance in members {
            let name = instance.map_or_else(Default::default, |instance| {
                let zone = instance.availability_zone.clone().unwrap_or_default();
                (instance.instance_type.clone(), zone)
            });
            let pool = *known.entry(name).or_insert_with_key(|name| {
                rooms.names.push(name.clone());
                rooms.names.len() - 1
            });
            rooms.pool_of.push(pool);
        }
        rooms
    }

    /// The member has another type now, in the same zone.
    pub(super) fn moved(&mut self, member: usize, instance_type: &str) {
        let (_, zone) = &self.names[self.pool_of[member]];
        let name = (instance_type.to_owned(), zone.clone());
        let known = self.names.iter().position(|known| *known == name);
        self.pool_of[member] = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
    }

    pub(super) fn pool(&self, member: usize) -> usize {
        self.pool_of[member]
    }

    /// A batch of a search became this many.
    pub(super) fn split(&mut self, batch: &Batch, parts: usize) {
        if let Some(room) = batch.pool.and_then(|pool| self.short.get_mut(&pool)) {
            room.under_way = room.under_way + parts - 1;
        }
    }

    /// The pool that EC2 has no room for: the only one, or the one that it names.
    fn blamed(&self, batch: &Batch, error: &CloudError) -> Option<usize> {
        let mut pools: Vec<usize> = batch.members.iter().map(|m| self.pool(*m)).collect();
        pools.sort_unstable();
        pools.dedup();
        if let [only] = pools[..] {
            return Some(only);
        }
        let words = words(&error.message);
        pools.into_iter().find(|pool| {
            let (instance_type, zone) = &self.names[*pool];
            words.contains(instance_type.as_str()) && words.contains(zone.as_str())
        })
    }
}

impl Execution<'_> {
    /// EC2 has no room for some pool of a batch.
    pub(super) fn room_missing(&mut self, batch: &Batch, error: &CloudError) {
        let Some(pool) = self.rooms.blamed(batch, error) else {
            let parts = self.by_pool(batch);
            self.replace(batch, parts, Turn::Next);
            return;
        };
        let (concerned, others): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| self.rooms.pool(**member) == pool);
        let too_many = concerned.len() - 1;
        let room = self.rooms.short.entry(pool).or_insert_with(|| Room {
            at_most: too_many,
            found: false,
            waiting: VecDeque::new(),
            under_way: 0,
            error: error.repeated(),
        });
        room.at_most = room.at_most.min(too_many);
        for member in concerned.into_iter().rev() {
            room.waiting.push_front(member);
        }
        if others.is_empty() {
            self.ended(batch, End::Unknown);
        } else {
            self.queue.push_front(batch.of(others));
        }
        self.search(pool);
    }

    /// Takes those out of a batch for which there may be no room.
    pub(super) fn with_room(&mut self, batch: Batch) -> Option<Batch> {
        let starts = batch.call == Call::Change(StepAction::Start);
        if !starts || batch.pool.is_some() || self.rooms.short.is_empty() {
            return Some(batch);
        }
        let (short, others): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| self.rooms.short.contains_key(&self.rooms.pool(**member)));
        let mut pools = Vec::new();
        for member in short {
            let pool = self.rooms.pool(member);
            if let Some(room) = self.rooms.short.get_mut(&pool) {
                room.waiting.push_back(member);
            }
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
        for pool in pools {
            self.search(pool);
        }
        if others.is_empty() {
            self.ended(&batch, End::Unknown);
            return None;
        }
        Some(batch.of(others))
    }

    /// What the end of a batch means for the search that it is a part of.
    pub(super) fn search_goes_on(&mut self, batch: &Batch, end: End<'_>) {
        let Some(pool) = batch.pool else { return };
        if let Some(room) = self.rooms.short.get_mut(&pool) {
            room.under_way -= 1;
            if let End::Accepted = end {
                room.found = true;
                room.at_most = room.at_most.saturating_sub(batch.members.len());
            }
        }
        self.search(pool);
    }

    /// Tries the next members of a pool that is short, unless some are being tried.
    fn search(&mut self, pool: usize) {
        let Some(room) = self.rooms.short.get_mut(&pool) else {
            return;
        };
        if room.under_way > 0 || room.waiting.is_empty() {
            return;
        }
        let tried = match room.at_most {
            0 => 0,
            _ if !room.found => 1,
            at_most => at_most.div_ceil(2).min(BATCH).min(room.waiting.len()),
        };
        let all = if tried == 0 {
            room.waiting.len()
        } else {
            tried
        };
        let members: Vec<usize> = room.waiting.drain(..all).collect();
        let error = room.error.repeated();
        room.under_way += usize::from(tried > 0);
        let family = self.families.found();
        let mut batch = Batch::new(Call::Change(StepAction::Start), members, family);
        if tried == 0 {
            self.fail(&batch, &batch.members, &error);
        } else {
            batch.pool = Some(pool);
            self.queue.push_front(batch);
        }
    }

    fn by_pool(&self, batch: &Batch) -> Vec<Batch> {
        let mut parts: HashMap<usize, Vec<usize>> = HashMap::new();
        for member in &batch.members {
            let pool = self.rooms.pool(*member);
            parts.entry(pool).or_default().push(*member);
        }
        parts
            .into_values()
            .map(|members| batch.of(members))
            .collect()
    }
}
