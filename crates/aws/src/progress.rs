//! Reports the progress of long operations. The caller displays it.

/// Receives progress reports. Steps don't overlap: beginning one ends the one before.
pub trait Progress: Send + Sync {
    /// A step begins, such as `Installing the emulator`.
    fn begin(&self, step: &str);
    /// The state of the step, such as `Function: created`.
    fn detail(&self, text: &str);
    /// The step has ended with this result, such as `The emulator is installed`.
    fn end(&self, result: &str);
    /// A line that stays visible, with something that the user should know.
    fn note(&self, text: &str);
}

/// Discards the reports, for `--quiet` and tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str) {}
    fn detail(&self, _: &str) {}
    fn end(&self, _: &str) {}
    fn note(&self, _: &str) {}
}
