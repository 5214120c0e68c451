//! `duet check-lossless`: compares an acceptance method with plain decoding on real models.
//!
//! The comparison depends on the method's promise. If a seed must give the same text with any drafter or none, the texts are
//! compared byte for byte. If only the distribution of the text must stay, or nothing is promised, the replies to many seeds are
//! two samples, and a statistical test compares their distributions.

mod check;
mod distribution;
mod findings;
mod replies;
mod report;
mod same_text;
mod statistics;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr as _;

use alignment::acceptance::{Losslessness, Method};
use proto::model::Sampling;

use self::check::Check;
use self::findings::Findings;
use self::replies::{Asker, DraftCounts};
use self::report::Summary;
use crate::pair::{LocalPair, PairOptions};
use crate::prompts;
use crate::request;
use crate::runtime::Exit;

/// Default temperature of methods that sample.
const TEMPERATURE: f32 = 0.8;
/// Default seeds and tokens where texts are compared, and where distributions are.
const TEXT_SEEDS: u64 = 3;
const TEXT_TOKENS: u32 = 64;
const DISTRIBUTION_SEEDS: u64 = 200;
const DISTRIBUTION_TOKENS: u32 = 3;
/// Range of reply lengths for distributions: a single token is never drafted, and hardly any two seeds agree on many tokens.
const DISTRIBUTION_TOKENS_RANGE: std::ops::RangeInclusive<u32> = 2..=32;

/// Models, prompts and the method to check.
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

    /// Name of the acceptance method
    #[arg(long, env = "DUET_REQUEST_METHOD", value_name = "METHOD", value_parser = Method::from_str)]
    method: Method,

    /// Seeds for each prompt [default: 3 where texts are compared, 200 where distributions are]
    #[arg(long, env = "DUET_SEEDS", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: Option<u64>,

    /// Most tokens of a reply [default: 64 where texts are compared, 3 where distributions are]
    #[arg(long, env = "DUET_REQUEST_MAX_TOKENS", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_tokens: Option<u32>,

    /// Sampling temperature [default: 0.8; 0 for a method that does not sample]
    #[arg(long, env = "DUET_TEMPERATURE", value_name = "T", value_parser = request::temperature)]
    temperature: Option<f32>,

    /// Sample from the likeliest tokens that together have this probability
    #[arg(long, env = "DUET_TOP_P", value_name = "P", default_value = "1", value_parser = request::share)]
    top_p: f32,

    /// Compute threads of each model [default: half of the processors]
    #[arg(long, env = "DUET_THREADS", value_name = "COUNT")]
    threads: Option<usize>,

    /// Folder that caches models [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

/// Checks and prints. Exit codes: 0 for no difference, 1 for a difference, 64 for a wrong command line or file, 70 if the check
/// could not be made.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let check = args.check()?;
    let compared = compare(&args, &check).await;
    let (findings, drafted) = compared.map_err(|error| {
        if error.is::<Exit>() {
            return error;
        }
        error.context(Exit::unable("the check could not be made"))
    })?;
    let report = Summary {
        target: &args.target,
        drafter: &args.drafter,
        check: &check,
        findings: &findings,
        drafted: &drafted,
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        writeln!(out, "{report}")?;
    }
    if findings.differs() {
        return Err(Exit::found(format!("{} differs from plain decoding", check.method)).into());
    }
    Ok(())
}

async fn compare(args: &Args, check: &Check) -> anyhow::Result<(Findings, DraftCounts)> {
    let pair = LocalPair::start(&PairOptions {
        target: args.target.clone(),
        drafter: args.drafter.clone(),
        threads: args.threads,
        cache: args.cache.clone(),
        is_patient: true,
    })
    .await?;
    let asker = Asker::new(request::connect(pair.address())?, !args.json);
    let (findings, drafted) = match check.promise {
        Losslessness::SameText => {
            let (comparison, drafted) = same_text::compare(&asker, check).await?;
            (Findings::Texts(comparison), drafted)
        }
        Losslessness::SameDistribution | Losslessness::No => {
            let (comparison, drafted) =
                distribution::compare(&asker, check, pair.tokenizer()).await?;
            (Findings::Distributions(comparison), drafted)
        }
    };
    pair.stop().await?;
    if drafted.proposed == 0 {
        let nothing = "nothing was ever proposed, so nothing was checked";
        return Err(Exit::unable(nothing).into());
    }
    Ok((findings, drafted))
}

impl Args {
    /// The check that these flags ask for, or what is wrong with them.
    fn check(&self) -> Result<Check, Exit> {
        let method = self.method;
        let promise = method.losslessness();
        let (seeds, max_tokens) = match promise {
            Losslessness::SameText => (TEXT_SEEDS, TEXT_TOKENS),
            Losslessness::SameDistribution | Losslessness::No => {
                (DISTRIBUTION_SEEDS, DISTRIBUTION_TOKENS)
            }
        };
        let default = if method.samples() { TEMPERATURE } else { 0.0 };
        let temperature = self.temperature.unwrap_or(default);
        if !method.samples() && temperature > 0.0 {
            let wrong = format!("--temperature is {temperature}: with {method} it must be 0");
            return Err(Exit::usage(wrong));
        }
        let max_tokens = self.max_tokens.unwrap_or(max_tokens);
        if promise != Losslessness::SameText && !DISTRIBUTION_TOKENS_RANGE.contains(&max_tokens) {
            let (least, most) = (
                DISTRIBUTION_TOKENS_RANGE.start(),
                DISTRIBUTION_TOKENS_RANGE.end(),
            );
            return Err(Exit::usage(format!(
                "--max-tokens is {max_tokens}: with {method}, whose distribution is tested, it must be {least} to {most}"
            )));
        }
        Ok(Check {
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
