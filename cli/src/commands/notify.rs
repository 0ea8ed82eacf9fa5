//! `curfew notify`: tests notifications.

use std::collections::BTreeSet;

use clap::Subcommand;
use curfew_config::notify::NotificationEvent;
use curfew_core::error_code::{DescribedError, ErrorCode};
use curfew_core::schedule::ScheduleName;
use curfew_daemon::notify;
use serde::Serialize;

use crate::output::or_dash;
use crate::table::Table;
use crate::{CliError, Context, Exit};

/// The subcommands of `notify`.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Send a test notification to every configured destination
    Test,
}

/// The results of test notifications.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct NotifyDocument {
    /// The configured destinations, in the order of the configuration.
    destinations: Vec<DeliveryTest>,
}

/// The result of a test notification.
#[derive(Serialize, schemars::JsonSchema)]
struct DeliveryTest {
    /// The destination: the host of a webhook, or the ARN of a topic.
    destination: String,
    /// The events of which it is notified.
    events: BTreeSet<NotificationEvent>,
    /// The schedules whose notifications it receives; empty if it receives all.
    schedules: BTreeSet<ScheduleName>,
    /// Whether the destination accepted the test notification.
    delivered: bool,
    /// Why it was not delivered: one sentence; null if it was.
    error: Option<DescribedError>,
}

pub(crate) async fn notify(context: &mut Context, command: NotifyCommand) -> Result<(), CliError> {
    match command {
        NotifyCommand::Test => test(context).await,
    }
}

async fn test(context: &mut Context) -> Result<(), CliError> {
    let mut configuration = context.configuration()?;
    if configuration.notify.is_empty() {
        let message = "the configuration has no `[[notify]]`";
        return Err(CliError::new(Exit::NothingMatched, message)
            .hint("see docs/reference/configuration.md for webhooks and SNS topics"));
    }
    // Webhooks need no region, and the ARN of a topic contains one.
    let region = &mut configuration.aws.region;
    region.get_or_insert_with(|| "us-east-1".to_owned());
    let connection = context.connect(&configuration).await?;
    let (_notifier, deliveries) = notify::open(&configuration.notify, &connection)?;
    let mut tested = Vec::new();
    for (delivery, wanted) in deliveries.iter().zip(&configuration.notify) {
        let result = delivery.test(context.clock.now()).await;
        tested.push(DeliveryTest {
            destination: delivery.destination(),
            events: wanted.events.clone(),
            schedules: wanted.schedules.clone(),
            delivered: result.is_ok(),
            error: result.err().map(|error| DescribedError {
                code: ErrorCode::Failed,
                message: error.display_chain(),
                hint: None,
            }),
        });
    }
    let document = NotifyDocument {
        destinations: tested,
    };
    context.output.print(&document, |document| {
        let row = |one: &DeliveryTest| {
            let events: Vec<&str> = one.events.iter().map(|event| event.as_str()).collect();
            let schedules: Vec<&str> = one.schedules.iter().map(ScheduleName::as_str).collect();
            let schedules = (!schedules.is_empty()).then(|| schedules.join(", "));
            let result = match &one.error {
                None => "delivered".to_owned(),
                Some(error) => error.message.clone(),
            };
            vec![
                one.destination.clone(),
                events.join(", "),
                or_dash(schedules),
                result,
            ]
        };
        let header = ["destination", "events", "schedules", "result"];
        Table::of_text(&header, document.destinations.iter().map(row))
    })?;
    let tested = document.destinations;
    let failed = tested.iter().filter(|one| !one.delivered).count();
    if failed == 0 {
        return Ok(());
    }
    let message = format!(
        "{failed} of {} destinations rejected the notification",
        tested.len()
    );
    Err(CliError::new(Exit::Failed, message).hint("check the URL or the topic and its permissions"))
}
