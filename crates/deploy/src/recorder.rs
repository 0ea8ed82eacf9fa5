//! Records progress in tests.

use std::fmt::Write as _;
use std::sync::Mutex;

use curfew_aws::progress::Progress;

/// Records progress as the text that a pipe gets: one line per step and detail.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<String>);

impl Recorder {
    /// Returns the recorded text.
    pub(crate) fn into_text(self) -> String {
        self.0.into_inner().unwrap()
    }

    fn line(&self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0.lock().unwrap(), "{line}").unwrap();
    }
}

impl Progress for Recorder {
    fn begin(&self, step: &str) {
        self.line(format_args!("{step} …"));
    }

    fn detail(&self, text: &str) {
        self.line(format_args!("  {text}"));
    }

    fn end(&self, result: &str) {
        self.line(format_args!("{result}"));
    }

    fn note(&self, text: &str) {
        self.line(format_args!("note: {text}"));
    }
}
