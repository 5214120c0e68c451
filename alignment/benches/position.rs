//! What one position costs over a whole vocabulary of 152,000 tokens, and one alignment of a block.
//! `cargo bench -p alignment` prints the median and the least of 101 runs.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use alignment::acceptance::{self, Law};
use alignment::dtw;
use alignment::noise::SharedNoise;

const TOKENS: u32 = 152_000;

fn main() -> std::io::Result<()> {
    let spellings: Vec<Vec<u8>> = (0..TOKENS).map(spelling).collect();
    let ids: Vec<u32> = (0..TOKENS).collect();
    let flat = normalised(|_| 0.0);
    let peaked = normalised(|i| -2.0 * f64::from(i + 1).ln());
    let wide = normalised(|i| 3.0 * (f64::from(i) * 0.7).sin());
    let noise = SharedNoise::new(1);
    let bytes = |id: u32| (spellings[id as usize].as_slice(), 0);

    report("hash of every token", |run| {
        let position = noise.at(run, 0);
        let hashes = spellings.iter().map(|bytes| position.hash(bytes, 0));
        hashes.fold(0, |sum, hash| sum ^ hash)
    })?;
    for (name, log_probs) in [("flat", &flat), ("wide", &wide), ("peaked", &peaked)] {
        let law = Law {
            ids: &ids,
            log_probs,
        };
        report(&format!("coupled, {name} law"), |run| {
            acceptance::coupled(&law, 1.0, &noise.at(run, 0), bytes)
        })?;
    }
    let law = Law {
        ids: &ids,
        log_probs: &wide,
    };
    report("point mass, wide law", |run| {
        acceptance::point_mass(&law, 7, &noise.at(run, 0))
    })?;
    let draft: Vec<&[u8]> = spellings[2000..2016].iter().map(Vec::as_slice).collect();
    let proxies: Vec<&[u8]> = spellings[2003..2019].iter().map(Vec::as_slice).collect();
    report("warping, 16 by 16 tokens", |_| {
        dtw::align(&draft, &proxies, &dtw::Options::default())
    })
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

fn report<T>(name: &str, mut run: impl FnMut(u64) -> T) -> std::io::Result<()> {
    let mut times: Vec<Duration> = (0..101)
        .map(|i| {
            let start = Instant::now();
            black_box(run(i));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let (median, least) = (times[times.len() / 2], times[0]);
    writeln!(
        std::io::stdout(),
        "{name:28} median {median:>10.1?}  least {least:>10.1?}"
    )
}
