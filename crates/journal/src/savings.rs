//! The savings report: how long instances were off instead of always on.
//!
//! Only known time counts: in hours without observation an instance may have been in any state, so they count neither as on
//! nor as off, and save nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use curfew_core::instance::{AccountId, InstanceId, InstanceState, Region};
use curfew_core::schedule::ScheduleName;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::{CoverageInterval, InitialState, JournalEntry};

/// The journal's contents that the report uses.
#[derive(Clone, Debug, Default)]
pub struct RecordedHistory {
    /// The state of each instance when its record began.
    pub beginnings: Vec<InitialState>,
    /// Every transition, in order.
    pub entries: Vec<JournalEntry>,
    /// The intervals with observation, in order.
    pub stretches: Vec<CoverageInterval>,
}

/// The parameters of the report.
#[derive(Clone, Debug)]
pub struct SavingsQuery {
    /// From this instant on.
    pub since: Timestamp,
    /// Before this instant.
    pub until: Timestamp,
    /// What the lines stand for.
    pub by: By,
    /// Only these instances, by id or name, if any are named.
    pub instances: Vec<String>,
    /// Only while this schedule managed them.
    pub schedule: Option<ScheduleName>,
    /// The price of an hour for each instance type.
    pub prices: BTreeMap<String, f64>,
    /// The time zone in which months begin.
    pub zone: TimeZone,
}

/// What the lines of the report stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One line for each schedule that managed instances.
    Schedule,
    /// One line for each instance.
    Instance,
    /// One line for each month.
    Month,
    /// One line for each account.
    Account,
    /// One line for each region.
    Region,
}

/// One line of the report, or the total.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavingsLine {
    /// How long instances were on: billed, in any state but stopped.
    pub on: SignedDuration,
    /// How long instances were stopped.
    pub off: SignedDuration,
    /// The time without observation.
    pub unknown: SignedDuration,
    /// The price of the time off, for the types that have one.
    pub saved: f64,
    /// The time off of types without a price.
    pub unpriced: SignedDuration,
    /// The instances counted.
    pub instances: BTreeSet<InstanceId>,
    /// The regions that those are in.
    pub regions: BTreeSet<Region>,
    /// The accounts that those are in.
    pub accounts: BTreeSet<AccountId>,
}

impl SavingsLine {
    /// Returns the share of the known time that they were off, from 0 to 1; `None` if no time is known.
    pub fn share_off(&self) -> Option<f64> {
        let known = (self.on + self.off).as_secs_f64();
        (known > 0.0).then(|| self.off.as_secs_f64() / known)
    }

    fn add(&mut self, piece: &StatePeriod<'_>, known: SignedDuration, price: Option<f64>) {
        self.instances.insert(piece.instance.clone());
        let (account, region) = piece.place;
        if !self.accounts.contains(account) {
            self.accounts.insert(account.clone());
        }
        if !self.regions.contains(region) {
            self.regions.insert(region.clone());
        }
        self.unknown += piece.until.duration_since(piece.from) - known;
        if piece.state != InstanceState::Stopped {
            self.on += known;
            return;
        }
        self.off += known;
        match price {
            Some(price) => self.saved += price * known.as_secs_f64() / 3600.0,
            None => self.unpriced += known,
        }
    }
}

/// The savings report of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Savings {
    /// The lines by name.
    pub lines: BTreeMap<String, SavingsLine>,
    /// The sum of all lines.
    pub total: SavingsLine,
}

/// A time in which an instance was in one state.
#[derive(Clone, Copy, Debug)]
struct StatePeriod<'a> {
    instance: &'a InstanceId,
    name: Option<&'a str>,
    state: InstanceState,
    schedule: Option<&'a ScheduleName>,
    instance_type: Option<&'a str>,
    place: (&'a AccountId, &'a Region),
    from: Timestamp,
    until: Timestamp,
}

/// Computes the report for `question` from `account`.
pub fn savings(account: &RecordedHistory, question: &SavingsQuery) -> Savings {
    let mut watched: HashMap<(&AccountId, &Region), Vec<&CoverageInterval>> = HashMap::new();
    for stretch in &account.stretches {
        let place = (&stretch.account, &stretch.region);
        watched.entry(place).or_default().push(stretch);
    }
    let mut answer = Savings::default();
    for piece in pieces(account, question.until) {
        if !question.asks_for(&piece) {
            continue;
        }
        for (line, piece) in question.lines(piece) {
            let stretches = watched.get(&piece.place).map_or(&[][..], Vec::as_slice);
            let known = known(&piece, stretches);
            let price = piece
                .instance_type
                .and_then(|it| question.prices.get(it))
                .copied();
            answer.total.add(&piece, known, price);
            answer
                .lines
                .entry(line)
                .or_default()
                .add(&piece, known, price);
        }
    }
    answer
}

