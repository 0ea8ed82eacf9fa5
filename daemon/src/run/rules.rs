//! Keeping the trigger rules: registered at the start, again when the calendar has moved on, and looked at in between.

use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_config::Configuration;
use curfew_deploy::{publish, trigger_rules};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::health::Pulse;

/// Rules are compiled for the next 400 days: far more often than needed.
const COMPILED: Duration = Duration::from_hours(12);
/// How long the stack, its function, its configuration and its rules may be gone until that is noticed: the daemon is ready for no longer
/// than this without them, and a rule that was removed by hand is back. Each look takes five calls that cost nothing; shorter is
/// nearer to the request rates that CloudFormation allows an account.
const LOOK: Duration = Duration::from_mins(2);

/// Registers the schedules' rules with EventBridge, and hands the Lambda its configuration.
#[derive(Clone, Debug)]
pub struct RuleKeeper {
    /// Where.
    pub connection: Connection,
    /// What: the schedules, the heartbeat, the stack's name.
    pub configuration: Configuration,
}

impl RuleKeeper {
    pub(super) async fn keep(self, clock: Clock, pulse: &Pulse, shutdown: CancellationToken) {
        let mut backoff = Backoff::default();
        let mut wanted = trigger_rules(&self.configuration, &clock);
        let mut compiled = Instant::now();
        let mut registered = false;
        loop {
            if compiled.elapsed() >= COMPILED {
                wanted = trigger_rules(&self.configuration, &clock);
                compiled = Instant::now();
                registered = false;
            }
            let stack = &self.configuration.stack.name;
            let document = self.configuration.publication();
            let publishing = publish(&self.connection, stack, &document, &wanted);
            let result = tokio::select! {
                () = shutdown.cancelled() => return,
                result = publishing => result,
            };
            let wait = match result {
                Ok(report) => {
                    backoff.after_success();
                    pulse.well();
                    let (created, deleted) =
                        (report.changes.create.len(), report.changes.delete.len());
                    if !registered || created + deleted > 0 {
                        info!(%stack, rules = wanted.len(), created, deleted, "trigger rules are registered");
                        for warning in report.warnings {
                            warn!(%stack, "{warning}");
                        }
                    }
                    registered = true;
                    LOOK
                }
                Err(error) => {
                    registered = false;
                    let wait = backoff.after_failure();
                    let (hint, retry_seconds) = (error.hint(), wait.as_secs());
                    error!(%stack, %error, hint, retry_seconds, "trigger rules can't be registered");
                    pulse.trouble(format!("the trigger rules can't be registered: {error}"));
                    wait
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}
