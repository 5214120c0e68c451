//! Configuration of the process: its arguments as final types, checked before anything is bound or loaded.

mod http;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use alignment::acceptance::Method;
use chassis::args::{LogArgs, ServerArgs};
use inference::engine::EngineOptions;
use pacing::DeadlineOptions;
use proto::limits::{MAX_BLOCK_TOKENS, MAX_CREDIT};
use serde_json::{Map, Value};
use serving::range::{OutOfRange, within};
use store::{ModelReference, StoreError};
use tonic::transport::Endpoint;

pub use self::http::HttpOptions;
pub use crate::admission::AdmissionLimits;
use crate::args::Args;

/// Deadline of a block before any latency is known, unless `--draft-deadline-max` is shorter.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Requests that may wait by default, for each that may be in progress.
const WAITING_BY_PLACE: usize = 8;
/// Rows of a pass that verifies anything: the pending token and a candidate.
const LEAST_ROWS: usize = 2;

/// Configuration of the process.
#[derive(Clone, Debug)]
pub struct Config {
    /// The target model.
    pub model: ModelReference,
    /// Folder of the model cache; `None` for the user's.
    pub cache: Option<PathBuf>,
    /// Device, limits and cache of its engine.
    pub engine: EngineOptions,
    /// Limits and choices for requests.
    pub serving: Serving,
    /// Address to serve HTTP on, if it is served.
    pub http: Option<SocketAddr>,
    /// Ports and the end of the process.
    pub server: ServerArgs,
    /// Logs.
    pub log: LogArgs,
}

/// Limits and choices for requests to a loaded model.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Name of the model: the first of its served names, or as it was given.
    pub model_name: String,
    /// Other names by which requests may call it.
    pub aliases: Vec<String>,
    /// True if unknown parameters, and a model with an owner before its name, are refused over HTTP.
    pub strict_parameters: bool,
    /// Choices for the HTTP port.
    pub http: HttpOptions,
    /// Addresses of drafters, in order of preference among equals.
    pub drafters: Vec<String>,
    /// Limits on requests at once.
    pub admission: AdmissionLimits,
    /// Most completion tokens of a request.
    pub max_tokens: u32,
    /// Sampling of requests over HTTP that do not say, by parameter; over what the model's files suggest.
    pub default_sampling: Map<String, Value>,
    /// Variables of the chat template, unless a request over HTTP gives them.
    pub template_variables: Map<String, Value>,
    /// Method where a request names none; `None`: greedy at temperature 0, coupled above.
    pub method: Option<Method>,
    /// Most draft tokens of a block, and most candidates of a round.
    pub block_length: u32,
    /// Blocks that a drafter may send before the verdict.
    pub draft_ahead: u32,
    /// Deadlines of blocks.
    pub deadline: DeadlineOptions,
    /// Time that requests have to finish after the signal to stop.
    pub grace_period: Duration,
}

impl Serving {
    /// The defaults of the command line for a model of this name.
    pub fn new(model_name: impl Into<String>) -> Self {
        Self {
            model_name: model_name.into(),
            aliases: Vec::new(),
            strict_parameters: false,
            http: HttpOptions::default(),
            drafters: Vec::new(),
            admission: AdmissionLimits {
                in_progress: 16,
                waiting: 16 * WAITING_BY_PLACE,
                patience: Duration::from_mins(1),
            },
            max_tokens: 4096,
            default_sampling: Map::new(),
            template_variables: Map::new(),
            method: None,
            block_length: 16,
            draft_ahead: 1,
            deadline: DeadlineOptions {
                cap: Duration::from_secs(1),
                ..DeadlineOptions::default()
            },
            grace_period: Duration::from_secs(30),
        }
    }

    /// Names by which requests may call the model.
    pub(crate) fn served_names(&self) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.iter().map(String::as_str);
        std::iter::once(self.model_name.as_str()).chain(aliases)
    }
}

/// A configuration that cannot be used, by the flag that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a reference to a model.
    #[error("--model cannot be used")]
    Model(#[source] StoreError),
    /// A value outside its range.
    #[error(transparent)]
    Range(#[from] OutOfRange),
}

/// Parameters of sampling that have defaults.
const SAMPLING: [&str; 7] = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
];

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        let sessions = args.request.max_sessions;
        within("--max-sessions", sessions, 1..=4096)?;
        let engine = args.engine.options(sessions, LEAST_ROWS)?;
        let rows = u32::try_from(engine.max_batch_rows).unwrap_or(u32::MAX);
        let longest = (rows - 1).min(MAX_BLOCK_TOKENS);
        let speculation = &args.speculation;
        within("--block-length", speculation.block_length, 1..=longest)?;
        within("--draft-ahead", speculation.draft_ahead, 0..=MAX_CREDIT - 1)?;
        if let Some(waiting) = args.request.max_waiting {
            within("--max-waiting", waiting, 0..=65_536)?;
        }
        within("--max-tokens", args.request.max_tokens, 1..=1 << 20)?;
        for address in &args.drafter {
            check_address(address)?;
        }
        let mut names = args.request.served_model_name;
        let model_name = if names.is_empty() {
            args.model.clone()
        } else {
            names.remove(0)
        };
        let serving = Serving {
            model_name,
            aliases: names,
            strict_parameters: args.request.strict_parameters,
            http: args.http_options.try_into()?,
            drafters: args.drafter,
            admission: AdmissionLimits {
                in_progress: sessions,
                waiting: args
                    .request
                    .max_waiting
                    .unwrap_or(WAITING_BY_PLACE * sessions),
                patience: args.request.max_wait,
            },
            max_tokens: args.request.max_tokens,
            default_sampling: default_sampling(args.request.default_sampling.as_deref())?,
            template_variables: object(
                "--chat-template-kwargs",
                args.request.chat_template_kwargs.as_deref(),
                r#"a JSON object, such as {"enable_thinking": false}"#,
            )?,
            method: method(&speculation.method)?,
            block_length: speculation.block_length,
            draft_ahead: speculation.draft_ahead,
            deadline: deadline(
                speculation.draft_deadline_min,
                speculation.draft_deadline_max,
            )?,
            grace_period: args.server.grace_period,
        };
        Ok(Self {
            model: args.model.parse().map_err(ConfigError::Model)?,
            cache: args.cache,
            engine,
            serving,
            http: args.http,
            server: args.server,
            log: args.log,
        })
    }
}

