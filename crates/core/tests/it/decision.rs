//! The decision, seen from outside: scenarios on a small EC2 with virtual time, a year of office hours, and random histories.

mod edges;
mod governing;
mod histories;
mod holds;
mod interleavings;
mod json;
mod people;
mod requests;
mod tries;
mod types;
mod wake_ups;
mod year;
