//! The configuration as its callers see it.

mod configuration;
mod key_reference;
