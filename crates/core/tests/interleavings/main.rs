//! Explores every interleaving of two passes, requests, console changes, EC2 and the clock, over the real `plan` and request path.
//!
//! The world is one instance with tags as EC2 has them: `CreateTags` overwrites, `DeleteTags` goes by key, and there is no
//! compare-and-set. Passes (of the Lambda, the daemon, or a request) observe, plan, call, read `curfew:last` again and write it, and
//! may die between any two of these. `shell` has these operations; `people` has the expected result of requests, and shares no code
//! with `plan`; [`Violation`] lists the forbidden results. A violation prints a shortest trace to it.
//!
//! Not explored: several instances (each is decided separately), and the gap between reading `curfew:last` again and writing it,
//! which remains without compare-and-set.
//!
//! `cargo test -p curfew-core --test interleavings` explores a small depth. The deeper one takes minutes:
//! `cargo test --release -p curfew-core --test interleavings -- --include-ignored`.

#![expect(
    clippy::print_stdout,
    reason = "the number of states, and the violations found with a rule switched off"
)]

mod machine;
mod model;
mod people;
mod search;
mod shell;
mod trace;
mod verdict;

use std::collections::BTreeMap;

use curfew_core::schedule::{Enforcement, Schedule};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::timetable::Timetable;

use crate::machine::Pace;
use crate::model::{Depth, Exploration, RequestTemplate, Scenario};
use crate::search::{Report, explore};
use crate::shell::{Rules, Shell};
use crate::verdict::Violation;

/// The edges are the start at 08:00:00 and the stop at 08:02:00. A tick is the greatest age of an observation plus the time of its
/// call, so that a directive can settle two ticks after its instant.
const AROUND_THE_START: [i32; 4] = [-8, 0, 8, 16];
const AROUND_THE_STOP: [i32; 4] = [112, 120, 128, 136];
const AROUND_BOTH: [i32; 8] = [-8, 0, 8, 16, 112, 120, 128, 136];

const RULES: Rules = Rules {
    fresh_observation: true,
    rereads_last_applied: true,
    keeps_person_tags: true,
};

const PLAIN: Scenario = Scenario {
    rules: RULES,
    instants: &AROUND_THE_START,
    templates: &[
        RequestTemplate::Start,
        RequestTemplate::Stop,
        RequestTemplate::KeepRunning,
        RequestTemplate::KeepStopped,
        RequestTemplate::Resume,
    ],
    depth: Depth {
        words: 2,
        console: 0,
        failures: 0,
        falls: 0,
    },
    enforcement: Enforcement::OncePerEdge,
    never_observed: false,
    early: false,
    pace: Pace::AtOnce,
};

/// More states than any of these explorations has: beyond it, the state contains something that never repeats.
const BOUND: usize = 20_000_000;

fn explored(scenario: Scenario) -> Report<Violation> {
    let timetable = Timetable::parse_inline("Mon-Sun 08:00-08:02 UTC").expect("a timetable");
    let mut schedule = Schedule::new("office".parse().expect("a name"), timetable);
    schedule.enforcement = scenario.enforcement;
    let schedule_set = ScheduleSet {
        tag: ScheduleSet::DEFAULT_TAG.to_owned(),
        schedules: BTreeMap::from([(schedule.name.clone(), schedule)]),
    };
    let shell = Shell::new(schedule_set, scenario.rules);
    explore(&mut Exploration::new(scenario, shell), BOUND)
}

#[track_caller]
fn holds(scenario: Scenario) {
    let report = explored(scenario);
    println!(
        "{} states, {} transitions",
        report.states, report.transitions
    );
    assert!(report.violations.is_empty(), "{report}");
}

const NOTHING: Depth = Depth {
    words: 0,
    console: 0,
    failures: 0,
    falls: 0,
};

#[test]
fn two_requests_around_a_start() {
    holds(PLAIN);
}

#[test]
fn two_requests_around_a_stop() {
    holds(Scenario {
        instants: &AROUND_THE_STOP,
        ..PLAIN
    });
}

#[test]
fn a_request_a_console_change_and_a_refused_call() {
    for (instants, failures) in [(&AROUND_THE_START, 1), (&AROUND_THE_STOP, 0)] {
        holds(Scenario {
            instants,
            depth: Depth {
                words: 1,
                console: 1,
                failures,
                ..NOTHING
            },
            ..PLAIN
        });
    }
}

