//! Read-only checks of a deployment: `curfew doctor`, and what `curfew deploy` checks first. They run on the embedded
//! emulator, and on the model in AWS's place. Each call is recorded, and none writes.

mod checks;
mod guard;
mod world;
