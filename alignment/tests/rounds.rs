//! Whole generations over the rounds of a toy target: speculation off is the oracle for speculation on.

use alignment::acceptance::{Distribution, Method};
use alignment::candidate_tree::CandidateTree;
use alignment::noise::{END_RANK, Place, SharedNoise};
use alignment::reencode::{self, Candidates};
use alignment::round::Round;
use alignment::{TargetToken, Vocabulary};
use proptest::prelude::*;

const TOKENS: [&[u8]; 8] = [b"a", b"b", b"ab", b"ba", b"aab", b"c", b"\xc3", b"\xa9"];
const END: TargetToken = TargetToken(8);
const LONGEST: usize = 24;

/// Longest match first.
struct Toy;

impl Vocabulary for Toy {
    fn token_bytes(&self, id: u32) -> &[u8] {
        TOKENS.get(id as usize).copied().unwrap_or_default()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let mut rest = text.as_bytes();
        let mut ids = Vec::new();
        while !rest.is_empty() {
            let known = (0..TOKENS.len()).filter(|id| rest.starts_with(TOKENS[*id]));
            let Some(longest) = known.max_by_key(|id| TOKENS[*id].len()) else {
                break;
            };
            ids.push(longest as u32);
            rest = &rest[TOKENS[longest].len()..];
        }
        ids
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        let at = TOKENS.iter().position(|token| *token == [byte])?;
        Some(at as u32)
    }
}

/// The target's distribution after some tokens; a fixed function of the last two.
fn log_probs(tokens: &[TargetToken], temperature_zero: bool) -> Vec<f32> {
    let last = |back: usize| tokens.iter().rev().nth(back).map_or(17, |token| token.0);
    let weight = |id: u32| f64::from((id * 31 + last(0) * 7 + last(1) * 13) % 11) / 3.0;
    let weights: Vec<f64> = (0..=END.0).map(weight).collect();
    let best = weights.iter().copied().fold(f64::MIN, f64::max);
    let weights = weights.iter().map(|w| {
        if temperature_zero && *w < best {
            f64::NEG_INFINITY
        } else {
            *w
        }
    });
    let weights: Vec<f64> = weights.collect();
    let total: f64 = weights.iter().map(|w| w.exp()).sum();
    weights.iter().map(|w| (w - total.ln()) as f32).collect()
}

/// Generates with a block from `draft` in each round, the ways in which it would go on; what the drafter says may be anything.
fn generate(
    method: Method,
    seed: u64,
    mut draft: impl FnMut(&[u8]) -> Vec<Vec<u8>>,
) -> Vec<TargetToken> {
    let noise = SharedNoise::new(seed);
    let ids: Vec<u32> = (0..=END.0).collect();
    let keys = |id: u32| match TOKENS.get(id as usize) {
        Some(bytes) => (*bytes, 0),
        None => (&b""[..], END_RANK),
    };
    let (mut tokens, mut text) = (Vec::new(), Vec::new());
    let mut place = Place::default();
    loop {
        let ways = draft(&text);
        let spelled = |way: &Vec<u8>| reencode::candidates(&Toy, &tokens, way, 6);
        let mut candidates: Candidates = ways.first().map(spelled).unwrap_or_default();
        candidates.push_end(END, 6);
        let mut tree = CandidateTree::from(candidates);
        for way in ways.iter().skip(1) {
            tree.add(&spelled(way), 12);
        }
        let mut round = Round::new(&tree, place);
        while let Some(position) = round.open() {
            let log_probs = log_probs(&tokens, method == Method::Greedy);
            let distribution = Distribution {
                ids: &ids,
                log_probs: &log_probs,
            };
            let here = noise.at_place(position.place());
            let emitted = method.choose(&distribution, position.proposed(), &here, keys);
            let bytes = Toy.token_bytes(emitted.0);
            tokens.push(emitted);
            text.extend_from_slice(bytes);
            let finishes = emitted == END || tokens.len() == LONGEST;
            position.decide(emitted, bytes.len(), finishes);
        }
        let verdict = round.verdict();
        let kept = verdict.kept_bytes as usize;
        let before = text.len() - (verdict.place.offset - place.offset) as usize;
        let accepted = &text[before..before + kept];
        assert!(kept == 0 || ways.iter().any(|way| way.starts_with(accepted)));
        assert_eq!(verdict.place.offset as usize, text.len());
        place = verdict.place;
        if verdict.finished {
            return tokens;
        }
    }
}

