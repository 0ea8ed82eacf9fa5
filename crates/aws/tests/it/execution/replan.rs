//! Changes that people make while EC2's rate limit delays a pass are respected by its calls, and no pass runs past its plan's
//! next edge.

use std::collections::BTreeSet;
use std::time::Duration;

use curfew_aws::error::CloudErrorKind;
use curfew_aws::execute::{Basis, Deadline, StepResult};
use curfew_aws::fleet::{PageToken, Scope};
use curfew_aws::pass::Pass;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_model::{
    ApiAction, ApiCaller, ApiRequest, DescribeQuery, Durations, Ec2InstanceId, Ec2InstanceState,
    Fault, Launch, ModelResponse, RecordedCall, Symptom, Throttling,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::world::{EVENING, MORNING, World, failed, names};

impl World {
    /// Executes a request as the command line and the API do.
    async fn asked(&self, ask: RequestKind, ids: &[Ec2InstanceId]) -> Pass {
        let done = self.request(ask, ids).await;
        assert_eq!(done.failures(), 0, "{:?}", done.outcomes);
        done
    }

    /// The number of repeated observations in a pass: they go by instance ids, other reads by filters.
    fn second_looks(&self) -> usize {
        let looks = self.ec2.calls_of(ApiAction::DescribeInstances);
        looks.iter().filter(|call| !call.ids().is_empty()).count()
    }

    /// The subset that is still stopped.
    fn still_stopped(&self, ids: &[Ec2InstanceId]) -> Vec<Ec2InstanceId> {
        let stopped = |id: &&Ec2InstanceId| self.ec2.state(id) == Ec2InstanceState::Stopped;
        ids.iter().filter(stopped).cloned().collect()
    }

    /// The calls since `at` that change an instance or its tags.
    fn writes_since(&self, at: Timestamp) -> Vec<RecordedCall> {
        let writes = [
            ApiAction::StartInstances,
            ApiAction::StopInstances,
            ApiAction::CreateTags,
            ApiAction::DeleteTags,
        ];
        let calls = writes
            .into_iter()
            .flat_map(|action| self.ec2.calls_of(action));
        calls.filter(|call| call.at >= at).collect()
    }
}

fn reasons(pass: &Pass) -> Vec<&str> {
    let outcomes = pass.outcomes.iter();
    let dropped = outcomes.filter_map(|outcome| match &outcome.result {
        StepResult::Dropped { because } => Some(because.as_str()),
        _ => None,
    });
    dropped.collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_made_while_a_pass_is_rate_limited_is_respected_by_its_call() {
    let world = World::at(MORNING).await;
    world.ec2.throttle(Throttling::published());
    let ids = world.launch(1_090, Launch::stopped);
    let people = async {
        // A thousand are started at once; the others wait for three quarters of a minute.
        sleep(Duration::from_secs(20)).await;
        let waiting = world.still_stopped(&ids);
        assert_eq!(waiting.len(), 90);
        let until = world.ec2.now() + SignedDuration::from_hours(8);
        world
            .asked(RequestKind::Stop(RequestDuration::NextEdge), &waiting[..2])
            .await;
        world
            .asked(
                RequestKind::Stop(RequestDuration::Until(until)),
                &waiting[2..4],
            )
            .await;
        world
            .asked(RequestKind::Ignore { until }, &waiting[4..6])
            .await;
        world.ec2.start(&waiting[6]).unwrap();
        waiting
    };
    let (done, waiting) = tokio::join!(world.pass(), people);
    assert_eq!(
        (done.failures(), done.dropped()),
        (0, 7),
        "{:?}",
        reasons(&done)
    );
    // At most one call for each batch.
    let looks = world.second_looks();
    assert!((1..=1_090_usize.div_ceil(100)).contains(&looks), "{looks}");

    assert_eq!(world.count(&waiting[..6], Ec2InstanceState::Stopped), 6);
    for id in &waiting[..2] {
        let last = world.ec2.tag(id, "curfew:last").unwrap();
        assert!(last.contains("stop request by alice"), "{last}");
    }
    for id in &waiting {
        let last = world.ec2.tag(id, "curfew:last").unwrap();
        let is_start = last.contains("start schedule office pending");
        assert_eq!(is_start, !waiting[..7].contains(id), "{last}");
    }
    let started = 1_090 - world.count(&ids, Ec2InstanceState::Stopped);
    assert_eq!(started, 1_084);
    // Later passes don't either.
    for _ in 0..5 {
        world.ec2.advance(SignedDuration::from_mins(5));
        assert_eq!(world.pass().await.failures(), 0);
    }
    assert_eq!(world.count(&waiting[..6], Ec2InstanceState::Stopped), 6);
    assert_eq!(world.count(&ids, Ec2InstanceState::Running), 1_084);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_is_not_rate_limited_observes_once() {
    let world = World::at(EVENING).await;
    let ids = world.launch(900, |plain| plain);
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 900);
    assert_eq!(world.second_looks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_pass_observes_again_once_for_a_hundred_instances() {
    let world = World::at(EVENING).await;
    world.ec2.throttle(Throttling::published());
    let ids = world.launch(2_000, |plain| plain);
    assert_eq!(world.pass().await.failures(), 0);
    assert_eq!(world.remembered(&ids), 2_000);
    // A thousand at once, at five calls a second; the others wait.
    let looks = world.second_looks();
    assert!((10..=20).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_sent_within_five_seconds_of_its_observation() {
    let world = World::at(MORNING).await;
    world.ec2.throttle(Throttling::published());
    world.launch(1_300, Launch::stopped);
    // EC2 fails now and then, which is retried, and describes instances slowly.
    let failing = Fault::error(ApiAction::StartInstances, 503, "Unavailable");
    world.ec2.fault(failing.after(3).times(2));
    let slow = Symptom::Latency(Duration::from_secs(3));
    world
        .ec2
        .fault(Fault::on(ApiAction::DescribeInstances, slow));
    let done = world.pass().await;
    let failed = done
        .outcomes
        .iter()
        .find(|one| matches!(one.result, StepResult::Failed(_) | StepResult::OutOfTime));
    assert_eq!(done.failures(), 0, "{failed:?}");
    let mut seen: std::collections::HashMap<String, Timestamp> = std::collections::HashMap::new();
    let mut starts = 0;
    for call in world.ec2.calls() {
        if call.is(ApiAction::DescribeInstances) && call.ids().is_empty() {
            let ids = world.ec2.instances();
            seen.extend(ids.iter().map(|one| (one.id.to_string(), call.at)));
        }
        for id in call.ids() {
            if call.is(ApiAction::DescribeInstances) {
                seen.insert(id.clone(), call.at);
            } else if call.is(ApiAction::StartInstances) {
                starts += 1;
                let age = call.at.duration_since(seen[id]);
                assert!(age <= SignedDuration::from_secs(5), "{id}: {age}");
            }
        }
    }
    assert!(starts >= 1_300, "{starts}");
}

#[tokio::test(start_paused = true)]
async fn rate_limited_starts_end_at_the_stop_edge_and_the_next_pass_stops_the_started_instances() {
    let world = World::at(MORNING).await;
    world.ec2.throttle(Throttling::published());
    // The schedule stops it at 8:01.
    let ids = world.launch(1_200, |plain| plain.tag("Schedule", "dawn").stopped());
    let edge: Timestamp = "2026-11-24T07:01:00Z".parse().unwrap();
    // As by `curfew apply`: an observation, and then its steps without a deadline.
    let (schedule_set, clock) = (&world.schedule_set, world.clock());
    let basis = Basis::new(schedule_set, &clock);
    let seen = Pass::dry_run(&world.fleet, &Scope::All, basis).await;
    let mut done = seen.unwrap();
    assert_eq!(done.plan.next.map(|next| next.at), Some(edge));
    done.carry_out(&world.fleet, basis, Deadline::NONE).await;
    let left = world.count(&ids, Ec2InstanceState::Stopped);
    assert!((100..=120).contains(&left), "{left}");
    assert!(done.is_unfinished());
    let late = world.writes_since(edge);
    assert!(late.is_empty(), "{late:#?}");

    // Running instances are stopped at once, starting ones a little later.
    for _ in 0..10 {
        world.pass().await;
        world.ec2.advance(SignedDuration::from_mins(1));
    }
    assert_eq!(world.count(&ids, Ec2InstanceState::Stopped), 1_200);
    let stop = "2026-11-24T07:01:00Z stop schedule dawn";
    let last = |id: &&Ec2InstanceId| world.ec2.tag(id, "curfew:last").as_deref() == Some(stop);
    assert_eq!(ids.iter().filter(last).count(), 1_200);
}

#[tokio::test(start_paused = true)]
async fn a_step_executed_just_before_the_edge_is_not_recorded_after_it() {
    let world = World::at("2026-11-24T07:00:59Z").await;
    let ids = world.launch(10, |plain| plain.tag("Schedule", "dawn").stopped());
    // The response arrives when the schedule wants something else already.
    let slow = Symptom::Latency(Duration::from_secs(2));
    world.ec2.fault(Fault::on(ApiAction::StartInstances, slow));
    let done = world.pass().await;
    assert_eq!(world.count(&ids, Ec2InstanceState::Stopped), 0);
    assert_eq!(world.remembered(&ids), 0);
    let not_remembered = done.outcomes.iter().filter(|outcome| {
        matches!(
            &outcome.result,
            StepResult::TagsNotWritten {
                after: curfew_core::instance::InstanceState::Pending,
                error,
            } if error.kind == CloudErrorKind::NotSent
        )
    });
    assert_eq!(not_remembered.count(), 10);

    world.ec2.clear_faults();
    for _ in 0..3 {
        world.ec2.advance(SignedDuration::from_mins(1));
        world.pass().await;
    }
    assert_eq!(world.remembered(&ids), 10, "the next passes settle it");
    assert_ne!(world.count(&ids, Ec2InstanceState::Running), 10);
}

#[tokio::test(start_paused = true)]
async fn an_instance_terminated_before_the_second_observation_affects_no_other() {
    let world = World::at(MORNING).await;
    world.ec2.throttle(Throttling::published());
    let at_once = SignedDuration::from_millis(1);
    world.ec2.set_durations(Durations {
        shutting_down: at_once,
        visible: at_once,
        ..Durations::default()
    });
    let ids = world.launch(1_090, Launch::stopped);
    let meanwhile = async {
        sleep(Duration::from_secs(20)).await;
        let gone = world.still_stopped(&ids).swap_remove(0);
        world.ec2.terminate(&gone).unwrap();
        gone
    };
    let (done, gone) = tokio::join!(world.pass(), meanwhile);
    assert_eq!(
        failed(&done, CloudErrorKind::NotFound),
        names(std::slice::from_ref(&gone))
    );
    assert_eq!(done.failures(), 1);
    let others: Vec<Ec2InstanceId> = ids.into_iter().filter(|id| *id != gone).collect();
    assert_eq!(world.remembered(&others), 1_089);
}

#[tokio::test(start_paused = true)]
async fn instances_missing_from_a_response_are_retried_then_reported_and_left_to_the_next_pass() {
    for (times, repaired) in [(2, true), (3, false)] {
        let world = World::at(EVENING).await;
        let ids = world.launch(5, |plain| plain);
        let left_out: BTreeSet<Ec2InstanceId> = ids[..2].iter().cloned().collect();
        let silent = Symptom::LeavesOut(left_out);
        world
            .ec2
            .fault(Fault::on(ApiAction::StopInstances, silent).times(times));
        let done = world.pass().await;
        let calls = world.ec2.calls_of(ApiAction::StopInstances);
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[1].ids().len(), 2, "only those that were left out");
        if repaired {
            assert_eq!(done.failures(), 0);
            assert_eq!(world.remembered(&ids), 5);
            continue;
        }
        assert_eq!(failed(&done, CloudErrorKind::Service), names(&ids[..2]));
        let error = done
            .outcomes
            .iter()
            .find_map(|outcome| match &outcome.result {
                StepResult::Failed(error) => Some(error.to_string()),
                _ => None,
            });
        let error = error.unwrap();
        for id in &ids[..2] {
            assert!(error.contains(id.as_str()), "{error}");
        }
        assert_eq!(world.remembered(&ids[..2]), 0);
        world.ec2.advance(SignedDuration::from_mins(5));
        assert_eq!(world.pass().await.failures(), 0);
        assert_eq!(world.remembered(&ids), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_with_an_empty_response_does_not_count_as_done() {
    let world = World::at(EVENING).await;
    let ids = world.launch(250, |plain| plain);
    let all: BTreeSet<Ec2InstanceId> = ids.iter().cloned().collect();
    world
        .ec2
        .fault(Fault::on(ApiAction::StopInstances, Symptom::LeavesOut(all)));
    let done = world.pass().await;
    assert_eq!(failed(&done, CloudErrorKind::Service), names(&ids));
    assert_eq!(world.remembered(&ids), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_with_a_cycle_of_pages_is_an_error_and_no_endless_loop() {
    let world = World::at(EVENING).await;
    world.launch(2_500, |plain| plain);
    // The third and last page has the token of the second.
    let first = DescribeQuery {
        max_results: Some(1_000),
        ..DescribeQuery::default()
    };
    let caller = ApiCaller::new("000000000000", "eu-west-3");
    let page = world
        .ec2
        .call(&caller, ApiRequest::DescribeInstances(first));
    let Ok(ModelResponse::Instances(page)) = page else {
        panic!("{page:?}");
    };
    let second = page.next_token.unwrap();
    for page in 0..3 {
        world.ec2.clear_calls();
        let round = Fault::on(
            ApiAction::DescribeInstances,
            Symptom::NamesPage(second.clone()),
        );
        world.ec2.fault(round.after(page).times(1));
        let looked = world.fleet.observe(&Scope::All).await;
        world.ec2.clear_faults();
        if page == 0 {
            // The first page has the token of the second.
            assert_eq!(looked.unwrap().instances.len(), 2_500);
            continue;
        }
        let error = looked.unwrap_err();
        assert_eq!(error.kind, CloudErrorKind::Service);
        assert!(error.to_string().contains("named before"), "{error}");
        assert_eq!(world.calls(ApiAction::DescribeInstances), page as usize + 1);
    }

    // A pass over one page ends as well.
    let itself = Symptom::NamesPage(second.clone());
    world
        .ec2
        .fault(Fault::on(ApiAction::DescribeInstances, itself).times(1));
    let page = Scope::Page(Some(PageToken::new(second)));
    let error = world.fleet.observe(&page).await.unwrap_err();
    assert!(error.to_string().contains("named before"), "{error}");
}
