//! The names of the EventBridge rules that trigger the Lambda: `curfew-STACK-edges-HASH` and `curfew-STACK-heartbeat-HASH`.

/// The length of the hash in a name, in hexadecimal digits. With 24 bits, two of the at most 300 rules of a bus collide on one bus
/// in 370, and a name stays readable.
pub const HASH: usize = 6;

/// Returns the prefix of the names of a stack's rules and other resources, without the `-` after it.
pub fn prefix(stack: &str) -> String {
    format!("curfew-{stack}")
}

/// Returns the name of a rule of `stack` for the edges of schedules. `hash` is the hash of the rule's content.
pub fn of_edges(stack: &str, hash: &str) -> String {
    format!("{}-edges-{hash}", prefix(stack))
}

/// Returns the name of the heartbeat rule of `stack`, which bounds every delay.
pub fn of_heartbeat(stack: &str, hash: &str) -> String {
    format!("{}-heartbeat-{hash}", prefix(stack))
}
