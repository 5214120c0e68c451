//! Arguments of the process. Each is an environment variable, too; nothing else is read from the environment.

use std::{path::PathBuf, time::Duration};

use chassis::args::{LogArgs, ServerArgs};
use clap::Parser;

/// Proposes what replies may go on with: drafts with a small model, in blocks, for a verifier to check.
#[derive(Clone, Debug, Parser)]
#[command(name = "drafter-service", version)]
pub struct Args {
    /// Draft model: a known name, a path to a GGUF file or a model's folder, or hf:owner/repository/file.gguf; ngram for none,
    /// which looks up what the session's own text has said before; ngram+MODEL to ask the model only where that finds nothing
    #[arg(long, env = "DUET_MODEL", value_name = "MODEL")]
    pub model: String,

    /// Folder in which models are cached [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    pub cache: Option<PathBuf>,

    /// The model and its limits.
    #[command(flatten)]
    pub draft: DraftArgs,

    /// What one session may take up.
    #[command(flatten)]
    pub session: SessionArgs,

    /// Where it listens and how it stops.
    #[command(flatten)]
    pub server: ServerArgs,

    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How the draft model runs.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Draft model")]
pub struct DraftArgs {
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

    /// Positions that one session may hold, prompt included; the model's own limit where that is smaller
    #[arg(
        long,
        env = "DUET_CONTEXT",
        value_name = "TOKENS",
        default_value_t = 8192
    )]
    pub context: usize,

    /// Rows of one forward pass, all sessions together
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

    /// Passes that may wait for the model's thread; at least twice the sessions at once
    #[arg(long, env = "DUET_QUEUE", value_name = "COUNT", default_value_t = 64)]
    pub queue: usize,
}

/// What sessions may take up.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Sessions")]
pub struct SessionArgs {
    /// Sessions at once; more are refused
    #[arg(
        long,
        env = "DUET_MAX_SESSIONS",
        value_name = "COUNT",
        default_value_t = 32
    )]
    pub max_sessions: u32,

    /// Draft tokens of one block
    #[arg(
        long,
        env = "DUET_MAX_BLOCK_TOKENS",
        value_name = "TOKENS",
        default_value_t = 32
    )]
    pub max_block_tokens: u32,

    /// Bytes of one block
    #[arg(
        long,
        env = "DUET_MAX_BLOCK_BYTES",
        value_name = "BYTES",
        default_value_t = 2048
    )]
    pub max_block_bytes: u32,

    /// Blocks of one session that may be unanswered; 1 means that it waits for each verdict
    #[arg(
        long,
        env = "DUET_MAX_CREDIT",
        value_name = "BLOCKS",
        default_value_t = 4
    )]
    pub max_credit: u32,

    /// Bytes of a prompt's content
    #[arg(
        long,
        env = "DUET_MAX_PROMPT_BYTES",
        value_name = "BYTES",
        default_value_t = 1 << 20
    )]
    pub max_prompt_bytes: u32,

    /// Verdicts a second that one session takes in; more have to wait
    #[arg(
        long,
        env = "DUET_MAX_VERDICT_RATE",
        value_name = "COUNT",
        default_value_t = 1000
    )]
    pub max_verdict_rate: u32,

    /// How long a session may go without a verdict
    #[arg(long, env = "DUET_IDLE_TIMEOUT", value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,

    /// How long a session may last
    #[arg(long, env = "DUET_MAX_SESSION_AGE", value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub max_session_age: Duration,
}
