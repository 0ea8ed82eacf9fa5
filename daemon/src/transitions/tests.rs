//! Polls and events in every order, and the resulting stream of transitions.

use std::collections::BTreeMap;

use curfew_core::account_regions::AccountRegion;
use curfew_core::state_tags::LAST_TAG;
use curfew_core::transition::Transition;

use super::*;
use crate::test_support::{self, at};

const ID: &str = "i-0abc1234def567890";
const START: &str = "2026-11-23T07:00:00Z start schedule office";
const STOP: &str = "2026-11-23T19:00:00Z stop schedule office";

fn instance(state: InstanceState, last: &str) -> Instance {
    Instance {
        launched_at: Some(at("07:00:00")),
        ..test_support::instance(ID, state, &[("Name", "web"), (LAST_TAG, last)])
    }
}

/// A tracker, and what it has recorded so far.
struct Story {
    tracker: TransitionTracker,
    written: Vec<Transition>,
    finished: Vec<String>,
}

impl Story {
    /// `web` runs, and the queue, if there is one, has delivered events before and is empty.
    fn begin(queue: bool) -> Self {
        let schedule_set = Arc::new(ScheduleSet {
            tag: "Schedule".into(),
            schedules: BTreeMap::new(),
        });
        let mut tracker = TransitionTracker::of(HashMap::new(), schedule_set);
        if queue {
            tracker = tracker.with_events(Region::new("eu-west-3"), true, at("11:59:00"));
        }
        let mut story = Self {
            tracker,
            written: Vec::new(),
            finished: Vec::new(),
        };
        story.deliver("11:59:01", &[], None);
        story.poll("12:00:00", &instance(InstanceState::Running, START));
        story
    }

    fn apply(&mut self, observation: InstanceObservation, now: &str) {
        let records = self.tracker.apply(observation, at(now));
        let transitions = records.into_iter().filter_map(|record| record.transition);
        self.written.extend(transitions);
        self.finished.extend(self.tracker.take_finished());
    }

    fn poll(&mut self, now: &str, instance: &Instance) {
        let account_region = AccountRegion {
            account: None,
            region: Region::new("eu-west-3"),
        };
        let observation = RegionObservation {
            account_region,
            begun: at(now),
            instances: vec![instance.clone()],
        };
        self.apply(InstanceObservation::Fleet(vec![observation]), now);
    }

    /// Delivers events, each a state and its time, which empty the queue.
    fn deliver(&mut self, now: &str, events: &[(&str, &str)], instance: Option<&Instance>) {
        let batch = EventBatch {
            events: events
                .iter()
                .map(|(state, time)| event(state, time))
                .collect(),
            instances: instance.into_iter().cloned().collect(),
            drained: true,
            ..EventBatch::default()
        };
        self.apply(InstanceObservation::Events(batch), now);
    }

