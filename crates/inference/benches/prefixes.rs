//! What a prompt costs when an earlier one began alike.
//!
//! `cargo bench -p inference --bench prefixes -- MODEL.gguf [TOKENS]` prints one JSON object: the time to the first token of a
//! prompt of so many tokens (1024 unless told), when it is new, when it was seen as it is, and when only its last quarter is
//! new; medians, interleaved.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use inference::engine::{Engine, EngineOptions};

const RUNS: u32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench` to what the user gives.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let path = arguments.next().ok_or("give the path of a GGUF file")?;
    let length = arguments
        .next()
        .map_or(Ok(1024), |tokens| tokens.parse::<u32>())?;
    let options = EngineOptions {
        prefix_cache: 1 << 30,
        ..EngineOptions::default()
    };
    let engine = Engine::load(Path::new(&path), options)?;
    let mut times: [Vec<f64>; 3] = Default::default();
    for run in 0..RUNS {
        let prompt: Vec<u32> = (0..length)
            .map(|i| 100 + (run * 7919 + i * 37) % 9000)
            .collect();
        let mut follow_up = prompt.clone();
        for token in &mut follow_up[(length - length / 4) as usize..] {
            *token += 1;
        }
        for (prompt, times) in [&prompt, &prompt, &follow_up].into_iter().zip(&mut times) {
            times.push(first_token(&engine, prompt).await?);
        }
    }
    let [new, again, follow_up] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let prefixes = engine.load_now().prefixes;
    let report = serde_json::json!({
        "model": engine.info().name,
        "prompt_tokens": length,
        "new_seconds": new,
        "again_seconds": again,
        "last_quarter_new_seconds": follow_up,
        "new_to_again": new / again,
        "reused_tokens": prefixes.tokens,
        "bytes": prefixes.bytes,
    });
    writeln!(std::io::stdout(), "{report:#}")?;
    Ok(())
}

/// Seconds to the first token after a prompt in a session of its own.
async fn first_token(engine: &Engine, prompt: &[u32]) -> Result<f64, Box<dyn std::error::Error>> {
    let mut session = engine.open()?;
    let began = Instant::now();
    let rows = |logits: inference::engine::Logits<'_>| logits.rows();
    session.forward(prompt.to_vec(), 1, rows).await?;
    Ok(began.elapsed().as_secs_f64())
}
