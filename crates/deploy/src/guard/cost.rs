//! What the stack itself costs a month: cents, and which. Estimated upwards, at AWS's prices of us-east-1, without the free tier.

use curfew_config::{Configuration, Driver};
use jiff::{SignedDuration, Timestamp};

use crate::queues::COUNT_INTERVAL;

/// A month of thirty days.
const MONTH: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How long a pass is billed, in seconds: it waits for EC2 most of the time.
const PASS: f64 = 1.0;
/// The function's memory, as the template has it, in GB.
const MEMORY: f64 = 0.25;
/// What an invocation logs, Lambda's own lines included, in GB: a kilobyte.
const LOGGED: f64 = 1e-6;
/// What people ask for in a month: a hundred requests a day.
const REQUESTS: f64 = 3_000.0;
/// Lambda asks an empty queue with five pollers, each for twenty seconds at a time; the daemon with one.
const POLLS: f64 = 30.0 * 24.0 * 3_600.0 / 20.0;
const POLLERS: f64 = 5.0;
/// The daemon asks how many messages are in each of the three queues of dead letters.
const COUNTS: f64 = 3.0 * 30.0 * 24.0 * 3_600.0 / COUNT_INTERVAL.as_secs_f64();
/// Of a message to the queue: sent, received and deleted.
const PER_MESSAGE: f64 = 3.0;

/// <https://aws.amazon.com/lambda/pricing/>
const INVOCATION: f64 = 0.20e-6;
const GB_SECOND: f64 = 0.000_016_666_7;
/// <https://aws.amazon.com/sqs/pricing/>
const QUEUE_REQUEST: f64 = 0.40e-6;
/// <https://aws.amazon.com/api-gateway/pricing/>, a REST API.
const API_REQUEST: f64 = 3.50e-6;
/// <https://aws.amazon.com/cloudwatch/pricing/>, ingestion; keeping it for a month is a sixteenth of that.
const LOG_GB: f64 = 0.53;
/// <https://aws.amazon.com/eventbridge/pricing/>: schedules and the events of AWS's services cost nothing.
const TRIGGER: f64 = 0.0;

/// What the stack does in a month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Triggers by rules: the heartbeat's, and one for each edge of each schedule.
    pub triggers: f64,
    /// Accounts and regions.
    pub account_regions: usize,
    /// Whether a daemon reads the state changes.
    pub daemon: bool,
}

/// What that costs, in US dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The parts: what for, and how much.
    pub items: [(&'static str, f64); 5],
}

impl Load {
    /// Of this configuration, in the month that begins now.
    pub fn of(configuration: &Configuration, account_regions: usize, now: Timestamp) -> Self {
        let end = now + MONTH;
        let schedules = configuration.schedule_set.schedules.values();
        let edges: usize = schedules
            .map(|schedule| {
                let edges = schedule.timetable.edges(now);
                edges.take_while(|edge| edge.at < end).count()
            })
            .sum();
        let beat = configuration.stack.heartbeat.as_ref();
        let beats = beat.map_or(0.0, |rate| {
            MONTH.as_secs_f64() / rate.duration().as_secs_f64()
        });
        Self {
            triggers: beats + f64::from(u32::try_from(edges).unwrap_or(u32::MAX)),
            account_regions,
            daemon: configuration.daemon.driver == Driver::Cloud,
        }
    }
}

impl Cost {
    /// Of this much work.
    pub fn of(load: &Load) -> Self {
        // One member is worked for at once; several get a message each.
        let messages = match load.account_regions {
            0 | 1 => 0.0,
            several => load.triggers * f64::from(u32::try_from(several).unwrap_or(u32::MAX)),
        };
        let invocations = load.triggers + messages + REQUESTS;
        let polls = if load.daemon {
            POLLS * (POLLERS + 1.0) + COUNTS
        } else {
            POLLS * POLLERS
        };
        Self {
            items: [
                ("triggers", load.triggers * TRIGGER),
                (
                    "invocations",
                    invocations * (INVOCATION + PASS * MEMORY * GB_SECOND),
                ),
                ("queues", (polls + messages * PER_MESSAGE) * QUEUE_REQUEST),
                ("requests", REQUESTS * API_REQUEST),
                ("logs", invocations * LOGGED * LOG_GB),
            ],
        }
    }

    /// All of it.
    pub fn total(&self) -> f64 {
        self.items.iter().map(|(_, dollars)| dollars).sum()
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "about ${:.2} a month (", self.total())?;
        let items = self.items.iter();
        let dear = items.filter(|(_, dollars)| *dollars >= 0.005);
        for (index, (what, dollars)) in dear.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{what} {dollars:.2}")?;
        }
        f.write_str("; free tier not counted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(triggers: f64, account_regions: usize) -> Load {
        Load {
            triggers,
            account_regions,
            daemon: true,
        }
    }

    #[test]
    fn a_stack_costs_cents_and_an_organisation_dollars() {
        // The heartbeat of the defaults, and one schedule of working days.
        let cost = Cost::of(&load(8_640.0 + 44.0, 1));
        assert_eq!(
            cost.to_string(),
            "about $0.39 a month (invocations 0.05, queues 0.32, requests 0.01, logs 0.01; free tier not counted)"
        );
        let large = Cost::of(&load(8_640.0 + 44.0, 1_000)).total();
        assert!((40.0..80.0).contains(&large), "{large}");
        let parts: f64 = cost.items.iter().map(|(_, dollars)| dollars).sum();
        assert!((parts - cost.total()).abs() < 1e-9);
    }

    /// The prices, and what is assumed, as `docs/operations.md` shows them.
    #[test]
    fn the_docs_show_what_is_reckoned_with() {
        let docs = include_str!("../../../../docs/operations.md");
        let shown = [
            format!("${:.2} a million invocations", INVOCATION * 1e6),
            format!("${GB_SECOND} a GB-second"),
            format!("${:.2} a million requests to queues", QUEUE_REQUEST * 1e6),
            format!("${:.2} a million requests to the API", API_REQUEST * 1e6),
            format!("${LOG_GB:.2} a GB of logs"),
            format!("{REQUESTS} requests"),
        ];
        for line in shown {
            assert!(docs.contains(&line), "docs/operations.md lacks `{line}`");
        }
    }
}
