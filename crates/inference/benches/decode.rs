//! What one token costs, and what verifying several rows costs beside it.
//!
//! `cargo bench -p inference --bench decode -- MODEL.gguf [THREADS]` prints one JSON object: tokens per second of plain decoding
//! after a prompt of 64 tokens (median of runs), and for two lengths of the context the time of a pass of m rows in units of one
//! row: what is not attention must not grow with it. Times are on the clock and, where the system tells, on the processor, which
//! other programs on the machine disturb less.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use inference::engine::{Engine, EngineError, EngineOptions, Session};
use serde_json::{Value, json};

const PROMPT: usize = 64;
const GENERATED: usize = 48;
const CONTEXTS: [usize; 2] = [128, 1024];
const RUNS: usize = 5;
const ROWS: [usize; 8] = [1, 2, 3, 4, 5, 8, 9, 16];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench` to what the user gives.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let path = arguments.next().ok_or("give the path of a GGUF file")?;
    let threads = arguments.next().map_or(Ok(1), |threads| threads.parse())?;
    let options = EngineOptions {
        threads,
        ..EngineOptions::default()
    };
    let began = Instant::now();
    let engine = Engine::load(Path::new(&path), options)?;
    let load_seconds = began.elapsed().as_secs_f64();

    let (mut prefills, mut decodes) = (Times::default(), Times::default());
    for _ in 0..RUNS {
        let (prefill, decode) = decode(&engine).await?;
        prefills.push(prefill);
        decodes.push(decode);
    }
    let mut contexts = Vec::new();
    for context in CONTEXTS {
        contexts.push(costs(&engine, context).await?);
    }
    let (prefill, decode) = (prefills.median(), decodes.median());
    let report = json!({
        "model": engine.info().name,
        "kernels": engine.info().kernels,
        "threads": threads,
        "load_seconds": load_seconds,
        "tokens_per_second": GENERATED as f64 / decode.0,
        "tokens_per_processor_second": GENERATED as f64 / decode.1,
        "prompt_tokens_per_processor_second": PROMPT as f64 / prefill.1,
        "contexts": contexts,
    });
    writeln!(std::io::stdout(), "{report:#}")?;
    Ok(())
}

/// Clock and processor seconds.
type Spent = (f64, f64);

#[derive(Default)]
struct Times(Vec<Spent>);

impl Times {
    fn push(&mut self, spent: Spent) {
        self.0.push(spent);
    }

    /// The medians of both.
    fn median(self) -> Spent {
        let middle = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        (
            middle(self.0.iter().map(|spent| spent.0).collect()),
            middle(self.0.iter().map(|spent| spent.1).collect()),
        )
    }
}

/// Both clocks at one moment.
struct Watch {
    clock: Instant,
    processor: f64,
}

impl Watch {
    fn start() -> Self {
        Self {
            processor: processor_seconds(),
            clock: Instant::now(),
        }
    }

    fn stop(&self) -> Spent {
        (
            self.clock.elapsed().as_secs_f64(),
            processor_seconds() - self.processor,
        )
    }
}

/// Seconds that the threads of this process have run; NaN where the system does not tell.
fn processor_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return f64::NAN;
    };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// Ids that look like text to no tokenizer, the same for every model.
fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| 1000 + i * 37 % 5000).collect()
}

/// What passes of so many rows cost behind `context` positions.
async fn costs(engine: &Engine, context: usize) -> Result<Value, EngineError> {
    let mut session = engine.open()?;
    session.forward(tokens(context), 1, |_| ()).await?;
    // Interleaved, so that a noisy neighbour hits every size alike.
    let mut passes: [Times; ROWS.len()] = Default::default();
    for _ in 0..RUNS * 2 {
        for (rows, times) in ROWS.into_iter().zip(&mut passes) {
            times.push(pass(&mut session, context, rows).await?);
        }
    }
    let passes: Vec<(f64, f64)> = passes.into_iter().map(Times::median).collect();
    Ok(json!({
        "positions": context,
        "one_row_ms": passes[0].0 * 1e3,
        "one_row_processor_ms": passes[0].1 * 1e3,
        "rows": ROWS,
        "cost_in_rows": passes.iter().map(|time| time.0 / passes[0].0).collect::<Vec<_>>(),
        "processor_cost_in_rows": passes.iter().map(|time| time.1 / passes[0].1).collect::<Vec<_>>(),
    }))
}

/// Times of the prompt and of greedy decoding after it.
async fn decode(engine: &Engine) -> Result<(Spent, Spent), Box<dyn std::error::Error>> {
    let mut session = engine.open()?;
    let watch = Watch::start();
    let mut next = session
        .forward(tokens(PROMPT), 1, |logits| argmax(logits.row(0)))
        .await?
        .value;
    let prefill = watch.stop();
    let watch = Watch::start();
    for _ in 0..GENERATED {
        next = session
            .forward(vec![next], 1, |logits| argmax(logits.row(0)))
            .await?
            .value;
    }
    Ok((prefill, watch.stop()))
}

async fn pass(session: &mut Session, context: usize, rows: usize) -> Result<Spent, EngineError> {
    session.truncate(context);
    let watch = Watch::start();
    session
        .forward(tokens(rows), rows, |logits| logits.rows())
        .await?;
    Ok(watch.stop())
}

fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index as u32)
}
