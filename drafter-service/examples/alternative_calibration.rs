//! Calibration of the probabilities that a drafter gives its chain and its alternatives.
//!
//! `cargo run -p drafter-service --example alternative_calibration [DRAFT TARGET]` has a target reply to a dozen prompts. Along each reply, at
//! every boundary of a draft token, the draft model drafts a chain of [`CHAIN`] tokens as a session would, with the second-best token
//! of each position. Stated is the probability that thresholds compare: that the target keeps the token with all before it.
//! Observed is the share of those tokens whose bytes, with all before them, the reply indeed has there. Both are printed by
//! tenths of the stated probability, for `greedy` and for `coupled`. A model that drafts for itself is a check: its chain is always
//! kept under `greedy`.

use std::{
    error::Error,
    io::{Write as _, stdout},
};

use alignment::{
    acceptance::{
        self,
        alternatives::{Alternative, coupled_alternative, likeliest_alternative},
    },
    noise::SharedNoise,
};
use inference::{
    engine::{Engine, EngineOptions, Session},
    sampling::{DistributionEvaluator, History, Sampling},
};
use store::{Progress, Store};
use tokenizer::{
    prompt::Prompt,
    template::{Chat, Message, Role},
};

const DRAFT: &str = "smollm2-135m";
const TARGET: &str = "qwen2.5-coder-0.5b";
/// Target tokens of a reply.
const REPLY: usize = 96;
/// Draft tokens of a chain.
const CHAIN: usize = 4;
/// Sharpness that sessions begin with, and the tokens among which a second best is found, as in the services.
const SHARPNESS: f32 = 2.0;
const SECOND_BEST_OF: u32 = 8;
/// Lower edges of the classes of probability.
const EDGES: [f64; 11] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

const PROMPTS: [&str; 12] = [
    "Write a Python function that reverses the words of a sentence.",
    "Write a Rust function that returns the n-th Fibonacci number.",
    "Show a SQL query for the three customers with the highest total of orders.",
    "Write a Python class for a stack with push, pop and peek, and show how to use it.",
    "How do I count the lines of all .txt files of a folder in bash?",
    "Explain what this does: for i in range(0, 10, 2): print(i)",
    "What is photosynthesis? Answer in a few sentences.",
    "Give me a recipe for pancakes.",
    "Why is the sky blue?",
    "Write a short letter that thanks a teacher.",
    "A train goes 60 km in 45 minutes. What is its speed in km/h? Think step by step.",
    "Name three advantages and three drawbacks of working from home.",
];

/// Rule by which both sides choose tokens.
#[derive(Clone, Copy)]
enum Rule {
    Greedy,
    Coupled { seed: u64 },
}

/// Stated probabilities and outcomes, by class.
#[derive(Default)]
struct Table {
    tokens: [usize; EDGES.len()],
    stated: [f64; EDGES.len()],
    kept: [usize; EDGES.len()],
}

/// Chain and alternatives.
#[derive(Default)]
struct Tables {
    chain: Table,
    alternatives: Table,
}

/// A fetch shows nothing here.
struct Silent;

impl Progress for Silent {
    fn started(&mut self, _: &str, _: u64) {}
    fn advanced(&mut self, _: u64) {}
    fn source_passed_over(&mut self, _: &str, _: &str) {}
    fn finished(&mut self) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let draft_name = arguments.next().unwrap_or(DRAFT.to_owned());
    let target_name = arguments.next().unwrap_or(TARGET.to_owned());
    let store = Store::open(None)?;
    let load = |name: &str| -> Result<Engine, Box<dyn Error>> {
        let path = store.resolve(&name.parse()?, &mut Silent)?;
        Ok(Engine::load(&path, EngineOptions::default())?)
    };
    let (draft, target) = (load(&draft_name)?, load(&target_name)?);
    for name in ["greedy", "coupled, temperature 0.8"] {
        let mut tables = Tables::default();
        for (seed, prompt) in (1..).zip(PROMPTS) {
            let rule = match name {
                "greedy" => Rule::Greedy,
                _ => Rule::Coupled { seed },
            };
            let said = reply(&target, prompt, rule).await?;
            follow(&draft, prompt, rule, &said, &mut tables).await?;
        }
        tables.print(&format!("{draft_name} for {target_name}, {name}"))?;
    }
    Ok(())
}

/// The target's reply.
async fn reply(engine: &Engine, prompt: &str, rule: Rule) -> Result<Vec<u8>, Box<dyn Error>> {
    let tokenizer = engine.tokenizer();
    let mut ids = encode(engine, prompt)?;
    let mut history = History::new(&ids);
    let mut session = engine.open()?;
    let mut text = Vec::new();
    for _ in 0..REPLY {
        let logits = logits(&mut session, ids).await?;
        // A target is not sharpened.
        let (id, _) = rule.choose(engine, &logits, &history, (text.len(), 1.0))?;
        if tokenizer.token_bytes(id).is_empty() || ends(engine, id) {
            break;
        }
        text.extend_from_slice(tokenizer.token_bytes(id));
        history.push(id);
        ids = vec![id];
    }
    Ok(text)
}

