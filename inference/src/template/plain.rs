//! A conversation as plain text, for models that have no chat template.

use super::{Message, Role};

/// The messages as a transcript that a base model can continue: what the system says as an opening
/// paragraph, every other message under the name of its speaker, and the assistant's name at the end.
///
/// A name stands on its own line, so that a reply begins as it would begin anywhere else, without a space.
pub fn plain(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        match message.role {
            Role::System => {}
            Role::User => text.push_str("User:\n"),
            Role::Assistant => text.push_str("Assistant:\n"),
            Role::Tool => text.push_str("Tool:\n"),
        }
        text.push_str(message.content.trim_end());
        text.push_str("\n\n");
    }
    text.push_str("Assistant:\n");
    text
}
