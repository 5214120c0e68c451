//! Tokens as a tokenizer's file writes them.

use std::fmt;

use crate::{alphabet, error::TokenizerError};

/// Longest piece, in bytes. Work for every split of a longer one would take too long.
const MAX_PIECE_BYTES: usize = 1 << 12;

/// Character that SentencePiece writes for a space.
pub(super) const SPACE_MARK: char = '\u{2581}';

/// A token as its file writes it.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) kind: PieceKind,
}

/// Purpose of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// Made by merging.
    Normal,
    /// One byte, written `<0xHH>`.
    Byte,
    /// Text that is always this one token, wherever it appears.
    Defined,
    /// No text.
    Control,
    /// A hole in the vocabulary.
    Unused,
}

/// Way in which pieces spell bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// In GPT-2's byte alphabet.
    ByteLevel,
    /// As text with `▁` for spaces, and byte pieces for the rest.
    SentencePiece,
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByteLevel => "byte-level BPE",
            Self::SentencePiece => "SentencePiece BPE",
        })
    }
}

impl Piece {
    /// Refuses a piece that is too long to be one.
    pub(super) fn check(&self) -> Result<(), TokenizerError> {
        if self.text.len() <= MAX_PIECE_BYTES {
            return Ok(());
        }
        let length = self.text.len();
        let reason = format!("it has a token of {length} bytes");
        Err(TokenizerError::Inconsistent(reason))
    }

    /// The byte of a piece written `<0xHH>`.
    pub(super) fn byte(&self) -> Option<u8> {
        let digits = self.text.strip_prefix("<0x")?.strip_suffix('>')?;
        (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
    }

    /// The text of a token that is found by its spelling.
    pub(super) fn spelled_text(&self, spelling: Spelling) -> String {
        match spelling {
            Spelling::ByteLevel => self.text.clone(),
            Spelling::SentencePiece => self.text.replace(SPACE_MARK, " "),
        }
    }

    /// Exact bytes.
    pub(super) fn bytes(&self, spelling: Spelling) -> Vec<u8> {
        match self.kind {
            PieceKind::Control | PieceKind::Unused => Vec::new(),
            PieceKind::Byte => self.byte().into_iter().collect(),
            PieceKind::Normal if spelling == Spelling::ByteLevel => {
                // A piece that is not in the alphabet was added as text by someone's conversion.
                alphabet::read(&self.text).unwrap_or_else(|| self.text.clone().into_bytes())
            }
            PieceKind::Normal | PieceKind::Defined => self.spelled_text(spelling).into_bytes(),
        }
    }
}
