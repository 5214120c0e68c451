//! What is to be measured: the command line, and the plan made of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use alignment::acceptance::Method;
use proto::limits::{MAX_BLOCK_TOKENS, MAX_REQUESTED_ALTERNATIVES};
use proto::model::Sampling;
use proto::verifier::Speculation;

use super::workloads::Kind;
use crate::request;
use crate::runtime::Exit;

/// The longest delay that is emulated, in milliseconds.
const MAX_ROUND_TRIP: f64 = 10_000.0;
/// Requests at once.
const MAX_CONCURRENCY: usize = 256;
/// Arrivals a second.
const MAX_RATE: f64 = 1_000.0;
/// Sessions that a service takes at most.
const MAX_SESSIONS: usize = 4096;

/// Which models, on what, how often.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Target models: known names, paths, or hf:owner/repository/file.gguf
    #[arg(
        long,
        env = "DUET_TARGET",
        value_name = "MODELS",
        value_delimiter = ',',
        default_value = "qwen2.5-coder-1.5b"
    )]
    target: Vec<String>,

    /// Draft models, each measured by itself
    #[arg(
        long,
        env = "DUET_DRAFT_MODEL",
        value_name = "MODELS",
        value_delimiter = ',',
        default_value = "smollm2-135m"
    )]
    drafter: Vec<String>,

    /// Ask this verifier and its drafter instead of starting services here
    // Threads, of no effect then, may well be set in the environment, which counts as given. The cache has the prompts.
    #[arg(
        long,
        env = "DUET_VERIFIER",
        value_name = "URL",
        conflicts_with_all = ["target", "drafter", "rtt", "patient"]
    )]
    verifier: Option<String>,

    /// What is asked [default: humaneval-chat, unless there is a --prompts]
    #[arg(
        long,
        env = "DUET_WORKLOADS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    workloads: Vec<Kind>,

    /// Prompts of one's own: JSON lines, each {"id": .., "prompt": ..} or {"id": .., "messages": [{"role": .., "content": ..}]}.
    /// They are one more workload
    #[arg(long, env = "DUET_PROMPTS", value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// Prompts of each workload at most
    #[arg(long, env = "DUET_COUNT", value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,

    /// Times that everything is measured
    #[arg(long, env = "DUET_RUNS", value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,

    /// Tokens of a reply at most
    #[arg(long, env = "DUET_REQUEST_MAX_TOKENS", value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=4096))]
    max_tokens: u32,

    /// Spread of the choice: 0 always takes the likeliest token
    #[arg(long, env = "DUET_TEMPERATURE", value_name = "T", default_value = "0", value_parser = request::temperature)]
    temperature: f32,

    /// Keep the likeliest tokens that have this much probability together; of no effect at temperature 0
    #[arg(long, env = "DUET_TOP_P", value_name = "P", default_value = "0.95", value_parser = request::share)]
    top_p: f32,

    /// Seed of the first run; each further run has the next one
    #[arg(long, env = "DUET_SEED", value_name = "SEED", default_value_t = 1)]
    seed: u64,

    /// Draft tokens of a block: auto, or 1 to 128
    #[arg(
        long,
        env = "DUET_BLOCK_LENGTHS",
        value_name = "LENGTHS",
        value_delimiter = ',',
        default_value = "auto"
    )]
    block_lengths: Vec<BlockLength>,

    /// Draft tokens of every block beside its chain, other ways to go on where the draft may be wrong; not given: what is found to
    /// pay where the block length is auto, else none
    #[arg(long, env = "DUET_ALTERNATIVES", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_REQUESTED_ALTERNATIVES)))]
    alternatives: Option<u32>,

    /// Acceptance methods by name; auto is what the verifier chooses
    #[arg(
        long,
        env = "DUET_METHODS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "auto"
    )]
    methods: Vec<MethodChoice>,

    /// Requests in progress at once. Above 1 the throughput of all is compared [default: 1, unless there is a --rate]
    #[arg(long, env = "DUET_CONCURRENCY", value_name = "COUNTS", value_delimiter = ',', value_parser = concurrency)]
    concurrency: Vec<usize>,

    /// Requests that arrive each second, at random times, whether or not others are done
    #[arg(long, env = "DUET_RATE", value_name = "RATES", value_delimiter = ',', value_parser = rate)]
    rate: Vec<f64>,

    /// Round trip between verifier and drafter in milliseconds, on top of the loopback's own; bytes are held back for half of it each way
    #[arg(long, env = "DUET_RTT", value_name = "MILLISECONDS", value_delimiter = ',', default_value = "0", value_parser = milliseconds)]
    rtt: Vec<Duration>,

    /// Threads that compute, for each model
    #[arg(long, env = "DUET_THREADS", value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,

    /// Leave the services on whatever processors the system gives them
    #[arg(long, env = "DUET_UNPINNED", conflicts_with = "verifier")]
    unpinned: bool,

    /// Wait for every block, however late: counts then do not depend on how busy the machine is, times mean less
    #[arg(long, env = "DUET_PATIENT")]
    patient: bool,

    /// Folder in which models and prompts are cached [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Write plots of the speed-up into this folder, by whatever was given several values: block length, round trip, concurrency
    #[arg(long, env = "DUET_PLOTS", value_name = "FOLDER")]
    plots: Option<PathBuf>,

    /// Print one JSON object on standard output and nothing else
    #[arg(long)]
    json: bool,
}

