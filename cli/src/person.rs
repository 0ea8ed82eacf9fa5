//! Asking a person, where there is one.

use std::io::{self, BufRead as _, BufReader, IsTerminal, Read, Stderr, Stdin, Write};

use crate::printable;

/// Where answers come from, and where questions go.
pub(crate) struct Person<A, Q> {
    answers: A,
    questions: Q,
}

impl Person<Stdin, Stderr> {
    /// Whoever runs this command. Standard output is for results.
    pub(crate) fn here() -> Self {
        Self::at(io::stdin(), io::stderr())
    }
}

impl<A: Read + IsTerminal, Q: Write> Person<A, Q> {
    /// Who answers there, and reads here.
    pub(crate) fn at(answers: A, questions: Q) -> Self {
        Self { answers, questions }
    }

    /// Whether anybody can answer.
    pub(crate) fn is_there(&self) -> bool {
        self.answers.is_terminal()
    }

    /// Asks; anything but yes is no.
    pub(crate) fn confirms(&mut self, question: &str) -> bool {
        let mut answer = String::new();
        let asked = self
            .questions
            .write_all(printable::lines(question).as_bytes())
            .and_then(|()| self.questions.flush());
        asked.is_ok()
            && BufReader::new(&mut self.answers)
                .read_line(&mut answer)
                .is_ok()
            && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
