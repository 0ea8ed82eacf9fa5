//! Work that is handed on: a message for each account and region, and one for what is left when the time is up. AWS runs as many
//! invocations as there is work, so that time stays flat as an organisation grows.
//!
//! The queue is FIFO and the account-region is the group: no two passes that triggers made happen run side by side over one
//! account-region. The minute of the trigger is what messages are deduplicated by: triggers that meet are one pass.
//!
//! A message carries no decision, like any trigger: delivered twice, late or after a change of the configuration, it makes a pass that
//! finds what it finds.

use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::cloud::Cloud;
use curfew_aws::error::CloudError;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::{PageToken, Scope};
use curfew_aws::join_bounded::join_bounded;
use curfew_aws::organisation::{AccountRegionFailure, AccountRegionFleet, Organisation};
use curfew_aws::pages::PageTokens;
use curfew_aws::pass::{PassTrigger, pass, pass_page};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::whole_second;
use curfew_core::timetable::{fired_for, minute_of};
use curfew_core::work::Work;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span, warn};

use crate::answer::PassReport;
use crate::app::App;
use crate::configuration;
use crate::event::{Invocation, Trigger};
use crate::invocation_context::{Call, in_time};
use crate::message::Message;
use crate::refusal::{Code, Refusal};

impl App {
    /// A trigger for everything: a message for each account and region, and no call of EC2. Without a queue, or if it can't be sent to, the
    /// passes are made here.
    pub(crate) async fn wake(
        &self,
        trigger: &Trigger,
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let in_force = self
            .configuration
            .current(&self.clock, configuration::FRESH_FOR_WORK)
            .await?;
        let at = self.minute(trigger, &in_force.schedule_set);
        let organisation = self.account_regions.of(&in_force.targets);
        let account_regions = organisation.account_regions().iter();
        let work: Vec<Work> = account_regions
            .map(|one| Work::over(one.account_region.clone(), at))
            .collect();
        if let Some(queue) = &self.queue {
            match queue.send(&work).await {
                Ok(()) => {
                    info!(account_regions = work.len(), %at, "work handed on");
                    return Ok(PassReport {
                        queued: work.len(),
                        ..PassReport::empty(whole_second(self.clock.now()))
                    });
                }
                Err(error) => {
                    warn!(%error, hint = error.hint(), "work can't be handed on: doing as much as there is time for");
                }
            }
        }
        self.everywhere(&in_force.schedule_set, &organisation, &work, deadline)
            .await
    }

    /// The minute that a trigger is for.
    fn minute(&self, trigger: &Trigger, schedule_set: &ScheduleSet) -> Timestamp {
        let now = self.clock.now();
        let early = self.early();
        let named = match trigger {
            Trigger::Edges(cron) => fired_for(cron, now, early),
            Trigger::Event(at) => Some(minute_of(*at)),
            Trigger::Schedule(name) => {
                let schedule = schedule_set.schedules.get(name);
                let next = schedule.and_then(|schedule| schedule.timetable.next_edge(now));
                next.map(|edge| minute_of(edge.at))
            }
            Trigger::Now => None,
        };
        let latest = now.checked_add(early).unwrap_or(now);
        named
            .filter(|at| *at <= latest)
            .unwrap_or_else(|| minute_of(now))
    }

    /// How long before the minute that it is for a trigger may arrive and count for it. AWS's rules never fire early: there it is how
    /// far this machine's clock may be behind. LocalStack's fire up to a minute early.
    fn early(&self) -> SignedDuration {
        match self.cloud {
            Cloud::Aws => SignedDuration::from_secs(5),
            Cloud::Emulator | Cloud::ThisMachine => SignedDuration::from_secs(60),
        }
    }

    /// The passes of all members in one invocation. One that fails is reported; if every one fails, so does the trigger.
    async fn everywhere(
        &self,
        schedule_set: &ScheduleSet,
        organisation: &Organisation,
        work: &[Work],
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let passes = organisation
            .account_regions()
            .iter()
            .zip(work)
            .map(|(one, work)| {
                let span = info_span!("account_region", account_region = %one.account_region);
                let pass = self.pages(schedule_set, organisation, one, work, deadline);
                answered(organisation, one, deadline, pass).instrument(span)
            });
        let mut total = PassReport::empty(whole_second(self.clock.now()));
        for outcome in join_bounded(passes, Organisation::SIDE_BY_SIDE).await {
            match outcome {
                Ok(report) => total.add(&report),
                Err(refusal) => {
                    error!(code = ?refusal.code, error = %refusal, "pass failed");
                    total.unanswered.push(refusal);
                }
            }
        }
        if total.unanswered.len() == work.len()
            && let Some(none) = Refusal::of_all(&total.unanswered)
        {
            return Err(none);
        }
        Ok(total)
    }

    /// Messages of the queue: one at a time, as the template has it. Each is done with once this returns, whatever came of it: the next
    /// trigger tries again. Only a message whose invocation crashes or runs out of its time is delivered again.
    pub(crate) async fn worked(&self, messages: &[Message], call: &Call) -> PassReport {
        let mut total = PassReport::empty(whole_second(self.clock.now()));
        for message in messages {
            let Some(work) = Invocation::work_of(message) else {
                error!(
                    message = message.id,
                    "a message of the work queue is no work"
                );
                continue;
            };
            let span = info_span!("account_region", account_region = %work.account_region);
            let pass = self.work(&work, call.deadline()).instrument(span);
            match in_time(call, Box::pin(pass)).await {
                Ok(report) => total.add(&report),
                Err(refusal) => {
                    let receipts = message.receives;
                    error!(account_region = %work.account_region, code = ?refusal.code, error = %refusal, receipts, "pass failed");
                    total.unanswered.push(refusal);
                }
            }
        }
        total
    }

