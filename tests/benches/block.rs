//! Time of a round without the two models: re-encode a block of 8 draft tokens, align it, accept all of it; with the
//! tokenizers of real families and distributions as top-p leaves them.
//!
//! `cargo bench -p tests --bench block` fetches the tokenizers first, as `duet models pull` would.

#![allow(
    missing_docs,
    reason = "the macros of criterion make functions without"
)]

use std::hint::black_box;
use std::time::Duration;

use alignment::acceptance::{Distribution, Method};
use alignment::candidate_tree::CandidateTree;
use alignment::noise::{Place, SharedNoise};
use alignment::reencode::{self, Candidates};
use alignment::round::{Round, Verdict};
use alignment::{TargetToken, Vocabulary as _, spans};
use criterion::{Criterion, criterion_group, criterion_main};
use tests::samples::ALL;
use tests::vocabularies::RealVocabulary;

/// Draft tokens of a block, and candidates at most.
const DRAFTED: usize = 8;
const ROOM: usize = 16;
/// Tokens of a distribution.
const DISTRIBUTION: u32 = 500;
/// Bytes of each sample that are committed before the block.
const COMMITTED: usize = 1000;

/// Drafter and target.
const PAIRS: [[&str; 2]; 2] = [
    ["smollm2-135m", "tokenizer:qwen3"],
    ["tokenizer:gemma3", "smollm2-135m"],
];

/// A block of draft tokens after committed text.
struct Block<'a> {
    target: &'a RealVocabulary,
    committed: Vec<TargetToken>,
    draft: Vec<u8>,
    draft_ends: Vec<u32>,
    /// One for each candidate and one for the bonus token.
    distributions: Vec<(Vec<u32>, Vec<f32>)>,
    noise: SharedNoise,
}

impl<'a> Block<'a> {
    fn new(drafter: &RealVocabulary, target: &'a RealVocabulary, text: &str) -> Self {
        let (committed, rest) = text.split_at(text.floor_char_boundary(COMMITTED));
        let mut draft = Vec::new();
        let mut draft_ends = Vec::new();
        for id in drafter.encode(rest).into_iter().take(DRAFTED) {
            draft.extend_from_slice(drafter.token_bytes(id));
            draft_ends.push(draft.len() as u32);
        }
        let committed: Vec<TargetToken> = target
            .encode(committed)
            .into_iter()
            .map(TargetToken)
            .collect();
        let candidates = reencode::candidates(target, &committed, &draft, ROOM);
        let mut likeliest: Vec<u32> = candidates.tokens.iter().map(|token| token.0).collect();
        likeliest.push(0);
        Self {
            target,
            committed,
            draft,
            draft_ends,
            distributions: likeliest.into_iter().map(distribution).collect(),
            noise: SharedNoise::new(1),
        }
    }

    fn candidates(&self) -> Candidates {
        reencode::candidates(self.target, &self.committed, black_box(&self.draft), ROOM)
    }

    fn verdict(&self) -> Verdict {
        let candidates = self.candidates();
        black_box(spans::align(&self.draft_ends, &candidates.ends).ok());
        let tree = CandidateTree::from(candidates);
        let mut round = Round::new(&tree, Place::default());
        while let Some(position) = round.open() {
            let (ids, log_probs) = &self.distributions[position.row()];
            let noise = self.noise.at_place(position.place());
            let bytes = |id| (self.target.token_bytes(id), 0);
            let emitted = Method::Coupled.choose(
                &Distribution { ids, log_probs },
                position.proposed(),
                &noise,
                bytes,
            );
            position.decide(emitted, self.target.token_bytes(emitted.0).len(), false);
        }
        let verdict = round.verdict();
        assert_eq!(verdict.accepted, tree.len());
        verdict
    }
}

/// Nearly all mass on one token, so that the whole block is walked, and the rest where no bound spares its hashes.
fn distribution(likeliest: u32) -> (Vec<u32>, Vec<f32>) {
    let others = (0..=DISTRIBUTION).filter(|id| *id != likeliest);
    let ids = std::iter::once(likeliest).chain(others);
    let ids: Vec<u32> = ids.take(DISTRIBUTION as usize).collect();
    let log_probs = (0..DISTRIBUTION).map(|i| if i == 0 { -1e-6 } else { -20.0 });
    (ids, log_probs.collect())
}

fn blocks(c: &mut Criterion) {
    for names in PAIRS {
        let [drafter, target] = names.map(RealVocabulary::load);
        for sample in ALL {
            let block = Block::new(&drafter, &target, sample.text);
            let candidates = block.candidates().tokens.len();
            let mut group = c.benchmark_group(format!(
                "{} for {}, {}: {DRAFTED} draft tokens, {candidates} candidates",
                drafter.family(),
                target.family(),
                sample.kind
            ));
            group.bench_function("re-encode", |b| b.iter(|| block.candidates()));
            group.bench_function("re-encode, align and accept", |b| {
                b.iter(|| block.verdict());
            });
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = blocks
}
criterion_main!(benches);
