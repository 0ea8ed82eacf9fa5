//! Curfew's decisions: the desired state of a schedule, the schedule that manages each instance, and the plan of a pass.
//!
//! Everything here is pure. There is no clock (`now` is a parameter), no file, no environment, no network, no async runtime
//! and no AWS SDK; these are in the crates `curfew-aws`, `curfew-lambda`, `curfew-daemon` and `curfew`.

pub mod account_regions;
pub mod assess;
pub mod configuration;
pub mod decision;
pub mod deployed_document;
pub mod error_code;
pub mod explain;
pub mod human_time;
pub mod instance;
pub mod instance_problem;
pub mod last_change;
pub mod next_action;
pub mod owner;
pub mod plan;
pub mod problem;
pub mod request;
pub mod rule_name;
pub mod schedule;
mod schedule_cache;
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
pub mod tag_problem;
pub mod time_expression;
pub mod timetable;
pub mod token;
pub mod transition;
pub mod work;
pub mod world;

#[cfg(test)]
mod test_support;
