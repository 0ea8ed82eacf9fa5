//! Work that is handed on: a message for each account and region, and one for what is left when the time is up. AWS runs as many
//! invocations as there is work, so that time stays flat as an organisation grows.
//!
//! A message carries no decision, like any wake-up: delivered twice, late or after a change of the settings, it makes a pass that
//! finds what it finds.

mod queue;

use curfew_aws::error::CloudError;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::PageToken;
use curfew_aws::organisation::{MemberFleet, Organisation};
use curfew_aws::pages::PageTokens;
use curfew_aws::pass::pass_page;
use curfew_aws::side_by_side::side_by_side;
use curfew_core::govern::Governance;
use curfew_core::memory::whole_second;
use curfew_core::schedule::ScheduleName;
use serde_json::{Value, json};
use tracing::{Instrument, error, info, info_span, warn};

use crate::answer::PassReport;
use crate::handler::{App, Call, in_time};
use crate::message::{Message, Work};
use crate::refusal::{Code, Refusal};

pub use self::queue::WorkQueue;

impl App {
    /// A wake-up for everything. Where there are several members, each becomes a message; the only one there is gets its pass at
    /// once, since a queue would only delay it.
    pub(crate) async fn wake(
        &self,
        schedule: Option<&ScheduleName>,
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let in_force = self.settings.current(&self.clock, schedule).await?;
        let governance = &in_force.governance;
        if let Some(name) = schedule.filter(|name| !governance.schedules.contains_key(*name)) {
            warn!(schedule = %name, "woken for a schedule that the settings don't have: a stale rule; running a routine pass");
        }
        let organisation = self.members.of(&in_force.membership);
        let work: Vec<Work> = organisation
            .members()
            .iter()
            .map(|one| Work {
                schedule: schedule.cloned(),
                member: one.member.clone(),
                page: None,
            })
            .collect();
        if let (Some(queue), true) = (&self.queue, organisation.spans_several()) {
            match queue.send(&work).await {
                Ok(()) => {
                    info!(members = work.len(), "work handed on");
                    let report = PassReport::empty(whole_second(self.clock.now()));
                    return Ok(PassReport {
                        queued: work.len(),
                        ..report
                    });
                }
                Err(error) => {
                    warn!(%error, hint = error.hint(), "work can't be handed on: doing as much as there is time for");
                }
            }
        }
        self.everywhere(governance, &organisation, &work, deadline)
            .await
    }

    /// The passes of all members in one invocation. One that fails is reported; if every one fails, so does the wake-up.
    async fn everywhere(
        &self,
        governance: &Governance,
        organisation: &Organisation,
        work: &[Work],
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let passes = organisation.members().iter().zip(work).map(|(one, work)| {
            let span = info_span!("member", member = %one.member);
            self.pages(governance, organisation, one, work, deadline)
                .instrument(span)
        });
        let mut total = PassReport::empty(whole_second(self.clock.now()));
        let mut failures = Vec::new();
        for outcome in side_by_side(passes, Organisation::SIDE_BY_SIDE).await {
            match outcome {
                Ok(report) => total.add(&report),
                Err(refusal) => failures.push(refusal),
            }
        }
        total.unanswered = failures.len();
        if failures.len() == work.len() && !failures.is_empty() {
            return Err(failures.swap_remove(0));
        }
        for refusal in failures {
            error!(code = ?refusal.code, error = %refusal, "pass failed");
        }
        Ok(total)
    }

