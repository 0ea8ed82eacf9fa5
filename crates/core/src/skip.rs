//! Why nothing is done about an instance.

use jiff::Timestamp;
use serde::Serialize;

use crate::instance::{Instance, InstanceId, InstanceState, Region};
use crate::memory::{Actor, LAST_TAG, OverrideState, ReasonCode};
use crate::owner::{Owner, OwnerKind};
use crate::schedule::{ScheduleName, names, one_of};
use crate::timetable::{Action, Edge};

/// An instance that was looked at and left alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skip {
    /// The instance.
    pub instance: InstanceId,
    /// Its name, for people.
    pub name: Option<String>,
    /// The region it lives in.
    pub region: Region,
    /// Its state.
    pub state: InstanceState,
    /// Why: a stable code for scripts.
    #[serde(flatten)]
    pub reason: SkipReason,
    /// Why: one sentence for people.
    pub detail: String,
}

/// Why nothing is done about an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum SkipReason {
    /// No tag names a schedule and no schedule takes it.
    Unmanaged,
    /// Its tag says `none`.
    OptedOut {
        /// The managing tag's key.
        tag: String,
    },
    /// Its tag names a schedule that the configuration do not have.
    UnknownSchedule {
        /// The name in the tag.
        #[serde(rename = "schedule")]
        name: String,
        /// The names there are.
        known: Vec<ScheduleName>,
    },
    /// Its tag holds a schedule that can't be read.
    MalformedSchedule {
        /// The managing tag's key.
        tag: String,
        /// What is wrong with it.
        problems: Vec<String>,
    },
    /// Several schedules take it.
    Ambiguous {
        /// Those schedules.
        schedules: Vec<ScheduleName>,
    },
    /// Its root volume would not survive a stop.
    InstanceStore,
    /// One-time Spot instances can't be stopped.
    OneTimeSpot,
    /// Whether the Spot instance may be stopped is unknown.
    UnknownSpot {
        /// Why.
        problem: String,
    },
    /// EC2 is still moving it from one state to another.
    InFlight,
    /// It is terminated, or about to be.
    Gone,
    /// It is in a state that EC2 has not documented.
    UnknownState {
        /// EC2's word for it.
        word: String,
    },
    /// It has as many tags as AWS allows, and none of them is `curfew:last`: what is done could not be remembered.
    NoMemory,
    /// An override keeps hands off.
    OverrideIgnored {
        /// The override's end.
        until: Timestamp,
        /// Who placed it.
        by: Actor,
    },
    /// An override keeps it as it is.
    Overridden {
        /// At what.
        #[serde(rename = "overridden")]
        state: OverrideState,
        /// The override's end.
        until: Timestamp,
        /// Who placed it.
        by: Actor,
    },
    /// Its hold can't be read, so nobody knows what was meant: hands off until someone mends or removes the tag.
    MalformedOverride {
        /// What is wrong with it.
        problem: String,
    },
    /// What was asked for it can't be read: hands off until someone mends or removes the tag, or asks again.
    MalformedRequest {
        /// What is wrong with it.
        problem: String,
    },
    /// EC2 refused what is due, or a start did not lead to running, and it is not time yet to try again.
    WaitingToRetry {
        /// What is due.
        action: Action,
        /// How often it was tried.
        tries: u32,
        /// Why the latest try came to nothing.
        code: ReasonCode,
        /// When it is tried again.
        until: Timestamp,
    },
    /// It is as its schedule wants it.
    AsDesired,
    /// It is not as its schedule wants it, and that is somebody's wish: it stays until the next edge.
    LeftAlone,
    /// What is due is older than the schedule's catch-up limit, which counts from the first try.
    TooLate {
        /// The edge, request or override's end that is due.
        edge: Edge,
        /// How often it was tried, if it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        tries: Option<u32>,
        /// Why the latest of these tries came to nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<ReasonCode>,
    },
    /// Its schedule has said nothing since it was first seen.
    NothingDue,
    /// Another tool manages it, and nobody named this very instance. The tool's kind is the code.
    #[serde(untagged)]
    Owned(Owner),
}

