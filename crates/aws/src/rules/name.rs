//! Names of the rules that belong to a stack.

use curfew_core::rule_name;
use curfew_core::stack_name::StackName;
use sha2::{Digest, Sha256};

/// The name of the rule with this content; it contains the content's hash.
pub(super) fn of_edges(stack: &StackName, content: &str) -> String {
    rule_name::of_edges(stack.as_str(), &hash(content))
}

pub(super) fn of_heartbeat(stack: &StackName, content: &str) -> String {
    rule_name::of_heartbeat(stack.as_str(), &hash(content))
}

fn hash(content: &str) -> String {
    let digest = Sha256::digest(content.as_bytes());
    let hex = format!("{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2]);
    debug_assert_eq!(hex.len(), rule_name::HASH);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_has_another_name_within_eventbridges_limit() {
        let stack: StackName = "x".repeat(20).parse().unwrap();
        let name = |content| of_edges(&stack, content);
        assert_ne!(name("one"), name("two"));
        assert_eq!(name("one"), name("one"));
        assert!(name("one").len() <= 64, "{}", name("one"));
        assert_ne!(name("one"), of_heartbeat(&stack, "one"));
    }
}
