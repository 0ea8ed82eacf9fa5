//! Access to AWS: connecting, observing a fleet, executing a plan, and keeping the EventBridge rules that trigger the Lambda.
//! Decisions are made by `curfew-core`.

pub mod caller_identity;
pub mod calls;
pub mod clock;
mod clock_skew;
pub mod configuration_document;
pub mod connect;
pub mod decided_request;
mod endpoint;
pub mod endpoint_kind;
pub mod error;
pub mod execute;
pub mod fleet;
pub mod function;
pub mod gateway;
pub mod join_bounded;
mod minimal_client;
pub mod organisation;
pub mod pages;
pub mod parameter;
pub mod pass;
pub mod progress;
pub mod queue;
pub mod rate_limit;
mod request_execution;
pub mod request_result;
pub mod rules;
pub mod topic;
mod truncated_response;
pub mod webhook_client;
