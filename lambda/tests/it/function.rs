//! The function, booted whole: events go in, answers come out, and EC2 and the parameter store are services behind HTTP.

mod access;
mod asked;
mod configuration;
mod contract;
mod delivery;
mod events;
mod failures;
mod hostile;
mod log;
mod mutation;
mod overrides;
mod parameter_store;
mod places;
mod targets;
mod world;
