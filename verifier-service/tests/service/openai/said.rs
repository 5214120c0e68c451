//! Content of an answer of the API, whole or streamed, of a chat or of a completion.

use serde_json::{Value, json};

use crate::web::Answer;

/// Content of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) choices: Vec<Choice>,
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) finish_reason: Option<String>,
    /// Tokens with their log probabilities, each with its alternatives.
    pub(super) tokens: Vec<(Value, f64)>,
}

impl Said {
    pub(super) fn whole(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        let mut said = Self::default();
        said.take(&json);
        said.count(&json["usage"]);
        said
    }

    pub(super) fn streamed(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let events = answer.events();
        let (last, chunks) = events.split_last().expect("events");
        let mut said = Self::default();
        for chunk in chunks {
            assert_eq!(chunk["id"], last["id"]);
            assert!(chunk.get("usage").is_some_and(Value::is_null), "{chunk}");
            said.take(chunk);
        }
        assert_eq!(last["choices"], json!([]));
        said.count(&last["usage"]);
        said
    }

    fn take(&mut self, json: &Value) {
        for choice in json["choices"].as_array().expect("choices") {
            let index = choice["index"].as_u64().expect("an index") as usize;
            self.choices
                .resize(self.choices.len().max(index + 1), Choice::default());
            let said = &mut self.choices[index];
            assert_eq!(said.finish_reason, None, "a chunk after the end: {json}");
            for text in [
                &choice["text"],
                &choice["message"]["content"],
                &choice["delta"]["content"],
            ] {
                said.text.push_str(text.as_str().unwrap_or_default());
            }
            said.finish_reason = choice["finish_reason"].as_str().map(ToOwned::to_owned);
            said.tokens.extend(tokens(&choice["logprobs"]));
        }
    }

    fn count(&mut self, usage: &Value) {
        let number = |value: &Value| value.as_u64().expect("a number");
        let details = &usage["completion_tokens_details"];
        self.prompt_tokens = number(&usage["prompt_tokens"]);
        self.completion_tokens = number(&usage["completion_tokens"]);
        let total = self.prompt_tokens + self.completion_tokens;
        assert_eq!(number(&usage["total_tokens"]), total);
        self.accepted = number(&details["accepted_prediction_tokens"]);
        self.rejected = number(&details["rejected_prediction_tokens"]);
    }

    /// Checks that both agree in all that speculation must not change.
    pub(super) fn assert_same(&self, other: &Self, case: &str) {
        assert_eq!(self.prompt_tokens, other.prompt_tokens, "{case}");
        assert_eq!(self.completion_tokens, other.completion_tokens, "{case}");
        assert_eq!(self.choices.len(), other.choices.len(), "{case}");
        for (one, other) in self.choices.iter().zip(&other.choices) {
            assert_eq!(one.text, other.text, "{case}");
            assert_eq!(one.finish_reason, other.finish_reason, "{case}");
            assert_eq!(one.tokens.len(), other.tokens.len(), "{case}");
            for ((token, logprob), (other, expected)) in one.tokens.iter().zip(&other.tokens) {
                assert_eq!(token, other, "{case}");
                assert!(
                    (logprob - expected).abs() <= 1e-4,
                    "{case}: {logprob}, {expected}"
                );
            }
        }
    }
}

/// Tokens and alternatives in the order of the answer, in either shape.
fn tokens(logprobs: &Value) -> Vec<(Value, f64)> {
    let number = |value: &Value| value.as_f64().expect("a number");
    let mut all = Vec::new();
    if let Some(tokens) = logprobs["content"].as_array() {
        for token in tokens {
            all.push((token["bytes"].clone(), number(&token["logprob"])));
            for other in token["top_logprobs"].as_array().expect("alternatives") {
                all.push((other["token"].clone(), number(&other["logprob"])));
            }
        }
    }
    if let Some(tokens) = logprobs["tokens"].as_array() {
        for (index, token) in tokens.iter().enumerate() {
            let offset = &logprobs["text_offset"][index];
            let itself = number(&logprobs["token_logprobs"][index]);
            all.push((json!([token, offset]), itself));
            let others = logprobs["top_logprobs"][index].as_object();
            for (other, logprob) in others.expect("alternatives") {
                all.push((json!(other), number(logprob)));
            }
        }
    }
    all
}
