//! Time of deciding one position, over a whole vocabulary of 152,000 tokens and over a distribution that top-p
//! has cut. `cargo bench -p alignment --bench accepting`.

use std::hint::black_box;
use std::time::Duration;

use alignment::acceptance::{self, Distribution, SparseDistribution};
use alignment::noise::SharedNoise;
use criterion::{Criterion, criterion_group, criterion_main};

const TOKENS: u32 = 152_000;
/// Tokens that top-p 0.95 leaves of a distribution in the middle of a sentence, generously.
const NUCLEUS: usize = 1_000;
/// Tokens of a draft's distribution on the wire.
const SPARSE: usize = 64;

fn positions(c: &mut Criterion) {
    let spellings: Vec<Vec<u8>> = (0..TOKENS).map(spelling).collect();
    let ids: Vec<u32> = (0..TOKENS).collect();
    let noise = SharedNoise::new(1);
    let bytes = |id: u32| (spellings[id as usize].as_slice(), 0);
    let mut group = c.benchmark_group("152,000 tokens");
    let mut place = 0;
    let mut next = || {
        place += 1;
        noise.at(place, 0)
    };
    group.bench_function("hash of every token", |b| {
        b.iter(|| {
            let position = next();
            let hashes = spellings.iter().map(|bytes| position.hash(bytes, 0));
            hashes.fold(0, |sum, hash| sum ^ hash)
        });
    });
    let flat = normalised(|_| 0.0);
    let peaked = normalised(|i| -2.0 * f64::from(i + 1).ln());
    let wide = normalised(|i| 3.0 * (f64::from(i) * 0.7).sin());
    for (name, log_probs) in [("flat", &flat), ("wide", &wide), ("peaked", &peaked)] {
        let distribution = Distribution {
            ids: &ids,
            log_probs,
        };
        group.bench_function(format!("coupled, {name} distribution"), |b| {
            b.iter(|| acceptance::coupled(black_box(&distribution), 1.0, &next(), bytes));
        });
    }
    let distribution = Distribution {
        ids: &ids,
        log_probs: &wide,
    };
    group.bench_function("point mass, wide distribution", |b| {
        b.iter(|| acceptance::point_mass(black_box(&distribution), 7, &next()));
    });
    let (ids, log_probs) = cut(&wide, SPARSE);
    let Ok(proposal) = SparseDistribution::new(&ids, &log_probs, TOKENS as usize) else {
        return;
    };
    group.bench_function("rejection, wide distribution", |b| {
        b.iter(|| {
            let position = next();
            let proposed = proposal.sample(&position);
            acceptance::rejection(black_box(&distribution), proposed, &proposal, &position)
        });
    });
    group.finish();
}

fn nucleus(c: &mut Criterion) {
    let spellings: Vec<Vec<u8>> = (0..TOKENS).map(spelling).collect();
    let noise = SharedNoise::new(1);
    let bytes = |id: u32| (spellings[id as usize].as_slice(), 0);
    let wide = normalised(|i| 3.0 * (f64::from(i) * 0.7).sin());
    let (ids, log_probs) = cut(&wide, NUCLEUS);
    let distribution = Distribution {
        ids: &ids,
        log_probs: &log_probs,
    };
    let mut place = 0;
    let mut next = || {
        place += 1;
        noise.at(place, 0)
    };
    let mut group = c.benchmark_group("1,000 tokens");
    group.bench_function("coupled", |b| {
        b.iter(|| acceptance::coupled(black_box(&distribution), 1.0, &next(), bytes));
    });
    group.bench_function("point mass", |b| {
        b.iter(|| acceptance::point_mass(black_box(&distribution), ids[7], &next()));
    });
    let (ids, log_probs) = cut(&wide, SPARSE);
    let Ok(proposal) = SparseDistribution::new(&ids, &log_probs, TOKENS as usize) else {
        return;
    };
    group.bench_function("rejection", |b| {
        b.iter(|| {
            let position = next();
            let proposed = proposal.sample(&position);
            acceptance::rejection(black_box(&distribution), proposed, &proposal, &position)
        });
    });
    group.finish();
}

/// The `most` likeliest tokens of a distribution over all ids, ids ascending, normalised.
fn cut(log_probs: &[f32], most: usize) -> (Vec<u32>, Vec<f32>) {
    let mut ids: Vec<u32> = (0..log_probs.len() as u32).collect();
    let of = |id: u32| log_probs[id as usize];
    ids.sort_by(|a, b| of(*b).total_cmp(&of(*a)));
    ids.truncate(most);
    ids.sort_unstable();
    let total: f64 = ids.iter().map(|id| f64::from(of(*id)).exp()).sum();
    let kept = ids
        .iter()
        .map(|id| (f64::from(of(*id)) - total.ln()) as f32);
    let kept = kept.collect();
    (ids, kept)
}

/// One to twelve bytes, five on average, as vocabularies have them.
fn spelling(id: u32) -> Vec<u8> {
    let length = 1 + (id.wrapping_mul(2_654_435_761) >> 16) % 12;
    let word = format!("{:012}", u64::from(id) * 7_919);
    word.into_bytes().split_off(12 - length as usize)
}

fn normalised(log_mass: impl Fn(u32) -> f64) -> Vec<f32> {
    let total: f64 = (0..TOKENS).map(|i| log_mass(i).exp()).sum();
    (0..TOKENS)
        .map(|i| (log_mass(i) - total.ln()) as f32)
        .collect()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(40);
    targets = positions, nucleus
}
criterion_main!(benches);
