//! `curfew doctor`, and the checks before `curfew deploy`, on the embedded emulator and on a model of AWS. Each call is recorded, and
//! none writes.

mod checks;
mod fixtures;
mod preflight;
