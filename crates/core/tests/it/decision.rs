//! The decision, tested from outside: scenarios on a small EC2 with virtual time, a year of office hours, and random histories.

mod edges;
mod fallback_types;
mod histories;
mod interleavings;
mod json;
mod managing;
mod manual_changes;
mod overrides;
mod requests;
mod retries;
mod selection;
mod table;
mod triggers;
mod year;
