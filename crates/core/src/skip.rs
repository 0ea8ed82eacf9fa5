//! Skips: the reasons for which a pass makes no step for an instance.

use jiff::Timestamp;
use serde::Serialize;

use crate::instance::{Instance, InstanceId, InstanceState, Region, ResourceKind};
use crate::owner::{Owner, OwnerKind};
use crate::schedule::{ScheduleName, known_schedules, names};
use crate::state_tags::{Actor, LAST_TAG, OverrideState, ReasonCode};
use crate::timetable::{Action, Edge};

/// An observed instance for which the pass makes no step, with the reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skip {
    /// The instance's id.
    #[serde(rename = "id")]
    pub instance: InstanceId,
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The value of its tag `Name`.
    pub name: Option<String>,
    /// The region of the instance.
    pub region: Region,
    /// The observed state.
    pub state: InstanceState,
    /// The reason, as a stable code for scripts.
    #[serde(flatten)]
    pub reason: SkipReason,
    /// The reason, as one sentence for readers.
    #[serde(rename = "reason")]
    pub detail: String,
}

/// The reason for which a pass makes no step for an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SkipReason {
    /// No tag names a schedule, and no schedule's `match` applies.
    Unmanaged,
    /// Its tag has the value `none`.
    OptedOut {
        /// The managing tag's key.
        tag: String,
    },
    /// Its tag names a schedule that the configuration does not have.
    UnknownSchedule {
        /// The name in the tag.
        #[serde(rename = "schedule")]
        name: String,
        /// The schedules of the configuration.
        known: Vec<ScheduleName>,
    },
    /// Its tag holds a malformed inline schedule.
    MalformedSchedule {
        /// The managing tag's key.
        tag: String,
        /// The errors found in it.
        problems: Vec<String>,
    },
    /// The `match` tables of several schedules apply.
    Ambiguous {
        /// The schedules that apply.
        schedules: Vec<ScheduleName>,
    },
    /// Its root volume would not survive a stop.
    InstanceStore,
    /// One-time Spot instances can't be stopped.
    OneTimeSpot,
    /// Whether the Spot instance may be stopped is unknown.
    UnknownSpot {
        /// Why it is unknown.
        #[serde(rename = "explanation")]
        problem: String,
    },
    /// EC2 is moving it from one state to another.
    Transitioning,
    /// It is terminated, or about to be.
    Terminated,
    /// It is in a state that EC2 has not documented.
    UnknownState {
        /// The state's name in EC2's answer.
        word: String,
    },
    /// It has as many tags as AWS allows, and none of them is `curfew:last`: an action could not be recorded.
    #[serde(rename = "no_memory")]
    TagLimitReached,
    /// An override excludes it from every action.
    OverrideIgnored {
        /// The override's end.
        until: Timestamp,
        /// The actor of the override.
        actor: Actor,
    },
    /// It has the state that an override demands.
    Overridden {
        /// The demanded state.
        #[serde(rename = "overridden")]
        state: OverrideState,
        /// The override's end.
        until: Timestamp,
        /// The actor of the override.
        actor: Actor,
    },
    /// Its tag `curfew:override` is malformed: nothing is done until the tag is corrected or removed.
    MalformedOverride {
        /// The parse error.
        #[serde(rename = "explanation")]
        problem: String,
    },
    /// Its tag `curfew:request` is malformed: nothing is done until the tag is corrected or removed, or a new request replaces it.
    MalformedRequest {
        /// The parse error.
        #[serde(rename = "explanation")]
        problem: String,
    },
    /// EC2 refused the action that is due, or a start did not lead to running, and the next attempt is not due yet.
    WaitingToRetry {
        /// The action that is due.
        action: Action,
        /// The number of attempts.
        attempts: u32,
        /// EC2's code for the failure of the latest attempt.
        #[serde(rename = "error_code")]
        code: ReasonCode,
        /// The earliest instant of the next attempt.
        next_attempt_at: Timestamp,
    },
    /// It has the state that its schedule wants.
    AsDesired,
    /// Its state was changed outside Curfew since the last edge, and is kept until the next edge.
    #[serde(rename = "manual_override")]
    ChangedByUser,
    /// The directive that is due is older than the schedule's catch-up limit, which counts from the first attempt.
    TooLate {
        /// The edge, request or end of an override that is due.
        edge: Edge,
        /// The number of attempts, if there were any.
        #[serde(skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
        /// EC2's code for the failure of the latest attempt.
        #[serde(rename = "error_code", skip_serializing_if = "Option::is_none")]
        code: Option<ReasonCode>,
    },
    /// Its schedule has had no edge since the instance was first observed.
    NothingDue,
    /// Another tool manages it, and it was not named by its id. The tool's kind is the code.
    #[serde(untagged)]
    Owned(Owner),
}

