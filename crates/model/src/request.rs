//! The requests and responses of the implemented actions.

use std::sync::Arc;

use crate::action::ApiAction;
use crate::filter::DescribeFilter;
use crate::ids::Ec2InstanceId;
use crate::instance::{Ec2Instance, Ec2InstanceState, StopProtection};
use crate::launch::Launch;
use crate::queue::{BatchResult, ModelQueueMessage, QueueCall, QueueCounts};
use crate::role::{Credentials, StsIdentity, TokenCall};

/// The `Hibernate` parameter of `StopInstances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Shuts the operating system down.
    Plain,
    /// Hibernates; refused for an instance that isn't configured for it.
    Hibernate,
}

/// The `Force` parameter of `StopInstances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Waits for the operating system to shut down.
    Graceful,
    /// Stops without waiting; needed for an instance stuck in `stopping`.
    Forced,
}

/// The instances that `DescribeInstanceStatus` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusScope {
    /// Running instances, the default.
    Running,
    /// All instances (`IncludeAllInstances`).
    All,
}

/// The regions that `DescribeRegions` returns if none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionScope {
    /// Enabled regions, the default.
    Enabled,
    /// All regions (`AllRegions`).
    All,
}

/// The common parameters of the paged describe actions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DescribeQuery {
    /// Limits the result to these ids; not together with paging.
    pub ids: Vec<String>,
    /// The filters, all of which must match.
    pub filters: Vec<DescribeFilter>,
    /// The page size, 5 to 1000; without it, one response has everything.
    pub max_results: Option<i64>,
    /// The token of the previous page.
    pub next_token: Option<String>,
}

/// The attributes that `ModifyInstanceAttribute` supports here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeChange {
    /// The instance type, only while stopped.
    InstanceType(String),
    /// The `disableApiStop` attribute, in any state.
    StopProtection(StopProtection),
}

/// A request of one action.
#[derive(Debug, Clone)]
pub enum ApiRequest {
    /// Launches instances in the caller's account and region.
    RunInstances {
        /// The instance to launch.
        launch: Box<Launch>,
        /// The minimum count.
        min: u32,
        /// The maximum count, as capacity allows.
        max: u32,
    },
    /// Describes instances, in pages.
    DescribeInstances(DescribeQuery),
    /// Describes status checks.
    DescribeInstanceStatus(DescribeQuery, StatusScope),
    /// Starts instances by id.
    StartInstances(Vec<String>),
    /// Stops or hibernates instances by id.
    StopInstances(Vec<String>, StopMode, ShutdownMode),
    /// Terminates instances by id.
    TerminateInstances(Vec<String>),
    /// Changes one attribute of one instance.
    ModifyInstanceAttribute(String, AttributeChange),
    /// Adds or overwrites tags.
    CreateTags(Vec<String>, Vec<(String, String)>),
    /// Removes tags by key, or by key and value; all of them if none is given.
    DeleteTags(Vec<String>, Vec<(String, Option<String>)>),
    /// Describes tags, in pages.
    DescribeTags(DescribeQuery),
    /// Describes Spot Instance requests.
    DescribeSpotInstanceRequests(DescribeQuery),
    /// Describes regions and their opt-in status.
    DescribeRegions(DescribeQuery, RegionScope),
    /// Checks permissions without an effect.
    DryRun(Box<ApiRequest>),
    /// A call of SQS.
    Queue(QueueCall),
    /// A call of STS.
    Token(TokenCall),
}

impl ApiRequest {
    /// Returns the action.
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

    /// Returns the ids in the request.
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

/// The state change of an instance in the response to a start, stop or termination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStateChange {
    /// The instance that it is about.
    pub id: Ec2InstanceId,
    /// The state before the call.
    pub previous: Ec2InstanceState,
    /// The state after the call.
    pub current: Ec2InstanceState,
}

/// A page of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPage<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The token of the next page; `None` on the last one.
    pub next_token: Option<String>,
}

/// The two status checks of an instance, which are always equal here (`InstanceStatus` in the API Reference).
#[derive(Debug, Clone)]
pub struct StatusChecks {
    /// The instance that it is about.
    pub instance: Arc<Ec2Instance>,
    /// `initializing`, `ok`, or `not-applicable` while it isn't running.
    pub status: &'static str,
}

/// A tag of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagLine {
    /// The id of the resource.
    pub resource: String,
    /// The key of the tag.
    pub key: String,
    /// The value of the tag.
    pub value: String,
}

/// A region and its opt-in status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionLine {
    /// The name, such as `eu-west-1`.
    pub name: String,
    /// `opt-in-not-required`, `opted-in` or `not-opted-in`.
    pub opt_in: &'static str,
}

/// The result of a successful action.
#[derive(Debug, Clone)]
pub enum ModelResponse {
    /// The result of `RunInstances`.
    Launched(Vec<Arc<Ec2Instance>>),
    /// The result of `DescribeInstances`.
    Instances(ResultPage<Arc<Ec2Instance>>),
    /// The result of `DescribeInstanceStatus`.
    Statuses(ResultPage<StatusChecks>),
    /// The result of `StartInstances`, `StopInstances` and `TerminateInstances`.
    Changes(Vec<InstanceStateChange>),
    /// The result of actions without a result.
    Done,
    /// The result of `DescribeTags`.
    Tags(ResultPage<TagLine>),
    /// The result of `DescribeSpotInstanceRequests`: the instances of the requests.
    SpotRequests(ResultPage<Arc<Ec2Instance>>),
    /// The result of `DescribeRegions`.
    Regions(Vec<RegionLine>),
    /// The result of `SendMessage`: the message's id.
    Sent(String),
    /// The result of `ReceiveMessage`.
    Received(Vec<ModelQueueMessage>),
    /// The result of SQS's batch actions.
    Batch(BatchResult),
    /// The result of `GetQueueUrl`.
    QueueUrl(String),
    /// The result of `GetQueueAttributes`.
    Counts(QueueCounts),
    /// The result of `AssumeRole`.
    Credentials(Credentials),
    /// The result of `GetCallerIdentity`.
    Identity(StsIdentity),
}
