//! Configuration of the process: its arguments as final types, checked before anything is bound or loaded.

use std::{path::PathBuf, time::Duration};

use chassis::args::{LogArgs, ServerArgs};
use inference::engine::EngineOptions;
use proto::{drafter::Limits, limits};
use serving::range::{OutOfRange, within};
use store::ModelReference;

use crate::{
    args::{Args, SessionArgs},
    source::{Source, SourceError},
};

/// Longest duration that a flag takes: a year is more than any session needs, and no clock overflows by it.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Configuration of the process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Source of drafts.
    pub source: Source<ModelReference>,
    /// Folder of the model cache; `None` for the user's.
    pub cache: Option<PathBuf>,
    /// Device, limits and cache of the model's engine.
    pub engine: EngineOptions,
    /// Limits on sessions.
    pub serving: Serving,
    /// Ports and the end of the process.
    pub server: ServerArgs,
    /// Logs.
    pub log: LogArgs,
}

/// Limits on sessions with a loaded model.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Name of the model, as it was given.
    pub model_name: String,
    /// Device that the model runs on, for `Describe`.
    pub device: String,
    /// Limits that `Describe` reports. The engine's own limit on sessions holds as well.
    pub limits: Limits,
    /// Most verdicts a second of one session.
    pub verdict_rate: u32,
    /// Longest time of a session without a verdict.
    pub idle_timeout: Duration,
    /// Longest duration of a session.
    pub session_age: Duration,
    /// Time that sessions have to finish after the signal to stop.
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
    /// A name that is not of a source of drafts.
    #[error("--model cannot be used")]
    Model(#[source] SourceError),
    /// A value outside its range.
    #[error(transparent)]
    Range(#[from] OutOfRange),
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let session = &args.session;
        let limits = limits(session)?;
        within(
            "--max-verdict-rate",
            session.max_verdict_rate,
            1..=1_000_000,
        )?;
        lasting("--idle-timeout", session.idle_timeout)?;
        lasting("--max-session-age", session.max_session_age)?;
        let serving = Serving {
            model_name: args.model.clone(),
            device: args.engine.device.clone(),
            limits,
            verdict_rate: session.max_verdict_rate,
            idle_timeout: session.idle_timeout,
            session_age: session.max_session_age,
            grace_period: args.server.grace_period,
        };
        Ok(Self {
            source: args.model.parse().map_err(ConfigError::Model)?,
            cache: args.cache,
            engine: args.engine.options(limits.max_sessions as usize, 1)?,
            serving,
            server: args.server,
            log: args.log,
        })
    }
}

fn limits(args: &SessionArgs) -> Result<Limits, OutOfRange> {
    within("--max-sessions", args.max_sessions, 1..=4096)?;
    let tokens = args.max_block_tokens;
    within("--max-block-tokens", tokens, 1..=limits::MAX_BLOCK_TOKENS)?;
    let bytes = args.max_block_bytes;
    within("--max-block-bytes", bytes, 1..=limits::MAX_BLOCK_BYTES)?;
    within("--max-credit", args.max_credit, 1..=limits::MAX_CREDIT)?;
    let prompt = args.max_prompt_bytes;
    let longest = limits::MAX_PROMPT_BYTES as u32;
    within("--max-prompt-bytes", prompt, 1..=longest)?;
    Ok(Limits {
        max_sessions: args.max_sessions,
        max_block_tokens: tokens,
        max_block_bytes: bytes,
        max_credit: args.max_credit,
        max_prompt_bytes: prompt,
    })
}

fn lasting(flag: &'static str, found: Duration) -> Result<(), OutOfRange> {
    if !found.is_zero() && found <= LONGEST {
        return Ok(());
    }
    let found = humantime::format_duration(found).to_string();
    Err(OutOfRange::new(flag, found, "above 0 and at most a year"))
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
