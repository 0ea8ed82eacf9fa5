//! The Lambda: an event becomes an invocation, an invocation a pass or a request, and that an answer.
//!
//! Everything that wakes the function is told apart in [`event`]; what people and programs may ask for is in [`route`] and
//! [`command`]; what they get is in [`answer`] and [`refusal`]. [`app::App`] joins them in [`handler`], and tests boot it whole.
//!
//! Decisions are `curfew-core`'s, calls are `curfew-aws`'s. No state lives here between invocations, but for the configuration'
//! short cache: an execution environment may vanish at any moment.

pub mod api_error;
pub mod app;
pub mod auth;
pub mod command;
pub mod configuration_cache;
pub mod environment;
pub mod event;
pub mod handler;
pub mod http;
pub mod init;
pub mod invocation_context;
pub mod json;
pub mod message;
pub mod openapi;
pub mod organisation_cache;
pub mod page;
pub mod panic_hook;
pub mod responses;
pub mod route;
pub mod work;
pub mod work_queue;

mod aws_errors;
mod observation;
mod parameter;
mod parameters;
mod requests;
