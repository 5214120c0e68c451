//! What the process runs with: arguments as final types, checked before anything is bound or loaded.

use std::{path::PathBuf, str::FromStr, time::Duration};
use store::ModelReference;

use chassis::args::{LogArgs, ServerArgs};
use inference::engine::{DeviceChoice, EngineOptions};
use proto::{drafter::Limits, limits};

use crate::{
    args::{Args, DraftArgs, SessionArgs},
    source::{Source, SourceError},
};

/// A year: longer than any session should last, short enough for every clock.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Everything the process runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What drafts.
    pub source: Source<ModelReference>,
    /// Folder of the model cache; `None` for the user's.
    pub cache: Option<PathBuf>,
    /// How the model runs.
    pub engine: EngineOptions,
    /// How sessions are served.
    pub serving: Serving,
    /// Where it listens and how it stops.
    pub server: ServerArgs,
    /// What is logged.
    pub log: LogArgs,
}

/// How sessions are served by a model that is loaded, however it came to be.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Name of the model, as it was asked for.
    pub model_name: String,
    /// Device that the model runs on, for `Describe`.
    pub device: String,
    /// What no session goes beyond. The engine's own limit on sessions holds besides.
    pub limits: Limits,
    /// Verdicts a second that one session takes in.
    pub verdict_rate: u32,
    /// How long a session may go without a verdict.
    pub idle_timeout: Duration,
    /// How long a session may last.
    pub session_age: Duration,
    /// How long sessions may go on after the signal to stop.
    pub grace_period: Duration,
}

impl Serving {
    /// The defaults of the command line for a model of this name.
    pub fn new(model_name: impl Into<String>) -> Self {
        Self {
            model_name: model_name.into(),
            device: "cpu".to_owned(),
            limits: Limits {
                max_sessions: 32,
                max_block_tokens: 32,
                max_block_bytes: 2048,
                max_credit: 4,
                max_prompt_bytes: 1 << 20,
            },
            verdict_rate: 1000,
            idle_timeout: Duration::from_mins(5),
            session_age: Duration::from_hours(1),
            grace_period: Duration::from_secs(30),
        }
    }
}

/// A configuration that cannot be used, by the flag that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing that could draft.
    #[error("--model cannot be used")]
    Model(#[source] SourceError),
    /// A value outside its range.
    #[error("{flag} is {found}: it must be {expected}")]
    Range {
        /// The flag.
        flag: &'static str,
        /// What was given.
        found: String,
        /// What would be right.
        expected: String,
    },
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let session = &args.session;
        let limits = limits(session)?;
        within("--max-verdict-rate", session.max_verdict_rate, 1, 1_000_000)?;
        lasting("--idle-timeout", session.idle_timeout)?;
        lasting("--max-session-age", session.max_session_age)?;
        let serving = Serving {
            model_name: args.model.clone(),
            device: args.draft.device.clone(),
            limits,
            verdict_rate: session.max_verdict_rate,
            idle_timeout: session.idle_timeout,
            session_age: session.max_session_age,
            grace_period: args.server.grace_period,
        };
        Ok(Self {
            source: args.model.parse().map_err(ConfigError::Model)?,
            cache: args.cache,
            engine: engine(&args.draft, limits.max_sessions as usize)?,
            serving,
            server: args.server,
            log: args.log,
        })
    }
}

fn limits(args: &SessionArgs) -> Result<Limits, ConfigError> {
    within("--max-sessions", args.max_sessions, 1, 4096)?;
    let tokens = args.max_block_tokens;
    within("--max-block-tokens", tokens, 1, limits::MAX_BLOCK_TOKENS)?;
    let bytes = args.max_block_bytes;
    within("--max-block-bytes", bytes, 1, limits::MAX_BLOCK_BYTES)?;
    within("--max-credit", args.max_credit, 1, limits::MAX_CREDIT)?;
    let prompt = args.max_prompt_bytes;
    within(
        "--max-prompt-bytes",
        prompt,
        1,
        limits::MAX_PROMPT_BYTES as u32,
    )?;
    Ok(Limits {
        max_sessions: args.max_sessions,
        max_block_tokens: tokens,
        max_block_bytes: bytes,
        max_credit: args.max_credit,
        max_prompt_bytes: prompt,
    })
}

