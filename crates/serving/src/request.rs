//! Prompt and sampling of a request as the engine takes them.

use inference::sampling::Sampling;
use proto::model;
use tokenizer::{
    prompt::Prompt,
    template::{Message, Role},
};

/// The prompt, for [`inference::engine::Engine::encode_prompt`].
pub fn prompt(prompt: model::Prompt) -> Prompt {
    let message = |message: model::Message| Message {
        role: match message.role {
            model::Role::System => Role::System,
            model::Role::User => Role::User,
            model::Role::Assistant => Role::Assistant,
            model::Role::Tool => Role::Tool,
        },
        content: message.content,
    };
    match prompt {
        model::Prompt::Text(text) => Prompt::Text(text),
        model::Prompt::Conversation(messages) => {
            Prompt::Messages(messages.into_iter().map(message).collect())
        }
    }
}

/// The sampling, with what is added to the logits of single tokens.
pub fn sampling(sampling: model::Sampling, logit_bias: Vec<(u32, f32)>) -> Sampling {
    Sampling {
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        logit_bias,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_sampling_arrives() {
        let asked = model::Sampling {
            temperature: 0.5,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.1,
            repetition_penalty: 1.1,
            frequency_penalty: 0.2,
            presence_penalty: 0.3,
        };
        let expected = Sampling {
            temperature: 0.5,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.1,
            repetition_penalty: 1.1,
            frequency_penalty: 0.2,
            presence_penalty: 0.3,
            logit_bias: vec![(7, -1.0)],
        };
        assert_eq!(sampling(asked, vec![(7, -1.0)]), expected);
    }

    #[test]
    fn conversation_keeps_its_order_and_roles() {
        let roles = [
            (model::Role::System, Role::System),
            (model::Role::User, Role::User),
            (model::Role::Assistant, Role::Assistant),
            (model::Role::Tool, Role::Tool),
        ];
        let asked = roles.map(|(role, _)| model::Message {
            role,
            content: format!("{role:?}"),
        });
        let expected = roles.map(|(asked, role)| Message {
            role,
            content: format!("{asked:?}"),
        });
        let prompt = prompt(model::Prompt::Conversation(asked.to_vec()));
        assert_eq!(prompt, Prompt::Messages(expected.to_vec()));
    }
}
