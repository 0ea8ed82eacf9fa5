//! What can be asked of the model, and what it answers: the actions that Curfew and its tests use.

use std::sync::Arc;

use crate::action::Action;
use crate::filter::Filter;
use crate::ids::InstanceId;
use crate::instance::{Instance, InstanceState, StopProtection};
use crate::launch::Launch;
use crate::queue::{Batch, Message, QueueCall, QueueCounts};
use crate::role::{Credentials, Identity, TokenCall};

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
pub enum Patience {
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
pub struct Query {
    /// These only; not together with paging.
    pub ids: Vec<String>,
    /// All of these must match.
    pub filters: Vec<Filter>,
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
pub enum Request {
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
    DescribeInstances(Query),
    /// Describes status checks.
    DescribeInstanceStatus(Query, StatusScope),
    /// Starts.
    StartInstances(Vec<String>),
    /// Stops.
    StopInstances(Vec<String>, StopMode, Patience),
    /// Terminates.
    TerminateInstances(Vec<String>),
    /// Changes one attribute of one instance.
    ModifyInstanceAttribute(String, AttributeChange),
    /// Adds or overwrites tags.
    CreateTags(Vec<String>, Vec<(String, String)>),
    /// Removes tags: by key, or by key and value; all of them when none is named.
    DeleteTags(Vec<String>, Vec<(String, Option<String>)>),
    /// Describes tags.
    DescribeTags(Query),
    /// Describes Spot Instance requests.
    DescribeSpotInstanceRequests(Query),
    /// Describes regions.
    DescribeRegions(Query, RegionScope),
    /// Asks whether the caller may, and does nothing.
    DryRun(Box<Request>),
    /// Asks something of a queue.
    Queue(QueueCall),
    /// Asks who somebody is, or to be somebody else.
    Token(TokenCall),
}

impl Request {
    /// The action called.
    pub fn action(&self) -> Action {
        match self {
            Self::RunInstances { .. } => Action::RunInstances,
            Self::DescribeInstances(_) => Action::DescribeInstances,
            Self::DescribeInstanceStatus(..) => Action::DescribeInstanceStatus,
            Self::StartInstances(_) => Action::StartInstances,
            Self::StopInstances(..) => Action::StopInstances,
            Self::TerminateInstances(_) => Action::TerminateInstances,
            Self::ModifyInstanceAttribute(..) => Action::ModifyInstanceAttribute,
            Self::CreateTags(..) => Action::CreateTags,
            Self::DeleteTags(..) => Action::DeleteTags,
            Self::DescribeTags(_) => Action::DescribeTags,
            Self::DescribeSpotInstanceRequests(_) => Action::DescribeSpotInstanceRequests,
            Self::DescribeRegions(..) => Action::DescribeRegions,
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
pub struct StateChange {
    /// The instance.
    pub id: InstanceId,
    /// Its state before the call.
    pub previous: InstanceState,
    /// Its state after it.
    pub current: InstanceState,
}

/// A part of an answer, and where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Absent on the last page.
    pub next_token: Option<String>,
}

/// The two status checks of an instance, which always agree here (`InstanceStatus` in the API Reference).
#[derive(Debug, Clone)]
pub struct Health {
    /// The instance.
    pub instance: Arc<Instance>,
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
pub enum Answer {
    /// Of `RunInstances`.
    Launched(Vec<Arc<Instance>>),
    /// Of `DescribeInstances`.
    Instances(Page<Arc<Instance>>),
    /// Of `DescribeInstanceStatus`.
    Statuses(Page<Health>),
    /// Of `StartInstances`, `StopInstances` and `TerminateInstances`.
    Changes(Vec<StateChange>),
    /// Of the actions that only say that they did it.
    Done,
    /// Of `DescribeTags`.
    Tags(Page<TagLine>),
    /// Of `DescribeSpotInstanceRequests`: the instances behind the requests.
    SpotRequests(Page<Arc<Instance>>),
    /// Of `DescribeRegions`.
    Regions(Vec<RegionLine>),
    /// Of `SendMessage`: the message's id.
    Sent(String),
    /// Of `ReceiveMessage`.
    Received(Vec<Message>),
    /// Of SQS's batch actions, entry by entry.
    Batch(Batch),
    /// Of `GetQueueUrl`.
    QueueUrl(String),
    /// Of `GetQueueAttributes`.
    Counts(QueueCounts),
    /// Of `AssumeRole`.
    Credentials(Credentials),
    /// Of `GetCallerIdentity`.
    Identity(Identity),
}
