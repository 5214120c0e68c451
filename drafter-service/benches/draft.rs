//! Cost of a draft token over the bare forward pass, over a real port: on the real draft model, and on a tiny one, whose
//! passes and distributions cost so little that what remains is ours. `cargo bench -p drafter-service` prints medians over rounds in
//! which both take turns.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use drafter_service::{app::App, config::Serving};
use inference::engine::{Engine, EngineOptions};
use proto::{
    CommittedText,
    drafter::{Block, Client, DraftSession, FromDrafter, Open, Verdict},
    model::{Prompt, Sampling},
};
use store::{Progress, Store};
use tests::tiny::Tiny;
use tokenizer::prompt::Prompt as NativePrompt;
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinSet};
use tonic::Request;

const MODEL: &str = "smollm2-135m";
const PROMPT: &str =
    "use std::collections::HashMap;\n\n/// Counts how often each word occurs.\nfn ";
const TOKENS: u32 = 16;
const ROUNDS: usize = 31;

/// A fetch shows nothing here.
struct Silent;

impl Progress for Silent {
    fn started(&mut self, _: &str, _: u64) {}
    fn advanced(&mut self, _: u64) {}
    fn source_passed_over(&mut self, _: &str, _: &str) {}
    fn finished(&mut self) {}
}

/// Wall time and time in passes, for one token.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: Duration,
    compute: Duration,
}

/// One of the numbers of a cost.
type Part = fn(&Cost) -> Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let tiny = Tiny {
        context: 4096,
        ..Tiny::default()
    };
    let tiny = tiny.write_into(folder.path())?;
    let real = Store::open(None)?.resolve(&MODEL.parse()?, &mut Silent)?;
    for (name, path) in [("tiny", tiny), (MODEL, real)] {
        let engine = Engine::load(&path, EngineOptions::default())?;
        Runtime::new()?.block_on(compare(name, engine))?;
    }
    Ok(())
}

async fn compare(model: &str, engine: Engine) -> Result<(), Box<dyn Error>> {
    let mut serving = Serving::new(model);
    serving.limits.max_block_tokens = TOKENS;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let app = App::with_engine(engine.clone(), serving).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut served = JoinSet::new();
    served.spawn(app.serve(listener, async { drop(stopped.await) }));
    let mut client = Client::new(chassis::channel::lazy(&address)?);
    let mut out = std::io::stdout();
    for (name, method, sampling) in [
        ("greedy", "greedy", Sampling::greedy()),
        (
            "coupled, temperature 0.8, top-p 0.95",
            "coupled",
            sampling(0.8, 0.95),
        ),
        ("coupled, temperature 1", "coupled", sampling(1.0, 1.0)),
    ] {
        let mut open = client.draft(Request::new(open(method, sampling))).await?;
        let mut committed = CommittedText::default();
        let mut block = next(&mut open).await?;
        let (mut bare, mut drafted) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            drafted.push(round(&mut open, &mut committed, &mut block).await?);
            bare.push(passes(&engine, committed.bytes()).await?);
        }
        report(&mut out, &format!("{model}, {name}"), &bare, &drafted)?;
    }
    drop(stop);
    while served.join_next().await.is_some() {}
    Ok(())
}

fn sampling(temperature: f32, top_p: f32) -> Sampling {
    Sampling {
        temperature,
        top_p,
        ..Sampling::default()
    }
}

fn open(method: &str, sampling: Sampling) -> Open {
    Open {
        session_id: "bench".to_owned(),
        prompt: Prompt::Text(PROMPT.to_owned()),
        committed: Vec::new(),
        method: method.to_owned(),
        seed: 1,
        sampling,
        sharpness: 1.0,
        max_block_tokens: TOKENS,
        max_block_bytes: 4096,
        credit: 1,
        expected_fingerprint: None,
        accepts_trees: false,
        first: None,
        drawable: Vec::new(),
    }
}

/// Keeps the block that has come, with a letter after it so that the reply never ends, and waits for the next one: the cost
/// of that, for each of its tokens.
async fn round(
    session: &mut DraftSession,
    committed: &mut CommittedText,
    block: &mut Block,
) -> Result<Cost, Box<dyn Error>> {
    committed.append(&block.text)?;
    committed.append(b"x")?;
    let verdict = Verdict {
        round: block.round,
        kept_bytes: block.text.len() as u32,
        appended: b"x".to_vec(),
        new_hash: committed.hash(),
        next: None,
    };
    let began = Instant::now();
    session.verdicts.verdict(verdict)?;
    *block = next(session).await?;
    let wall = began.elapsed();
    let tokens = (block.token_ends.len() as u32).max(1);
    Ok(Cost {
        wall: wall / tokens,
        compute: block.timings.compute / tokens,
    })
}

async fn next(session: &mut DraftSession) -> Result<Block, Box<dyn Error>> {
    match session.blocks.next().await? {
        Some(FromDrafter::Block(block)) => Ok(block),
        other => Err(format!("a block was expected: {other:?}").into()),
    }
}

/// As many passes of one token after the same text, with nothing done in between.
async fn passes(engine: &Engine, committed: &[u8]) -> Result<Cost, Box<dyn Error>> {
    let mut ids = engine.encode_prompt(&NativePrompt::Text(PROMPT.to_owned()))?;
    ids.extend(engine.tokenizer().encode(std::str::from_utf8(committed)?));
    let last = ids.split_off(ids.len() - 1);
    let mut session = engine.open()?;
    session.forward(ids, 0, |_| ()).await?;
    let mut cost = Cost::default();
    let began = Instant::now();
    for _ in 0..TOKENS {
        cost.compute += session.forward(last.clone(), 1, |_| ()).await?.compute;
    }
    cost.wall = began.elapsed() / TOKENS;
    cost.compute /= TOKENS;
    Ok(cost)
}

/// Median and least; what lies outside of passes is compared round by round, so that a busy machine blurs it less.
fn report(
    out: &mut impl std::io::Write,
    name: &str,
    bare: &[Cost],
    drafted: &[Cost],
) -> std::io::Result<()> {
    writeln!(
        out,
        "{name}: microseconds a token, median and least of {ROUNDS}"
    )?;
    for (what, costs) in [("bare", bare), ("drafted", drafted)] {
        write!(out, "  {what:8}")?;
        let parts: [(&str, Part); 3] = [
            ("wall", |cost| cost.wall),
            ("in passes", |cost| cost.compute),
            ("outside", |cost| cost.wall.saturating_sub(cost.compute)),
        ];
        for (part, of) in parts {
            let mut micros: Vec<f64> = costs
                .iter()
                .map(|cost| of(cost).as_secs_f64() * 1e6)
                .collect();
            micros.sort_by(f64::total_cmp);
            write!(
                out,
                "  {part} {:8.1} {:8.1}",
                micros[micros.len() / 2],
                micros[0]
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}