    /// Returns the records as `running→stopped 19:00:01 schedule office (event)`, a line each.
    fn recorded(&self) -> String {
        let line = |t: &Transition| {
            let time = t.at.strftime("%H:%M:%S");
            format!("{}→{} {time} {} ({})", t.from, t.to, t.cause, t.source)
        };
        self.written.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn event(state: &str, time: &str) -> QueuedStateChange {
    QueuedStateChange {
        id: format!("{state} {time}"),
        instance: ID.parse().unwrap(),
        state: state.parse().unwrap(),
        at: at(time),
        account: AccountId::new("123456789012"),
        region: Region::new("eu-west-3"),
    }
}

#[test]
fn without_events_a_poll_records_the_transition() {
    let mut story = Story::begin(false);
    story.poll("19:00:10", &instance(InstanceState::Stopping, STOP));
    story.poll("19:00:20", &instance(InstanceState::Stopped, STOP));
    assert_eq!(
        story.recorded(),
        "running→stopping 19:00:10 schedule office (poll)\nstopping→stopped 19:00:20 schedule office (poll)"
    );
}

#[test]
fn an_unattributed_transition_is_polled_twice() {
    let mut story = Story::begin(false);
    story.poll("19:00:01", &instance(InstanceState::Stopping, START));
    assert_eq!(story.recorded(), "", "its tag may not be written yet");
    assert!(story.tracker.is_busy());
    story.poll("19:00:02", &instance(InstanceState::Stopping, STOP));
    assert_eq!(
        story.recorded(),
        "running→stopping 19:00:01 schedule office (poll)"
    );

    let mut story = Story::begin(false);
    story.poll("19:00:01", &instance(InstanceState::Stopping, START));
    story.poll("19:00:04", &instance(InstanceState::Stopping, START));
    assert_eq!(
        story.recorded(),
        "running→stopping 19:00:01 external (poll)"
    );
}

#[test]
fn events_are_taken_in_their_order_and_once() {
    let mut story = Story::begin(true);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.deliver(
        "19:00:40",
        &[("stopped", "19:00:31"), ("stopping", "19:00:01")],
        Some(&stopped),
    );
    let recorded = "running→stopping 19:00:01 schedule office (event)\nstopping→stopped 19:00:31 schedule office (event)";
    assert_eq!(story.recorded(), recorded);
    story.deliver("19:00:50", &[("stopping", "19:00:01")], Some(&stopped));
    story.deliver("19:00:51", &[("stopped", "19:00:31")], Some(&stopped));
    story.poll("19:01:00", &stopped);
    assert_eq!(story.recorded(), recorded);
    assert_eq!(story.finished, ["stopping 19:00:01", "stopped 19:00:31"]);
    assert!(!story.tracker.is_busy());
}

#[test]
fn an_early_event_waits_for_the_one_before() {
    let mut story = Story::begin(true);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.deliver("19:00:32", &[("stopped", "19:00:31")], Some(&stopped));
    assert_eq!(story.recorded(), "");
    story.deliver("19:00:33", &[("stopping", "19:00:01")], Some(&stopped));
    assert_eq!(
        story.recorded(),
        "running→stopping 19:00:01 schedule office (event)\nstopping→stopped 19:00:31 schedule office (event)"
    );
}

#[test]
fn a_poll_that_comes_first_waits_for_the_events() {
    let mut story = Story::begin(true);
    story.deliver("18:59:59", &[], None);
    let stopping = instance(InstanceState::Stopping, STOP);
    story.poll("19:00:01", &stopping);
    story.deliver("19:00:03", &[], None);
    story.poll("19:00:04", &stopping);
    assert_eq!(story.recorded(), "", "they may be on their way");
    story.deliver("19:00:05", &[("stopping", "19:00:00")], Some(&stopping));
    story.poll("19:00:10", &stopping);
    assert_eq!(
        story.recorded(),
        "running→stopping 19:00:00 schedule office (event)"
    );
}

#[test]
fn a_lost_event_is_replaced_by_polls_and_stale_when_it_arrives() {
    let mut story = Story::begin(true);
    story.deliver("18:59:59", &[], None);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.poll("19:00:40", &stopped);
    story.deliver("19:00:46", &[], None);
    story.poll("19:00:50", &stopped);
    assert_eq!(
        story.recorded(),
        "running→stopped 19:00:50 schedule office (poll)"
    );
    story.deliver(
        "19:01:00",
        &[("stopping", "19:00:01"), ("stopped", "19:00:31")],
        Some(&stopped),
    );
    story.poll("19:01:10", &stopped);
    assert_eq!(story.written.len(), 1, "{}", story.recorded());
    assert_eq!(story.finished.len(), 2);
}

#[test]
fn a_gap_in_the_events_is_closed_by_a_poll() {
    let mut story = Story::begin(true);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.deliver("19:00:32", &[("stopped", "19:00:31")], Some(&stopped));
    story.poll("19:00:33", &stopped);
    story.deliver("19:00:40", &[], None);
    story.poll("19:00:41", &stopped);
    assert_eq!(
        story.recorded(),
        "running→stopped 19:00:31 schedule office (event)"
    );
    assert!(!story.tracker.is_busy());
}

#[test]
fn a_stop_and_start_between_polls_are_inferred_from_the_launch_time() {
    let mut story = Story::begin(false);
    let mut again = instance(InstanceState::Running, START);
    again.launched_at = Some(at("12:30:00"));
    story.poll("13:00:00", &again);
    story.poll("13:00:10", &again);
    assert_eq!(
        story.recorded(),
        "running→stopped 12:30:00 external (inferred)\nstopped→running 12:30:00 external (poll)"
    );
}

#[test]
fn a_run_between_polls_is_inferred_from_the_launch_time() {
    let mut story = Story::begin(false);
    story.poll("19:00:10", &instance(InstanceState::Stopped, STOP));
    let mut again = instance(InstanceState::Stopped, STOP);
    again.launched_at = Some(at("20:00:00"));
    again.transition_reason = Some("User initiated (2026-11-23 20:30:00 GMT)".into());
    story.poll("21:00:00", &again);
    story.poll("21:00:10", &again);
    let recorded = story.recorded();
    let lines: Vec<&str> = recorded.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "stopped→running 20:00:00 external (inferred)",
            "running→stopped 20:30:00 external (poll)"
        ]
    );
}

