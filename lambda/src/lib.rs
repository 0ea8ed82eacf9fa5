//! The Lambda function: reads an event, runs a pass or an API request, and returns the response.
//!
//! [`event`] classifies events. [`route`] and [`command`] define the API's requests, [`responses`] and [`api_error`] its
//! responses. [`app::App`] combines them in [`handler`]; the tests run all of it.
//!
//! Decisions belong to `curfew-core` and AWS calls to `curfew-aws`. The only state between invocations is a short-lived cache of
//! the configuration and of connections: an execution environment may end at any time.

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
