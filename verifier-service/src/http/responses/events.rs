//! A response as a stream of numbered events.

use proto::verifier::Finish;
use serde_json::{Value, json};

use super::{
    super::{
        blocks::{Block, BlockKind, Change},
        error::ApiError,
        narration::{Narration, Outgoing},
    },
    answer::{Frame, State, is_cut, item, item_id, part, status},
};

/// Teller of a response as it comes.
pub(super) struct ResponseEvents {
    frame: Frame,
    /// Number of the next event.
    sequence: u64,
}

impl ResponseEvents {
    pub(super) fn new(frame: Frame) -> Self {
        Self { frame, sequence: 0 }
    }

    fn push(&mut self, name: &'static str, mut data: Value, out: &mut Outgoing) {
        data["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        out.push(name, data);
    }

    /// An event about the text of a block.
    fn about(&mut self, name: &'static str, block: &Block, more: Value, out: &mut Outgoing) {
        let mut data = more;
        data["item_id"] = json!(item_id(block));
        data["output_index"] = json!(block.index);
        if !matches!(block.kind, BlockKind::Call(_)) {
            data["content_index"] = json!(0);
        }
        self.push(name, data, out);
    }

    fn item(&mut self, name: &'static str, (block, item): (&Block, Value), out: &mut Outgoing) {
        let data = json!({"output_index": block.index, "item": item});
        self.push(name, data, out);
    }

    fn open(&mut self, block: &Block, out: &mut Outgoing) {
        let mut opened = item(block, "in_progress");
        if let BlockKind::Call(_) = block.kind {
            opened["arguments"] = json!("");
            return self.item("response.output_item.added", (block, opened), out);
        }
        opened["content"] = json!([]);
        self.item("response.output_item.added", (block, opened), out);
        let empty = json!({"part": part(block, "")});
        self.about("response.content_part.added", block, empty, out);
    }

    fn extend(&mut self, block: &Block, more: &str, out: &mut Outgoing) {
        let (name, data) = match block.kind {
            BlockKind::Reasoning => ("response.reasoning_text.delta", json!({"delta": more})),
            BlockKind::Text => (
                "response.output_text.delta",
                json!({"delta": more, "logprobs": []}),
            ),
            BlockKind::Call(_) => (
                "response.function_call_arguments.delta",
                json!({"delta": more}),
            ),
        };
        self.about(name, block, data, out);
    }

    fn close(&mut self, block: &Block, out: &mut Outgoing) {
        let text = &block.text;
        let (name, data) = match &block.kind {
            BlockKind::Reasoning => ("response.reasoning_text.done", json!({"text": text})),
            BlockKind::Text => (
                "response.output_text.done",
                json!({"text": text, "logprobs": []}),
            ),
            BlockKind::Call(name) => (
                "response.function_call_arguments.done",
                json!({"name": name, "arguments": text}),
            ),
        };
        self.about(name, block, data, out);
        if !matches!(block.kind, BlockKind::Call(_)) {
            let whole = json!({"part": part(block, text)});
            self.about("response.content_part.done", block, whole, out);
        }
        let closed = item(block, status(block));
        self.item("response.output_item.done", (block, closed), out);
    }
}

impl Narration for ResponseEvents {
    fn begin(&mut self, out: &mut Outgoing) {
        for name in ["response.created", "response.in_progress"] {
            let response = self.frame.response(&State::InProgress, &[]);
            self.push(name, json!({"response": response}), out);
        }
    }

    fn change(&mut self, block: &Block, change: &Change, out: &mut Outgoing) {
        match change {
            Change::Opened => self.open(block, out),
            Change::Extended(more) => self.extend(block, more, out),
            Change::Closed => self.close(block, out),
        }
    }

    fn finish(&mut self, blocks: &[Block], finish: &Finish, out: &mut Outgoing) {
        let name = if is_cut(finish) {
            "response.incomplete"
        } else {
            "response.completed"
        };
        let response = self.frame.response(&State::Finished(finish), blocks);
        self.push(name, json!({"response": response}), out);
    }

    fn fail(&mut self, blocks: &[Block], error: &ApiError, out: &mut Outgoing) {
        let told =
            json!({"message": error.message(), "code": error.code(), "param": error.param()});
        self.push("error", told, out);
        let response = self.frame.response(&State::Failed(error), blocks);
        self.push("response.failed", json!({"response": response}), out);
    }
}
