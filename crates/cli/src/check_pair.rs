//! `duet check-pair`: compatibility of two models, two tokenizers, or a running verifier and its drafter.

mod report;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use inference::checkpoint::BareTokenizer;
use proto::model::{Message, Prompt, Role, Sampling};
use proto::verifier::{CheckPair, Generate, PairAcceptance, PairReport, Speculation};
use store::{ModelReference, Store};
use tokenizer::Tokenizer;
use verifier_service::pair::{self, Drafter};

use crate::pair::{LocalPair, PairOptions};
use crate::progress::Stderr;
use crate::request;
use crate::runtime::Exit;

/// Draft tokens in a block while acceptance is sampled.
const BLOCK_TOKENS: u32 = 8;

/// Prompts for sampling acceptance: an edit, prose, and a function.
const PROMPTS: [&str; 3] = [
    "Add a docstring to this function and reply with the whole function:\n\ndef mean(values):\n    total = 0.0\n    for value \
     in values:\n        total += value\n    return total / len(values)",
    "Explain in a few sentences why the sky is blue.",
    "Write a Rust function that reverses the words of a sentence.",
];

/// The pair, and the sampling of its acceptance.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Target: a known name, a path to a GGUF file, a model's folder or a tokenizer.json, or hf:owner/repository/file.gguf
    #[arg(
        long,
        env = "DUET_TARGET",
        value_name = "MODEL",
        required_unless_present = "verifier"
    )]
    target: Option<String>,

    /// Drafter, given the same way; with --verifier the address of one of its drafters
    #[arg(
        long,
        env = "DUET_DRAFT_MODEL",
        value_name = "MODEL",
        required_unless_present = "verifier"
    )]
    drafter: Option<String>,

    /// Ask this verifier about its drafter instead: --drafter's, else the first one in use. Nothing is loaded, nothing decodes
    // No conflict with --threads and --cache, which have no effect then: they may be set in the environment, and clap counts that
    // as given.
    #[arg(long, value_name = "URL", conflicts_with_all = ["target", "sample", "no_sample"])]
    verifier: Option<String>,

    /// Tokens in each of the three replies that sample the acceptance rate, if both sides have weights
    #[arg(long, env = "DUET_SAMPLE", value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    sample: u32,

    /// Compare the tokenizers only; no weights are read
    #[arg(long, conflicts_with = "sample")]
    no_sample: bool,

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

/// Compares and prints.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let report = match (&args.verifier, &args.target, &args.drafter) {
        (Some(verifier), _, drafter) => asked(verifier, drafter.clone()).await?,
        (None, Some(target), Some(drafter)) => computed(&args, [target, drafter]).await?,
        _ => return Err(Exit::usage("give --target and --drafter, or --verifier").into()),
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", report::json(&report))?;
    } else {
        writeln!(out, "{}", report::Table(&report))?;
    }
    Ok(())
}

/// Report of a verifier on the drafter with this address, or on the first one in use.
async fn asked(verifier: &str, drafter: Option<String>) -> anyhow::Result<PairReport> {
    let request = chassis::trace::request(CheckPair { drafter });
    let checked = request::connect(verifier)?.check_pair(request).await;
    let checked = checked.map_err(request::explain);
    Ok(checked
        .with_context(|| format!("--verifier {verifier}"))?
        .report)
}

/// Report on a target and a drafter that are read here.
async fn computed(args: &Args, models: [&String; 2]) -> anyhow::Result<PairReport> {
    let (cache, owned) = (args.cache.clone(), models.map(Clone::clone));
    let compared = tokio::task::spawn_blocking(move || compare(cache, &owned));
    let (report, have_weights) = compared.await??;
    if have_weights && !args.no_sample {
        return Ok(pair::with_acceptance(report, sample(args, models).await?));
    }
    Ok(report)
}

/// Report on the tokenizers, and true if both sides have weights.
fn compare(cache: Option<PathBuf>, models: &[String; 2]) -> anyhow::Result<(PairReport, bool)> {
    let store = Store::open(cache)?;
    let [target_name, drafter_name] = models;
    let target = open(&store, target_name, "--target")?;
    let drafter = open(&store, drafter_name, "--drafter")?;
    let have_weights = target.has_weights && drafter.has_weights;
    let target: Arc<Tokenizer> = Arc::new(target.tokenizer);
    let pair = pair::Pair {
        target_name,
        target: &target,
        drafter_name,
        drafter: Drafter::Tokenizer(&drafter.tokenizer),
    };
    Ok((pair.report(), have_weights))
}

fn open(store: &Store, model: &str, flag: &str) -> anyhow::Result<BareTokenizer> {
    if model == "ngram" || model.starts_with("ngram+") {
        let why = "it looks text up and has no tokenizer, so it fits every target; name a model to compare tokenizers";
        return Err(anyhow::anyhow!("{why}").context(unusable(flag, model)));
    }
    let is_tokenizer = Path::new(model)
        .extension()
        .is_some_and(|extension| extension == "json");
    let path = if is_tokenizer {
        PathBuf::from(model)
    } else {
        let reference: ModelReference = model
            .parse()
            .map_err(|error| anyhow::Error::new(error).context(unusable(flag, model)))?;
        store.resolve(&reference, &mut Stderr::new("fetching"))?
    };
    BareTokenizer::open(&path).with_context(|| format!("{flag} {model} has no usable tokenizer"))
}

fn unusable(flag: &str, model: &str) -> Exit {
    Exit::usage(format!("{flag} {model} cannot be used"))
}

/// Acceptance of the pair when it decodes the built-in prompts greedily.
async fn sample(args: &Args, [target, drafter]: [&String; 2]) -> anyhow::Result<PairAcceptance> {
    let pair = LocalPair::start(&PairOptions {
        target: target.clone(),
        drafter: drafter.clone(),
        threads: args.threads,
        cache: args.cache.clone(),
        is_patient: true,
    })
    .await?;
    let mut client = request::connect(pair.address())?;
    let mut sum = PairAcceptance::default();
    for prompt in PROMPTS {
        let message = Message::new(Role::User, prompt.to_owned());
        let mut request = Generate::new(Prompt::chat(vec![message]));
        request.max_tokens = Some(args.sample);
        request.sampling = Sampling::greedy();
        // The length is fixed: the acceptance rate is sampled here, not the benefit of blocks.
        request.speculation = Speculation::Auto {
            method: None,
            block_tokens: Some(BLOCK_TOKENS),
            allow_lossy: false,
            alternatives: None,
        };
        let usage = request::ask(&mut client, request, |_| Ok(())).await?;
        let usage = usage.finish.usage;
        sum = PairAcceptance {
            prompts: sum.prompts + 1,
            completion_tokens: sum.completion_tokens + usage.completion_tokens,
            committed_bytes: sum.committed_bytes + usage.committed_bytes,
            target_forwards: sum.target_forwards + usage.target_forwards,
            proposed_tokens: sum.proposed_tokens + usage.proposed_tokens,
            accepted_tokens: sum.accepted_tokens + usage.accepted_tokens,
        };
    }
    pair.stop().await?;
    Ok(sum)
}
