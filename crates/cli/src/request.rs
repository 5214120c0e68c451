//! The flags of a request, and its reply as it arrives; shared by all commands that ask a verifier.

use std::error::Error as _;
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use proto::ClientError;
use proto::model::Sampling;
use proto::verifier::{Client, Finish, Generate, Origin, Part, Piece};
use tonic::Code;
use tracing::Instrument as _;

/// Sampling of the reply, and its length.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Most tokens of the reply
    #[arg(long, env = "DUET_REQUEST_MAX_TOKENS", value_name = "TOKENS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,

    /// Sampling temperature: 0 always takes the likeliest token
    #[arg(
        long,
        env = "DUET_TEMPERATURE",
        value_name = "T",
        default_value_t = 0.0
    )]
    pub(crate) temperature: f32,

    /// Sample from the likeliest tokens that together have this probability
    #[arg(long, env = "DUET_TOP_P", value_name = "P", default_value_t = 1.0)]
    pub(crate) top_p: f32,

    /// Sample from this number of likeliest tokens; 0: from all
    #[arg(long, env = "DUET_TOP_K", value_name = "K", default_value_t = 0)]
    pub(crate) top_k: u32,

    /// Sample from tokens with at least this fraction of the likeliest one's probability
    #[arg(long, env = "DUET_MIN_P", value_name = "P", default_value_t = 0.0)]
    pub(crate) min_p: f32,

    /// Seed of all randomness: the same seed gives the same reply, with any drafter or none
    #[arg(long, env = "DUET_SEED", value_name = "SEED")]
    pub(crate) seed: Option<u64>,
}

impl SamplingArgs {
    /// Sets the fields of a request.
    pub(crate) fn apply(&self, request: &mut Generate) {
        request.max_tokens = Some(self.max_tokens);
        request.seed = self.seed;
        request.sampling = Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            ..Sampling::greedy()
        };
    }
}

/// A whole reply.
pub(crate) struct WholeReply {
    pub(crate) text: String,
    pub(crate) finish: Finish,
}

/// Sends a request and passes each piece to `show` as it arrives. The verifier and its drafters continue the trace that begins
/// here.
pub(crate) async fn ask(
    client: &mut Client,
    request: Generate,
    show: impl FnMut(&Piece) -> io::Result<()>,
) -> anyhow::Result<WholeReply> {
    let span = tracing::info_span!("request", otel.kind = "client");
    read(client, request, show).instrument(span).await
}

async fn read(
    client: &mut Client,
    request: Generate,
    mut show: impl FnMut(&Piece) -> io::Result<()>,
) -> anyhow::Result<WholeReply> {
    let reply = client.generate(chassis::trace::request(request)).await;
    let mut reply = reply.map_err(explain)?;
    let (mut text, mut finish) = (String::new(), None);
    while let Some(part) = reply.next().await? {
        match part {
            Part::Chunk(chunk) => {
                for piece in &chunk.pieces {
                    text.push_str(&piece.text);
                    show(piece)?;
                }
            }
            Part::Reading(_) => {}
            Part::Finish(last) => finish = Some(*last),
        }
    }
    let finish = finish.context("the reply ended without a reason")?;
    Ok(WholeReply { text, finish })
}

/// Prints text as it arrives; in colour, accepted draft tokens are green.
pub(crate) fn show(piece: &Piece, in_colour: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if in_colour && piece.origin == Origin::Accepted {
        write!(out, "\x1b[32m{}\x1b[0m", piece.text)?;
    } else {
        write!(out, "{}", piece.text)?;
    }
    out.flush()
}

/// Adds advice to the error of a verifier that cannot be reached; other errors carry their own.
pub(crate) fn explain(error: ClientError) -> anyhow::Error {
    let ClientError::Status(status) = &error else {
        return error.into();
    };
    match (status.code(), status.source()) {
        (Code::Unavailable, Some(source)) => {
            let mut root = source;
            while let Some(cause) = root.source() {
                root = cause;
            }
            anyhow::anyhow!(
                "cannot be reached ({root}): check the address, or start one with \
                 `verifier-service --model qwen2.5-coder-1.5b`"
            )
        }
        _ => anyhow::anyhow!("{}", status.message()),
    }
}

/// A client of the verifier at `address`.
pub(crate) fn connect(address: &str) -> anyhow::Result<Client> {
    let channel = chassis::channel::lazy(address)
        .with_context(|| format!("--verifier {address} is not an address"))?;
    Ok(Client::new(channel))
}

/// Rate per second; 0 if the time is 0.
pub(crate) fn per_second(count: f64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        count / time.as_secs_f64()
    }
}

/// A temperature, from a command line.
pub(crate) fn temperature(text: &str) -> Result<f32, String> {
    within(text, 0.0..=2.0, "0 to 2")
}

/// A share of probability, from a command line.
pub(crate) fn share(text: &str) -> Result<f32, String> {
    within(text, f32::MIN_POSITIVE..=1.0, "above 0 and at most 1")
}

/// A number within limits, from a command line.
pub(crate) fn within<T: FromStr + PartialOrd>(
    text: &str,
    limits: RangeInclusive<T>,
    expected: &str,
) -> Result<T, String> {
    let number: Option<T> = text.parse().ok().filter(|number| limits.contains(number));
    number.ok_or_else(|| format!("it must be {expected}"))
}
