//! Computes figures from runs.

use std::time::Duration;

use crate::subject::Run;

/// The figures of one program in one scenario.
pub struct Figures {
    pub ready: Duration,
    pub answered: Duration,
    pub fastest: Duration,
    pub busy: Duration,
    pub warm: Duration,
    pub warm_99: Duration,
    pub peak: u64,
}

impl Figures {
    /// Medians, and the maximum of memory.
    pub fn of(runs: &[Run]) -> Self {
        let over_runs = |of: fn(&Run) -> Duration| median(runs.iter().map(of).collect());
        let mut warm: Vec<Duration> = runs.iter().flat_map(|run| run.warm.clone()).collect();
        warm.sort_unstable();
        Self {
            ready: over_runs(|run| run.ready),
            answered: over_runs(|run| run.answered),
            fastest: runs
                .iter()
                .map(|run| run.answered)
                .min()
                .unwrap_or_default(),
            busy: over_runs(|run| run.busy),
            warm: median(warm.clone()),
            warm_99: warm.get(warm.len() * 99 / 100).copied().unwrap_or_default(),
            peak: runs.iter().map(|run| run.peak).max().unwrap_or_default(),
        }
    }

    /// Returns a row of the table in docs/contribute/performance.md.
    pub fn row(&self, name: &str) -> String {
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {:.1} |",
            milliseconds(self.ready),
            milliseconds(self.answered),
            milliseconds(self.fastest),
            milliseconds(self.busy),
            milliseconds(self.warm),
            milliseconds(self.warm_99),
            mebibytes(self.peak)
        )
    }
}

/// Returns the head of the table.
pub const HEAD: &str = "| | ready | first answer | fastest | of it CPU | warm p50 | warm p99 | peak MiB |\n\
    |---|---|---|---|---|---|---|---|";

/// Returns the median.
pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Formats short values with one more digit.
pub fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.2}"),
        ..100.0 => format!("{milliseconds:.1}"),
        _ => format!("{milliseconds:.0}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^52")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
