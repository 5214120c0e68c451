//! Arguments of the process. Each is also an environment variable; nothing else is read from the environment.

mod http;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chassis::args::{LogArgs, ServerArgs};
use clap::Parser;
use serving::args::EngineArgs;

pub use self::http::HttpArgs;

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

    /// Engine of the target model.
    #[command(flatten)]
    pub engine: EngineArgs,

    /// Limits on requests.
    #[command(flatten)]
    pub request: RequestArgs,

    /// Use of drafters.
    #[command(flatten)]
    pub speculation: SpeculationArgs,

    /// The HTTP port.
    #[command(flatten)]
    pub http_options: HttpArgs,

    /// Ports and the end of the process.
    #[command(flatten)]
    pub server: ServerArgs,

    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Limits on requests.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Requests")]
pub struct RequestArgs {
    /// Requests at once; more wait
    #[arg(
        long,
        env = "DUET_MAX_SESSIONS",
        value_name = "COUNT",
        default_value_t = 16
    )]
    pub max_sessions: usize,

    /// Requests that wait for a place; more are refused [default: 8 for each place]
    #[arg(long, env = "DUET_MAX_WAITING", value_name = "COUNT")]
    pub max_waiting: Option<usize>,

    /// Longest wait for a place, after which a request is refused
    #[arg(long, env = "DUET_MAX_WAIT", value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pub max_wait: Duration,

    /// Completion tokens that a request may ask for, and gets if it does not say
    #[arg(
        long,
        env = "DUET_MAX_TOKENS",
        value_name = "TOKENS",
        default_value_t = 4096
    )]
    pub max_tokens: u32,

    /// Name of the model in requests and answers; may be repeated, or several with commas: answers have the first [default: as given to --model]
    #[arg(
        long,
        env = "DUET_SERVED_MODEL_NAME",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub served_model_name: Vec<String>,

    /// Sampling of HTTP requests that do not say, as a JSON object such as `{"temperature": 0.7, "top_p": 0.8}`; over what the model's
    /// own files suggest
    #[arg(long, env = "DUET_DEFAULT_SAMPLING", value_name = "JSON")]
    pub default_sampling: Option<String>,

    /// Variables of the chat template as a JSON object, such as `{"enable_thinking": false}`; requests may give others
    #[arg(long, env = "DUET_CHAT_TEMPLATE_KWARGS", value_name = "JSON")]
    pub chat_template_kwargs: Option<String>,

    /// Refuse unknown parameters of HTTP requests instead of ignoring them
    #[arg(long, env = "DUET_STRICT_PARAMETERS")]
    pub strict_parameters: bool,
}

/// Use of drafters.
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

    /// Most draft tokens of a block and most candidates of a round; fewer where that is faster, unless a request fixes the number
    #[arg(
        long,
        env = "DUET_BLOCK_LENGTH",
        value_name = "TOKENS",
        default_value_t = 16
    )]
    pub block_length: u32,

    /// Blocks that a drafter may send before the verdict: hides its latency, but wastes its work where a block is rejected
    #[arg(
        long,
        env = "DUET_DRAFT_AHEAD",
        value_name = "BLOCKS",
        default_value_t = 1
    )]
    pub draft_ahead: u32,

    /// Shortest deadline of a block, whatever latency was measured
    #[arg(long, env = "DUET_DRAFT_DEADLINE_MIN", value_name = "DURATION", default_value = "2ms", value_parser = humantime::parse_duration)]
    pub draft_deadline_min: Duration,

    /// Longest deadline of a block, whatever latency was measured
    #[arg(long, env = "DUET_DRAFT_DEADLINE_MAX", value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub draft_deadline_max: Duration,
}
