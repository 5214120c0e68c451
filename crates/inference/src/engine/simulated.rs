//! A model that only waits. **Simulated**: it has no weights and its text makes no sense. No number measured with it is the
//! speed of a real model; it shows what services, protocol and control do with a model of such costs.
//!
//! It takes a decoder's place on the model's thread, so that queueing, batching and caches are the real ones. The next token
//! is a function of the last few, the same for all simulated models, except for errors at a rate that each model has of its
//! own: the agreement of a drafter with a target.

mod profile;

use std::thread;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result, Tensor};
use kernels::Tree;

pub(crate) use self::profile::Profile;
pub use self::profile::ProfileError;
use crate::checkpoint::{Architecture, ModelFamily, Rotary, RotaryScaling};
use crate::decoder::Sequence;

/// Number of tokens that decide about the next one.
const MEMORY: usize = 8;
/// Bytes that are generated, in proportion.
const LETTERS: &[u8; 64] = b"eeeeeeetttttaaaaaoooiiinnnsssrrhhldcumfpgwybvk    ,.EATSIOAN    ";
/// Logit of the generated token; that of the others is 0.
const SAID: f32 = 20.0;

/// The model.
pub(crate) struct Simulation {
    profile: Profile,
    architecture: Architecture,
}

impl Simulation {
    /// Model of these costs. Its vocabulary has `vocab_size` tokens, of which the first 256 are the bytes.
    pub(crate) fn new(profile: Profile, vocab_size: usize) -> Self {
        Self {
            architecture: architecture(&profile, vocab_size),
            profile,
        }
    }

    pub(crate) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The profile's costs, as a decoder's pass: waits, appends to the caches and gives logits.
    pub(crate) fn forward(&self, sequences: &mut [Sequence]) -> Result<Option<Tensor>> {
        let began = Instant::now();
        let cost = self.cost(sequences);
        let vocab_size = self.architecture.vocab_size;
        let mut logits = Vec::new();
        for sequence in sequences.iter_mut() {
            let (before, after) = append(sequence)?;
            let count = sequence.tokens.len();
            for row in count - sequence.rows..count {
                let mut tokens = before.clone();
                match sequence.tree {
                    None => tokens.extend(&after[(row + 1).saturating_sub(MEMORY)..=row]),
                    Some(tree) => {
                        let path = tree.path(row).iter();
                        tokens.extend(path.map(|at| after[*at as usize]));
                    }
                }
                let said = self.next(&tokens[tokens.len().saturating_sub(MEMORY)..]);
                let start = logits.len();
                logits.resize(start + vocab_size, 0.0);
                logits[start + usize::from(said)] = SAID;
            }
        }
        for sequence in sequences.iter_mut() {
            sequence.cache.advance(sequence.tokens.len());
        }
        thread::sleep(cost.saturating_sub(began.elapsed()));
        let rows = logits.len() / vocab_size;
        if rows == 0 {
            return Ok(None);
        }
        Tensor::from_vec(logits, (rows, vocab_size), &Device::Cpu).map(Some)
    }

    /// Time that a pass takes.
    fn cost(&self, sequences: &[Sequence]) -> Duration {
        let mut rows = 0.0;
        let mut positions = 0.0;
        for sequence in sequences {
            let (held, new) = (sequence.cache.len() as f64, sequence.tokens.len() as f64);
            rows += new;
            // Each row attends to the positions before it and to itself.
            positions += match sequence.tree {
                None => new * held + new * (new + 1.0) / 2.0,
                Some(_) => sequence.positions().map(|at| (at + 1) as f64).sum(),
            };
        }
        self.profile.cost(rows, positions)
    }

    /// Next token after `tokens`.
    fn next(&self, tokens: &[u32]) -> u8 {
        let text = tokens
            .iter()
            .fold(0, |hash, token| mix(hash ^ u64::from(*token)));
        let right = text as usize % LETTERS.len();
        let dice = mix(text ^ mix(self.profile.seed));
        // The highest 53 bits as a number from 0 to 1.
        let chance = (dice >> 11) as f64 / (1_u64 << 53) as f64;
        if chance < self.profile.agreement {
            return LETTERS[right];
        }
        let other = |letter: &&u8| **letter != LETTERS[right];
        let others = LETTERS.iter().cycle().skip(dice as usize % LETTERS.len());
        others
            .take(LETTERS.len())
            .find(other)
            .copied()
            .unwrap_or(b'?')
    }
}

