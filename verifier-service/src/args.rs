//! Arguments of the process. Each is an environment variable, too; nothing else is read from the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chassis::args::{LogArgs, ServerArgs};
use clap::Parser;

/// Owns every answer: decodes with the target model, verifies what drafters propose, streams the text.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "verifier-service",
    version,
    mut_arg("listen", |arg| arg.default_value("127.0.0.1:50052"))
)]
pub struct Args {
    /// Target model: a known name, a path to a GGUF file or a model's folder, or hf:owner/repository/file.gguf
    #[arg(long, env = "DUET_MODEL", value_name = "MODEL")]
    pub model: String,

    /// Folder in which models are cached [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    pub cache: Option<PathBuf>,

    /// Addresses of drafters
    #[arg(
        long,
        env = "DUET_DRAFTER",
        value_name = "URL",
        value_delimiter = ',',
        help = "Address of a drafter, such as http://127.0.0.1:50051; may be repeated, or several with commas. \
                None: plain decoding"
    )]
    pub drafter: Vec<String>,

    /// Address to serve the OpenAI-compatible API on over HTTP; port 0 picks a free one [default: not served]
    #[arg(long, env = "DUET_HTTP", value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,

    /// The model and its limits.
    #[command(flatten)]
    pub target: TargetArgs,

    /// What requests may ask for.
    #[command(flatten)]
    pub request: RequestArgs,

    /// How drafters are used.
    #[command(flatten)]
    pub speculation: SpeculationArgs,

    /// Where it listens and how it stops.
    #[command(flatten)]
    pub server: ServerArgs,

    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How the target model runs.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Target model")]
pub struct TargetArgs {
    /// Where the model runs: cpu, cuda, cuda:N, metal or metal:N
    #[arg(
        long,
        env = "DUET_DEVICE",
        value_name = "DEVICE",
        default_value = "cpu"
    )]
    pub device: String,

    /// Threads that compute [default: one for each processor]
    #[arg(long, env = "DUET_THREADS", value_name = "COUNT")]
    pub threads: Option<usize>,

    /// Positions that one request may hold, prompt included; the model's own limit where that is smaller
    #[arg(
        long,
        env = "DUET_CONTEXT",
        value_name = "TOKENS",
        default_value_t = 8192
    )]
    pub context: usize,

    /// Rows of one forward pass, all requests together
    #[arg(
        long,
        env = "DUET_BATCH_ROWS",
        value_name = "ROWS",
        default_value_t = 128
    )]
    pub batch_rows: usize,

    /// Memory for keys and values of earlier prompts, so that what prompts have in common is computed once; 0: none
    #[arg(
        long,
        env = "DUET_PREFIX_CACHE",
        value_name = "MIB",
        default_value_t = 256
    )]
    pub prefix_cache: u64,

    /// Passes that may wait for the model's thread; at least twice the requests at once
    #[arg(long, env = "DUET_QUEUE", value_name = "COUNT", default_value_t = 64)]
    pub queue: usize,
}

/// What requests may ask for.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Requests")]
pub struct RequestArgs {
    /// Requests at once; more are refused
    #[arg(
        long,
        env = "DUET_MAX_SESSIONS",
        value_name = "COUNT",
        default_value_t = 16
    )]
    pub max_sessions: usize,

    /// Completion tokens that a request may ask for, and gets if it does not say
    #[arg(
        long,
        env = "DUET_MAX_TOKENS",
        value_name = "TOKENS",
        default_value_t = 4096
    )]
    pub max_tokens: u32,
}

/// How drafters are used.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Speculation")]
pub struct SpeculationArgs {
    /// Acceptance method where a request names none
    #[arg(
        long,
        env = "DUET_METHOD",
        value_name = "METHOD",
        default_value = "auto",
        help = "Acceptance method where a request names none: auto, greedy, coupled, point_mass, standard, \
                tli or path_conditional"
    )]
    pub method: String,

    /// Most draft tokens of a block and candidates of a round; how many there are follows what pays, unless a request fixes it
    #[arg(
        long,
        env = "DUET_BLOCK_LENGTH",
        value_name = "TOKENS",
        default_value_t = 16
    )]
    pub block_length: u32,

    /// Blocks that a drafter may send ahead of the verdict: hides its latency, but wastes its work where a block is not kept
    #[arg(
        long,
        env = "DUET_DRAFT_AHEAD",
        value_name = "BLOCKS",
        default_value_t = 1
    )]
    pub draft_ahead: u32,

    /// Least time that a round waits for its block, whatever was measured
    #[arg(long, env = "DUET_DRAFT_DEADLINE_MIN", value_name = "DURATION", default_value = "2ms", value_parser = humantime::parse_duration)]
    pub draft_deadline_min: Duration,

    /// Most time that a round waits for its block, whatever was measured
    #[arg(long, env = "DUET_DRAFT_DEADLINE_MAX", value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub draft_deadline_max: Duration,
}
