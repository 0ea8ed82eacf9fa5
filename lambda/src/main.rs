//! The `bootstrap` that Lambda's custom runtime starts.

fn main() {}