/// Appends a sequence's tokens to its cache, which holds them as numbers; gives the last `MEMORY` tokens before the new
/// ones or their tree, and the tokens after these.
fn append(sequence: &mut Sequence) -> Result<(Vec<u32>, Vec<u32>)> {
    let count = sequence.tokens.len();
    let shared = sequence.cache.len() - sequence.tree.map_or(0, Tree::held);
    let start = shared.saturating_sub(MEMORY);
    let end = sequence.cache.len() + count;
    let numbers: Vec<f32> = sequence.tokens.iter().map(|token| *token as f32).collect();
    let numbers = Tensor::from_vec(numbers, (count, 1, 1), &Device::Cpu)?; // (rows, kv_heads, head_dim)
    let (held, _) = sequence.cache.append(0, &numbers, &numbers)?;
    let held = held.narrow(1, start, end - start)?.flatten_all()?; // (tokens)
    debug_assert_eq!(held.dtype(), DType::F32);
    let numbers = held.to_vec1::<f32>()?;
    let mut held: Vec<u32> = numbers.into_iter().map(|number| number as u32).collect();
    let after = held.split_off(shared - start);
    Ok((held, after))
}

/// One layer with one number a position: the cache of a model that remembers its tokens.
fn architecture(profile: &Profile, vocab_size: usize) -> Architecture {
    Architecture {
        kind: ModelFamily::Llama,
        layers: 1,
        hidden: 1,
        heads: 1,
        kv_heads: 1,
        head_dim: 1,
        feed_forward: 1,
        vocab_size,
        context_length: profile.context,
        norm_epsilon: 0.0,
        attention_scale: 1.0,
        rotary: Rotary {
            base: 1.0,
            scaling: RotaryScaling::None,
        },
        window: None,
        embedding_scale: 1.0,
        norm_offset: 0.0,
    }
}

/// `SplitMix64`'s finaliser: spreads every bit over all.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::Cache;

    fn simulation(agreement: f64, seed: u64) -> Simulation {
        let profile = format!(
            "name = \"t\"\npass_micros = 1.0\nrow_micros = 0.0\nposition_micros = 0.0\nagreement = {agreement}\nseed = {seed}\ncontext = 4096\n"
        );
        Simulation::new(profile.parse().unwrap(), 257)
    }

    /// Bytes generated after each of the last `rows` tokens.
    fn said(simulation: &Simulation, cache: &mut Cache, tokens: &[u32], rows: usize) -> Vec<u32> {
        let mut batch = [Sequence {
            cache,
            tokens,
            rows,
            tree: None,
        }];
        let logits = simulation.forward(&mut batch).unwrap().unwrap();
        logits.argmax(1).unwrap().to_vec1::<u32>().unwrap()
    }

    #[test]
    fn block_gives_what_single_tokens_give_and_a_truncated_cache_what_a_fresh_one_gives() {
        let simulation = simulation(0.7, 3);
        let tokens: Vec<u32> = (0..40).map(|n| n * 7 % 256).collect();
        let mut cache = Cache::new(simulation.architecture());
        let whole = said(&simulation, &mut cache, &tokens, tokens.len());
        let mut stepped = Cache::new(simulation.architecture());
        let steps = tokens
            .iter()
            .map(|token| said(&simulation, &mut stepped, &[*token], 1)[0]);
        assert_eq!(steps.collect::<Vec<_>>(), whole);
        cache.truncate(20);
        assert_eq!(
            said(&simulation, &mut cache, &tokens[20..], 20),
            whole[20..]
        );
    }

    #[test]
    fn drafter_agrees_with_the_target_as_often_as_its_profile_says() {
        let target = simulation(1.0, 0);
        let mut tokens = vec![65];
        let mut cache = Cache::new(target.architecture());
        for place in 0..4000 {
            let next = said(&target, &mut cache, &tokens[place..], 1)[0];
            tokens.push(next);
        }
        for agreement in [0.0, 0.6, 0.9, 1.0] {
            let other = simulation(agreement, 5);
            let mut cache = Cache::new(other.architecture());
            let drafted = said(&other, &mut cache, &tokens[..4000], 4000);
            let same = drafted
                .iter()
                .zip(&tokens[1..])
                .filter(|(a, b)| a == b)
                .count();
            assert!(
                (same as f64 / 4000.0 - agreement).abs() < 0.03,
                "{agreement}: {same}"
            );
        }
        let kinds: std::collections::BTreeSet<_> = tokens.windows(6).collect();
        assert!(kinds.len() > 3900, "the text goes round in circles");
    }

    #[test]
    fn pass_takes_what_the_profile_says() {
        let profile = "name = \"t\"\npass_micros = 1000.0\nrow_micros = 100.0\nposition_micros = 1.0\nagreement = 1.0\nseed = 0\ncontext = 4096\n";
        let simulation = Simulation::new(profile.parse().unwrap(), 257);
        let mut cache = Cache::new(simulation.architecture());
        let batch = [Sequence {
            cache: &mut cache,
            tokens: &[1, 2, 3, 4],
            rows: 1,
            tree: None,
        }];
        // 1 + 2 + 3 + 4 positions.
        assert_eq!(simulation.cost(&batch), Duration::from_micros(1410));
    }
}
