//! Yes-or-no prompts on the terminal.

use std::io::{self, BufRead as _, BufReader, IsTerminal, Read, Stderr, Stdin, Write};

use crate::printable;

/// Writes questions to one stream and reads answers from another.
pub(crate) struct Prompt<A, Q> {
    answers: A,
    questions: Q,
}

impl Prompt<Stdin, Stderr> {
    /// Prompts on standard error, because standard output is for results.
    pub(crate) fn stdio() -> Self {
        Self::new(io::stdin(), io::stderr())
    }
}

impl<A: Read + IsTerminal, Q: Write> Prompt<A, Q> {
    pub(crate) fn new(answers: A, questions: Q) -> Self {
        Self { answers, questions }
    }

    /// Returns whether answers come from a terminal.
    pub(crate) fn is_interactive(&self) -> bool {
        self.answers.is_terminal()
    }

    /// Asks a question. Any answer except `y`, `Y` or `yes` means no.
    pub(crate) fn confirm(&mut self, question: &str) -> bool {
        let mut answer = String::new();
        let written = self
            .questions
            .write_all(printable::lines(question).as_bytes())
            .and_then(|()| self.questions.flush());
        written.is_ok()
            && BufReader::new(&mut self.answers)
                .read_line(&mut answer)
                .is_ok()
            && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