#[test]
fn an_override_that_ignores_the_instance() {
    holds(Scenario {
        templates: &[RequestTemplate::KeepOff, RequestTemplate::Start],
        ..PLAIN
    });
}

#[test]
fn an_enforced_schedule() {
    for instants in [&AROUND_THE_START, &AROUND_THE_STOP] {
        holds(Scenario {
            enforcement: Enforcement::Enforced,
            instants,
            depth: Depth {
                words: 1,
                console: 1,
                ..NOTHING
            },
            ..PLAIN
        });
    }
}

#[test]
fn an_instance_that_was_never_observed() {
    for instants in [&AROUND_THE_START, &AROUND_THE_STOP] {
        holds(Scenario {
            never_observed: true,
            instants,
            depth: Depth {
                words: 1,
                console: 1,
                ..NOTHING
            },
            ..PLAIN
        });
    }
}

#[test]
fn a_rule_that_fires_before_its_edge() {
    for instants in [&AROUND_THE_START, &AROUND_THE_STOP] {
        holds(Scenario {
            early: true,
            instants,
            depth: Depth {
                words: 1,
                console: 1,
                ..NOTHING
            },
            ..PLAIN
        });
    }
}

#[test]
fn a_call_that_takes_effect_late() {
    holds(Scenario {
        pace: Pace::Late,
        // Sent after at most 5 seconds, effective after at most 5 more: less than a directive is pending.
        instants: &[-5, 0, 5, 10, 15, 20],
        depth: Depth {
            words: 1,
            ..NOTHING
        },
        ..PLAIN
    });
}

#[test]
fn a_start_that_falls_back() {
    holds(Scenario {
        depth: Depth {
            words: 1,
            falls: 1,
            ..NOTHING
        },
        ..PLAIN
    });
}

#[test]
fn transitions_that_take_time() {
    holds(Scenario {
        pace: Pace::Gradual,
        depth: Depth {
            words: 1,
            console: 1,
            ..NOTHING
        },
        ..PLAIN
    });
}

#[test]
#[ignore = "some minutes, with --release"]
fn everything_at_once_over_both_edges() {
    for (enforcement, early) in [
        (Enforcement::OncePerEdge, false),
        (Enforcement::Enforced, false),
        (Enforcement::OncePerEdge, true),
    ] {
        holds(Scenario {
            instants: &AROUND_BOTH,
            templates: &[
                RequestTemplate::Start,
                RequestTemplate::Stop,
                RequestTemplate::KeepRunning,
                RequestTemplate::KeepStopped,
                RequestTemplate::KeepOff,
                RequestTemplate::Resume,
            ],
            depth: Depth {
                words: 2,
                console: 1,
                failures: 1,
                ..NOTHING
            },
            enforcement,
            early,
            ..PLAIN
        });
    }
}

/// Asserts that the exploration finds the violation if the rule that prevents it is switched off.
#[track_caller]
fn breaks(scenario: Scenario, expected: Violation) {
    let report = explored(scenario);
    println!("{report}");
    assert!(report.violations.contains_key(&expected), "{report}");
}

/// A pass acted on an observation from before a request (issue 11, number 1).
#[test]
fn without_fresh_observations_a_request_is_overruled() {
    breaks(
        Scenario {
            rules: Rules {
                fresh_observation: false,
                ..RULES
            },
            instants: &[0, 16, 32],
            templates: &[RequestTemplate::Stop],
            depth: Depth {
                words: 1,
                ..NOTHING
            },
            ..PLAIN
        },
        Violation::DirectiveNotFollowed,
    );
}

/// A pass cleared an ended override, and deleted a newer one (issue 11, number 2).
#[test]
fn if_passes_delete_override_tags_a_newer_override_is_lost() {
    breaks(
        Scenario {
            rules: Rules {
                keeps_person_tags: false,
                ..RULES
            },
            instants: &[-8, 0, 8],
            templates: &[RequestTemplate::KeepStopped],
            ..PLAIN
        },
        Violation::OverrideNotFollowed,
    );
}

#[test]
fn without_rereading_the_last_tag_it_goes_back() {
    breaks(
        Scenario {
            rules: Rules {
                rereads_last_applied: false,
                ..RULES
            },
            instants: &[-8, 0],
            templates: &[RequestTemplate::Start],
            depth: Depth {
                words: 1,
                ..NOTHING
            },
            ..PLAIN
        },
        Violation::LastWentBack,
    );
}
