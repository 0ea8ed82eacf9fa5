//! Keeping the trigger rules: registered at the start, again when the calendar has moved on, and looked at in between.

use std::time::Duration;

use curfew_deploy::{publish_schedules, trigger_rules};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::active_configuration::{ConfigurationReceiver, RulePublication};
use crate::backoff::Backoff;
use crate::supervisor::{Task, TaskContext, TaskError};

/// Rules are compiled for the next 400 days: far more often than needed.
const COMPILED: Duration = Duration::from_hours(12);
/// How long the stack, its function, its configuration and its rules may be gone until that is noticed: the daemon is ready for no longer
/// than this without them, and a rule that was removed by hand is back. Each look takes five calls that cost nothing; shorter is
/// nearer to the request rates that CloudFormation allows an account.
const LOOK: Duration = Duration::from_mins(2);

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
                // What was half published is published anew.
                Ok(()) = self.configuration.changed() => {}
            }
        }
        Ok(())
    }
}

/// Publishes `rules` again and again until the shutdown.
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
