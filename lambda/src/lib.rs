//! The Lambda: an event becomes an invocation, an invocation a pass or a request, and that an answer.
//!
//! Everything that wakes the function is told apart in [`event`]; what people and programs may ask for is in [`route`] and
//! [`command`]; what they get is in [`answer`] and [`refusal`]. [`app::App`] joins them in [`handler`], and tests boot it whole.
//!
//! Decisions are `curfew-core`'s, calls are `curfew-aws`'s. No state lives here between invocations, but for the configuration'
//! short cache: an execution environment may vanish at any moment.

pub mod account_regions;
pub mod answer;
pub mod app;
pub mod auth;
pub mod boot;
pub mod command;
pub mod config;
pub mod configuration;
pub mod event;
pub mod handler;
pub mod http;
pub mod invocation_context;
pub mod json;
pub mod last_words;
pub mod message;
pub mod openapi;
pub mod page;
pub mod refusal;
pub mod route;
pub mod work;
pub mod work_queue;

mod act;
mod cloud;
mod parameter;
mod parameters;
mod sight;
