//! An answer of Anthropic's API: a message with blocks of content.

use proto::verifier::{Finish, FinishReason};
use serde_json::{Value, json};

use super::super::{
    api::Api,
    blocks::{Block, BlockKind},
    params::Params,
};

/// What this API's ids of calls begin with. The rest is as every family's template takes it back.
pub(super) const CALL_ID_PREFIX: &str = "toolu_";

/// What all states of a message share.
pub(super) struct MessageFrame {
    id: String,
    model: String,
    /// The client's stop sequences. A reply may end at others.
    stops: Vec<String>,
}

impl MessageFrame {
    /// Frame of the answer to the request with this id and these parameters.
    pub(super) fn new(api: &Api, id: &str, params: &Params) -> Self {
        let stops = params.get("stop_sequences").and_then(Value::as_array);
        let stops = stops.into_iter().flatten().filter_map(Value::as_str);
        Self {
            id: format!("msg_{id}"),
            model: api.model().to_owned(),
            stops: stops.map(ToOwned::to_owned).collect(),
        }
    }

    /// The whole message.
    pub(super) fn message(&self, blocks: &[Block], finish: &Finish) -> Value {
        let mut message = self.begun(&usage(
            finish.usage.prompt_tokens,
            finish.usage.cached_prompt_tokens,
            finish.usage.completion_tokens,
        ));
        message["content"] = blocks.iter().map(content).collect();
        let (reason, stop) = self.end(blocks, finish);
        message["stop_reason"] = json!(reason);
        message["stop_sequence"] = json!(stop);
        message
    }

    /// The message before there is any content.
    pub(super) fn begun(&self, usage: &Value) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": [], "stop_reason": null,
            "stop_sequence": null, "usage": usage,
        })
    }

    /// Why the message has ended, and at which of the client's stop sequences.
    pub(super) fn end<'a>(
        &self,
        blocks: &[Block],
        finish: &'a Finish,
    ) -> (&'static str, Option<&'a str>) {
        let has_calls = blocks
            .iter()
            .any(|block| matches!(block.kind, BlockKind::Call(_)));
        let stop = finish.matched_stop.as_deref();
        let stop = stop.filter(|stop| self.stops.iter().any(|own| own == stop));
        match finish.reason {
            FinishReason::Stop if stop.is_some() => ("stop_sequence", stop),
            FinishReason::Stop if has_calls => ("tool_use", None),
            FinishReason::Stop | FinishReason::Cancelled => ("end_turn", None),
            FinishReason::Length | FinishReason::ContextFull => ("max_tokens", None),
        }
    }
}

/// Usage, in which cached tokens of the prompt are counted apart from the others.
pub(super) fn usage(prompt: u32, cached: u32, output: u32) -> Value {
    json!({
        "input_tokens": prompt.saturating_sub(cached), "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0, "output_tokens": output,
    })
}

/// A block of content before there is anything in it.
pub(super) fn opened(block: &Block) -> Value {
    match &block.kind {
        BlockKind::Reasoning => json!({"type": "thinking", "thinking": "", "signature": ""}),
        BlockKind::Text => json!({"type": "text", "text": ""}),
        BlockKind::Call(name) => {
            let id = format!("{CALL_ID_PREFIX}{}", block.id);
            json!({"type": "tool_use", "id": id, "name": name, "input": {}})
        }
    }
}

fn content(block: &Block) -> Value {
    let mut content = opened(block);
    match &block.kind {
        BlockKind::Reasoning => content["thinking"] = json!(block.text),
        BlockKind::Text => content["text"] = json!(block.text),
        BlockKind::Call(_) => {
            // A call that was cut off has arguments that are no JSON.
            let input = serde_json::from_str(&block.text).ok();
            content["input"] = input.filter(Value::is_object).unwrap_or_else(|| json!({}));
        }
    }
    content
}
