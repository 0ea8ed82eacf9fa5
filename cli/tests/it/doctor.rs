//! What looks at a deployment and leaves it as it is: `curfew doctor`, and what `curfew deploy` looks at first. On the embedded emulator, and
//! on the model in AWS's place. Each call is recorded, and none writes.

mod checks;
mod guard;
mod world;
