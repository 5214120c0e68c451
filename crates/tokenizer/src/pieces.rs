//! The bytes of every token, in one block.

use std::collections::HashMap;

use crate::{piece::PieceKind, recipe::Recipe};

/// Bytes, ranks and kinds by id.
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// End of each token in `bytes`.
    ends: Vec<u32>,
    /// True for each token that stands for no text.
    control: Vec<bool>,
    /// Ranks above 0, by id.
    ranks: HashMap<u32, u32>,
}

impl Pieces {
    pub(super) fn new(recipe: &Recipe) -> Self {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(recipe.pieces.len());
        let mut control = Vec::with_capacity(recipe.pieces.len());
        for piece in &recipe.pieces {
            bytes.extend(piece.bytes(recipe.spelling));
            ends.push(bytes.len() as u32);
            control.push(matches!(piece.kind, PieceKind::Control | PieceKind::Unused));
        }
        let mut pieces = Self {
            bytes,
            ends,
            control,
            ranks: HashMap::new(),
        };
        let specials = &recipe.specials;
        pieces.ranks = pieces.rank_all(&[specials.end_of_turn, specials.eos]);
        pieces
    }

    /// Ranks among tokens with equal bytes. Tokens without bytes begin with `first`; the rest goes by id.
    fn rank_all(&self, first: &[Option<u32>]) -> HashMap<u32, u32> {
        let mut order: Vec<u32> = first.iter().flatten().copied().collect();
        order.dedup();
        order.retain(|&id| self.bytes(id).is_empty());
        let first_count = order.len();
        order.extend((0..self.len() as u32).filter(|id| !first.contains(&Some(*id))));
        order[first_count..].sort_unstable();

        let mut seen: HashMap<&[u8], u32> = HashMap::with_capacity(self.len());
        let mut ranks = HashMap::new();
        for id in order {
            let count = seen.entry(self.bytes(id)).or_insert(0);
            if *count > 0 {
                ranks.insert(id, *count);
            }
            *count += 1;
        }
        ranks
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// Lowest id whose bytes are exactly one byte, for each byte.
    pub(super) fn single_bytes(&self) -> [Option<u32>; 256] {
        let mut ids = [None; 256];
        for id in 0..self.len() as u32 {
            if let [byte] = self.bytes(id) {
                ids[usize::from(*byte)].get_or_insert(id);
            }
        }
        ids
    }

    pub(super) fn rank(&self, id: u32) -> u32 {
        self.ranks.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn is_control(&self, id: u32) -> bool {
        self.control.get(id as usize).copied().unwrap_or(true)
    }
}
