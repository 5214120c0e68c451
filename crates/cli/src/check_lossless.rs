//! `duet check-lossless`: holds an acceptance method against plain decoding on real models.
//!
//! What is compared depends on what the method promises. Where a seed is to give the same text with any drafter or none, the
//! two texts are compared byte for byte. Where only the distribution of the text is to stay, or nothing is promised, the replies to many
//! seeds are two samples, and a test says whether they come from one distribution.

mod distribution;
mod replies;
mod report;
mod same_text;
mod statistics;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr as _;

use alignment::acceptance::{Losslessness, Method};
use proto::model::Sampling;
use proto::verifier::{Generate, Speculation};

use self::replies::{Asker, Drafted};
use crate::pair::{Options, Pair};
use crate::prompts::{self, Named};
use crate::request;
use crate::runtime::Exit;

/// Temperature of methods that sample, where none is asked for.
const TEMPERATURE: f32 = 0.8;
/// Seeds and tokens where texts are compared, and where distributions are.
const TEXT_SEEDS: u64 = 3;
const TEXT_TOKENS: u32 = 64;
const DISTRIBUTION_SEEDS: u64 = 200;
const DISTRIBUTION_TOKENS: u32 = 3;
/// Draft tokens of a block, where replies are not shorter.
const BLOCK_TOKENS: u32 = 8;
/// Tokens that distributions may be compared over: one alone is never drafted, and few seeds ever agree on many.
const DISTRIBUTION_TOKENS_TAKEN: std::ops::RangeInclusive<u32> = 2..=32;

/// Which models, which prompts, which method.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Target model: a known name, a path, or hf:owner/repository/file.gguf
    #[arg(long, env = "DUET_TARGET", value_name = "MODEL")]
    target: String,

    /// Draft model
    #[arg(long, env = "DUET_DRAFT_MODEL", value_name = "MODEL")]
    drafter: String,

    /// Prompts: JSON lines, each {"id": .., "prompt": ..} or {"id": .., "messages": [{"role": .., "content": ..}]}
    #[arg(long, env = "DUET_PROMPTS", value_name = "FILE")]
    prompts: PathBuf,

    /// Acceptance method, by name
    #[arg(long, env = "DUET_REQUEST_METHOD", value_name = "METHOD", value_parser = Method::from_str)]
    method: Method,

    /// Seeds for each prompt [default: 3 where texts are compared, 200 where distributions are]
    #[arg(long, env = "DUET_SEEDS", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: Option<u64>,

    /// Tokens of a reply at most [default: 64 where texts are compared, 3 where distributions are]
    #[arg(long, env = "DUET_REQUEST_MAX_TOKENS", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_tokens: Option<u32>,

    /// Spread of the choice [default: 0.8; 0 for a method that does not sample]
    #[arg(long, env = "DUET_TEMPERATURE", value_name = "T", value_parser = request::temperature)]
    temperature: Option<f32>,

    /// Keep the likeliest tokens that have this much probability together
    #[arg(long, env = "DUET_TOP_P", value_name = "P", default_value = "1", value_parser = request::share)]
    top_p: f32,

    /// Threads that compute, for each model [default: half of the processors]
    #[arg(long, env = "DUET_THREADS", value_name = "COUNT")]
    threads: Option<usize>,

    /// Folder in which models are cached [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Print one JSON object on standard output and nothing else
    #[arg(long)]
    json: bool,
}

/// A check with every choice made.
struct Plan {
    method: Method,
    promise: Losslessness,
    prompts: Vec<Named>,
    seeds: u64,
    max_tokens: u32,
    sampling: Sampling,
}

/// What a check found.
enum Found {
    Texts(same_text::Comparison),
    Distributions(distribution::Comparison),
}

/// Checks and prints. Exit codes: 0 no difference, 1 a difference, 64 a wrong command line or file, 70 no answer.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let plan = args.plan()?;
    let made = check(&args, &plan).await;
    let (found, drafted) = made.map_err(|error| {
        if error.is::<Exit>() {
            return error;
        }
        error.context(Exit::unable("the check could not be made"))
    })?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", report::json(&args, &plan, &found, &drafted))?;
    } else {
        writeln!(out, "{}", report::Text(&args, &plan, &found, &drafted))?;
    }
    if found.differs() {
        return Err(Exit::found(format!("{} differs from plain decoding", plan.method)).into());
    }
    Ok(())
}

