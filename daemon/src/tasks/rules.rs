//! Keeps the trigger rules registered: registers them at the start and when the calendar has moved on, and verifies them in
//! between.

use std::time::Duration;

use curfew_deploy::{publish_schedules, trigger_rules};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::active_configuration::{ConfigurationReceiver, RulePublication};
use crate::backoff::Backoff;
use crate::supervisor::{Task, TaskContext, TaskError};

/// The interval of registrations. Rules are compiled for the next 400 days, so this is far more often than needed.
const COMPILED: Duration = Duration::from_hours(12);
/// The interval of checks of the stack, its function, its configuration and its rules: the daemon stays ready for no longer
/// than this without them, and a rule that was removed by hand is restored. Each check takes five calls that are free of
/// charge; a shorter interval approaches the request rates that CloudFormation allows an account.
const CHECK_INTERVAL: Duration = Duration::from_mins(2);

/// Registers the schedules' rules with EventBridge, and publishes the Lambda's configuration.
pub(crate) struct RulesTask {
    pub(crate) configuration: ConfigurationReceiver,
}

impl Task for RulesTask {
    const NAME: &'static str = "rules";
    const NOT_READY: Option<&'static str> = Some("the trigger rules have not been registered yet");

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        while !ctx.shutdown.is_cancelled() {
            let rules = self.configuration.borrow_and_update().rules.clone();
            let Some(rules) = rules else { break };
            tokio::select! {
                () = keep_published(&rules, ctx) => break,
                // An interrupted publication is repeated.
                Ok(()) = self.configuration.changed() => {}
            }
        }
        Ok(())
    }
}

/// Publishes `rules` at intervals until the shutdown.
async fn keep_published(rules: &RulePublication, ctx: &TaskContext) {
    let RulePublication {
        connection,
        configuration,
    } = rules;
    let mut backoff = Backoff::default();
    let mut wanted = trigger_rules(configuration, &ctx.clock);
    let mut compiled = Instant::now();
    let mut registered = false;
    loop {
        if compiled.elapsed() >= COMPILED {
            wanted = trigger_rules(configuration, &ctx.clock);
            compiled = Instant::now();
            registered = false;
        }
        let stack = &configuration.stack.name;
        let document = configuration.publication();
        let publishing = publish_schedules(connection, stack, &document, &wanted);
        let result = tokio::select! {
            () = ctx.shutdown.cancelled() => return,
            result = publishing => result,
        };
        let wait = match result {
            Ok(report) => {
                backoff.after_success();
                ctx.health.ok();
                let (created, deleted) = (report.changes.create.len(), report.changes.delete.len());
                if !registered || created + deleted > 0 {
                    info!(%stack, rules = wanted.len(), created, deleted, "trigger rules registered");
                    for warning in report.warnings {
                        warn!(%stack, warning, "trigger rule warning");
                    }
                }
                registered = true;
                CHECK_INTERVAL
            }
            Err(error) => {
                registered = false;
                let wait = backoff.after_failure();
                let (hint, retry_seconds) = (error.hint(), wait.as_secs());
                error!(%stack, %error, hint, retry_seconds, "trigger rules could not be registered");
                ctx.health
                    .degraded(format!("the trigger rules can't be registered: {error}"));
                wait
            }
        };
        tokio::select! {
            () = ctx.shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