    /// A pass over one account and region.
    pub(crate) async fn work(
        &self,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let in_force = self
            .configuration
            .current(&self.clock, configuration::FRESH_FOR_WORK)
            .await?;
        let organisation = self.account_regions.of(&in_force.targets);
        let Some(one) = organisation.account_region(&work.account_region) else {
            warn!(account_region = %work.account_region, "the configuration doesn't have this member any more: nothing is done there");
            return Ok(PassReport::empty(whole_second(self.clock.now())));
        };
        let pass = self.pages(&in_force.schedule_set, &organisation, one, work, deadline);
        answered(&organisation, one, deadline, pass).await
    }

    /// The clock that a pass decides by: not earlier than the minute that its trigger is for.
    fn clock_for(&self, work: &Work) -> Clock {
        let now = self.clock.now();
        let latest = now.checked_add(self.early()).unwrap_or(now);
        match work.at.filter(|at| *at <= latest) {
            Some(at) => self.clock.no_earlier_than(at),
            None => self.clock.clone(),
        }
    }

    /// Page by page, as far as time goes; the rest is handed on.
    async fn pages(
        &self,
        schedule_set: &ScheduleSet,
        organisation: &Organisation,
        one: &AccountRegionFleet,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        let clock = self.clock_for(work);
        if let Some(instance) = &work.instance {
            let trigger = PassTrigger {
                scope: Scope::Only([instance.clone()].into()),
                ..PassTrigger::ROUTINE
            };
            let pass = pass(one.fleet(), schedule_set, trigger, &clock, deadline).await;
            let pass = pass.map_err(|error| organisation.failed(one, error))?;
            return Ok(PassReport::of(&pass));
        }
        let mut report = PassReport::empty(whole_second(clock.now()));
        let mut page = work.page.as_deref().map(PageToken::new);
        let mut tokens = PageTokens::new("ec2:DescribeInstances");
        if let Some(token) = &work.page {
            tokens = tokens.from_page(token);
        }
        let mut begun_again = false;
        loop {
            let pass = pass_page(
                one.fleet(),
                schedule_set,
                None,
                page.as_ref(),
                &clock,
                deadline,
            );
            let (pass, next) = match pass.await {
                Err(error) if page.is_some() && !begun_again && is_stale(&error) => {
                    // What is done already costs a look.
                    info!(account_region = %one.account_region, "a page's token is not good any more: beginning again");
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
                // Nothing was done with all of the time, while EC2's pace allows of more: another message goes on, unless the next
                // trigger has one of its own by now.
                (true, _) if pass.did_nothing() && !self.is_recent(work) => {
                    return Err(out_of_time());
                }
                (true, _) => page,
            };
            let rest = Work {
                page: rest.map(String::from),
                part: work.part + 1,
                ..work.clone()
            };
            report.queued += self.hand_on(rest).await?;
            return Ok(report);
        }
    }

    /// Whether the work's trigger is so recent that no other has followed it.
    fn is_recent(&self, work: &Work) -> bool {
        /// The heartbeat's usual interval. Longer would let messages that come to nothing live beside the next trigger's; shorter
        /// would leave a large account-region waiting for that.
        const CONTINUED_FOR: SignedDuration = SignedDuration::from_mins(5);
        let now = self.clock.now();
        let age = work.at.map(|at| now.duration_since(at));
        age.is_some_and(|age| age < CONTINUED_FOR)
    }

    /// Hands on what is left; how many messages that took.
    async fn hand_on(&self, rest: Work) -> Result<usize, Refusal> {
        let Some(queue) = &self.queue else {
            warn!(account_region = %rest.account_region, "time ran out, and there is no queue for the rest: the next pass goes on");
            return Ok(0);
        };
        queue.send(&[rest]).await?;
        Ok(1)
    }

    /// A pass over the one instance whose change of state `event` tells of, in its turn among the passes over its account and region.
    pub(crate) async fn undo(
        &self,
        event: &str,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, Refusal> {
        if let Some(queue) = &self.queue {
            match queue.send_for(event, work).await {
                Ok(()) => {
                    return Ok(PassReport {
                        queued: 1,
                        ..PassReport::empty(whole_second(self.clock.now()))
                    });
                }
                Err(error) => {
                    warn!(%error, hint = error.hint(), "work can't be handed on: doing it here");
                }
            }
        }
        self.work(work, deadline).await
    }
}

/// What a member answers, by the end of the time: one that never does takes nothing from the others.
async fn answered(
    organisation: &Organisation,
    one: &AccountRegionFleet,
    deadline: Deadline,
    pass: impl Future<Output = Result<PassReport, Refusal>>,
) -> Result<PassReport, Refusal> {
    /// Enough for an answer that names who is missing.
    const FAREWELL: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    let Some(end) = deadline.end().and_then(|end| end.checked_sub(FAREWELL)) else {
        return pass.await;
    };
    match tokio::time::timeout_at(end, pass).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let after = begun.elapsed();
            Err(organisation
                .failed(one, AccountRegionFailure::NoAnswer { after })
                .into())
        }
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
