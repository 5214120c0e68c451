//! A message as a stream of events.

use proto::verifier::{Finish, Reading};
use serde_json::json;

use super::{
    super::{
        blocks::{Block, BlockKind, Change},
        error::ApiError,
        narration::{Narration, Outgoing},
    },
    answer::{MessageFrame, opened, usage},
    fault,
};

/// Teller of a message as it comes.
pub(super) struct MessageEvents {
    frame: MessageFrame,
    has_begun: bool,
}

impl MessageEvents {
    pub(super) fn new(frame: MessageFrame) -> Self {
        Self {
            frame,
            has_begun: false,
        }
    }
}

impl Narration for MessageEvents {
    fn read(&mut self, reading: &Reading, out: &mut Outgoing) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let usage = usage(reading.prompt_tokens, reading.cached_tokens, 0);
        let message = self.frame.begun(&usage);
        out.push("message_start", json!({"message": message}));
        out.push("ping", json!({}));
    }

    fn change(&mut self, block: &Block, change: &Change, out: &mut Outgoing) {
        self.read(&Reading::default(), out);
        let index = block.index;
        match change {
            Change::Opened => {
                let data = json!({"index": index, "content_block": opened(block)});
                out.push("content_block_start", data);
            }
            Change::Extended(more) => {
                let delta = match block.kind {
                    BlockKind::Reasoning => json!({"type": "thinking_delta", "thinking": more}),
                    BlockKind::Text => json!({"type": "text_delta", "text": more}),
                    BlockKind::Call(_) => {
                        json!({"type": "input_json_delta", "partial_json": more})
                    }
                };
                let data = json!({"index": index, "delta": delta});
                out.push("content_block_delta", data);
            }
            Change::Closed => out.push("content_block_stop", json!({"index": index})),
        }
    }

    fn finish(&mut self, blocks: &[Block], finish: &Finish, out: &mut Outgoing) {
        let (reason, stop) = self.frame.end(blocks, finish);
        let spent = &finish.usage;
        let usage = usage(
            spent.prompt_tokens,
            spent.cached_prompt_tokens,
            spent.completion_tokens,
        );
        let delta = json!({"stop_reason": reason, "stop_sequence": stop});
        out.push("message_delta", json!({"delta": delta, "usage": usage}));
        out.push("message_stop", json!({}));
    }

    fn fail(&mut self, _blocks: &[Block], error: &ApiError, out: &mut Outgoing) {
        out.push("error", fault::body(error));
    }
}
