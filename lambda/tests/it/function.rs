//! Tests of the complete function: they send events and check responses. EC2 and the parameter store are models behind HTTP.

mod access;
mod configuration;
mod contract;
mod damaged_events;
mod delivery;
mod events;
mod failures;
mod hostile;
mod log;
mod overrides;
mod parameter_store;
mod regions;
mod requests;
mod targets;
mod world;