    /// Messages of the queue: those whose work failed are named, and come back; the others are done with.
    pub(crate) async fn worked(&self, messages: &[Message], call: &Call) -> Value {
        let mut failed: Vec<&str> = Vec::new();
        // A message may have come twice, and two wake-ups may mean the same work.
        let mut parts: Vec<(Work, Vec<&Message>)> = Vec::new();
        for message in messages {
            match message.work(&self.stack) {
                Some(work) => match parts.iter_mut().find(|(known, _)| *known == work) {
                    Some((_, same)) => same.push(message),
                    None => parts.push((work, vec![message])),
                },
                None => {
                    // It is tried again and ends with the dead letters, where somebody can look at it.
                    error!(
                        message = message.id,
                        "a message of the work queue is no work"
                    );
                    failed.push(&message.id);
                }
            }
        }
        let work = parts.iter().map(|(work, _)| {
            let span = info_span!("member", member = %work.member);
            in_time(
                call,
                Box::pin(self.work(work, call.deadline()).instrument(span)),
            )
        });
        let outcomes = side_by_side(work, Organisation::SIDE_BY_SIDE).await;
        for ((work, same), outcome) in parts.iter().zip(outcomes) {
            if let Err(refusal) = outcome {
                let receipts = same.iter().map(|message| message.receives).max();
                error!(member = %work.member, code = ?refusal.code, error = %refusal, receipts, "pass failed");
                failed.extend(same.iter().map(|message| message.id.as_str()));
            }
        }
        let failures: Vec<Value> = failed
            .into_iter()
            .map(|id| json!({ "itemIdentifier": id }))
            .collect();
        json!({ "batchItemFailures": failures })
    }

    /// A pass over one account and region.
    pub(crate) async fn work(
        &self,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let in_force = self
            .settings
            .current(&self.clock, work.schedule.as_ref())
            .await?;
        let organisation = self.members.of(&in_force.membership);
        let Some(one) = organisation.member(&work.member) else {
            warn!(member = %work.member, "the settings don't have this member any more: nothing is done there");
            return Ok(PassReport::empty(whole_second(self.clock.now())));
        };
        self.pages(&in_force.governance, &organisation, one, work, deadline)
            .await
    }

    /// Page by page, as far as time goes; the rest is handed on.
    async fn pages(
        &self,
        governance: &Governance,
        organisation: &Organisation,
        one: &MemberFleet,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let mut report = PassReport::empty(whole_second(self.clock.now()));
        let mut page = work.page.as_deref().map(PageToken::new);
        let mut tokens = PageTokens::new("ec2:DescribeInstances");
        if let Some(token) = &work.page {
            tokens = tokens.from_page(token);
        }
        let mut begun_again = false;
        loop {
            let schedule = work.schedule.as_ref();
            let pass = pass_page(
                one.fleet(),
                governance,
                schedule,
                page.as_ref(),
                &self.clock,
                deadline,
            );
            let (pass, next) = match pass.await {
                Err(error) if page.is_some() && !begun_again && is_stale(&error) => {
                    // What is done already costs a look.
                    info!(member = %one.member, "a page's token is not good any more: beginning again");
                    begun_again = true;
                    tokens = PageTokens::new("ec2:DescribeInstances");
                    page = None;
                    continue;
                }
                outcome => outcome.map_err(|error| organisation.failed(one, error))?,
            };
            report.add(&PassReport::of(&pass));
            let rest = match (pass.is_unfinished(), next) {
                (false, None) => return Ok(report),
                (false, next) if !deadline.has_passed() => {
                    let named = tokens.follow(next.map(String::from));
                    let named = named.map_err(|error| organisation.failed(one, error))?;
                    page = named.map(PageToken::new);
                    continue;
                }
                (false, next) => next,
                // Nothing was done with all of the time: another message would fare no better. This one comes back later.
                (true, _) if pass.did_nothing() => return Err(out_of_time()),
                (true, _) => page,
            };
            self.hand_on(Work {
                page: rest.map(String::from),
                ..work.clone()
            })
            .await?;
            report.queued += 1;
            return Ok(report);
        }
    }

    async fn hand_on(&self, rest: Work) -> Result<(), Refusal> {
        let Some(queue) = &self.queue else {
            warn!(member = %rest.member, "time ran out, and there is no queue for the rest: the next pass goes on");
            return Ok(());
        };
        queue.send(&[rest]).await?;
        Ok(())
    }
}

fn out_of_time() -> Refusal {
    Refusal::new(
        Code::OutOfTime,
        "time ran out before anything was done",
        "the next pass goes on; look for throttling by EC2 in the function's log",
    )
}

/// EC2 forgets where a page was, in time.
fn is_stale(error: &CloudError) -> bool {
    matches!(
        error.code.as_deref(),
        Some("InvalidNextToken" | "InvalidPaginationToken" | "InvalidParameterValue")
    )
}