/// Why a pass leaves an instance alone, as a stable code: what `curfew plan -o json` has as `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SkipCode {
    /// No schedule manages it.
    Unmanaged,
    /// Its tag opts it out.
    OptedOut,
    /// Its tag names a schedule that does not exist.
    UnknownSchedule,
    /// Its tag holds what is no schedule.
    MalformedSchedule,
    /// Several schedules take it.
    Ambiguous,
    /// An AWS service manages it, by EC2's field `Operator`.
    Operator,
    /// An EMR cluster manages it.
    EmrCluster,
    /// An EKS node group manages it.
    EksNodeGroup,
    /// Karpenter manages it.
    Karpenter,
    /// AWS Batch manages it.
    Batch,
    /// An Elastic Beanstalk environment manages it.
    ElasticBeanstalk,
    /// An Auto Scaling group manages it.
    AutoScalingGroup,
    /// A Spot Fleet manages it.
    SpotFleet,
    /// An EC2 Fleet manages it.
    Ec2Fleet,
    /// It would not survive a stop.
    InstanceStore,
    /// It can't be stopped.
    OneTimeSpot,
    /// Whether it can be stopped is unknown.
    UnknownSpot,
    /// EC2 is still moving it.
    InFlight,
    /// It is terminated, or about to be.
    Gone,
    /// It is in a state that Curfew does not know.
    UnknownState,
    /// What is done to it could not be remembered.
    NoMemory,
    /// An override keeps hands off.
    OverrideIgnored,
    /// An override keeps it as it is.
    Overridden,
    /// Its hold can't be read.
    MalformedOverride,
    /// What was asked for it can't be read.
    MalformedRequest,
    /// What was tried came to nothing, and it is not time yet to try again.
    WaitingToRetry,
    /// It is as it should be.
    AsDesired,
    /// Somebody made it as it is since the last edge, and that is respected.
    LeftAlone,
    /// The newest edge is older than the catch-up limit.
    TooLate,
    /// Its schedule has asked for nothing yet.
    NothingDue,
}

impl SkipReason {
    /// The code alone.
    pub fn code(&self) -> SkipCode {
        match self {
            Self::Unmanaged => SkipCode::Unmanaged,
            Self::OptedOut { .. } => SkipCode::OptedOut,
            Self::UnknownSchedule { .. } => SkipCode::UnknownSchedule,
            Self::MalformedSchedule { .. } => SkipCode::MalformedSchedule,
            Self::Ambiguous { .. } => SkipCode::Ambiguous,
            Self::InstanceStore => SkipCode::InstanceStore,
            Self::OneTimeSpot => SkipCode::OneTimeSpot,
            Self::UnknownSpot { .. } => SkipCode::UnknownSpot,
            Self::InFlight => SkipCode::InFlight,
            Self::Gone => SkipCode::Gone,
            Self::UnknownState { .. } => SkipCode::UnknownState,
            Self::NoMemory => SkipCode::NoMemory,
            Self::OverrideIgnored { .. } => SkipCode::OverrideIgnored,
            Self::Overridden { .. } => SkipCode::Overridden,
            Self::MalformedOverride { .. } => SkipCode::MalformedOverride,
            Self::MalformedRequest { .. } => SkipCode::MalformedRequest,
            Self::WaitingToRetry { .. } => SkipCode::WaitingToRetry,
            Self::AsDesired => SkipCode::AsDesired,
            Self::LeftAlone => SkipCode::LeftAlone,
            Self::TooLate { .. } => SkipCode::TooLate,
            Self::NothingDue => SkipCode::NothingDue,
            Self::Owned(owner) => match owner.kind {
                OwnerKind::Operator => SkipCode::Operator,
                OwnerKind::EmrCluster => SkipCode::EmrCluster,
                OwnerKind::EksNodeGroup => SkipCode::EksNodeGroup,
                OwnerKind::Karpenter => SkipCode::Karpenter,
                OwnerKind::Batch => SkipCode::Batch,
                OwnerKind::ElasticBeanstalk => SkipCode::ElasticBeanstalk,
                OwnerKind::AutoScalingGroup => SkipCode::AutoScalingGroup,
                OwnerKind::SpotFleet => SkipCode::SpotFleet,
                OwnerKind::Ec2Fleet => SkipCode::Ec2Fleet,
            },
        }
    }