/// Refuses an address to which no channel could be made later, when there is a runtime.
fn check_address(address: &str) -> Result<(), OutOfRange> {
    let endpoint = Endpoint::from_shared(address.to_owned());
    let is_sound = endpoint.is_ok_and(|endpoint| {
        let uri = endpoint.uri();
        uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_sound {
        return Ok(());
    }
    let expected = "the address of a drafter, such as http://127.0.0.1:50051";
    Err(OutOfRange::new("--drafter", address, expected))
}

/// The JSON object that a flag has; empty without it.
fn object(
    flag: &'static str,
    json: Option<&str>,
    expected: &str,
) -> Result<Map<String, Value>, OutOfRange> {
    let object = json.map_or(Ok(Map::new()), serde_json::from_str);
    object.map_err(|_| OutOfRange::new(flag, json.unwrap_or_default(), expected))
}

fn default_sampling(json: Option<&str>) -> Result<Map<String, Value>, OutOfRange> {
    let flag = "--default-sampling";
    let expected = format!(
        "a JSON object from any of {} to numbers",
        SAMPLING.join(", ")
    );
    let sampling = object(flag, json, &expected)?;
    let is_known =
        |(name, value): (&String, &Value)| SAMPLING.contains(&name.as_str()) && value.is_number();
    if sampling.iter().all(is_known) {
        return Ok(sampling);
    }
    Err(OutOfRange::new(flag, json.unwrap_or_default(), expected))
}

fn method(name: &str) -> Result<Option<Method>, OutOfRange> {
    if name == "auto" {
        return Ok(None);
    }
    let lossless: Vec<&str> = Method::ALL
        .into_iter()
        .filter(|method| method.is_lossless())
        .map(Method::name)
        .collect();
    // Only a request may ask for a method that changes the text's distribution, not whoever runs the service.
    let method = name.parse::<Method>().ok().filter(|m| m.is_lossless());
    let known = || format!("auto or one of {}", lossless.join(", "));
    method
        .map(Some)
        .ok_or_else(|| OutOfRange::new("--method", name, known()))
}

fn deadline(least: Duration, most: Duration) -> Result<DeadlineOptions, OutOfRange> {
    let shown = |duration| humantime::format_duration(duration).to_string();
    if most.is_zero() || most > Duration::from_mins(1) {
        return Err(OutOfRange::new(
            "--draft-deadline-max",
            shown(most),
            "above 0 and at most 1m",
        ));
    }
    if least > most {
        let expected = format!("at most --draft-deadline-max, {}", shown(most));
        return Err(OutOfRange::new(
            "--draft-deadline-min",
            shown(least),
            expected,
        ));
    }
    Ok(DeadlineOptions {
        floor: least,
        cap: most,
        initial: FIRST_WAIT.min(most),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = ["verifier-service", "--model", "qwen2.5-coder-1.5b"];
        let args = Args::try_parse_from(args.iter().chain(flags)).map_err(|e| e.to_string())?;
        Config::try_from(args).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_of_the_command_line_are_those_of_a_loaded_model() {
        let config = config(&[]).unwrap();
        let defaults = Serving::new("qwen2.5-coder-1.5b");
        assert_eq!(format!("{:?}", config.serving), format!("{defaults:?}"));
        assert_eq!(config.server.listen.port(), 50052);
    }

    #[test]
    fn drafters_may_be_repeated_or_separated() {
        let flags = [
            "--drafter",
            "http://a:1,http://b:2",
            "--drafter",
            "http://c:3",
        ];
        let drafters = config(&flags).unwrap().serving.drafters;
        assert_eq!(drafters, ["http://a:1", "http://b:2", "http://c:3"]);
    }

    #[test]
    fn values_that_cannot_be_used_are_refused_by_flag() {
        for (flag, value) in [
            ("--block-length", "0"),
            ("--block-length", "128"),
            ("--draft-ahead", "16"),
            ("--max-sessions", "0"),
            ("--max-tokens", "0"),
            ("--threads", "0"),
            ("--context", "1"),
            ("--batch-rows", "1"),
            ("--prefix-cache", "16777217"),
            ("--queue", "31"),
            ("--device", "tpu"),
            ("--device", "cpu:1"),
            ("--method", "typical"),
            ("--drafter", "127.0.0.1:50051"),
            ("--draft-deadline-max", "2m"),
            ("--draft-deadline-min", "3s"),
            ("--cors-origin", "example.org"),
            ("--allowed-host", "duet:80"),
            ("--chat-template-kwargs", "[]"),
            ("--default-sampling", r#"{"heat": 1}"#),
            ("--default-sampling", r#"{"top_p": "x"}"#),
        ] {
            let error = config(&[flag, value]).unwrap_err();
            assert!(error.starts_with(flag), "{flag} {value}: {error}");
        }
    }
}
