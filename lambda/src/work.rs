//! Runs the passes that triggers request. A trigger enqueues one message for each account-region; a pass that runs out of time enqueues
//! another one for the rest. AWS runs the invocations concurrently, so the duration hardly grows with the number of account-regions.
//!
//! The queue is FIFO, and the account-region is the message group: passes over one account-region never run concurrently. Messages
//! are deduplicated by the trigger's minute, so the triggers of one minute cause one pass.
//!
//! Like any trigger, a message carries no decision: even if it arrives twice, late, or after the configuration changed, its pass decides
//! from the current state.

use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::CloudError;
use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::fleet::{PageToken, Scope};
use curfew_aws::join_bounded::join_bounded;
use curfew_aws::organisation::{AccountRegionFailure, AccountRegionFleet, Organisation};
use curfew_aws::pages::PageTokens;
use curfew_aws::pass::Pass;
use curfew_core::error_code::ErrorCode;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::state_tags::whole_second;
use curfew_core::timetable::{fired_for, minute_of};
use curfew_core::work::Work;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span, warn};

use crate::api_error::ApiError;
use crate::app::App;
use crate::configuration_cache;
use crate::event::{Invocation, Trigger};
use crate::invocation_context::{InvocationContext, before_deadline};
use crate::message::QueueMessage;
use crate::responses::PassReport;

impl App {
    /// Enqueues one message for each account-region, without a call to EC2. Runs the passes in this invocation if the stack has no
    /// queue or sending fails.
    pub(crate) async fn handle_trigger(
        &self,
        trigger: &Trigger,
        deadline: Deadline,
    ) -> Result<PassReport, ApiError> {
        let configuration = self
            .configuration
            .current(&self.clock, configuration_cache::MAX_AGE_FOR_PASSES)
            .await?;
        let at = self.trigger_minute(trigger, &configuration.schedule_set);
        let organisation = self.organisations.of(&configuration.targets);
        let account_regions = organisation.account_regions().iter();
        let work: Vec<Work> = account_regions
            .map(|region_fleet| Work::over(region_fleet.account_region.clone(), at))
            .collect();
        if let Some(queue) = &self.queue {
            match queue.send(&work).await {
                Ok(()) => {
                    info!(account_regions = work.len(), %at, "work enqueued");
                    return Ok(PassReport {
                        queued: work.len(),
                        ..PassReport::empty(whole_second(self.clock.now()))
                    });
                }
                Err(error) => {
                    warn!(%error, hint = error.hint(), "work could not be enqueued; running the passes in this invocation");
                }
            }
        }
        self.run_all(&configuration.schedule_set, &organisation, &work, deadline)
            .await
    }

