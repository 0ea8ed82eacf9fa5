//! The names of the rules that wake the Lambda: `curfew-STACK-edges-HASH` and `curfew-STACK-heartbeat-HASH`.

/// How long the hash in a name is, in hexadecimal digits. 24 bits: two of the at most 300 rules of a bus collide once in 370 buses,
/// and a name stays readable.
pub const HASH: usize = 6;

/// What the names of a stack's rules begin with, before a `-`; its other things are called by it too.
pub fn prefix(stack: &str) -> String {
    format!("curfew-{stack}")
}

/// The name of a rule of `stack` for the edges of schedules. `hash` stands for what the rule holds.
pub fn of_edges(stack: &str, hash: &str) -> String {
    format!("{}-edges-{hash}", prefix(stack))
}

/// The name of the rule of `stack` that bounds every delay.
pub fn of_heartbeat(stack: &str, hash: &str) -> String {
    format!("{}-heartbeat-{hash}", prefix(stack))
}