/// A measurement with every choice made.
pub(super) struct Plan {
    pub(super) targets: Vec<String>,
    pub(super) drafters: Vec<String>,
    /// A verifier that runs already; then models and round trips above do not count.
    pub(super) verifier: Option<String>,
    pub(super) workloads: Vec<Kind>,
    pub(super) prompts: Option<PathBuf>,
    pub(super) count: usize,
    pub(super) runs: u32,
    pub(super) max_tokens: u32,
    pub(super) sampling: Sampling,
    pub(super) seed: u64,
    pub(super) variants: Vec<Variant>,
    pub(super) loads: Vec<Load>,
    pub(super) round_trips: Vec<Duration>,
    pub(super) threads: usize,
    pub(super) is_pinned: bool,
    pub(super) is_patient: bool,
    pub(super) cache: Option<PathBuf>,
    pub(super) plots: Option<PathBuf>,
    pub(super) json: bool,
}

/// How drafters help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Variant {
    pub(super) method: MethodChoice,
    pub(super) block_length: BlockLength,
    /// Draft tokens beside the chain of a block; `None`: what the verifier makes of the block length.
    pub(super) alternatives: Option<u32>,
}

/// Draft tokens of a block; `None`: what the verifier finds to pay.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct BlockLength(pub(super) Option<u32>);

/// An acceptance method; `None`: the verifier's choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MethodChoice(pub(super) Option<Method>);

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// So many in progress at all times.
    AtOnce(usize),
    /// So many arrivals a second.
    Arriving(f64),
}

impl Args {
    pub(super) fn plan(self) -> Result<Plan, Exit> {
        let mut loads: Vec<Load> = self.concurrency.into_iter().map(Load::AtOnce).collect();
        loads.extend(self.rate.into_iter().map(Load::Arriving));
        if loads.is_empty() {
            loads.push(Load::AtOnce(1));
        }
        let mut workloads = self.workloads;
        if workloads.is_empty() && self.prompts.is_none() {
            workloads.push(Kind::HumanevalChat);
        }
        let with = |method| {
            let lengths = self.block_lengths.iter();
            lengths.map(move |&block_length| Variant {
                method,
                block_length,
                alternatives: self.alternatives,
            })
        };
        let variants = self.methods.iter().flat_map(|&method| with(method));
        for MethodChoice(method) in &self.methods {
            if let Some(method) = method
                && self.temperature > 0.0
                && !method.samples()
            {
                let wrong = format!("--temperature is {}", self.temperature);
                return Err(Exit::usage(format!(
                    "{wrong}: with --methods {method} it must be 0"
                )));
            }
        }
        Ok(Plan {
            variants: variants.collect(),
            targets: self.target,
            drafters: self.drafter,
            verifier: self.verifier,
            workloads,
            prompts: self.prompts,
            count: self.count as usize,
            runs: self.runs,
            max_tokens: self.max_tokens,
            sampling: Sampling {
                temperature: self.temperature,
                top_p: if self.temperature > 0.0 {
                    self.top_p
                } else {
                    1.0
                },
                ..Sampling::greedy()
            },
            seed: self.seed,
            loads,
            round_trips: self.rtt,
            threads: usize::from(self.threads),
            is_pinned: !self.unpinned,
            is_patient: self.patient,
            cache: self.cache,
            plots: self.plots,
            json: self.json,
        })
    }
}

impl Plan {
    /// Requests that a service may have to hold at once.
    pub(super) fn sessions(&self) -> usize {
        let of = |load: &Load| match *load {
            Load::AtOnce(count) => count,
            // All of them, if the machine is slower than they come. Beyond what a service takes it refuses.
            Load::Arriving(_) => self.count.min(MAX_SESSIONS),
        };
        self.loads.iter().map(of).max().unwrap_or(1)
    }

    /// The longest block asked for by number.
    pub(super) fn longest_block(&self) -> u32 {
        let lengths = self.variants.iter();
        let lengths = lengths.filter_map(|variant| variant.block_length.0);
        lengths.max().unwrap_or(1)
    }
}

impl Variant {
    /// Draft tokens of a block, and those beside its chain where their number is given.
    pub(super) fn length(self) -> String {
        let more = self.alternatives.map(|count| format!("+{count}"));
        format!("{}{}", self.block_length, more.unwrap_or_default())
    }

    /// As a request has it.
    pub(super) fn speculation(self) -> Speculation {
        Speculation::Auto {
            method: self.method.0.map(|method| method.name().to_owned()),
            block_tokens: self.block_length.0,
            // Only a method asked for by its name can be lossy.
            allow_lossy: self.method.0.is_some(),
            alternatives: self.alternatives,
        }
    }
}

