//! A client of OpenAI-compatible servers with the parts a chat needs: the first model, and chat completions as server-sent
//! events.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use proto::{
    limits::MAX_MESSAGE_BYTES,
    model::{Prompt, Role},
    verifier::{Generate, Origin, Piece, Speculation},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::spawn_blocking};
use ureq::{Agent, Body, http::Response};

use super::conversation::Spent;

/// Longest time to connect, and to answer a request that needs no model.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes in one line of an event stream.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Most events that wait to be shown.
const EVENTS: usize = 16;

/// A client of one server and its first model.
pub(super) struct OpenAiClient {
    agent: Agent,
    base: String,
    model: String,
}

impl OpenAiClient {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let base = address.trim_end_matches('/').to_owned();
        let config = Agent::config_builder()
            .timeout_connect(Some(PATIENCE))
            .http_status_as_error(false);
        let agent: Agent = config.build().into();
        let (url, asked) = (format!("{base}/models"), agent.clone());
        let models = spawn_blocking(move || {
            let limited = asked.get(&url).config().timeout_global(Some(PATIENCE));
            let response = limited.build().call();
            whole(&url, response)
        });
        let models = models.await??;
        let model = models["data"][0]["id"].as_str();
        let model = model.with_context(|| format!("{base}/models names no model"))?;
        let model = model.to_owned();
        Ok(Self { agent, base, model })
    }

    /// Asks and passes the text to `show` as it arrives. After the future is dropped, the next event closes the connection, which
    /// cancels the answer.
    pub(super) async fn ask(
        &self,
        request: Generate,
        mut show: impl FnMut(&Piece) -> io::Result<()>,
    ) -> anyhow::Result<Spent> {
        let began = Instant::now();
        let (url, agent) = (
            format!("{}/chat/completions", self.base),
            self.agent.clone(),
        );
        let body = body(&self.model, request);
        let (events, mut received) = mpsc::channel(EVENTS);
        let reading = spawn_blocking(move || {
            let sent = agent.post(&url).header("content-type", "application/json");
            read(&url, sent.send(body.to_string()), &events)
        });
        let mut spent = Spent::default();
        while let Some(event) = received.recv().await {
            if let Some(text) = event["choices"][0]["delta"]["content"].as_str()
                && !text.is_empty()
            {
                // This API does not report the origin of the text.
                show(&Piece {
                    origin: Origin::Plain,
                    text: text.to_owned(),
                })?;
            }
            let count = |value: &Value| value.as_u64().unwrap_or_default() as u32;
            if let usage @ Value::Object(_) = &event["usage"] {
                let details = &usage["completion_tokens_details"];
                spent.tokens = count(&usage["completion_tokens"]);
                spent.accepted = count(&details["accepted_prediction_tokens"]);
                spent.proposed = spent.accepted + count(&details["rejected_prediction_tokens"]);
            }
        }
        reading.await??;
        spent.time = began.elapsed();
        Ok(spent)
    }
}

/// Body of the request. Fields that other servers do not know are left out if they have their default.
fn body(model: &str, request: Generate) -> Value {
    let messages = match request.prompt {
        Prompt::Conversation(conversation) => conversation.messages,
        _ => Vec::new(),
    };
    let role = |role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let messages = messages
        .into_iter()
        .map(|message| json!({"role": role(message.role), "content": message.content}));
    let mut body = json!({
        "model": model,
        "messages": messages.collect::<Vec<_>>(),
        "max_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if let Some(seed) = request.seed {
        body["seed"] = json!(seed);
    }
    if request.sampling.top_k > 0 {
        body["top_k"] = json!(request.sampling.top_k);
    }
    if request.sampling.min_p > 0.0 {
        body["min_p"] = json!(request.sampling.min_p);
    }
    if request.speculation == Speculation::Off {
        body["speculation"] = json!({"mode": "off"});
    }
    body
}

type Answered = Result<Response<Body>, ureq::Error>;

/// The answer as JSON, or the server's error.
fn whole(url: &str, answered: Answered) -> anyhow::Result<Value> {
    let mut response = answered.with_context(|| {
        format!("{url} cannot be reached: check the address and that it is served")
    })?;
    let limited = response
        .body_mut()
        .with_config()
        .limit(MAX_MESSAGE_BYTES as u64);
    let text = limited.read_to_string()?;
    let value: Result<Value, _> = serde_json::from_str(&text);
    if response.status().is_success() {
        return value.with_context(|| format!("{url} did not answer in JSON"));
    }
    let value = value.unwrap_or_default();
    let message = value["error"]["message"].as_str().unwrap_or("no reason");
    Err(anyhow!("{url} answered {}: {message}", response.status()))
}

/// Sends the events on until the stream ends or the receiver is dropped.
fn read(url: &str, answered: Answered, events: &mpsc::Sender<Value>) -> anyhow::Result<()> {
    let response = match answered {
        Ok(response) if response.status().is_success() => response,
        other => return whole(url, other).map(drop),
    };
    let mut lines = BufReader::new(response.into_body().into_reader());
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(MAX_LINE_BYTES);
        match { read }.read_until(b'\n', &mut line)? {
            0 => bail!("{url} broke the answer off"),
            length if length as u64 == MAX_LINE_BYTES => bail!("{url} sent too long a line"),
            _ => {}
        }
        let line = String::from_utf8(line).with_context(|| format!("{url} sent no UTF-8"))?;
        let Some(data) = line.strip_prefix("data:").map(str::trim) else {
            continue;
        };
        if data == "[DONE]" {
            return Ok(());
        }
        let event: Value = serde_json::from_str(data).context("an event is not JSON")?;
        if let Some(message) = event["error"]["message"].as_str() {
            bail!("{url}: {message}");
        }
        if events.blocking_send(event).is_err() {
            return Ok(());
        }
    }
}
