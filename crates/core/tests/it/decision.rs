//! The decision, seen from outside: scenarios on a small EC2 with virtual time, a year of office hours, and random histories.

mod edges;
mod histories;
mod interleavings;
mod json;
mod managing;
mod overrides;
mod people;
mod requests;
mod selection;
mod table;
mod tries;
mod triggers;
mod types;
mod year;
