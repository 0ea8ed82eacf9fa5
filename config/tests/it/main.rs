//! The configuration as its callers see it.

mod configuration;
