//! The configuration as its callers see it.

mod check;
mod configuration;
mod key_reference;
