//! Observing, executing and connecting, on the model of AWS.

mod capacity;
mod execution;
mod faults;
mod minimal_client;
mod organisation;
mod pass;
mod rules;
mod scenarios;
