//! Time of aligning, by algorithm and length of the lists, and of a block of 8 from its
//! bytes to its verdict. `cargo bench -p alignment --bench aligning`.

#[path = "aligning/baselines.rs"]
mod baselines;
#[expect(dead_code, reason = "the tests that share it use more of it")]
#[path = "../src/reencode/toy.rs"]
mod toy;

use std::hint::black_box;
use std::time::Duration;

use alignment::acceptance::{Distribution, Method};
use alignment::candidate_tree::CandidateTree;
use alignment::dtw::{self, Band};
use alignment::noise::{Place, SharedNoise};
use alignment::round::{Round, Verdict};
use alignment::{TargetToken, Vocabulary, reencode, spans};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use toy::{Bpe, PAGE, UNSEEN};

const LENGTHS: [usize; 5] = [100, 200, 500, 1000, 2000];

/// One text as two tokenizers see it.
struct Pair {
    draft: Bpe,
    target: Bpe,
    text: String,
}

impl Pair {
    fn new() -> Self {
        Self {
            draft: Bpe::trained(UNSEEN, 250),
            target: Bpe::trained(PAGE, 500),
            text: [PAGE, UNSEEN].concat().repeat(3),
        }
    }

    fn texts(&self) -> (Vec<&[u8]>, Vec<&[u8]>) {
        let texts = |vocabulary| -> Vec<&[u8]> {
            let ids = Bpe::encode(vocabulary, &self.text);
            let texts = ids.into_iter().map(|id| Bpe::token_bytes(vocabulary, id));
            texts.collect()
        };
        (texts(&self.draft), texts(&self.target))
    }
}

/// Cumulative ends, none past `last`.
fn ends(texts: &[&[u8]], last: u32) -> Vec<u32> {
    let running = texts.iter().scan(0, |end, text| {
        *end += text.len() as u32;
        Some((*end).min(last))
    });
    running.collect()
}

/// Lists of equal length, as a band narrower than the difference of their lengths would be widened.
fn equal_lengths(c: &mut Criterion) {
    let pair = Pair::new();
    let (draft, candidates) = pair.texts();
    for length in LENGTHS {
        let (draft, candidates) = (&draft[..length], &candidates[..length]);
        let mut group = c.benchmark_group(format!("{length} by {length} tokens"));
        spans_of(&mut group, draft, candidates);
        for band in [
            Band::Width(4),
            Band::Width(8),
            Band::Width(16),
            Band::Unbounded,
        ] {
            warping(&mut group, band, draft, candidates);
        }
        group.bench_function("longest common subsequence", |b| {
            b.iter(|| baselines::common_subsequence(black_box(draft), black_box(candidates)));
        });
        group.bench_function("proportional positions", |b| {
            b.iter(|| baselines::proportional(black_box(length), black_box(length)));
        });
        group.finish();
    }
}

/// The whole of one text in both vocabularies, whose lists are of unlike lengths.
fn same_text(c: &mut Criterion) {
    let pair = Pair::new();
    let (draft, candidates) = pair.texts();
    let name = format!("{} by {} tokens of one text", draft.len(), candidates.len());
    let mut group = c.benchmark_group(name);
    spans_of(&mut group, &draft, &candidates);
    warping(&mut group, Band::Width(8), &draft, &candidates);
    group.finish();
}

fn spans_of(group: &mut BenchmarkGroup<'_, WallTime>, draft: &[&[u8]], candidates: &[&[u8]]) {
    let bytes = |texts: &[&[u8]]| texts.iter().map(|text| text.len() as u32).sum::<u32>();
    let common = bytes(draft).min(bytes(candidates));
    let (draft_ends, candidate_ends) = (ends(draft, common), ends(candidates, common));
    group.bench_function("byte spans", |b| {
        b.iter(|| spans::align(black_box(&draft_ends), black_box(&candidate_ends)));
    });
}