impl fmt::Display for BlockLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(tokens) => f.pad(&tokens.to_string()),
            None => f.pad("auto"),
        }
    }
}

impl FromStr for BlockLength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let tokens = text.parse().ok();
        let tokens = tokens.filter(|tokens| (1..=MAX_BLOCK_TOKENS).contains(tokens));
        let wrong = || format!("it must be auto, or 1 to {MAX_BLOCK_TOKENS}");
        tokens.map(|tokens| Self(Some(tokens))).ok_or_else(wrong)
    }
}

impl fmt::Display for MethodChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.map_or("auto", Method::name))
    }
}

impl FromStr for MethodChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let names = Method::ALL.map(Method::name).join(", ");
        let wrong = |_| format!("it must be auto or one of {names}");
        text.parse().map(|method| Self(Some(method))).map_err(wrong)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce(count) => f.pad(&count.to_string()),
            Self::Arriving(rate) => f.pad(&format!("{rate}/s")),
        }
    }
}

fn concurrency(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let number = number.filter(|count| (1..=MAX_CONCURRENCY).contains(count));
    number.ok_or_else(|| format!("it must be 1 to {MAX_CONCURRENCY}"))
}

fn rate(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|rate| *rate > 0.0 && *rate <= MAX_RATE);
    number.ok_or_else(|| format!("it must be above 0 and at most {MAX_RATE}"))
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|time| (0.0..=MAX_ROUND_TRIP).contains(time));
    let wrong = || format!("it must be 0 to {MAX_ROUND_TRIP} milliseconds");
    number
        .map(|time| Duration::from_secs_f64(time / 1e3))
        .ok_or_else(wrong)
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    /// The plan for these flags.
    pub(in super::super) fn plan(flags: &[&str]) -> Result<Plan, String> {
        let flags = ["bench"].iter().chain(flags);
        let command = Command::try_parse_from(flags).map_err(|error| error.to_string())?;
        command.args.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_every_method_with_every_length() {
        let plan = plan(&["--methods", "auto,coupled", "--block-lengths", "auto,4,128"]).unwrap();
        let variant = |method, tokens| Variant {
            method: MethodChoice(method),
            block_length: BlockLength(tokens),
            alternatives: None,
        };
        let expected = [
            variant(None, None),
            variant(None, Some(4)),
            variant(None, Some(128)),
            variant(Some(Method::Coupled), None),
            variant(Some(Method::Coupled), Some(4)),
            variant(Some(Method::Coupled), Some(128)),
        ];
        assert_eq!(plan.variants, expected);
        assert_eq!(plan.longest_block(), 128);
    }

    #[test]
    fn one_request_at_a_time_is_measured_unless_loads_are_named() {
        assert_eq!(plan(&[]).unwrap().loads, [Load::AtOnce(1)]);
        let arriving = plan(&["--rate", "0.5"]).unwrap();
        assert_eq!(arriving.loads, [Load::Arriving(0.5)]);
        assert_eq!(arriving.sessions(), 20);
        let both = plan(&["--concurrency", "1,8", "--rate", "2"]).unwrap();
        let expected = [Load::AtOnce(1), Load::AtOnce(8), Load::Arriving(2.0)];
        assert_eq!(both.loads, expected);
    }

    #[test]
    fn round_trips_are_milliseconds() {
        let plan = plan(&["--rtt", "0,0.5,100"]).unwrap();
        let expected = [0, 500, 100_000].map(Duration::from_micros);
        assert_eq!(plan.round_trips, expected);
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_by_flag() {
        for (flag, value) in [
            ("--workloads", "humaneval"),
            ("--count", "0"),
            ("--runs", "0"),
            ("--max-tokens", "1"),
            ("--temperature", "2.1"),
            ("--temperature", "NaN"),
            ("--top-p", "0"),
            ("--block-lengths", "0"),
            ("--block-lengths", "4,129"),
            ("--methods", "typical"),
            ("--concurrency", "0"),
            ("--concurrency", "257"),
            ("--rate", "0"),
            ("--rtt", "10001"),
            ("--rtt", "-1"),
            ("--threads", "0"),
        ] {
            let flag_with_value = format!("{flag}={value}");
            let error = plan(&[&flag_with_value]).err().unwrap();
            assert!(error.contains(flag), "{flag} {value}: {error}");
        }
        let error = plan(&["--methods", "greedy", "--temperature", "0.8"]);
        let error = error.err().unwrap();
        assert!(error.contains("--temperature is 0.8"), "{error}");
    }

    #[test]
    fn running_verifier_leaves_no_choice_of_models_or_network() {
        for flags in [["--target", "a"], ["--drafter", "a"], ["--rtt", "5"]] {
            let all = [&["--verifier", "http://127.0.0.1:1"][..], &flags].concat();
            let error = plan(&all).err().unwrap();
            assert!(error.contains(flags[0]), "{error}");
        }
    }
}
