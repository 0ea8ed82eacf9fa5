//! What can be asked of the model, and what it answers: the actions that Curfew and its tests use.

use std::sync::Arc;

use crate::action::ApiAction;
use crate::filter::DescribeFilter;
use crate::ids::Ec2InstanceId;
use crate::instance::{Ec2Instance, Ec2InstanceState, StopProtection};
use crate::launch::Launch;
use crate::queue::{BatchResult, QueueCall, QueueCounts, QueueMessage};
use crate::role::{Credentials, StsIdentity, TokenCall};

/// How to stop: `StopInstances`' parameter `Hibernate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Shut down.
    Plain,
    /// Write memory to the root volume first; refused for an instance that isn't configured for it.
    Hibernate,
}

/// `StopInstances`' parameter `Force`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Wait for the operating system.
    Graceful,
    /// Don't; the way out for an instance that is stuck in `stopping`.
    Forced,
}

/// Which instances `DescribeInstanceStatus` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusScope {
    /// The running ones, its default.
    Running,
    /// All (`IncludeAllInstances`).
    All,
}

/// Which regions `DescribeRegions` answers when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionScope {
    /// Those that the account can use, its default.
    Enabled,
    /// All (`AllRegions`).
    All,
}

/// What every paged describe takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DescribeQuery {
    /// These only; not together with paging.
    pub ids: Vec<String>,
    /// All of these must match.
    pub filters: Vec<DescribeFilter>,
    /// 5 to 1000; without it, one answer with everything.
    pub max_results: Option<i64>,
    /// Where the last answer ended.
    pub next_token: Option<String>,
}

/// What `ModifyInstanceAttribute` can change here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeChange {
    /// The type, while stopped.
    InstanceType(String),
    /// `disableApiStop`.
    StopProtection(StopProtection),
}

/// A call of one action.
#[derive(Debug, Clone)]
pub enum ApiRequest {
    /// Launches instances; in any account and region but the caller's, nothing is ever launched.
    RunInstances {
        /// What to launch.
        launch: Box<Launch>,
        /// Fewer is an error.
        min: u32,
        /// As many as there is room for, up to this.
        max: u32,
    },
    /// Describes instances.
    DescribeInstances(DescribeQuery),
    /// Describes status checks.
    DescribeInstanceStatus(DescribeQuery, StatusScope),
    /// Starts.
    StartInstances(Vec<String>),
    /// Stops.
    StopInstances(Vec<String>, StopMode, ShutdownMode),
    /// Terminates.
    TerminateInstances(Vec<String>),
    /// Changes one attribute of one instance.
    ModifyInstanceAttribute(String, AttributeChange),
    /// Adds or overwrites tags.
    CreateTags(Vec<String>, Vec<(String, String)>),
    /// Removes tags: by key, or by key and value; all of them when none is named.
    DeleteTags(Vec<String>, Vec<(String, Option<String>)>),
    /// Describes tags.
    DescribeTags(DescribeQuery),
    /// Describes Spot Instance requests.
    DescribeSpotInstanceRequests(DescribeQuery),
    /// Describes regions.
    DescribeRegions(DescribeQuery, RegionScope),
    /// Asks whether the caller may, and does nothing.
    DryRun(Box<ApiRequest>),
    /// Asks something of a queue.
    Queue(QueueCall),
    /// Asks who somebody is, or to be somebody else.
    Token(TokenCall),
}

