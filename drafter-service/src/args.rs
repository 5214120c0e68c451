//! Arguments of the process. Each is also an environment variable; nothing else is read from the environment.

use std::{path::PathBuf, time::Duration};

use chassis::args::{LogArgs, ServerArgs};
use clap::Parser;
use serving::args::EngineArgs;

/// Proposes how replies may continue: drafts blocks with a small model, for a verifier to check.
#[derive(Clone, Debug, Parser)]
#[command(name = "drafter-service", version)]
pub struct Args {
    /// Draft model: a known name, a path to a GGUF file or a model's folder, or hf:owner/repository/file.gguf; ngram for none,
    /// which looks up the end of the session's text earlier in it; ngram+MODEL to ask the model only where that finds nothing
    #[arg(long, env = "DUET_MODEL", value_name = "MODEL")]
    pub model: String,

    /// Folder in which models are cached [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    pub cache: Option<PathBuf>,

    /// Engine of the draft model.
    #[command(flatten)]
    pub engine: EngineArgs,

    /// Limits on sessions.
    #[command(flatten)]
    pub session: SessionArgs,

    /// Ports and the end of the process.
    #[command(flatten)]
    pub server: ServerArgs,

    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Limits on sessions.
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

    /// Blocks of one session that may be unanswered; 1: it waits for each verdict
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

    /// Verdicts a second that one session takes; more have to wait
    #[arg(
        long,
        env = "DUET_MAX_VERDICT_RATE",
        value_name = "COUNT",
        default_value_t = 1000
    )]
    pub max_verdict_rate: u32,

    /// Longest time of a session without a verdict
    #[arg(long, env = "DUET_IDLE_TIMEOUT", value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,

    /// Longest duration of a session
    #[arg(long, env = "DUET_MAX_SESSION_AGE", value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub max_session_age: Duration,
}