/// Why a pass skips an instance, as a stable code: the field `code` of `curfew plan -o json`.
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
    /// Its tag holds a malformed schedule.
    MalformedSchedule,
    /// Several schedules apply.
    Ambiguous,
    /// An AWS service manages it, according to EC2's field `Operator`.
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
    /// EC2 is moving it from one state to another.
    Transitioning,
    /// It is terminated, or about to be.
    Terminated,
    /// It is in a state that Curfew does not know.
    UnknownState,
    /// It has no room for the tag that would record an action.
    #[serde(rename = "no_memory")]
    TagLimitReached,
    /// An override excludes it from every action.
    OverrideIgnored,
    /// It has the state that an override demands.
    Overridden,
    /// Its tag `curfew:override` is malformed.
    MalformedOverride,
    /// Its tag `curfew:request` is malformed.
    MalformedRequest,
    /// An action failed, and its next attempt is not due yet.
    WaitingToRetry,
    /// It has the desired state.
    AsDesired,
    /// Its state was changed outside Curfew since the last edge, and is kept until the next edge.
    #[serde(rename = "manual_override")]
    ChangedByUser,
    /// The newest directive is older than the catch-up limit.
    TooLate,
    /// Its schedule has had no edge yet.
    NothingDue,
}

impl SkipReason {
    /// The stable code, without details.
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
            Self::Transitioning => SkipCode::Transitioning,
            Self::Terminated => SkipCode::Terminated,
            Self::UnknownState { .. } => SkipCode::UnknownState,
            Self::TagLimitReached => SkipCode::TagLimitReached,
            Self::OverrideIgnored { .. } => SkipCode::OverrideIgnored,
            Self::Overridden { .. } => SkipCode::Overridden,
            Self::MalformedOverride { .. } => SkipCode::MalformedOverride,
            Self::MalformedRequest { .. } => SkipCode::MalformedRequest,
            Self::WaitingToRetry { .. } => SkipCode::WaitingToRetry,
            Self::AsDesired => SkipCode::AsDesired,
            Self::ChangedByUser => SkipCode::ChangedByUser,
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

    /// One sentence for readers.
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
                    known_schedules(known)
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
            Self::Transitioning => format!("it is {state}; a later pass evaluates it again"),
            Self::Terminated => format!("it is {state}"),
            Self::UnknownState { word } => {
                format!(
                    "its state is `{}`, which Curfew does not know; it is left alone",
                    word.escape_debug()
                )
            }
            Self::TagLimitReached => {
                format!(
                    "it has 50 tags, so that no action can be recorded on it, and its schedule is not enforced; remove one to make room for `{LAST_TAG}`"
                )
            }
            Self::OverrideIgnored { until, actor } => {
                format!("an override by {actor} ignores it until {until}")
            }
            Self::Overridden {
                state,
                until,
                actor,
            } => {
                format!("an override by {actor} keeps it {state} until {until}")
            }
            Self::MalformedOverride { problem } => format!("{problem}; correct or remove it"),
            Self::MalformedRequest { problem } => {
                format!("{problem}; correct or remove it, or send a new request")
            }
            Self::WaitingToRetry {
                action,
                attempts,
                code,
                next_attempt_at,
            } => format!(
                "its {action} failed {} ({}); the next attempt is at {next_attempt_at}",
                times(*attempts),
                failure_text(code, instance)
            ),
            Self::AsDesired => format!("it is {state}, as it should be"),
            Self::ChangedByUser => format!(
                "it was made {state} outside Curfew since the last edge, and stays so until the next edge"
            ),
            Self::TooLate {
                edge,
                attempts: Some(attempts),
                code: Some(code),
            } => {
                format!(
                    "its {} of {} is given up, after {attempts}x {code}",
                    edge.action, edge.at
                )
            }
            Self::TooLate { edge, .. } => {
                format!(
                    "its {} of {} was missed by more than the catch-up limit",
                    edge.action, edge.at
                )
            }
            Self::NothingDue => "no edge of its schedule since it was first observed".into(),
            Self::Owned(owner) => {
                format!(
                    "{owner} manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same"
                )
            }
        }
    }
}

/// Returns EC2's message while EC2 still reports this reason for the instance's state, otherwise only the code.
fn failure_text(code: &ReasonCode, instance: &Instance) -> String {
    match &instance.state_reason {
        Some(reason) if reason.code == code.as_str() => reason.message_with_hint(),
        _ => code.as_str().to_owned(),
    }
}

fn times(attempts: u32) -> String {
    if attempts == 1 {
        "once".to_owned()
    } else {
        format!("{attempts} times")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::StateReason;

    fn waiting(attempts: u32, shown: Option<&str>) -> String {
        let mut instance = crate::test_support::instance("web");
        instance.state_reason = shown.map(|code| StateReason {
            code: code.into(),
            message: format!("{code}: a host failed"),
        });
        let reason = SkipReason::WaitingToRetry {
            action: Action::Start,
            attempts,
            code: ReasonCode::new("Server.InternalError"),
            next_attempt_at: "2026-11-23T07:01:00Z".parse().unwrap(),
        };
        reason.detail(&instance)
    }

    #[test]
    fn a_failed_attempt_is_explained_by_ec2s_message_while_ec2_reports_it() {
        assert_eq!(
            waiting(1, Some("Server.InternalError")),
            "its start failed once (Server.InternalError: a host failed); \
             the next attempt is at 2026-11-23T07:01:00Z"
        );
        let code = "its start failed 2 times (Server.InternalError); \
                    the next attempt is at 2026-11-23T07:01:00Z";
        assert_eq!(waiting(2, None), code);
        assert_eq!(waiting(2, Some("Client.UserInitiatedShutdown")), code);
    }
}
