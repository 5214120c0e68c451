//! What the chat writes: answers as they come, coloured by origin in a terminal, and notes of its own on standard error where
//! standard output is for answers only.

use std::io::{self, IsTerminal as _, Write as _};

use proto::verifier::Piece;

use crate::request;

/// Standard output.
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
