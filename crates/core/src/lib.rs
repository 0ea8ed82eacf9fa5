//! Curfew's decisions, and nothing else: when a schedule wants what, which schedule manages which instance, and what a
//! pass would do about it at an instant.
//!
//! Everything here is pure. There is no clock (`now` is a parameter), no file, no environment, no network, no async runtime
//! and no AWS SDK; the crates `curfew-aws`, `curfew-lambda` and `curfew` bring those.

pub mod account_regions;
pub mod assess;
pub mod configuration;
pub mod decision;
pub mod explain;
pub mod instance;
pub mod latest;
pub mod owner;
pub mod plan;
pub mod problem;
pub mod published;
pub mod request;
pub mod rule_name;
pub mod schedule;
pub mod schedule_set;
#[cfg(feature = "schema")]
pub mod schema;
pub mod select;
pub mod simulate;
pub mod skip;
pub mod stack_name;
pub mod state_tags;
pub mod status;
pub mod step;
mod string_newtype;
pub mod timetable;
pub mod token;
pub mod transition;
mod view;
pub mod work;
pub mod world;

#[cfg(test)]
mod example;
