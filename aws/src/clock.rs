//! The one place where time is read.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time. Shells hold one and hand `now` down; nothing else reads a clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one clock that everything else is told by"
        )]
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that says what `tell` says: a model's virtual time, or a fixed instant.
    pub fn telling(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The current instant.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
