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
    pub initial_states: Vec<InitialState>,
    /// Every transition, in order.
    pub entries: Vec<JournalEntry>,
    /// The intervals with observation, in order.
    pub coverage: Vec<CoverageInterval>,
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

    fn add(&mut self, period: &StatePeriod<'_>, known: SignedDuration, price: Option<f64>) {
        self.instances.insert(period.instance.clone());
        let (account, region) = period.place;
        if !self.accounts.contains(account) {
            self.accounts.insert(account.clone());
        }
        if !self.regions.contains(region) {
            self.regions.insert(region.clone());
        }
        self.unknown += period.until.duration_since(period.from) - known;
        if period.state != InstanceState::Stopped {
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

/// Computes the report for `query` from `history`.
pub fn savings(history: &RecordedHistory, query: &SavingsQuery) -> Savings {
    let mut watched: HashMap<(&AccountId, &Region), Vec<&CoverageInterval>> = HashMap::new();
    for interval in &history.coverage {
        let place = (&interval.account, &interval.region);
        watched.entry(place).or_default().push(interval);
    }
    let mut report = Savings::default();
    for period in periods(history, query.until) {
        if !query.includes(&period) {
            continue;
        }
        for (line, period) in query.lines(period) {
            let coverage = watched.get(&period.place).map_or(&[][..], Vec::as_slice);
            let known = known(&period, coverage);
            let price = period
                .instance_type
                .and_then(|it| query.prices.get(it))
                .copied();
            report.total.add(&period, known, price);
            report
                .lines
                .entry(line)
                .or_default()
                .add(&period, known, price);
        }
    }
    report
}

/// Returns the instances' histories as periods of one state. A terminated instance has no hours, on or off.
fn periods(history: &RecordedHistory, until: Timestamp) -> Vec<StatePeriod<'_>> {
    let mut entries: HashMap<&InstanceId, Vec<&JournalEntry>> = HashMap::new();
    for entry in &history.entries {
        entries
            .entry(&entry.transition.instance)
            .or_default()
            .push(entry);
    }
    let mut periods = Vec::new();
    for initial in &history.initial_states {
        let mut period = StatePeriod {
            instance: &initial.instance,
            name: initial.name.as_deref(),
            state: initial.state,
            schedule: initial.schedule.as_ref(),
            instance_type: initial.instance_type.as_deref(),
            place: (&initial.account, &initial.region),
            from: initial.at,
            until,
        };
        let transitions = entries
            .get(&initial.instance)
            .map_or(&[][..], Vec::as_slice);
        for JournalEntry { transition, .. } in transitions
            .iter()
            .filter(|entry| entry.transition.at < until)
        {
            let at = transition.at.max(period.from);
            // A journal of an older version did not record types: a type that becomes known later applies to the time before.
            period.instance_type = period.instance_type.or(transition.instance_type.as_deref());
            end(&mut periods, &period, at);
            period = StatePeriod {
                name: transition.name.as_deref(),
                state: transition.to,
                schedule: transition.schedule.as_ref(),
                instance_type: transition.instance_type.as_deref().or(period.instance_type),
                from: at,
                ..period
            };
        }
        end(&mut periods, &period, until);
    }
    periods
}

/// Ends a period at `at`, unless it is empty or its instance did not exist.
fn end<'a>(periods: &mut Vec<StatePeriod<'a>>, period: &StatePeriod<'a>, at: Timestamp) {
    let over = matches!(
        period.state,
        InstanceState::ShuttingDown | InstanceState::Terminated
    );
    if !over && period.from < at {
        periods.push(StatePeriod {
            until: at,
            ..*period
        });
    }
}

/// Returns how much of a period was observed.
fn known(period: &StatePeriod<'_>, coverage: &[&CoverageInterval]) -> SignedDuration {
    let first = coverage.partition_point(|interval| interval.ended <= period.from);
    let within = coverage[first..]
        .iter()
        .take_while(|interval| interval.begun < period.until);
    within
        .map(|interval| {
            interval
                .ended
                .min(period.until)
                .duration_since(interval.begun.max(period.from))
        })
        .sum()
}

impl SavingsQuery {
    fn includes(&self, period: &StatePeriod<'_>) -> bool {
        let named =
            |which: &String| which == period.instance.as_str() || period.name == Some(which);
        (self.instances.is_empty() || self.instances.iter().any(named))
            && (self.schedule.is_none() || period.schedule == self.schedule.as_ref())
    }

    /// Returns the part of a period that the query covers, divided among its lines.
    fn lines<'a>(&self, period: StatePeriod<'a>) -> Vec<(String, StatePeriod<'a>)> {
        let period = StatePeriod {
            from: period.from.max(self.since),
            until: period.until.min(self.until),
            ..period
        };
        if period.from >= period.until {
            return Vec::new();
        }
        match self.by {
            By::Schedule => {
                let schedule = period.schedule.map(ToString::to_string);
                vec![(schedule.unwrap_or_else(|| "-".to_owned()), period)]
            }
            By::Instance => {
                let name = period
                    .name
                    .map(|name| format!("{name} ({})", period.instance));
                vec![(name.unwrap_or_else(|| period.instance.to_string()), period)]
            }
            By::Month => self.months(period),
            By::Account => vec![(period.place.0.to_string(), period)],
            By::Region => vec![(period.place.1.to_string(), period)],
        }
    }

    fn months<'a>(&self, mut period: StatePeriod<'a>) -> Vec<(String, StatePeriod<'a>)> {
        let mut lines = Vec::new();
        while period.from < period.until {
            let local = period.from.to_zoned(self.zone.clone());
            let next = local
                .first_of_month()
                .and_then(|first| first.checked_add(1.month()))
                .and_then(|first| first.start_of_day())
                .map_or(period.until, |first| first.timestamp());
            let until = next.min(period.until);
            let month = local.strftime("%Y-%m").to_string();
            lines.push((month, StatePeriod { until, ..period }));
            period.from = until;
        }
        lines
    }
}

#[cfg(test)]
mod tests;
