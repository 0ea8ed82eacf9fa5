//! The `curfew` command: parses, wires, and maps errors to exit codes.

fn main() {}