/// Returns the instances' histories as periods of one state. A terminated instance has no hours, on or off.
fn pieces(account: &RecordedHistory, until: Timestamp) -> Vec<StatePeriod<'_>> {
    let mut entries: HashMap<&InstanceId, Vec<&JournalEntry>> = HashMap::new();
    for entry in &account.entries {
        entries
            .entry(&entry.transition.instance)
            .or_default()
            .push(entry);
    }
    let mut pieces = Vec::new();
    for beginning in &account.beginnings {
        let mut piece = StatePeriod {
            instance: &beginning.instance,
            name: beginning.name.as_deref(),
            state: beginning.state,
            schedule: beginning.schedule.as_ref(),
            instance_type: beginning.instance_type.as_deref(),
            place: (&beginning.account, &beginning.region),
            from: beginning.at,
            until,
        };
        let life = entries
            .get(&beginning.instance)
            .map_or(&[][..], Vec::as_slice);
        for JournalEntry { transition, .. } in
            life.iter().filter(|entry| entry.transition.at < until)
        {
            let at = transition.at.max(piece.from);
            // A journal of an older version did not record types: a type that becomes known later applies to the time before.
            piece.instance_type = piece.instance_type.or(transition.instance_type.as_deref());
            end(&mut pieces, &piece, at);
            piece = StatePeriod {
                name: transition.name.as_deref(),
                state: transition.to,
                schedule: transition.schedule.as_ref(),
                instance_type: transition.instance_type.as_deref().or(piece.instance_type),
                from: at,
                ..piece
            };
        }
        end(&mut pieces, &piece, until);
    }
    pieces
}

/// Ends a period at `at`, unless it is empty or its instance did not exist.
fn end<'a>(pieces: &mut Vec<StatePeriod<'a>>, piece: &StatePeriod<'a>, at: Timestamp) {
    let over = matches!(
        piece.state,
        InstanceState::ShuttingDown | InstanceState::Terminated
    );
    if !over && piece.from < at {
        pieces.push(StatePeriod {
            until: at,
            ..*piece
        });
    }
}

/// Returns how much of a period was observed.
fn known(piece: &StatePeriod<'_>, stretches: &[&CoverageInterval]) -> SignedDuration {
    let first = stretches.partition_point(|stretch| stretch.ended <= piece.from);
    let within = stretches[first..]
        .iter()
        .take_while(|stretch| stretch.begun < piece.until);
    within
        .map(|stretch| {
            stretch
                .ended
                .min(piece.until)
                .duration_since(stretch.begun.max(piece.from))
        })
        .sum()
}

impl SavingsQuery {
    fn asks_for(&self, piece: &StatePeriod<'_>) -> bool {
        let named = |which: &String| which == piece.instance.as_str() || piece.name == Some(which);
        (self.instances.is_empty() || self.instances.iter().any(named))
            && (self.schedule.is_none() || piece.schedule == self.schedule.as_ref())
    }

    /// Returns the part of a period that the query covers, divided among its lines.
    fn lines<'a>(&self, piece: StatePeriod<'a>) -> Vec<(String, StatePeriod<'a>)> {
        let piece = StatePeriod {
            from: piece.from.max(self.since),
            until: piece.until.min(self.until),
            ..piece
        };
        if piece.from >= piece.until {
            return Vec::new();
        }
        match self.by {
            By::Schedule => {
                let schedule = piece.schedule.map(ToString::to_string);
                vec![(schedule.unwrap_or_else(|| "-".to_owned()), piece)]
            }
            By::Instance => {
                let name = piece
                    .name
                    .map(|name| format!("{name} ({})", piece.instance));
                vec![(name.unwrap_or_else(|| piece.instance.to_string()), piece)]
            }
            By::Month => self.months(piece),
            By::Account => vec![(piece.place.0.to_string(), piece)],
            By::Region => vec![(piece.place.1.to_string(), piece)],
        }
    }

    fn months<'a>(&self, mut piece: StatePeriod<'a>) -> Vec<(String, StatePeriod<'a>)> {
        let mut lines = Vec::new();
        while piece.from < piece.until {
            let local = piece.from.to_zoned(self.zone.clone());
            let next = local
                .first_of_month()
                .and_then(|first| first.checked_add(1.month()))
                .and_then(|first| first.start_of_day())
                .map_or(piece.until, |first| first.timestamp());
            let until = next.min(piece.until);
            let month = local.strftime("%Y-%m").to_string();
            lines.push((month, StatePeriod { until, ..piece }));
            piece.from = until;
        }
        lines
    }
}

#[cfg(test)]
mod tests;
