//! Coupling to the verifier: the noise that both sides have, and the sharpness that is accepted most often.

use std::collections::VecDeque;

use alignment::{
    acceptance::sharpness::{SHARPNESSES, Sharpness},
    noise::SharedNoise,
};

use crate::drafting::vocabulary::DraftVocabulary;

/// Token that each sharpness would propose at a position.
pub(super) type Guess = [u32; SHARPNESSES.len()];

/// Coupling of one session.
pub(super) struct Coupling {
    pub(super) noise: SharedNoise,
    pub(super) sharpness: Sharpness,
    /// Byte offsets in the reply with the guesses there, until the text there is committed.
    guesses: VecDeque<(usize, Guess)>,
}

impl Coupling {
    /// Coupling by the noise of `seed` that begins with the sharpness nearest to `sharpness`.
    pub(super) fn new(seed: u64, sharpness: f32) -> Self {
        Self {
            noise: SharedNoise::new(seed),
            sharpness: Sharpness::new(sharpness),
            guesses: VecDeque::new(),
        }
    }

    /// Drops the guesses at `offset` and after it.
    pub(super) fn forget_from(&mut self, offset: usize) {
        while self.guesses.back().is_some_and(|(at, _)| *at >= offset) {
            self.guesses.pop_back();
        }
    }

    /// Keeps what each sharpness would have proposed at `offset`.
    pub(super) fn guessed(&mut self, offset: usize, guess: Guess) {
        // A position that is guessed again was dropped in between.
        self.forget_from(offset);
        self.guesses.push_back((offset, guess));
    }

    /// Counts the guesses at positions that are committed now. The draft agrees with the first `agreed` bytes of `committed`.
    pub(super) fn learn(&mut self, committed: &[u8], agreed: usize, vocabulary: &DraftVocabulary) {
        while let Some((offset, guess)) = self.guesses.front().copied() {
            if offset >= committed.len() {
                return;
            }
            self.guesses.pop_front();
            // Guesses after a rejected token were about another text.
            if offset <= agreed {
                let text = &committed[offset..];
                let fits = |id| {
                    let (bytes, _) = vocabulary.key(id);
                    !bytes.is_empty() && (text.starts_with(bytes) || bytes.starts_with(text))
                };
                self.sharpness.observe(guess.map(fits));
            }
        }
    }
}