#[test]
fn events_that_waited_for_days_are_all_recorded_before_polls() {
    let mut story = Story::begin(true);
    // As after a restart: the queue has not been emptied yet.
    story.tracker.event_stream = EventStream::of_queue(true, at("20:00:00"));
    let mut now = instance(
        InstanceState::Running,
        "2026-11-23T19:30:00Z start request by alice",
    );
    now.launched_at = Some(at("19:30:00"));
    story.poll("20:00:01", &now);
    assert_eq!(story.recorded(), "");
    let events = [
        ("stopping", "19:00:01"),
        ("stopped", "19:00:31"),
        ("pending", "19:30:00"),
        ("running", "19:30:08"),
    ];
    story.deliver("20:00:02", &events, Some(&now));
    story.deliver("20:00:06", &[], Some(&now));
    story.poll("20:00:12", &now);
    assert_eq!(
        story.recorded(),
        "running→stopping 19:00:01 external (event)\nstopping→stopped 19:00:31 external (event)\n\
         stopped→pending 19:30:00 request by alice (event)\npending→running 19:30:08 request by alice (event)"
    );
}

#[test]
fn a_queue_that_never_delivered_delays_nothing() {
    let mut story = Story::begin(false);
    story.tracker.home = Some(Region::new("eu-west-3"));
    story.tracker.event_stream = EventStream::of_queue(false, at("12:00:00"));
    story.poll("12:00:00", &instance(InstanceState::Stopped, STOP));
    assert_eq!(story.recorded(), "", "it has not answered yet");
    story.deliver("12:00:01", &[], None);
    story.poll("12:00:02", &instance(InstanceState::Stopped, STOP));
    assert_eq!(story.written.len(), 1);
}

#[test]
fn an_instance_missing_from_two_polls_is_gone_and_one_terminated_by_event_is_gone_at_once() {
    let empty_poll = |story: &mut Story, now: &str| {
        let account_region = AccountRegion {
            account: None,
            region: Region::new("eu-west-3"),
        };
        let observation = RegionObservation {
            account_region,
            begun: at(now),
            instances: Vec::new(),
        };
        story.apply(InstanceObservation::Fleet(vec![observation]), now);
    };
    let mut story = Story::begin(false);
    empty_poll(&mut story, "12:00:10");
    assert_eq!(story.recorded(), "");
    empty_poll(&mut story, "12:00:20");
    assert_eq!(
        story.recorded(),
        "running→terminated 12:00:10 external (poll)"
    );

    let mut story = Story::begin(true);
    let ended = instance(InstanceState::Terminated, START);
    let events = [("shutting-down", "12:10:00"), ("terminated", "12:10:30")];
    story.deliver("12:10:31", &events, Some(&ended));
    empty_poll(&mut story, "12:10:40");
    empty_poll(&mut story, "12:10:50");
    assert_eq!(
        story.recorded(),
        "running→shutting-down 12:10:00 external (event)\nshutting-down→terminated 12:10:30 external (event)"
    );
}

#[test]
fn the_principal_from_cloudtrail_is_added_to_the_transition_in_either_order() {
    let call = CloudTrailCall {
        id: "c0ffee".into(),
        instances: [ID.parse().unwrap()].into(),
        to: &[InstanceState::Stopping, InstanceState::Stopped],
        at: at("12:30:00"),
        by: "arn:aws:iam::123456789012:user/alice".into(),
    };
    let mut story = Story::begin(true);
    let batch = EventBatch {
        calls: vec![call],
        drained: true,
        ..EventBatch::default()
    };
    story.apply(InstanceObservation::Events(batch), "12:30:01");
    assert_eq!(
        story.tracker.take_attributions().len(),
        1,
        "the journal may have it already"
    );
    let stopping = instance(InstanceState::Stopping, START);
    story.deliver("12:30:02", &[("stopping", "12:30:01")], Some(&stopping));
    story.poll("12:30:06", &stopping);
    assert_eq!(
        story.written[0].actor.as_deref(),
        Some("arn:aws:iam::123456789012:user/alice")
    );
    assert_eq!(story.finished, ["c0ffee"]);
}

#[test]
fn a_transition_of_an_instance_that_cannot_be_observed_is_recorded_after_a_minute() {
    let mut story = Story::begin(true);
    story.deliver("12:30:02", &[("stopping", "12:30:01")], None);
    assert_eq!(story.recorded(), "");
    story.deliver("12:31:02", &[], None);
    assert_eq!(
        story.recorded(),
        "running→stopping 12:30:01 external (event)"
    );
}

#[test]
fn an_unattributed_transition_from_events_is_delivered_again_after_a_restart() {
    let mut story = Story::begin(true);
    let stopping = instance(InstanceState::Stopping, START);
    story.deliver("12:30:02", &[("stopping", "12:30:01")], Some(&stopping));
    assert_eq!(story.tracker.flush_all(), []);
    assert_eq!(story.finished, [""; 0], "its message is not deleted");
}
