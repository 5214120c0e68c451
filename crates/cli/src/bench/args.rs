//! The command line of `duet bench`, and the experiment it asks for.

use std::path::PathBuf;
use std::time::Duration;

use proto::limits::MAX_REQUESTED_ALTERNATIVES;
use proto::model::Sampling;

use super::experiment::{BlockLength, Experiment, MethodChoice, OfferedLoad, Variant};
use super::task::KnownWorkload;
use crate::request;
use crate::runtime::Exit;

/// Longest emulated round trip, in milliseconds.
const MAX_ROUND_TRIP: f64 = 10_000.0;
/// Most requests in progress at once.
const MAX_CONCURRENCY: i64 = 256;
/// Highest arrival rate, in requests a second.
const MAX_RATE: f64 = 1_000.0;

/// Models, workloads, settings, and the number of runs.
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

    /// Draft models, each measured on its own
    #[arg(
        long,
        env = "DUET_DRAFT_MODEL",
        value_name = "MODELS",
        value_delimiter = ',',
        default_value = "smollm2-135m"
    )]
    drafter: Vec<String>,

    /// Ask this verifier and its drafter instead of starting services here
    // No conflict with --threads, which has no effect then: it may be set in the environment, and clap counts that as given.
    #[arg(
        long,
        env = "DUET_VERIFIER",
        value_name = "URL",
        conflicts_with_all = ["target", "drafter", "rtt", "patient"]
    )]
    verifier: Option<String>,

    /// Workloads to measure [default: humaneval-chat, unless there is a --prompts]
    #[arg(
        long,
        env = "DUET_WORKLOADS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    workloads: Vec<KnownWorkload>,

    /// Your own prompts, as one more workload: JSON lines, each {"id": .., "prompt": ..} or
    /// {"id": .., "messages": [{"role": .., "content": ..}]}
    #[arg(long, env = "DUET_PROMPTS", value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// Most prompts of each workload
    #[arg(long, env = "DUET_COUNT", value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,

    /// Number of times that everything is measured
    #[arg(long, env = "DUET_RUNS", value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,

    /// Most tokens of a reply
    #[arg(long, env = "DUET_REQUEST_MAX_TOKENS", value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=4096))]
    max_tokens: u32,

    /// Sampling temperature: 0 always takes the likeliest token
    #[arg(long, env = "DUET_TEMPERATURE", value_name = "T", default_value = "0", value_parser = request::temperature)]
    temperature: f32,

    /// Sample from the likeliest tokens that together have this probability; no effect at temperature 0
    #[arg(long, env = "DUET_TOP_P", value_name = "P", default_value = "0.95", value_parser = request::share)]
    top_p: f32,

    /// Seed of the first run; each further run takes the next one
    #[arg(long, env = "DUET_SEED", value_name = "SEED", default_value_t = 1)]
    seed: u64,

    /// Draft tokens in a block: auto, or 1 to 128
    #[arg(
        long,
        env = "DUET_BLOCK_LENGTHS",
        value_name = "LENGTHS",
        value_delimiter = ',',
        default_value = "auto"
    )]
    block_lengths: Vec<BlockLength>,

    /// Alternatives in every block: second-best draft tokens beside its chain [default: as many as pay where the block length is
    /// auto, else none]
    #[arg(long, env = "DUET_ALTERNATIVES", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_REQUESTED_ALTERNATIVES)))]
    alternatives: Option<u32>,

    /// Acceptance methods by name; auto is the verifier's choice
    #[arg(
        long,
        env = "DUET_METHODS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "auto"
    )]
    methods: Vec<MethodChoice>,

    /// Requests in progress at once; above 1 the total throughput is compared [default: 1, unless there is a --rate]
    #[arg(long, env = "DUET_CONCURRENCY", value_name = "COUNTS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=MAX_CONCURRENCY))]
    concurrency: Vec<u16>,

    /// Requests a second, arriving at random times whether or not earlier ones are done
    #[arg(long, env = "DUET_RATE", value_name = "RATES", value_delimiter = ',', value_parser = rate)]
    rate: Vec<f64>,

    /// Emulated round trip between verifier and drafter in milliseconds; bytes are delayed by half of it each way
    #[arg(long, env = "DUET_RTT", value_name = "MILLISECONDS", value_delimiter = ',', default_value = "0", value_parser = milliseconds)]
    rtt: Vec<Duration>,

    /// Compute threads of each model
    #[arg(long, env = "DUET_THREADS", value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,

    /// Do not pin the services to processors
    #[arg(long, env = "DUET_UNPINNED", conflicts_with = "verifier")]
    unpinned: bool,

    /// Wait for every block, however late: counts then do not depend on the machine's load, but times mean less
    #[arg(long, env = "DUET_PATIENT")]
    patient: bool,

    /// Folder that caches models and prompts [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Folder for plots of the speed-up by each setting with several values: block length, round trip, concurrency
    #[arg(long, env = "DUET_PLOTS", value_name = "FOLDER")]
    plots: Option<PathBuf>,

    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

