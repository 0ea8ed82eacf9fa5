//! The function with everything it needs.

use curfew_aws::clock::Clock;
use curfew_aws::cloud::Cloud;

use crate::account_regions::Members;
use crate::auth::Auth;
use crate::configuration::Configuration;
use crate::work_queue::WorkQueue;

/// The function with everything it needs: one per execution environment.
#[derive(Debug)]
pub struct App {
    /// Where the instances are.
    pub account_regions: Members,
    /// Who else can be given work, if the stack has a queue.
    pub queue: Option<WorkQueue>,
    /// What manages them.
    pub configuration: Configuration,
    /// What tells the time.
    pub clock: Clock,
    /// Who may ask over HTTP.
    pub auth: Auth,
    /// The one other site whose pages may ask.
    pub cors_origin: Option<String>,
    /// How many instances a request may change that does not say `all=true`.
    pub request_limit: usize,
    /// Whose instances these are: only an emulator's rules fire early.
    pub cloud: Cloud,
}
