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
        story.tell("11:59:01", &[], None);
        story.look("12:00:00", &instance(InstanceState::Running, START));
        story
    }

    fn see(&mut self, seen: InstanceObservation, now: &str) {
        let records = self.tracker.apply(seen, at(now));
        let transitions = records.into_iter().filter_map(|record| record.transition);
        self.written.extend(transitions);
        self.finished.extend(self.tracker.take_finished());
    }

    fn look(&mut self, now: &str, instance: &Instance) {
        let account_region = AccountRegion {
            account: None,
            region: Region::new("eu-west-3"),
        };
        let look = RegionObservation {
            account_region,
            begun: at(now),
            instances: vec![instance.clone()],
        };
        self.see(InstanceObservation::Fleet(vec![look]), now);
    }

    /// Delivers events, each a state and its time, which empty the queue.
    fn tell(&mut self, now: &str, events: &[(&str, &str)], instance: Option<&Instance>) {
        let told = EventBatch {
            events: events
                .iter()
                .map(|(state, time)| event(state, time))
                .collect(),
            instances: instance.into_iter().cloned().collect(),
            drained: true,
            ..EventBatch::default()
        };
        self.see(InstanceObservation::Events(told), now);
    }

    /// Returns the records as `running→stopped 19:00:01 schedule office (event)`, a line each.
    fn told(&self) -> String {
        let line = |t: &Transition| {
            let time = t.at.strftime("%H:%M:%S");
            format!("{}→{} {time} {} ({})", t.from, t.to, t.cause, t.source)
        };
        self.written.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn event(state: &str, time: &str) -> StateChangeEvent {
    StateChangeEvent {
        id: format!("{state} {time}"),
        instance: ID.parse().unwrap(),
        state: state.parse().unwrap(),
        at: at(time),
        account: AccountId::new("123456789012"),
        region: Region::new("eu-west-3"),
    }
}

#[test]
fn without_events_a_look_is_what_tells() {
    let mut story = Story::begin(false);
    story.look("19:00:10", &instance(InstanceState::Stopping, STOP));
    story.look("19:00:20", &instance(InstanceState::Stopped, STOP));
    assert_eq!(
        story.told(),
        "running→stopping 19:00:10 schedule office (poll)\nstopping→stopped 19:00:20 schedule office (poll)"
    );
}

#[test]
fn a_change_that_nothing_explains_is_looked_at_twice() {
    let mut story = Story::begin(false);
    story.look("19:00:01", &instance(InstanceState::Stopping, START));
    assert_eq!(story.told(), "", "its tag may not be written yet");
    assert!(story.tracker.is_busy());
    story.look("19:00:02", &instance(InstanceState::Stopping, STOP));
    assert_eq!(
        story.told(),
        "running→stopping 19:00:01 schedule office (poll)"
    );

    let mut story = Story::begin(false);
    story.look("19:00:01", &instance(InstanceState::Stopping, START));
    story.look("19:00:04", &instance(InstanceState::Stopping, START));
    assert_eq!(story.told(), "running→stopping 19:00:01 external (poll)");
}

#[test]
fn events_are_taken_in_their_order_and_once() {
    let mut story = Story::begin(true);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.tell(
        "19:00:40",
        &[("stopped", "19:00:31"), ("stopping", "19:00:01")],
        Some(&stopped),
    );
    let told = "running→stopping 19:00:01 schedule office (event)\nstopping→stopped 19:00:31 schedule office (event)";
    assert_eq!(story.told(), told);
    story.tell("19:00:50", &[("stopping", "19:00:01")], Some(&stopped));
    story.tell("19:00:51", &[("stopped", "19:00:31")], Some(&stopped));
    story.look("19:01:00", &stopped);
    assert_eq!(story.told(), told);
    assert_eq!(story.finished, ["stopping 19:00:01", "stopped 19:00:31"]);
    assert!(!story.tracker.is_busy());
}

#[test]
fn an_event_that_comes_too_early_waits_for_the_one_before() {
    let mut story = Story::begin(true);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.tell("19:00:32", &[("stopped", "19:00:31")], Some(&stopped));
    assert_eq!(story.told(), "");
    story.tell("19:00:33", &[("stopping", "19:00:01")], Some(&stopped));
    assert_eq!(
        story.told(),
        "running→stopping 19:00:01 schedule office (event)\nstopping→stopped 19:00:31 schedule office (event)"
    );
}

#[test]
fn a_look_that_is_first_waits_for_the_events() {
    let mut story = Story::begin(true);
    story.tell("18:59:59", &[], None);
    let stopping = instance(InstanceState::Stopping, STOP);
    story.look("19:00:01", &stopping);
    story.tell("19:00:03", &[], None);
    story.look("19:00:04", &stopping);
    assert_eq!(story.told(), "", "they may be on their way");
    story.tell("19:00:05", &[("stopping", "19:00:00")], Some(&stopping));
    story.look("19:00:10", &stopping);
    assert_eq!(
        story.told(),
        "running→stopping 19:00:00 schedule office (event)"
    );
}

#[test]
fn an_event_that_is_lost_is_made_up_for_by_the_looks_and_too_late_when_it_comes() {
    let mut story = Story::begin(true);
    story.tell("18:59:59", &[], None);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.look("19:00:40", &stopped);
    story.tell("19:00:46", &[], None);
    story.look("19:00:50", &stopped);
    assert_eq!(
        story.told(),
        "running→stopped 19:00:50 schedule office (poll)"
    );
    story.tell(
        "19:01:00",
        &[("stopping", "19:00:01"), ("stopped", "19:00:31")],
        Some(&stopped),
    );
    story.look("19:01:10", &stopped);
    assert_eq!(story.written.len(), 1, "{}", story.told());
    assert_eq!(story.finished.len(), 2);
}

#[test]
fn a_gap_in_the_events_is_closed_by_what_there_is() {
    let mut story = Story::begin(true);
    let stopped = instance(InstanceState::Stopped, STOP);
    story.tell("19:00:32", &[("stopped", "19:00:31")], Some(&stopped));
    story.look("19:00:33", &stopped);
    story.tell("19:00:40", &[], None);
    story.look("19:00:41", &stopped);
    assert_eq!(
        story.told(),
        "running→stopped 19:00:31 schedule office (event)"
    );
    assert!(!story.tracker.is_busy());
}

#[test]
fn a_stop_and_start_that_no_look_saw_are_inferred_from_the_launch_time() {
    let mut story = Story::begin(false);
    let mut again = instance(InstanceState::Running, START);
    again.launched_at = Some(at("12:30:00"));
    story.look("13:00:00", &again);
    story.look("13:00:10", &again);
    assert_eq!(
        story.told(),
        "running→stopped 12:30:00 external (inferred)\nstopped→running 12:30:00 external (poll)"
    );
}

#[test]
fn a_run_that_no_look_saw_is_inferred_from_the_launch_time() {
    let mut story = Story::begin(false);
    story.look("19:00:10", &instance(InstanceState::Stopped, STOP));
    let mut again = instance(InstanceState::Stopped, STOP);
    again.launched_at = Some(at("20:00:00"));
    again.transition_reason = Some("User initiated (2026-11-23 20:30:00 GMT)".into());
    story.look("21:00:00", &again);
    story.look("21:00:10", &again);
    let told = story.told();
    let lines: Vec<&str> = told.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "stopped→running 20:00:00 external (inferred)",
            "running→stopped 20:30:00 external (poll)"
        ]
    );
}

