//! Integration tests of the public interface of `curfew-core`.

mod account_regions;
mod any_of;
mod brute_force;
mod configuration;
mod croner;
mod days_long;
mod decision;
mod document;
mod examples;
mod language;
mod python;
#[cfg(feature = "schema")]
mod schema;
mod simulate;
mod support;
mod warnings;
mod zones;
