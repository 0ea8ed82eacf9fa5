//! What other schedulers' schedules become.

mod custodian;
mod instance_scheduler;
mod periods;
mod policy;
