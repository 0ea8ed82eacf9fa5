//! What Curfew knows of AWS: how to connect, how to observe a fleet, how to carry out a plan, and how to keep the
//! EventBridge rules that wake it. Decisions are `curfew-core`'s; nothing here makes one.

pub mod calls;
pub mod change;
pub mod clock;
pub mod cloud;
pub mod connect;
pub mod decided_request;
pub mod document;
mod endpoint;
pub mod error;
pub mod execute;
pub mod fleet;
pub mod function;
pub mod gateway;
pub mod identity;
pub mod join_bounded;
pub mod organisation;
pub mod pace;
pub mod pages;
pub mod parameter;
pub mod pass;
pub mod progress;
pub mod queue;
mod requested;
pub mod rules;
mod service;
mod skew;
pub mod web;
mod whole;
