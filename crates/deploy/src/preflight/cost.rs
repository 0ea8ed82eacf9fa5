//! Estimates the monthly cost of the stack, rounded up and without the free tier.

use curfew_config::Configuration;
use jiff::{SignedDuration, Timestamp};

const MONTH: SignedDuration = SignedDuration::from_hours(24 * 30);
/// The region and the date of the AWS prices that the figures below come from.
const PRICES: &str = "AWS prices of us-east-1 on 2026-11-24";
/// US dollars per month, whatever the schedules are: Lambda and the daemon poll the queues, and the API has 3,000 requests.
const FIXED: f64 = 0.34;
/// US dollars per invocation: a second with 256 MB, a kilobyte of logs, and the requests for its message in the work queue.
const INVOCATION: f64 = 6e-6;

/// The estimated cost of the stack in US dollars per month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MonthlyCost(f64);

impl MonthlyCost {
    /// Estimates the cost of this configuration for the 30 days after `now`.
    pub fn of(configuration: &Configuration, account_regions: usize, now: Timestamp) -> Self {
        let end = now + MONTH;
        let schedules = configuration.schedule_set.schedules.values();
        let edges = schedules
            .flat_map(|schedule| {
                schedule
                    .timetable
                    .edges(now)
                    .take_while(|edge| edge.at < end)
            })
            .count();
        let heartbeats = configuration.stack.heartbeat.as_ref().map_or(0.0, |rate| {
            MONTH.as_secs_f64() / rate.duration().as_secs_f64()
        });
        Self::for_triggers(heartbeats + as_f64(edges), account_regions)
    }

    /// Each trigger invokes the Lambda once, and with several accounts or regions once more for each of them.
    fn for_triggers(triggers: f64, account_regions: usize) -> Self {
        let invocations = match account_regions {
            0 | 1 => triggers,
            several => triggers * (1.0 + as_f64(several)),
        };
        Self(FIXED + invocations * INVOCATION)
    }

    /// The figure in US dollars.
    pub fn dollars(self) -> f64 {
        self.0
    }
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

impl std::fmt::Display for MonthlyCost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "about ${:.2} a month (estimated with {PRICES}; free tier not counted)",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_region_costs_cents_and_a_thousand_regions_cost_dollars() {
        // The default heartbeat, and one schedule of working days.
        let triggers = 8_640.0 + 44.0;
        assert_eq!(
            MonthlyCost::for_triggers(triggers, 1).to_string(),
            "about $0.39 a month (estimated with AWS prices of us-east-1 on 2026-11-24; free tier not counted)"
        );
        let large = MonthlyCost::for_triggers(triggers, 1_000).dollars();
        assert!((40.0..80.0).contains(&large), "{large}");
    }

    #[test]
    fn the_documentation_shows_the_figures_of_the_estimate() {
        let docs = include_str!("../../../../docs/operate/cost.md");
        let figures = format!(
            "${FIXED} plus ${} per million invocations",
            INVOCATION * 1e6
        );
        for text in [figures.as_str(), PRICES] {
            assert!(docs.contains(text), "docs/operate/cost.md lacks `{text}`");
        }
    }
}