    /// Returns the minute that a trigger is for; the current one if the trigger names none or names a future one.
    fn trigger_minute(&self, trigger: &Trigger, schedule_set: &ScheduleSet) -> Timestamp {
        let now = self.clock.now();
        let early = self.early_tolerance();
        let minute = match trigger {
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
        minute
            .filter(|minute| *minute <= latest)
            .unwrap_or_else(|| minute_of(now))
    }

    /// How long before its minute a trigger may arrive. AWS's rules never fire early: five seconds allow for a slow local clock.
    /// LocalStack's rules fire up to a minute early.
    fn early_tolerance(&self) -> SignedDuration {
        match self.cloud {
            EndpointKind::Aws => SignedDuration::from_secs(5),
            EndpointKind::Emulator | EndpointKind::LocalEmulator => SignedDuration::from_secs(60),
        }
    }

    /// Runs the passes of all account-regions in this invocation. The report lists failed passes; if all fail, returns their error.
    async fn run_all(
        &self,
        schedule_set: &ScheduleSet,
        organisation: &Organisation,
        work: &[Work],
        deadline: Deadline,
    ) -> Result<PassReport, ApiError> {
        let passes = organisation
            .account_regions()
            .iter()
            .zip(work)
            .map(|(region_fleet, work)| {
                let span =
                    info_span!("account_region", account_region = %region_fleet.account_region);
                let pass = self.run_pages(schedule_set, organisation, region_fleet, work, deadline);
                run_until_deadline(organisation, region_fleet, deadline, pass).instrument(span)
            });
        let mut total = PassReport::empty(whole_second(self.clock.now()));
        for outcome in join_bounded(passes, Organisation::MAX_IN_FLIGHT).await {
            match outcome {
                Ok(report) => total.add(&report),
                Err(api_error) => {
                    error!(code = ?api_error.code, error = %api_error, "pass failed");
                    total.errors.push(api_error);
                }
            }
        }
        if total.errors.len() == work.len()
            && let Some(error) = ApiError::combine(&total.errors)
        {
            return Err(error);
        }
        Ok(total)
    }

    /// Runs the passes of messages of the queue; the template delivers one at a time. A message is deleted even if its pass fails,
    /// because the next trigger retries. A message is delivered again only if its invocation crashes or times out.
    pub(crate) async fn process_messages(
        &self,
        messages: &[QueueMessage],
        context: &InvocationContext,
    ) -> PassReport {
        let mut total = PassReport::empty(whole_second(self.clock.now()));
        for message in messages {
            let Some(work) = Invocation::work_of(message) else {
                error!(message = message.id, "unrecognised work-queue message");
                continue;
            };
            let span = info_span!("account_region", account_region = %work.account_region);
            let pass = self.run_work(&work, context.deadline()).instrument(span);
            match before_deadline(context, Box::pin(pass)).await {
                Ok(report) => total.add(&report),
                Err(api_error) => {
                    let receives = message.receives;
                    error!(account_region = %work.account_region, code = ?api_error.code, error = %api_error, receives, "pass failed");
                    total.errors.push(api_error);
                }
            }
        }
        total
    }

    /// Runs a pass over one account-region. Does nothing if the configuration no longer contains it.
    pub(crate) async fn run_work(
        &self,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, ApiError> {
        let configuration = self
            .configuration
            .current(&self.clock, configuration_cache::MAX_AGE_FOR_PASSES)
            .await?;
        let organisation = self.organisations.of(&configuration.targets);
        let Some(region_fleet) = organisation.account_region(&work.account_region) else {
            warn!(account_region = %work.account_region, "account-region is no longer configured; skipping the pass");
            return Ok(PassReport::empty(whole_second(self.clock.now())));
        };
        let pass = self.run_pages(
            &configuration.schedule_set,
            &organisation,
            region_fleet,
            work,
            deadline,
        );
        run_until_deadline(&organisation, region_fleet, deadline, pass).await
    }

    /// Returns the clock for a pass, which is never earlier than the minute that its trigger is for.
    fn clock_for(&self, work: &Work) -> Clock {
        let now = self.clock.now();
        let latest = now.checked_add(self.early_tolerance()).unwrap_or(now);
        match work.at.filter(|at| *at <= latest) {
            Some(at) => self.clock.no_earlier_than(at),
            None => self.clock.clone(),
        }
    }

    /// Runs a pass page by page until the deadline, and enqueues a message for the remaining pages.
    async fn run_pages(
        &self,
        schedule_set: &ScheduleSet,
        organisation: &Organisation,
        region_fleet: &AccountRegionFleet,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, ApiError> {
        let clock = self.clock_for(work);
        let basis = Basis::new(schedule_set, &clock);
        if let Some(instance) = &work.instance {
            let scope = Scope::Only([instance.clone()].into());
            let pass = Pass::run(region_fleet.fleet(), &scope, basis, deadline).await;
            let pass = pass.map_err(|error| organisation.failed(region_fleet, error))?;
            return Ok(PassReport::of(&pass));
        }
        let mut report = PassReport::empty(whole_second(clock.now()));
        let mut page = work.page.as_deref().map(PageToken::new);
        let mut tokens = PageTokens::new("ec2:DescribeInstances");
        if let Some(token) = &work.page {
            tokens = tokens.from_page(token);
        }
        let mut restarted = false;
        loop {
            let scope = Scope::Page(page.clone());
            let mut pass = match Pass::run(region_fleet.fleet(), &scope, basis, deadline).await {
                Err(error) if page.is_some() && !restarted && is_stale_page_token(&error) => {
                    // Starting over is cheap: an instance that is up to date costs only its description.
                    info!(account_region = %region_fleet.account_region, "page token expired; restarting from the first page");
                    restarted = true;
                    tokens = PageTokens::new("ec2:DescribeInstances");
                    page = None;
                    continue;
                }
                outcome => outcome.map_err(|error| organisation.failed(region_fleet, error))?,
            };
            report.add(&PassReport::of(&pass));
            let rest = match (pass.is_unfinished(), pass.next_page.take()) {
                (false, None) => return Ok(report),
                (false, next) if !deadline.has_passed() => {
                    let token = tokens.follow(next.map(String::from));
                    let token = token.map_err(|error| organisation.failed(region_fleet, error))?;
                    page = token.map(PageToken::new);
                    continue;
                }
                (false, next) => next,
                // No step was executed. Continue only while the trigger is recent; after that, the next trigger's message covers the rest.
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
            report.queued += self.enqueue_rest(rest).await?;
            return Ok(report);
        }
    }

    /// Whether the work's trigger is so recent that no other has followed.
    fn is_recent(&self, work: &Work) -> bool {
        /// The default interval of the heartbeat. A longer period keeps sending useless messages after the next trigger; a shorter
        /// one delays the rest of a large account-region until then.
        const MAX_WORK_AGE: SignedDuration = SignedDuration::from_mins(5);
        let now = self.clock.now();
        let age = work.at.map(|at| now.duration_since(at));
        age.is_some_and(|age| age < MAX_WORK_AGE)
    }

    /// Enqueues the remaining work. Returns the number of messages sent: none without a queue.
    async fn enqueue_rest(&self, rest: Work) -> Result<usize, ApiError> {
        let Some(queue) = &self.queue else {
            warn!(account_region = %rest.account_region, "time ran out and the stack has no queue; the next pass continues");
            return Ok(0);
        };
        queue.send(&[rest]).await?;
        Ok(1)
    }

    /// Enqueues a pass over the instance whose state change `event` reports; its message group keeps it apart from other passes over the
    /// account-region. Runs the pass in this invocation if the stack has no queue or sending fails.
    pub(crate) async fn enqueue_instance_pass(
        &self,
        event: &str,
        work: &Work,
        deadline: Deadline,
    ) -> Result<PassReport, ApiError> {
        if let Some(queue) = &self.queue {
            match queue.send_for_event(event, work).await {
                Ok(()) => {
                    return Ok(PassReport {
                        queued: 1,
                        ..PassReport::empty(whole_second(self.clock.now()))
                    });
                }
                Err(error) => {
                    warn!(%error, hint = error.hint(), "work could not be enqueued; running the pass in this invocation");
                }
            }
        }
        self.run_work(work, deadline).await
    }
}

/// Runs a pass until shortly before the deadline. If it is still running then, fails with `unreachable`, so that the other
/// account-regions are reported.
async fn run_until_deadline(
    organisation: &Organisation,
    region_fleet: &AccountRegionFleet,
    deadline: Deadline,
    pass: impl Future<Output = Result<PassReport, ApiError>>,
) -> Result<PassReport, ApiError> {
    /// The time reserved for a response that names the account-region.
    const RESPONSE_RESERVE: Duration = Duration::from_millis(50);
    let started = Instant::now();
    let Some(end) = deadline
        .end()
        .and_then(|end| end.checked_sub(RESPONSE_RESERVE))
    else {
        return pass.await;
    };
    match tokio::time::timeout_at(end, pass).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let after = started.elapsed();
            Err(organisation
                .failed(region_fleet, AccountRegionFailure::NoAnswer { after })
                .into())
        }
    }
}

fn out_of_time() -> ApiError {
    ApiError::new(
        ErrorCode::OutOfTime,
        "time ran out before any step was executed",
        "the next pass continues; check the function's log for throttling by EC2",
    )
}

/// Whether EC2 no longer accepts the page token.
fn is_stale_page_token(error: &CloudError) -> bool {
    matches!(
        error.code.as_deref(),
        Some("InvalidNextToken" | "InvalidPaginationToken" | "InvalidParameterValue")
    )
}
