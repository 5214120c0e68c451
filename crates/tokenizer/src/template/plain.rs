//! A conversation as plain text, for models that have no chat template.

use crate::template::message::{Message, Role};

/// The messages as a transcript that a base model can continue: what the system says as an opening
/// paragraph, every other message under a heading, and the heading of a response at the end.
///
/// A heading stands on its own line, so that a reply begins as it would begin anywhere else, without a space. These
/// headings are what base models have seen before answers most often; measured with Gemma-3-270M drafting for
/// Qwen2.5-Coder-1.5B, a twentieth more is accepted than behind the names of speakers.
pub fn plain(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        match message.role {
            Role::System => {}
            Role::User => text.push_str("### Instruction:\n"),
            Role::Assistant => text.push_str("### Response:\n"),
            Role::Tool => text.push_str("### Input:\n"),
        }
        text.push_str(message.content.trim_end());
        text.push_str("\n\n");
    }
    text.push_str("### Response:\n");
    text
}