#[test]
fn events_that_waited_for_days_tell_all_of_it_and_the_looks_wait_for_them() {
    let mut story = Story::begin(true);
    // As after a restart: the queue has not been emptied yet.
    story.tracker.event_stream = EventStream::of_queue(true, at("20:00:00"));
    let mut now = instance(
        InstanceState::Running,
        "2026-11-23T19:30:00Z start request by alice",
    );
    now.launched_at = Some(at("19:30:00"));
    story.look("20:00:01", &now);
    assert_eq!(story.told(), "");
    let events = [
        ("stopping", "19:00:01"),
        ("stopped", "19:00:31"),
        ("pending", "19:30:00"),
        ("running", "19:30:08"),
    ];
    story.tell("20:00:02", &events, Some(&now));
    story.tell("20:00:06", &[], Some(&now));
    story.look("20:00:12", &now);
    assert_eq!(
        story.told(),
        "running→stopping 19:00:01 external (event)\nstopping→stopped 19:00:31 external (event)\n\
         stopped→pending 19:30:00 request by alice (event)\npending→running 19:30:08 request by alice (event)"
    );
}

#[test]
fn a_queue_that_never_tells_keeps_nothing_back() {
    let mut story = Story::begin(false);
    story.tracker.home = Some(Region::new("eu-west-3"));
    story.tracker.event_stream = EventStream::of_queue(false, at("12:00:00"));
    story.look("12:00:00", &instance(InstanceState::Stopped, STOP));
    assert_eq!(story.told(), "", "it has not answered yet");
    story.tell("12:00:01", &[], None);
    story.look("12:00:02", &instance(InstanceState::Stopped, STOP));
    assert_eq!(story.written.len(), 1);
}