fn warping(
    group: &mut BenchmarkGroup<'_, WallTime>,
    band: Band,
    draft: &[&[u8]],
    candidates: &[&[u8]],
) {
    let options = dtw::Options {
        band,
        ..dtw::Options::default()
    };
    group.bench_function(BenchmarkId::new("warping", format!("{band:?}")), |b| {
        b.iter(|| dtw::align(black_box(draft), black_box(candidates), &options));
    });
}

fn blocks(c: &mut Criterion) {
    let pair = Pair::new();
    let mut group = c.benchmark_group("block");
    let (draft, candidates) = pair.texts();
    let (draft, candidates) = (&draft[20..40], &candidates[20..40]);
    group.bench_function("warping, 20 by 20 tokens", |b| {
        let options = dtw::Options::default();
        b.iter(|| dtw::align(black_box(draft), black_box(candidates), &options));
    });
    let block = Block::new(&pair);
    group.bench_function("re-encode, 8 draft tokens", |b| {
        b.iter(|| {
            reencode::candidates(&pair.target, &block.committed, black_box(&block.draft), 16)
        });
    });
    group.bench_function("re-encode, align and accept, 8 draft tokens", |b| {
        b.iter(|| block.verdict(&pair));
    });
    group.finish();
}

/// A block of 8 draft tokens, all of which the target emits too.
struct Block {
    committed: Vec<TargetToken>,
    draft: Vec<u8>,
    draft_ends: Vec<u32>,
    /// Distributions of 500 tokens, as top-p leaves them, one for each position.
    distributions: Vec<(Vec<u32>, Vec<f32>)>,
    noise: SharedNoise,
}

impl Block {
    fn new(pair: &Pair) -> Self {
        let (committed, rest) = PAGE.split_at(PAGE.find("pub fn").unwrap_or_default());
        let tokens = pair.target.encode(committed);
        let draft_ids = &pair.draft.encode(rest)[..8];
        let texts: Vec<&[u8]> = draft_ids
            .iter()
            .map(|id| pair.draft.token_bytes(*id))
            .collect();
        let committed: Vec<TargetToken> = tokens.into_iter().map(TargetToken).collect();
        let draft = texts.concat();
        let candidates = reencode::candidates(&pair.target, &committed, &draft, 16);
        let mut wanted: Vec<u32> = candidates.tokens.iter().map(|token| token.0).collect();
        wanted.push(0);
        // Nearly all mass on the candidate, so that the whole block is walked, and the rest where no bound
        // spares its hashes.
        let distribution = |wanted: &u32| {
            let others = (0..700).filter(|id| id != wanted).take(499);
            let ids: Vec<u32> = std::iter::once(*wanted).chain(others).collect();
            let log_probs = (0..500).map(|i| if i == 0 { -1e-6 } else { -20.0 });
            (ids, log_probs.collect())
        };
        Self {
            distributions: wanted.iter().map(distribution).collect(),
            draft_ends: ends(&texts, u32::MAX),
            committed,
            draft,
            noise: SharedNoise::new(1),
        }
    }

    fn verdict(&self, pair: &Pair) -> Verdict {
        let candidates =
            reencode::candidates(&pair.target, &self.committed, black_box(&self.draft), 16);
        black_box(spans::align(&self.draft_ends, &candidates.ends).ok());
        let tree = CandidateTree::from(candidates);
        let mut round = Round::new(&tree, Place::default());
        while let Some(position) = round.open() {
            let (ids, log_probs) = &self.distributions[position.row()];
            let noise = self.noise.at_place(position.place());
            let bytes = |id| (pair.target.token_bytes(id), 0);
            let distribution = Distribution { ids, log_probs };
            let emitted = Method::Coupled.choose(&distribution, position.proposed(), &noise, bytes);
            position.decide(emitted, pair.target.token_bytes(emitted.0).len(), false);
        }
        let verdict = round.verdict();
        assert_eq!(verdict.accepted, tree.len());
        verdict
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(40);
    targets = equal_lengths, same_text, blocks
}
criterion_main!(benches);
