//! The application state that the handler uses.

use curfew_aws::clock::Clock;
use curfew_aws::endpoint_kind::EndpointKind;

use crate::auth::Authenticator;
use crate::configuration_cache::ConfigurationCache;
use crate::organisation_cache::OrganisationCache;
use crate::work_queue::WorkQueue;

/// The state of one execution environment.
#[derive(Debug)]
pub struct App {
    /// The connections to the account-regions.
    pub organisations: OrganisationCache,
    /// The work queue, if the stack has one.
    pub queue: Option<WorkQueue>,
    /// The configuration, cached between invocations.
    pub configuration: ConfigurationCache,
    /// The clock that decisions use.
    pub clock: Clock,
    /// The authentication of HTTP requests.
    pub auth: Authenticator,
    /// The only other origin that may call the API.
    pub cors_origin: Option<String>,
    /// The largest number of instances that a request without `all=true` may change.
    pub request_limit: usize,
    /// Whether AWS or an emulator runs the function: only an emulator's rules fire early.
    pub cloud: EndpointKind,
}