async fn check(args: &Args, plan: &Plan) -> anyhow::Result<(Found, Drafted)> {
    let pair = Pair::start(&Options {
        target: args.target.clone(),
        drafter: args.drafter.clone(),
        threads: args.threads,
        cache: args.cache.clone(),
        is_patient: true,
    })
    .await?;
    let asker = Asker::new(request::connect(pair.address())?, !args.json);
    let (found, drafted) = match plan.promise {
        Losslessness::SameText => {
            let (comparison, drafted) = same_text::compare(&asker, plan).await?;
            (Found::Texts(comparison), drafted)
        }
        Losslessness::SameDistribution | Losslessness::No => {
            let (comparison, drafted) =
                distribution::compare(&asker, plan, pair.tokenizer()).await?;
            (Found::Distributions(comparison), drafted)
        }
    };
    pair.stop().await?;
    if drafted.proposed == 0 {
        let nothing = "nothing was ever proposed, so nothing was checked";
        return Err(Exit::unable(nothing).into());
    }
    Ok((found, drafted))
}

impl Found {
    fn differs(&self) -> bool {
        match self {
            Self::Texts(comparison) => !comparison.differences.is_empty(),
            Self::Distributions(comparison) => comparison.differs(),
        }
    }
}

impl Args {
    fn plan(&self) -> Result<Plan, Exit> {
        let method = self.method;
        let promise = method.losslessness();
        let (seeds, max_tokens) = match promise {
            Losslessness::SameText => (TEXT_SEEDS, TEXT_TOKENS),
            Losslessness::SameDistribution | Losslessness::No => {
                (DISTRIBUTION_SEEDS, DISTRIBUTION_TOKENS)
            }
        };
        let usual = if method.samples() { TEMPERATURE } else { 0.0 };
        let temperature = self.temperature.unwrap_or(usual);
        if !method.samples() && temperature > 0.0 {
            let wrong = format!("--temperature is {temperature}: with {method} it must be 0");
            return Err(Exit::usage(wrong));
        }
        let max_tokens = self.max_tokens.unwrap_or(max_tokens);
        if promise != Losslessness::SameText && !DISTRIBUTION_TOKENS_TAKEN.contains(&max_tokens) {
            let (least, most) = (
                DISTRIBUTION_TOKENS_TAKEN.start(),
                DISTRIBUTION_TOKENS_TAKEN.end(),
            );
            return Err(Exit::usage(format!(
                "--max-tokens is {max_tokens}: with {method}, whose distribution is tested, it must be {least} to {most}"
            )));
        }
        Ok(Plan {
            method,
            promise,
            prompts: prompts::read(&self.prompts)?,
            seeds: self.seeds.unwrap_or(seeds),
            max_tokens,
            sampling: Sampling {
                temperature,
                top_p: self.top_p,
                ..Sampling::greedy()
            },
        })
    }
}

impl Plan {
    /// The request with the method under test.
    fn speculative(&self, named: &Named, seed: u64) -> Generate {
        let method = Some(self.method.name().to_owned());
        // A block longer than what may follow the first token is work for nothing. The length is fixed: where drafting does not
        // pay, a length that adapts would propose nothing, and the check would pass without having checked.
        let useful = self.max_tokens.saturating_sub(1).max(1);
        let speculation = Speculation::Auto {
            method,
            block_tokens: Some(useful.min(BLOCK_TOKENS)),
            // To show that a lossy method is caught is what the check is for.
            allow_lossy: true,
            alternatives: None,
        };
        self.request(named, seed, speculation)
    }

    /// The same without a drafter.
    fn plain(&self, named: &Named, seed: u64) -> Generate {
        self.request(named, seed, Speculation::Off)
    }

    fn request(&self, named: &Named, seed: u64, speculation: Speculation) -> Generate {
        Generate {
            max_tokens: Some(self.max_tokens),
            sampling: self.sampling,
            seed: Some(seed),
            speculation,
            ..Generate::new(named.prompt.clone())
        }
    }
}