#[test]
fn an_instance_that_two_looks_miss_is_gone_and_one_that_ends_by_event_is_gone_at_once() {
    let nobody = |story: &mut Story, now: &str| {
        let account_region = AccountRegion {
            account: None,
            region: Region::new("eu-west-3"),
        };
        let look = RegionObservation {
            account_region,
            begun: at(now),
            instances: Vec::new(),
        };
        story.see(InstanceObservation::Fleet(vec![look]), now);
    };
    let mut story = Story::begin(false);
    nobody(&mut story, "12:00:10");
    assert_eq!(story.told(), "");
    nobody(&mut story, "12:00:20");
    assert_eq!(story.told(), "running→terminated 12:00:10 external (poll)");

    let mut story = Story::begin(true);
    let ended = instance(InstanceState::Terminated, START);
    let events = [("shutting-down", "12:10:00"), ("terminated", "12:10:30")];
    story.tell("12:10:31", &events, Some(&ended));
    nobody(&mut story, "12:10:40");
    nobody(&mut story, "12:10:50");
    assert_eq!(
        story.told(),
        "running→shutting-down 12:10:00 external (event)\nshutting-down→terminated 12:10:30 external (event)"
    );
}

#[test]
fn whom_cloudtrail_names_stands_beside_the_change_whichever_comes_first() {
    let call = CloudTrailCall {
        id: "c0ffee".into(),
        instances: [ID.parse().unwrap()].into(),
        to: &[InstanceState::Stopping, InstanceState::Stopped],
        at: at("12:30:00"),
        by: "arn:aws:iam::123456789012:user/alice".into(),
    };
    let mut story = Story::begin(true);
    let told = EventBatch {
        calls: vec![call],
        drained: true,
        ..EventBatch::default()
    };
    story.see(InstanceObservation::Events(told), "12:30:01");
    assert_eq!(
        story.tracker.take_attributions().len(),
        1,
        "the journal may have it already"
    );
    let stopping = instance(InstanceState::Stopping, START);
    story.tell("12:30:02", &[("stopping", "12:30:01")], Some(&stopping));
    story.look("12:30:06", &stopping);
    assert_eq!(
        story.written[0].actor.as_deref(),
        Some("arn:aws:iam::123456789012:user/alice")
    );
    assert_eq!(story.finished, ["c0ffee"]);
}

#[test]
fn what_cannot_be_looked_at_is_written_all_the_same() {
    let mut story = Story::begin(true);
    story.tell("12:30:02", &[("stopping", "12:30:01")], None);
    assert_eq!(story.told(), "");
    story.tell("12:31:02", &[], None);
    assert_eq!(story.told(), "running→stopping 12:30:01 external (event)");
}

#[test]
fn what_events_told_and_nothing_explains_comes_again_after_the_end() {
    let mut story = Story::begin(true);
    let stopping = instance(InstanceState::Stopping, START);
    story.tell("12:30:02", &[("stopping", "12:30:01")], Some(&stopping));
    assert_eq!(story.tracker.flush_all(), []);
    assert_eq!(story.finished, [""; 0], "its message is not deleted");
}
