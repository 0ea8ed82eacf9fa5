//! The stream that results are written to: whether it is a terminal, its width, and whether it has colours.

use std::io::{self, IsTerminal};

use anstream::{AutoStream, ColorChoice};

/// The stream that a view is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputTarget {
    kind: StreamKind,
    width: Option<usize>,
    colour: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamKind {
    /// A terminal: what is alike is grouped if there is much of it.
    Terminal,
    /// A file or a pipe: complete, with a line for each row.
    Pipe,
    /// `-o wide`: complete, with all columns.
    Wide,
}

impl OutputTarget {
    /// The width of a terminal that does not report one.
    const USUAL_WIDTH: usize = 80;

    /// Returns the target of standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(&io::stdout(), AutoStream::choice(&io::stdout()))
    }

    /// Returns the target of standard error, where prompts are written.
    pub(crate) fn stderr() -> Self {
        Self::of(&io::stderr(), AutoStream::choice(&io::stderr()))
    }

    /// `choice` is the decision about colours by `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM` and the stream.
    fn of(stream: &(impl IsTerminal + std::os::fd::AsFd), choice: ColorChoice) -> Self {
        let is_terminal = stream.is_terminal();
        // `COLUMNS` applies to pipes too, as with `ps`. Shells set it without exporting it.
        let columns = std::env::var("COLUMNS").ok();
        let columns = columns.and_then(|text| text.parse().ok());
        let reported = || {
            let size = rustix::termios::tcgetwinsize(stream).ok()?;
            (size.ws_col > 0).then_some(usize::from(size.ws_col))
        };
        let width = match columns.filter(|columns| *columns > 0) {
            Some(columns) => Some(columns),
            None if is_terminal => Some(reported().unwrap_or(Self::USUAL_WIDTH)),
            None => None,
        };
        Self {
            kind: if is_terminal {
                StreamKind::Terminal
            } else {
                StreamKind::Pipe
            },
            width,
            colour: choice != ColorChoice::Never,
        }
    }

    /// Returns the target for all columns and rows in full.
    pub(crate) fn wide(self) -> Self {
        Self {
            kind: StreamKind::Wide,
            width: None,
            ..self
        }
    }

    #[cfg(test)]
    pub(crate) fn pipe(width: Option<usize>) -> Self {
        Self {
            kind: StreamKind::Pipe,
            width,
            colour: false,
        }
    }

    /// Returns the number of columns; none if lines may have any length.
    pub(crate) fn width(self) -> Option<usize> {
        self.width
    }

    /// Returns whether long lists show what is alike in groups. Pipes and `-o wide` have a line for each row.
    pub(crate) fn groups(self) -> bool {
        self.kind == StreamKind::Terminal
    }

    pub(crate) fn is_terminal(self) -> bool {
        self.kind == StreamKind::Terminal
    }

    pub(crate) fn is_wide(self) -> bool {
        self.kind == StreamKind::Wide
    }

    pub(crate) fn has_colour(self) -> bool {
        self.colour
    }
}
