//! What core decides, seen from outside.

mod any_of;
mod brute_force;
mod croner;
mod days_long;
mod decision;
mod document;
mod examples;
mod language;
mod membership;
mod python;
#[cfg(feature = "schema")]
mod schema;
mod settings;
mod simulate;
mod support;
mod zones;
