//! Curfew's decisions, and nothing else: when a schedule wants what, which schedule governs which instance, and what a
//! pass would do about it at an instant.
//!
//! Everything here is pure. There is no clock (`now` is a parameter), no file, no environment, no network, no async runtime
//! and no AWS SDK; the crates `curfew-aws`, `curfew-lambda` and `curfew` bring those.
