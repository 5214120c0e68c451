//! An answer of the Responses API: a response with items of output.

use proto::verifier::{Finish, FinishReason, Usage};
use serde_json::{Map, Value, json};

use super::super::{
    api::{Api, now},
    blocks::{Block, BlockKind},
    error::ApiError,
    params::Params,
};

/// What all states of a response share.
pub(super) struct Frame {
    id: String,
    created_at: u64,
    model: String,
    /// The client's parameters, which a response repeats.
    repeated: Map<String, Value>,
}

/// State of a response.
pub(super) enum State<'a> {
    InProgress,
    Finished(&'a Finish),
    Failed(&'a ApiError),
}

/// Parameters that a response repeats, each with its value where the client gives none.
fn repeated() -> [(&'static str, Value); 14] {
    [
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("max_tool_calls", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("prompt_cache_key", Value::Null),
        ("reasoning", json!({"effort": null, "summary": null})),
        ("safety_identifier", Value::Null),
        ("temperature", json!(1.0)),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_p", json!(1.0)),
        ("user", Value::Null),
    ]
}

impl Frame {
    /// Frame of the answer to the request with this id and these parameters.
    pub(super) fn new(api: &Api, id: &str, params: &Params) -> Self {
        let mut fields = Map::new();
        for (name, absent) in repeated() {
            let value = params.get(name).cloned().unwrap_or(absent);
            fields.insert(name.to_owned(), value);
        }
        if let Some(text) = fields.get_mut("text").and_then(Value::as_object_mut) {
            let format = text.entry("format").or_insert(Value::Null);
            if format.is_null() {
                *format = json!({"type": "text"});
            }
        }
        Self {
            id: format!("resp_{id}"),
            created_at: now(),
            model: api.model().to_owned(),
            repeated: fields,
        }
    }

    /// The response in this state, with its output so far.
    pub(super) fn response(&self, state: &State<'_>, blocks: &[Block]) -> Value {
        let output: Vec<Value> = blocks
            .iter()
            .map(|block| item(block, status(block)))
            .collect();
        let mut response = json!({
            "id": self.id, "object": "response", "created_at": self.created_at, "model": self.model, "output": output,
            "status": "in_progress", "completed_at": null, "error": null, "incomplete_details": null, "usage": null,
            // Nothing is kept, cut or done later here, whatever is asked.
            "background": false, "previous_response_id": null, "service_tier": "default", "store": false,
            "top_logprobs": 0, "truncation": "disabled",
        });
        match state {
            State::InProgress => {}
            State::Finished(finish) => {
                response["usage"] = usage(&finish.usage);
                if is_cut(finish) {
                    response["status"] = json!("incomplete");
                    response["incomplete_details"] = json!({"reason": "max_output_tokens"});
                } else {
                    response["status"] = json!("completed");
                    response["completed_at"] = json!(now());
                }
            }
            State::Failed(error) => {
                response["status"] = json!("failed");
                response["error"] = json!({"code": "server_error", "message": error.message()});
            }
        }
        if let Some(fields) = response.as_object_mut() {
            fields.extend(self.repeated.clone());
        }
        response
    }
}

/// True if a limit ended the reply.
pub(super) fn is_cut(finish: &Finish) -> bool {
    matches!(
        finish.reason,
        FinishReason::Length | FinishReason::ContextFull
    )
}

/// Status of an item that nothing is added to.
pub(super) fn status(block: &Block) -> &'static str {
    if block.is_cut {
        "incomplete"
    } else {
        "completed"
    }
}

/// A block as an item of output.
pub(super) fn item(block: &Block, status: &str) -> Value {
    let id = item_id(block);
    match &block.kind {
        BlockKind::Reasoning => json!({
            "type": "reasoning", "id": id, "status": status, "summary": [], "content": [part(block, &block.text)],
        }),
        BlockKind::Text => json!({
            "type": "message", "id": id, "status": status, "role": "assistant", "content": [part(block, &block.text)],
        }),
        BlockKind::Call(name) => json!({
            "type": "function_call", "id": id, "status": status, "call_id": block.id, "name": name,
            "arguments": block.text,
        }),
    }
}

/// Id of a block's item.
pub(super) fn item_id(block: &Block) -> String {
    let kind = match block.kind {
        BlockKind::Reasoning => "rs",
        BlockKind::Text => "msg",
        BlockKind::Call(_) => "fc",
    };
    format!("{kind}_{}", block.id)
}

/// Text of a block as a part of its item.
pub(super) fn part(block: &Block, text: &str) -> Value {
    match block.kind {
        BlockKind::Reasoning => json!({"type": "reasoning_text", "text": text}),
        BlockKind::Text | BlockKind::Call(_) => {
            json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
        }
    }
}

fn usage(spent: &Usage) -> Value {
    json!({
        "input_tokens": spent.prompt_tokens,
        "input_tokens_details": {"cached_tokens": spent.cached_prompt_tokens, "cache_write_tokens": 0},
        "output_tokens": spent.completion_tokens,
        // Candidates that were verified; what is spent on reasoning is not counted apart.
        "output_tokens_details": {
            "reasoning_tokens": 0, "accepted_prediction_tokens": spent.accepted_tokens,
            "rejected_prediction_tokens": spent.rejected_tokens,
        },
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
    })
}
