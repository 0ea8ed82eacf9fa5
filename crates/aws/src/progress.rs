//! What long work in a cloud tells while it is under way. Showing it is the caller's business.

/// Is told what is going on. One step at a time; beginning one ends the one before.
pub trait Progress: Send + Sync {
    /// A step begins: `Installing the emulator`.
    fn begin(&self, step: &str);
    /// Where the step has got to: `Function: created`.
    fn detail(&self, text: &str);
    /// The step has ended; says what came of it: `The emulator is installed`.
    fn end(&self, result: &str);
    /// A line that stays, for what a person should know.
    fn note(&self, text: &str);
}

/// Says nothing: for `--quiet` and for tests of something else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str) {}
    fn detail(&self, _: &str) {}
    fn end(&self, _: &str) {}
    fn note(&self, _: &str) {}
}
