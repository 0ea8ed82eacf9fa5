//! Everything that can happen to a fleet: time, triggers, people, requests, and faults between Curfew and EC2.

use curfew_model::{ApiAction, CredentialFault, ModelError, Symptom};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;

use super::history::{FLEET, MANAGED, WAKING};

/// One event of a history.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Wait(SignedDuration),
    Pass(Pass),
    /// A user does this at the console.
    Person(usize, Deed),
    /// A user requests this from Curfew.
    Asked(usize, Wish),
    /// From now on, until [`Mended`](Self::Mended).
    Trouble(Trouble),
    Mended,
    NextStartFallsBack(usize),
}

/// A pass, and what happens during it.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// The schedule of the rule that triggered it, and by how many seconds before its next edge; `None` for any time.
    pub(crate) triggered_for: Option<(usize, Option<i64>)>,
    /// The fault of its calls.
    pub(crate) faults: Vec<Fault>,
    /// What a user does between the pass's observation and its first call.
    pub(crate) meanwhile: Option<(usize, Deed)>,
    /// Its deadline has passed at the start.
    pub(crate) hurried: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) action: ApiAction,
    pub(crate) symptom: Symptom,
    /// After this many successful calls.
    pub(crate) after: u32,
    pub(crate) times: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Start,
    Stop,
    Terminate,
    /// Another schedule, by its index in the fleet.
    Reschedule(usize),
    /// The state tags are removed.
    Forget,
    /// The state tags are invalid.
    Scribble,
    /// The instance gets as many tags as EC2 allows.
    FillTags,
    FreeTags,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    Start(Option<i64>),
    Stop(Option<i64>),
    Ignore(i64),
    Resume,
}

#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    Denied(ApiAction),
    /// For the instances of one schedule only.
    DeniedFor(ApiAction, usize),
    Credentials(CredentialFault),
    NoCapacity,
    /// Curfew's clock is this many minutes fast.
    Clock(i64),
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let seconds = prop_oneof![
        3 => 0_i64..90,
        3 => 90_i64..7_200,
        3 => 7_200_i64..50_000,
        1 => 50_000_i64..300_000
    ];
    prop_oneof![
        8 => seconds.prop_map(|seconds| Event::Wait(SignedDuration::from_secs(seconds))),
        10 => pass().prop_map(Event::Pass),
        5 => (0..FLEET.len(), deed()).prop_map(|(which, deed)| Event::Person(which, deed)),
        3 => (0..FLEET.len(), wish()).prop_map(|(which, wish)| Event::Asked(which, wish)),
        2 => trouble().prop_map(Event::Trouble),
        2 => Just(Event::Mended),
        1 => (0..MANAGED).prop_map(Event::NextStartFallsBack),
    ]
}

fn pass() -> impl Strategy<Value = Pass> {
    let early = prop_oneof![Just(None), (0_i64..=60).prop_map(Some)];
    let triggered_for = proptest::option::of((0..WAKING.len(), early));
    let faults = prop_oneof![
        3 => Just(Vec::new()),
        2 => proptest::collection::vec(fault(), 1..3),
    ];
    let meanwhile = proptest::option::weighted(0.15, (0..FLEET.len(), deed()));
    (
        triggered_for,
        faults,
        meanwhile,
        proptest::bool::weighted(0.05),
    )
        .prop_map(|(triggered_for, faults, meanwhile, hurried)| Pass {
            triggered_for,
            faults,
            meanwhile,
            hurried,
        })
}

fn fault() -> impl Strategy<Value = Fault> {
    let actions = [
        ApiAction::DescribeInstances,
        ApiAction::DescribeSpotInstanceRequests,
        ApiAction::StartInstances,
        ApiAction::StopInstances,
        ApiAction::CreateTags,
        ApiAction::DeleteTags,
    ];
    let error = |status, code| Symptom::Error(ModelError::with_status(status, code, "As told."));
    let symptom = select(vec![
        error(503, "RequestLimitExceeded"),
        error(500, "InternalError"),
        error(503, "Unavailable"),
        error(400, "InvalidInstanceID.NotFound"),
        Symptom::Hang,
        Symptom::Reset,
        Symptom::ResetAfter,
        Symptom::Truncated,
    ]);
    // A call has three attempts: it survives fewer faults, and fails with more.
    (select(actions.to_vec()), symptom, 0_u32..3, 1_u32..6).prop_map(
        |(action, symptom, after, times)| Fault {
            action,
            symptom,
            after,
            times,
        },
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => Just(Deed::Start),
        6 => Just(Deed::Stop),
        1 => Just(Deed::Terminate),
        1 => (0..FLEET.len()).prop_map(Deed::Reschedule),
        1 => Just(Deed::Forget),
        1 => Just(Deed::Scribble),
        1 => Just(Deed::FillTags),
        1 => Just(Deed::FreeTags),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let minutes = || prop_oneof![Just(None), (1_i64..3000).prop_map(Some)];
    prop_oneof![
        minutes().prop_map(Wish::Start),
        minutes().prop_map(Wish::Stop),
        (1_i64..3000).prop_map(Wish::Ignore),
        Just(Wish::Resume),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let denied = || {
        select(vec![
            ApiAction::DescribeInstances,
            ApiAction::StartInstances,
            ApiAction::StopInstances,
            ApiAction::CreateTags,
            ApiAction::DeleteTags,
        ])
    };
    let credentials = select(vec![
        CredentialFault::ExpiredToken,
        CredentialFault::RequestExpired,
        CredentialFault::AuthFailure,
    ]);
    prop_oneof![
        denied().prop_map(Trouble::Denied),
        (denied(), 0..WAKING.len()).prop_map(|(action, which)| Trouble::DeniedFor(action, which)),
        credentials.prop_map(Trouble::Credentials),
        Just(Trouble::NoCapacity),
        (-10_i64..=10).prop_map(Trouble::Clock),
    ]
}
