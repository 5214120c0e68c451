//! Fingerprint of a tokenizer: one hash of the meaning of ids and of the rules that turn text into ids.

use sha2::{Digest, Sha256};

use crate::{pieces::Pieces, recipe::Recipe};

/// Version of the input of the hash.
const VERSION: &[u8] = b"duet tokenizer 1";

/// SHA-256 over bytes of every token, roles, pre-tokenizer and merges.
///
/// Spellings of control tokens and the place of BOS are left out: neither changes what an id means.
pub(super) fn of(recipe: &Recipe, pieces: &Pieces) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    let number = |hash: &mut Sha256, value: u64| hash.update(value.to_le_bytes());

    number(&mut hash, pieces.len() as u64);
    for (id, piece) in (0..).zip(&recipe.pieces) {
        let bytes = pieces.bytes(id);
        hash.update([piece.kind as u8]);
        hash.update((bytes.len() as u32).to_le_bytes());
        hash.update(bytes);
    }
    let specials = &recipe.specials;
    let roles = [specials.bos, specials.eos, specials.end_of_turn];
    let ends = specials.end_tokens.iter().copied().map(Some);
    for role in roles.into_iter().chain(ends) {
        number(&mut hash, role.map_or(u64::MAX, u64::from));
    }
    for step in &recipe.pre.steps {
        number(&mut hash, step.described.len() as u64);
        hash.update(&step.described);
    }
    hash.update([recipe.spelling as u8, u8::from(recipe.whole_words)]);
    for merge in &recipe.merges {
        hash.update(merge.left.to_le_bytes());
        hash.update(merge.right.to_le_bytes());
    }
    hash.finalize().into()
}