    /// The sentence for people.
    pub fn detail(&self, instance: &Instance) -> String {
        let state = instance.state;
        match self {
            Self::Unmanaged => {
                "no schedule manages it: it has no managing tag, and no schedule's `match` takes it"
                    .into()
            }
            Self::OptedOut { tag } => format!("its tag `{tag}` opts it out"),
            Self::UnknownSchedule { name, known } => {
                format!(
                    "its tag names the schedule `{name}`, which does not exist; {}",
                    one_of(known)
                )
            }
            Self::MalformedSchedule { tag, problems } => {
                format!(
                    "its tag `{tag}` is neither a schedule's name nor a schedule: {}",
                    problems.join("; ")
                )
            }
            Self::Ambiguous { schedules } => {
                format!(
                    "several schedules take it ({}); name one in its tag",
                    names(schedules)
                )
            }
            Self::InstanceStore => {
                "its root volume is instance store, which does not survive a stop".into()
            }
            Self::OneTimeSpot => "it is a one-time Spot instance, which can't be stopped".into(),
            Self::UnknownSpot { problem } => format!(
                "it is a Spot instance, and whether it may be stopped is unknown: {problem}"
            ),
            Self::InFlight => format!("it is {state}; a later pass looks again"),
            Self::Gone => format!("it is {state}"),
            Self::UnknownState { word } => {
                format!(
                    "its state is `{}`, which Curfew does not know; it is left alone",
                    word.escape_debug()
                )
            }
            Self::NoMemory => {
                format!(
                    "it has 50 tags, so that nothing can be remembered on it, and its schedule is not enforced; remove one to make room for `{LAST_TAG}`"
                )
            }
            Self::OverrideIgnored { until, by } => {
                format!("{by} asked for hands off until {until}")
            }
            Self::Overridden { state, until, by } => {
                format!("{by} holds it {state} until {until}")
            }
            Self::MalformedOverride { problem } => format!("{problem}; mend or remove it"),
            Self::MalformedRequest { problem } => {
                format!("{problem}; mend or remove it, or ask again")
            }
            Self::WaitingToRetry {
                action,
                tries,
                code,
                until,
            } => {
                let times = if *tries == 1 {
                    "once".to_owned()
                } else {
                    format!("{tries} times")
                };
                let why = match &instance.state_reason {
                    Some(reason) if reason.code == code.as_str() => reason.explained(),
                    _ => code.as_str().to_owned(),
                };
                format!(
                    "its {action} was tried {times} and came to nothing ({why}); it is tried again at {until}"
                )
            }
            Self::AsDesired => format!("it is {state}, as it should be"),
            Self::LeftAlone => format!(
                "someone made it {state} since the last edge; that stays until the next edge"
            ),
            Self::TooLate {
                edge,
                tries: Some(tries),
                code: Some(code),
            } => {
                format!(
                    "its {} of {} is given up, after {tries}x {code}",
                    edge.action, edge.at
                )
            }
            Self::TooLate { edge, .. } => {
                format!(
                    "its {} of {} was missed by more than the catch-up limit",
                    edge.action, edge.at
                )
            }
            Self::NothingDue => "its schedule has asked for nothing since it was first seen".into(),
            Self::Owned(owner) => {
                format!(
                    "{owner} manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::StateReason;

    fn waiting(tries: u32, shown: Option<&str>) -> String {
        let mut instance = crate::example::instance("web");
        instance.state_reason = shown.map(|code| StateReason {
            code: code.into(),
            message: format!("{code}: a host failed"),
        });
        let reason = SkipReason::WaitingToRetry {
            action: Action::Start,
            tries,
            code: ReasonCode::new("Server.InternalError"),
            until: "2026-11-23T07:01:00Z".parse().unwrap(),
        };
        reason.detail(&instance)
    }

    #[test]
    fn why_a_try_came_to_nothing_is_in_ec2s_words_while_ec2_still_shows_them() {
        assert_eq!(
            waiting(1, Some("Server.InternalError")),
            "its start was tried once and came to nothing (Server.InternalError: a host failed); \
             it is tried again at 2026-11-23T07:01:00Z"
        );
        let code = "its start was tried 2 times and came to nothing (Server.InternalError); \
                    it is tried again at 2026-11-23T07:01:00Z";
        assert_eq!(waiting(2, None), code);
        assert_eq!(waiting(2, Some("Client.UserInitiatedShutdown")), code);
    }
}
