//! Compares greedy choices with an independent engine's.
//!
//! `cargo run --release -p inference --example agree -- MODEL.gguf REFERENCE.jsonl` reads lines of `{prompt_tokens, ids, gaps}`
//! (see `tests/reference`), feeds each prompt with the reference's own continuation, and compares the choice at every step, so
//! that one difference does not hide the rest. A difference is a tie where the reference's two best logits were closer than
//! 0.05.

use std::io::Write as _;
use std::path::Path;

use inference::engine::{Engine, EngineOptions};
use serde::Deserialize;

const TIE: f32 = 0.05;

#[derive(Deserialize)]
struct Line {
    prompt_tokens: Vec<u32>,
    ids: Vec<u32>,
    gaps: Vec<f32>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(reference)) = (arguments.next(), arguments.next()) else {
        return Err("usage: agree MODEL.gguf REFERENCE.jsonl".into());
    };
    let engine = Engine::load(Path::new(&model), EngineOptions::default())?;
    let (mut steps, mut ties, mut differences, mut widest) = (0, 0, 0, 0f32);
    for line in std::fs::read_to_string(reference)?.lines() {
        let line: Line = serde_json::from_str(line)?;
        let rows = line.ids.len();
        let mut tokens = line.prompt_tokens;
        tokens.extend(&line.ids[..rows - 1]);
        let mut session = engine.open()?;
        let choices = session.forward(tokens, rows, |logits| {
            (0..logits.rows())
                .map(|row| argmax(logits.row(row)))
                .collect::<Vec<u32>>()
        });
        for (step, choice) in choices.await?.value.into_iter().enumerate() {
            steps += 1;
            if choice != line.ids[step] {
                widest = widest.max(line.gaps[step]);
                if line.gaps[step] < TIE {
                    ties += 1;
                } else {
                    differences += 1;
                }
            }
        }
    }
    writeln!(
        std::io::stdout(),
        "{steps} steps, {ties} ties, {differences} differences, widest gap {widest:.3}"
    )?;
    Ok(())
}

fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best as u32
}
