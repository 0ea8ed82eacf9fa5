//! What Curfew knows of AWS: how to connect, how to observe a fleet, how to carry out a plan, and how to keep the
//! EventBridge rules that wake it. Decisions are `curfew-core`'s; nothing here makes one.

pub mod caller_identity;
pub mod calls;
pub mod change;
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
mod requested;
pub mod rules;
mod truncated_response;
pub mod webhook_client;