/// Drafts a chain at each boundary of the reply's draft tokens.
async fn follow(
    engine: &Engine,
    prompt: &str,
    rule: Rule,
    said: &[u8],
    tables: &mut Tables,
) -> Result<(), Box<dyn Error>> {
    let tokenizer = engine.tokenizer();
    let prompt = encode(engine, prompt)?;
    let text = String::from_utf8_lossy(said);
    let reply = tokenizer.encode(&text);
    let mut session = engine.open()?;
    let mut base = 0;
    for start in 0..reply.len() {
        let mut history = History::new(&prompt);
        for id in &reply[..start] {
            history.push(*id);
        }
        let known = [&prompt[..], &reply[..start]].concat();
        let mut unseen = known[session.len().min(known.len() - 1)..].to_vec();
        session.truncate(known.len() - unseen.len());
        let (mut reaches, mut drafted) = (1.0, Vec::new());
        for _ in 0..CHAIN {
            let logits = logits(&mut session, unseen).await?;
            let place = (base + drafted.len(), SHARPNESS);
            let (id, second) = rule.choose(engine, &logits, &history, place)?;
            let Some(second) = second.filter(|_| !ends(engine, id)) else {
                break;
            };
            let is_said = |id| {
                let text = [&drafted[..], tokenizer.token_bytes(id)].concat();
                said[base..].starts_with(&text)
            };
            // The last tokens of a reply that was cut off have no outcome.
            if base + drafted.len() + tokenizer.token_bytes(id).len() > said.len() {
                break;
            }
            let chain = is_said(id);
            // What only repeats the beginning of a kept token brings nothing.
            let repeats = tokenizer
                .token_bytes(id)
                .starts_with(tokenizer.token_bytes(second.id));
            let alternative = is_said(second.id) && !(chain && repeats);
            tables.chain.add(reaches * second.first_chance, chain);
            tables
                .alternatives
                .add(reaches * second.chance, alternative);
            reaches *= second.first_chance;
            drafted.extend_from_slice(tokenizer.token_bytes(id));
            history.push(id);
            unseen = vec![id];
        }
        session.truncate(known.len());
        base += tokenizer.token_bytes(reply[start]).len();
    }
    Ok(())
}

fn encode(engine: &Engine, prompt: &str) -> Result<Vec<u32>, Box<dyn Error>> {
    let message = Message::new(Role::User, prompt.to_owned());
    Ok(engine.encode_prompt(&Prompt::Messages(Chat::new(vec![message])))?)
}

fn ends(engine: &Engine, id: u32) -> bool {
    let specials = engine.tokenizer().specials();
    specials.end_of_turn == Some(id) || specials.end_tokens.binary_search(&id).is_ok()
}

async fn logits(session: &mut Session, ids: Vec<u32>) -> Result<Vec<f32>, Box<dyn Error>> {
    let pass = session.forward(ids, 1, |logits| logits.row(0).to_vec());
    Ok(pass.await?.value)
}

impl Rule {
    /// The token chosen `offset` bytes into the reply, and the second best, both as a drafter's chooser has them.
    fn choose(
        self,
        engine: &Engine,
        logits: &[f32],
        history: &History,
        (offset, sharpness): (usize, f32),
    ) -> Result<(u32, Option<Alternative>), Box<dyn Error>> {
        let tokenizer = engine.tokenizer();
        let size = tokenizer.vocab_size().min(engine.info().vocab_size);
        let sampling = match self {
            Self::Greedy => Sampling {
                temperature: 1.0,
                top_k: SECOND_BEST_OF,
                ..Sampling::greedy()
            },
            Self::Coupled { .. } => Sampling {
                temperature: 0.8,
                min_p: 1e-5,
                ..Sampling::greedy()
            },
        };
        let mut evaluator = DistributionEvaluator::new(sampling, size);
        let distribution = evaluator.evaluate(logits, history)?;
        let distribution = acceptance::Distribution {
            ids: distribution.ids,
            log_probs: distribution.log_probs,
        };
        let key = |id| (tokenizer.token_bytes(id), tokenizer.rank(id));
        let is_text = |id| !tokenizer.token_bytes(id).is_empty() && !ends(engine, id);
        Ok(match self {
            Self::Greedy => {
                let first = acceptance::greedy(&distribution);
                (first, likeliest_alternative(&distribution, first, is_text))
            }
            Self::Coupled { seed } => {
                let noise = SharedNoise::new(seed).at(offset as u64, 0);
                let first = acceptance::coupled(&distribution, sharpness, &noise, key);
                let second = coupled_alternative(&distribution, (sharpness, first), &noise, |id| {
                    is_text(id).then(|| key(id))
                });
                (first, second)
            }
        })
    }
}

impl Table {
    fn add(&mut self, stated: f64, is_kept: bool) {
        let class = EDGES.partition_point(|edge| *edge <= stated) - 1;
        self.tokens[class] += 1;
        self.stated[class] += stated;
        self.kept[class] += usize::from(is_kept);
    }

    /// Number of tokens of a class, their mean stated probability, and the share that was kept.
    fn class(&self, class: usize) -> String {
        let tokens = self.tokens[class];
        if tokens == 0 {
            return format!("{:>8} {:>8} {:>8}", 0, "-", "-");
        }
        let stated = self.stated[class] / tokens as f64;
        let observed = self.kept[class] as f64 / tokens as f64;
        format!("{tokens:>8} {stated:>8.3} {observed:>8.3}")
    }
}

impl Tables {
    fn print(&self, name: &str) -> std::io::Result<()> {
        let mut out = stdout();
        writeln!(out, "{name}")?;
        let columns = format!("{:>8} {:>8} {:>8}", "tokens", "stated", "observed");
        writeln!(
            out,
            "{:>10} | chain {columns} | alternatives {columns}",
            "from"
        )?;
        for (class, edge) in EDGES.iter().enumerate() {
            let (chain, alternatives) = (self.chain.class(class), self.alternatives.class(class));
            writeln!(
                out,
                "{edge:>10.2} |       {chain} |              {alternatives}"
            )?;
        }
        Ok(())
    }
}