impl Args {
    /// The experiment that these flags ask for, or what is wrong with them.
    pub(super) fn experiment(self) -> Result<Experiment, Exit> {
        let concurrency = self.concurrency.into_iter().map(usize::from);
        let mut loads: Vec<OfferedLoad> = concurrency.map(OfferedLoad::AtOnce).collect();
        loads.extend(self.rate.into_iter().map(OfferedLoad::Arriving));
        if loads.is_empty() {
            loads.push(OfferedLoad::AtOnce(1));
        }
        let mut workloads = self.workloads;
        if workloads.is_empty() && self.prompts.is_none() {
            workloads.push(KnownWorkload::HumanevalChat);
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
        Ok(Experiment {
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

fn rate(text: &str) -> Result<f64, String> {
    let expected = format!("above 0 and at most {MAX_RATE}");
    request::within(text, f64::MIN_POSITIVE..=MAX_RATE, &expected)
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let expected = format!("0 to {MAX_ROUND_TRIP} milliseconds");
    let milliseconds = request::within(text, 0.0..=MAX_ROUND_TRIP, &expected)?;
    Ok(Duration::from_secs_f64(milliseconds / 1e3))
}

#[cfg(test)]
pub(super) mod tests {
    use alignment::acceptance::Method;
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    /// The experiment of these flags.
    pub(in super::super) fn experiment(flags: &[&str]) -> Result<Experiment, String> {
        let flags = ["bench"].iter().chain(flags);
        let command = Command::try_parse_from(flags).map_err(|error| error.to_string())?;
        command.args.experiment().map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_every_method_with_every_length() {
        let experiment =
            experiment(&["--methods", "auto,coupled", "--block-lengths", "auto,4,128"]).unwrap();
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
        assert_eq!(experiment.variants, expected);
        assert_eq!(experiment.longest_block(), 128);
    }

    #[test]
    fn one_request_at_a_time_is_measured_unless_loads_are_named() {
        assert_eq!(experiment(&[]).unwrap().loads, [OfferedLoad::AtOnce(1)]);
        let arriving = experiment(&["--rate", "0.5"]).unwrap();
        assert_eq!(arriving.loads, [OfferedLoad::Arriving(0.5)]);
        assert_eq!(arriving.sessions(), 20);
        let both = experiment(&["--concurrency", "1,8", "--rate", "2"]).unwrap();
        let expected = [
            OfferedLoad::AtOnce(1),
            OfferedLoad::AtOnce(8),
            OfferedLoad::Arriving(2.0),
        ];
        assert_eq!(both.loads, expected);
    }

    #[test]
    fn round_trips_are_milliseconds() {
        let experiment = experiment(&["--rtt", "0,0.5,100"]).unwrap();
        let expected = [0, 500, 100_000].map(Duration::from_micros);
        assert_eq!(experiment.round_trips, expected);
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
            let error = experiment(&[&flag_with_value]).err().unwrap();
            assert!(error.contains(flag), "{flag} {value}: {error}");
        }
        let error = experiment(&["--methods", "greedy", "--temperature", "0.8"]);
        let error = error.err().unwrap();
        assert!(error.contains("--temperature is 0.8"), "{error}");
    }

    #[test]
    fn running_verifier_leaves_no_choice_of_models_or_network() {
        for flags in [["--target", "a"], ["--drafter", "a"], ["--rtt", "5"]] {
            let all = [&["--verifier", "http://127.0.0.1:1"][..], &flags].concat();
            let error = experiment(&all).err().unwrap();
            assert!(error.contains(flags[0]), "{error}");
        }
    }
}
