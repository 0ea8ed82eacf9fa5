//! The Lambda: an event becomes an invocation, an invocation a pass, a pass a response.
