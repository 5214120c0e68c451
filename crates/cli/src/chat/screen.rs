//! Output of the chat: answers as they arrive, coloured by origin in a terminal, and notes. Outside a terminal notes go to
//! standard error, so that standard output has only answers.

use std::io::{self, IsTerminal as _, Write as _};

use proto::verifier::Piece;

use crate::request;

/// Standard output, and standard error for notes outside a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    is_terminal: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Text as it arrives.
    pub(super) fn show(self, piece: &Piece) -> io::Result<()> {
        request::show(piece, self.is_terminal)
    }

    pub(super) fn end_of_answer(said: &str) -> io::Result<()> {
        if !said.ends_with('\n') {
            writeln!(io::stdout().lock())?;
        }
        Ok(())
    }

    pub(super) fn note(self, text: &str) -> io::Result<()> {
        if self.is_terminal {
            writeln!(io::stdout().lock(), "\x1b[2m{text}\x1b[0m")
        } else {
            writeln!(io::stderr().lock(), "{text}")
        }
    }
}