impl ApiRequest {
    /// The action called.
    pub fn action(&self) -> ApiAction {
        match self {
            Self::RunInstances { .. } => ApiAction::RunInstances,
            Self::DescribeInstances(_) => ApiAction::DescribeInstances,
            Self::DescribeInstanceStatus(..) => ApiAction::DescribeInstanceStatus,
            Self::StartInstances(_) => ApiAction::StartInstances,
            Self::StopInstances(..) => ApiAction::StopInstances,
            Self::TerminateInstances(_) => ApiAction::TerminateInstances,
            Self::ModifyInstanceAttribute(..) => ApiAction::ModifyInstanceAttribute,
            Self::CreateTags(..) => ApiAction::CreateTags,
            Self::DeleteTags(..) => ApiAction::DeleteTags,
            Self::DescribeTags(_) => ApiAction::DescribeTags,
            Self::DescribeSpotInstanceRequests(_) => ApiAction::DescribeSpotInstanceRequests,
            Self::DescribeRegions(..) => ApiAction::DescribeRegions,
            Self::DryRun(request) => request.action(),
            Self::Queue(call) => call.action(),
            Self::Token(call) => call.action(),
        }
    }

    /// The ids that the call names.
    pub fn ids(&self) -> &[String] {
        match self {
            Self::RunInstances { .. } | Self::Queue(_) | Self::Token(_) => &[],
            Self::DescribeInstances(query)
            | Self::DescribeInstanceStatus(query, _)
            | Self::DescribeTags(query)
            | Self::DescribeSpotInstanceRequests(query)
            | Self::DescribeRegions(query, _) => &query.ids,
            Self::StartInstances(ids)
            | Self::StopInstances(ids, ..)
            | Self::TerminateInstances(ids)
            | Self::CreateTags(ids, _)
            | Self::DeleteTags(ids, _) => ids,
            Self::ModifyInstanceAttribute(id, _) => std::slice::from_ref(id),
            Self::DryRun(request) => request.ids(),
        }
    }
}

/// One instance's line in the answer to a start, stop or terminate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStateChange {
    /// The instance.
    pub id: Ec2InstanceId,
    /// Its state before the call.
    pub previous: Ec2InstanceState,
    /// Its state after it.
    pub current: Ec2InstanceState,
}

/// A part of an answer, and where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// Absent on the last page.
    pub next_token: Option<String>,
}

/// The two status checks of an instance, which always agree here (`InstanceStatus` in the API Reference).
#[derive(Debug, Clone)]
pub struct StatusChecks {
    /// The instance.
    pub instance: Arc<Ec2Instance>,
    /// `initializing`, `ok`, or `not-applicable` when it doesn't run.
    pub status: &'static str,
}

/// One tag of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagLine {
    /// The instance that has it.
    pub resource: String,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A region and whether the account can use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionLine {
    /// Such as `eu-west-1`.
    pub name: String,
    /// `opt-in-not-required`, `opted-in` or `not-opted-in`.
    pub opt_in: &'static str,
}

/// What an action answers when it succeeds.
#[derive(Debug, Clone)]
pub enum ApiResponse {
    /// Of `RunInstances`.
    Launched(Vec<Arc<Ec2Instance>>),
    /// Of `DescribeInstances`.
    Instances(ResultPage<Arc<Ec2Instance>>),
    /// Of `DescribeInstanceStatus`.
    Statuses(ResultPage<StatusChecks>),
    /// Of `StartInstances`, `StopInstances` and `TerminateInstances`.
    Changes(Vec<InstanceStateChange>),
    /// Of the actions that only say that they did it.
    Done,
    /// Of `DescribeTags`.
    Tags(ResultPage<TagLine>),
    /// Of `DescribeSpotInstanceRequests`: the instances behind the requests.
    SpotRequests(ResultPage<Arc<Ec2Instance>>),
    /// Of `DescribeRegions`.
    Regions(Vec<RegionLine>),
    /// Of `SendMessage`: the message's id.
    Sent(String),
    /// Of `ReceiveMessage`.
    Received(Vec<QueueMessage>),
    /// Of SQS's batch actions, entry by entry.
    Batch(BatchResult),
    /// Of `GetQueueUrl`.
    QueueUrl(String),
    /// Of `GetQueueAttributes`.
    Counts(QueueCounts),
    /// Of `AssumeRole`.
    Credentials(Credentials),
    /// Of `GetCallerIdentity`.
    Identity(StsIdentity),
}