fn engine(args: &DraftArgs, sessions: usize) -> Result<EngineOptions, ConfigError> {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or_else(processors);
    within("--threads", threads, 1, 1024)?;
    within("--context", args.context, 2, 1 << 24)?;
    within("--batch-rows", args.batch_rows, 1, 1 << 16)?;
    within("--prefix-cache", args.prefix_cache, 0, 1 << 24)?;
    within("--queue", args.queue, 2 * sessions, 1 << 20)?;
    Ok(EngineOptions {
        threads,
        max_sessions: sessions,
        queue: args.queue,
        max_batch_rows: args.batch_rows,
        context: args.context,
        prefix_cache: args.prefix_cache << 20,
        device: device(&args.device)?,
    })
}

fn device(name: &str) -> Result<DeviceChoice, ConfigError> {
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    match (kind, usize::from_str(number)) {
        ("cpu", _) if name == "cpu" => Ok(DeviceChoice::Cpu),
        ("cuda", Ok(number)) => Ok(DeviceChoice::Cuda(number)),
        ("metal", Ok(number)) => Ok(DeviceChoice::Metal(number)),
        _ => Err(out_of_range(
            "--device",
            name,
            "cpu, cuda, cuda:N, metal or metal:N",
        )),
    }
}

fn lasting(flag: &'static str, found: Duration) -> Result<(), ConfigError> {
    if !found.is_zero() && found <= LONGEST {
        return Ok(());
    }
    let found = humantime::format_duration(found).to_string();
    Err(out_of_range(flag, found, "above 0 and at most a year"))
}

fn within<T: PartialOrd + Copy + ToString>(
    flag: &'static str,
    found: T,
    least: T,
    most: T,
) -> Result<(), ConfigError> {
    if found >= least && found <= most {
        return Ok(());
    }
    let expected = format!("{} to {}", least.to_string(), most.to_string());
    Err(out_of_range(flag, found.to_string(), expected))
}

fn out_of_range(
    flag: &'static str,
    found: impl Into<String>,
    expected: impl Into<String>,
) -> ConfigError {
    ConfigError::Range {
        flag,
        found: found.into(),
        expected: expected.into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = ["drafter-service", "--model", "smollm2-135m"];
        let args = Args::try_parse_from(args.iter().chain(flags)).map_err(|e| e.to_string())?;
        Config::try_from(args).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_of_the_command_line_are_those_of_a_loaded_model() {
        let config = config(&[]).unwrap();
        let defaults = Serving::new("smollm2-135m");
        assert_eq!(format!("{:?}", config.serving), format!("{defaults:?}"));
        assert_eq!(config.server.listen.port(), 50051);
        assert_eq!(config.engine.max_sessions, 32);
    }

    #[test]
    fn every_flag_is_an_environment_variable_named_after_it() {
        use clap::CommandFactory as _;

        for arg in Args::command().get_arguments() {
            let Some(flag) = arg.get_long() else { continue };
            let expected = format!("DUET_{}", flag.to_uppercase().replace('-', "_"));
            let variable = arg.get_env().and_then(|name| name.to_str());
            assert_eq!(variable, Some(expected.as_str()), "--{flag}");
        }
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_by_flag() {
        for (flag, value) in [
            ("--model", ""),
            ("--max-sessions", "0"),
            ("--max-sessions", "33"),
            ("--max-block-tokens", "0"),
            ("--max-block-tokens", "129"),
            ("--max-block-bytes", "0"),
            ("--max-credit", "17"),
            ("--max-prompt-bytes", "0"),
            ("--max-verdict-rate", "0"),
            ("--idle-timeout", "0s"),
            ("--max-session-age", "1000y"),
            ("--threads", "0"),
            ("--context", "1"),
            ("--batch-rows", "0"),
            ("--prefix-cache", "16777217"),
            ("--queue", "63"),
            ("--device", "tpu"),
            ("--device", "cpu:1"),
        ] {
            let error = match flag {
                "--model" => {
                    let args = Args::try_parse_from(["drafter-service", flag, value]);
                    Config::try_from(args.unwrap()).unwrap_err().to_string()
                }
                _ => config(&[flag, value]).unwrap_err(),
            };
            let named = if value == "33" { "--queue" } else { flag };
            assert!(error.starts_with(named), "{flag} {value}: {error}");
        }
    }
}
