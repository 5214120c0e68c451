//! Special tokens by role.
//!
//! Special tokens of two vocabularies correspond by role, never by id or spelling. Files name few roles, so
//! tokens that end a turn or a sequence are also recognised by the spellings that model families give them.

use crate::{
    error::TokenizerError,
    piece::{Piece, PieceKind},
};

/// Ids by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Specials {
    /// Token that begins a sequence.
    pub bos: Option<u32>,
    /// Token that ends a sequence.
    pub eos: Option<u32>,
    /// Token that ends one speaker's turn.
    pub end_of_turn: Option<u32>,
    /// All tokens after which a generation is over, in ascending order.
    pub end_tokens: Vec<u32>,
    /// True if the model was trained with BOS before every text.
    pub adds_bos: bool,
    /// Tokens that mark a gap in a text; `None`: the model was not trained to fill one.
    pub infill: Option<InfillMarkers>,
}

/// Tokens that mark a gap in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfillMarkers {
    /// Ahead of the text before the gap.
    pub prefix: u32,
    /// Ahead of the text after it.
    pub suffix: u32,
    /// After both; `None`: the suffix comes first, and the reply follows the prefix.
    pub middle: Option<u32>,
}

/// Spellings of infill markers, a line for each family: prefix, suffix, middle.
const INFILL: &[[&str; 3]] = &[
    ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
    ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
    ["<fim-prefix>", "<fim-suffix>", "<fim-middle>"],
    ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],
    ["<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"],
    ["▁<PRE>", "▁<SUF>", "▁<MID>"],
    ["<PRE>", "<SUF>", "<MID>"],
    ["[PREFIX]", "[SUFFIX]", "[MIDDLE]"],
];

/// Spellings of tokens that end a turn. The first that a vocabulary has is its own.
const END_OF_TURN: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|end_of_turn|>",
    "<end_of_utterance>",
    "<EOT>",
    "[EOT]",
];

/// Further tokens after which a reply is over: ends of documents and files, and calls of tools.
const ENDS: &[&str] = &[
    "<|endoftext|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "<|eom_id|>",
    "<|return|>",
    "<|call|>",
    "<|file_sep|>",
    "<|repo_name|>",
    "<|fim_pad|>",
    "<reponame>",
    "<eos>",
];

/// Special tokens as a file names them.
#[derive(Default)]
pub(super) struct NamedSpecials {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) end_of_turn: Option<u32>,
    pub(super) more_ends: Vec<u32>,
    pub(super) adds_bos: bool,
    /// Infill markers: prefix, suffix, middle.
    pub(super) infill: [Option<u32>; 3],
}

impl NamedSpecials {
    /// Completes the roles, and makes control tokens of those that have one.
    pub(super) fn resolve(self, pieces: &mut [Piece]) -> Result<Specials, TokenizerError> {
        let roles = [self.bos, self.eos, self.end_of_turn];
        for id in roles
            .into_iter()
            .flatten()
            .chain(self.more_ends.iter().copied())
        {
            let Some(piece) = pieces.get_mut(id as usize) else {
                return Err(TokenizerError::Inconsistent(format!(
                    "special token {id} is not one of its {} tokens",
                    pieces.len()
                )));
            };
            piece.kind = PieceKind::Control;
        }

        let infill = infill(self.infill, pieces);
        let mut turn_ends = vec![None; END_OF_TURN.len()];
        let mut ends = self.more_ends;
        ends.extend(self.eos);
        ends.extend(self.end_of_turn);
        for (id, piece) in (0..).zip(pieces.iter_mut()) {
            let place = END_OF_TURN.iter().position(|name| *name == piece.text);
            if place.is_none() && !ENDS.contains(&piece.text.as_str()) {
                continue;
            }
            if let Some(place) = place {
                turn_ends[place] = Some(id);
            }
            piece.kind = PieceKind::Control;
            ends.push(id);
        }
        ends.sort_unstable();
        ends.dedup();
        Ok(Specials {
            bos: self.bos,
            eos: self.eos,
            end_of_turn: self
                .end_of_turn
                .or_else(|| turn_ends.into_iter().flatten().next()),
            end_tokens: ends,
            adds_bos: self.adds_bos && self.bos.is_some(),
            infill,
        })
    }
}

/// Infill markers: those that a file names, else those of the first family that the vocabulary has. They become control tokens.
fn infill(named: [Option<u32>; 3], pieces: &mut [Piece]) -> Option<InfillMarkers> {
    let find = |name: &str| {
        let found = pieces.iter().position(|piece| piece.text == name);
        found.map(|id| id as u32)
    };
    let is_there = |id: &u32| (*id as usize) < pieces.len();
    let of_family = |family: &[&str; 3]| family.map(find);
    let [prefix, suffix, middle] = if named[0].is_some() && named[1].is_some() {
        named
    } else {
        let mut families = INFILL.iter().map(of_family);
        families.find(|[prefix, suffix, _]| prefix.is_some() && suffix.is_some())?
    };
    let markers = InfillMarkers {
        prefix: prefix.filter(is_there)?,
        suffix: suffix.filter(is_there)?,
        middle: middle.filter(is_there),
    };
    let outer = [markers.prefix, markers.suffix];
    for id in outer.into_iter().chain(markers.middle) {
        pieces[id as usize].kind = PieceKind::Control;
    }
    Some(markers)
}