/// A drafter that sends the given blocks in turn, without regard to the text.
fn in_turn(blocks: &[Vec<u8>]) -> impl FnMut(&[u8]) -> Vec<Vec<u8>> {
    let mut blocks = blocks.iter().cycle();
    move |_| blocks.next().into_iter().cloned().collect()
}

fn blocks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte =
        prop_oneof![9 => proptest::sample::select(b"aaabbc\xc3\xa9".to_vec()), 1 => any::<u8>()];
    proptest::collection::vec(proptest::collection::vec(byte, 0..9), 0..6)
}

proptest! {
    #[test]
    fn text_is_the_same_with_any_drafter_and_none(seed: u64, blocks in blocks()) {
        for method in [Method::Greedy, Method::Coupled] {
            let plain = generate(method, seed, |_| Vec::new());
            prop_assert_eq!(&generate(method, seed, in_turn(&blocks)), &plain);
            // All of them at once, as a tree.
            prop_assert_eq!(&generate(method, seed, |_| blocks.clone()), &plain);
        }
    }

    #[test]
    fn perfect_drafter_changes_nothing_either(seed: u64, length in 1_usize..12) {
        let plain = generate(Method::Coupled, seed, |_| Vec::new());
        let whole: Vec<u8> = plain.iter().flat_map(|t| Toy.token_bytes(t.0)).copied().collect();
        let drafted = generate(Method::Coupled, seed, |text| {
            let rest = &whole[text.len().min(whole.len())..];
            vec![rest[..rest.len().min(length)].to_vec()]
        });
        prop_assert_eq!(drafted, plain);
    }
}

#[test]
fn first_tokens_follow_the_distribution_under_point_mass_with_a_stubborn_drafter() {
    const DRAWS: u64 = 40_000;
    let mut counts = [0_u32; 9];
    for seed in 0..DRAWS {
        let tokens = generate(Method::PointMass, seed, |_| vec![b"abab".to_vec()]);
        counts[tokens[0].0 as usize] += 1;
    }
    for (count, log_prob) in counts.iter().zip(log_probs(&[], false)) {
        let p = f64::from(log_prob).exp();
        let deviation = (p * (1.0 - p) / DRAWS as f64).sqrt();
        let rate = f64::from(*count) / DRAWS as f64;
        assert!((rate - p).abs() < 4.5 * deviation, "{counts:?}");
    }
}

#[test]
fn every_tree_of_two_short_ways_gives_the_text_of_none() {
    let mut ways = vec![Vec::new()];
    for length in 0..3 {
        let longer = ways.iter().filter(|way: &&Vec<u8>| way.len() == length);
        let longer =
            longer.flat_map(|way| [b'a', b'b', b'c'].map(|byte| [&way[..], &[byte]].concat()));
        ways.extend(longer.collect::<Vec<_>>());
    }
    let mut alternatives = 0;
    for method in [Method::Greedy, Method::Coupled] {
        let plain = generate(method, 3, |_| Vec::new());
        for (main, other) in ways
            .iter()
            .flat_map(|main| ways.iter().map(move |other| (main, other)))
        {
            let tree = generate(method, 3, |text| {
                alternatives += usize::from(!main.starts_with(other) && text.is_empty());
                vec![main.clone(), other.clone()]
            });
            assert_eq!(tree, plain, "{main:?} and {other:?}");
        }
    }
    assert!(alternatives > 1000, "{alternatives}");
}
