//! `duet generate`: one reply from a verifier.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use proto::limits::MAX_REQUESTED_ALTERNATIVES;
use proto::model::{Message, Prompt, Role};
use proto::verifier::{FinishReason, Generate, GrammarRule, Speculation, Usage};
use serde_json::{Value, json};

use crate::request::{self, SamplingArgs, WholeReply};

/// Most bytes read as a prompt from standard input.
const MAX_STDIN_BYTES: u64 = proto::limits::MAX_PROMPT_BYTES as u64;

/// Prompt, verifier and settings.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Prompt; read from standard input if not given
    prompt: Option<String>,

    /// Address of the verifier
    #[arg(
        long,
        env = "DUET_VERIFIER",
        value_name = "URL",
        default_value = "http://127.0.0.1:50052"
    )]
    verifier: String,

    /// Continue the prompt as text rather than answer it as a message
    #[arg(long, env = "DUET_RAW")]
    raw: bool,

    /// Instructions that come before the prompt
    #[arg(long, env = "DUET_SYSTEM", value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,

    /// Beginning of the reply; the model continues it
    #[arg(long, env = "DUET_BEGIN", value_name = "TEXT", conflicts_with = "raw")]
    begin: Option<String>,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// End the reply before this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    /// File with text that the reply may resemble, such as the one that it edits: where the reply follows it, its text is
    /// proposed without a drafter
    #[arg(long, value_name = "FILE")]
    prediction: Option<PathBuf>,

    /// File with a JSON Schema: the reply is JSON that is valid under it
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,

    /// Use of drafters
    #[arg(
        long,
        env = "DUET_SPECULATION",
        value_name = "MODE",
        default_value = "auto"
    )]
    speculation: Mode,

    /// Name of the acceptance method, such as greedy or coupled [default: the verifier's choice]
    #[arg(long, env = "DUET_REQUEST_METHOD", value_name = "METHOD")]
    method: Option<String>,

    /// Allow a lossy method: the text then follows another distribution than the target's
    #[arg(long, env = "DUET_REQUEST_ALLOW_LOSSY")]
    allow_lossy: bool,

    /// Draft tokens in a block [default: the verifier adapts the length]
    #[arg(long, env = "DUET_REQUEST_BLOCK_LENGTH", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    block_length: Option<u32>,

    /// Alternatives in a block: second-best draft tokens beside its chain [default: the verifier's choice, unless --block-length is
    /// given]
    #[arg(long, env = "DUET_REQUEST_ALTERNATIVES", value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_REQUESTED_ALTERNATIVES)))]
    alternatives: Option<u32>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Use of drafters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    /// Plain decoding
    Off,
    /// Drafting where it pays
    Auto,
}

/// Sends the request and prints the reply.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = args.request()?;
    let mut client = request::connect(&args.verifier)?;
    let json = args.json;
    let answer = request::ask(&mut client, request, |piece| {
        if json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(piece.text.as_bytes())?;
        out.flush()
    });
    let answer = answer
        .await
        .with_context(|| format!("the verifier at {}", args.verifier))?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{:#}", report(&answer))?;
    } else if !answer.text.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(())
}

impl Args {
    fn request(&self) -> anyhow::Result<Generate> {
        let text = match &self.prompt {
            Some(prompt) => prompt.clone(),
            None => read_stdin()?,
        };
        let prompt = if self.raw {
            Prompt::Text(text)
        } else {
            self.messages(text)
        };
        let mut request = Generate::new(prompt);
        self.sampling.apply(&mut request);
        request.stop.clone_from(&self.stop);
        if let Some(path) = &self.prediction {
            request.prediction = read_file(path)?;
        }
        if let Some(path) = &self.json_schema {
            request.grammar = Some(GrammarRule::JsonSchema(read_file(path)?).into());
        }
        request.speculation = match self.speculation {
            Mode::Off => Speculation::Off,
            Mode::Auto => Speculation::Auto {
                method: self.method.clone(),
                block_tokens: self.block_length,
                allow_lossy: self.allow_lossy,
                alternatives: self.alternatives,
            },
        };
        Ok(request)
    }

    fn messages(&self, text: String) -> Prompt {
        let message = |role, content| Message::new(role, content);
        let system = self
            .system
            .clone()
            .map(|content| message(Role::System, content));
        let begin = self
            .begin
            .clone()
            .map(|content| message(Role::Assistant, content));
        let user = Some(message(Role::User, text));
        Prompt::chat([system, user, begin].into_iter().flatten().collect())
    }
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read as text", path.display()))
}

fn read_stdin() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        bail!("give a prompt, or pipe one in: duet generate \"Why is the sky blue?\"");
    }
    let mut bytes = Vec::new();
    let limit = MAX_STDIN_BYTES + 1;
    io::stdin()
        .take(limit)
        .read_to_end(&mut bytes)
        .context("standard input cannot be read")?;
    if bytes.len() as u64 == limit {
        bail!("the prompt on standard input has more than {MAX_STDIN_BYTES} bytes: shorten it");
    }
    String::from_utf8(bytes).context("the prompt on standard input is not UTF-8: convert it")
}

fn report(answer: &WholeReply) -> Value {
    let WholeReply { text, finish } = answer;
    json!({
        "text": text,
        "finish_reason": match finish.reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ContextFull => "context_full",
            FinishReason::Cancelled => "cancelled",
        },
        "usage": usage(&finish.usage),
        "method": finish.method,
        "method_reason": finish.method_reason,
        "seed": finish.seed,
        "request_id": finish.request_id,
    })
}

fn usage(usage: &Usage) -> Value {
    let fallbacks = usage
        .fallbacks
        .iter()
        .map(|(why, count)| (why.name().to_owned(), json!(count)));
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_prompt_tokens,
        },
        "completion_tokens_details": {
            "accepted_prediction_tokens": usage.accepted_tokens,
            "rejected_prediction_tokens": usage.rejected_tokens,
            "proposed_alternatives": usage.proposed_alternatives,
            "accepted_alternatives": usage.accepted_alternatives,
        },
        "committed_bytes": usage.committed_bytes,
        "target_forwards": usage.target_forwards,
        "rounds": usage.rounds,
        "proposed_tokens": usage.proposed_tokens,
        "stale_blocks": usage.stale_blocks,
        "fallbacks": fallbacks.collect::<serde_json::Map<_, _>>(),
        "wire_sent_bytes": usage.wire_sent_bytes,
        "wire_received_bytes": usage.wire_received_bytes,
        "prefill_seconds": usage.prefill.as_secs_f64(),
        "decode_seconds": usage.decode.as_secs_f64(),
        "draft_wait_seconds": usage.draft_wait.as_secs_f64(),
    })
}
