//! Tests of the translation of other schedulers' schedules.

mod custodian;
mod instance_scheduler;
mod periods;
mod policy;
mod yaml;
