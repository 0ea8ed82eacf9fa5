//! The function, booted whole: events go in, answers come out, and EC2 and the parameter store are services behind HTTP.

mod access;
mod asked;
mod contract;
mod delivery;
mod events;
mod failures;
mod holds;
mod hostile;
mod log;
mod mutation;
mod parameter_store;
mod places;
mod settings;
mod targets;
mod world;
