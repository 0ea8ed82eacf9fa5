//! The status line that `systemctl status` shows.

use std::fmt::Write as _;

use super::Health;

impl Health {
    /// Returns the status for the service manager: what is due next, or why the daemon is not ready.
    pub fn status_line(&self) -> String {
        let unready = self.unready();
        let state = self.lock();
        let mut line = match (&state.fleet, unready.is_empty()) {
            (Some(fleet), true) => {
                let next = fleet.next_edge.map_or_else(
                    || "no edge ahead".to_owned(),
                    |at| format!("next edge {}", at.round(jiff::Unit::Second).unwrap_or(at)),
                );
                match fleet.managed {
                    1 => format!("{next}; 1 instance managed"),
                    managed => format!("{next}; {managed} instances managed"),
                }
            }
            _ => format!("not ready: {}", unready.join("; ")),
        };
        let _ = write!(line, "; configuration {}", state.generation);
        if let Some(problem) = &state.configuration_problem {
            let _ = write!(line, " stays in force: {problem}");
        }
        line
    }
}

/// Returns the status line of a shutdown that waits for these tasks.
pub(crate) fn shutdown_status(tasks: &str) -> String {
    format!("finishing: {tasks}")
}

#[cfg(test)]
mod tests {
    use super::super::FleetSummary;
    use super::*;

    #[test]
    fn the_status_has_the_next_edge_and_why_a_newer_configuration_is_rejected() {
        let health = Health::default();
        let reconcile = health.task_started("reconcile", Some("no pass has run yet"));
        health.configuration(1, None);
        assert_eq!(
            health.status_line(),
            "not ready: no pass has run yet; configuration 1"
        );
        reconcile.ok();
        health.set_fleet(FleetSummary {
            next_edge: Some("2026-11-23T19:00:00.25Z".parse().unwrap()),
            managed: 12,
        });
        let good = "next edge 2026-11-23T19:00:00Z; 12 instances managed; configuration 1";
        assert_eq!(health.status_line(), good);
        health.configuration(1, Some("`/etc/curfew.toml` is not TOML".to_owned()));
        assert_eq!(
            health.status_line(),
            format!("{good} stays in force: `/etc/curfew.toml` is not TOML")
        );
    }
}
