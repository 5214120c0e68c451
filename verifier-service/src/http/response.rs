//! Answers in the shapes that OpenAI's clients expect. These have no room for rounds, methods and timings.

use std::sync::Arc;

use proto::verifier::{FinishReason, Usage as Spent};
use serde::Serialize;

use super::{api::Api, endpoint::Endpoint, logprobs::Logprobs};

/// The fields that all parts of an answer repeat.
#[derive(Clone)]
pub(super) struct Envelope {
    pub(super) endpoint: Endpoint,
    api: Arc<Api>,
    id: String,
    created: u64,
}

/// An answer, or a chunk of one.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "ReportedUsage::is_never")]
    usage: ReportedUsage,
}

/// One choice of an answer, or a chunk's addition to it.
#[derive(Debug, Serialize)]
pub(super) struct Choice<'a> {
    pub(super) index: usize,
    #[serde(flatten)]
    pub(super) content: Content<'a>,
    pub(super) logprobs: Option<Logprobs>,
    pub(super) finish_reason: Option<&'static str>,
}

/// Text in the field that each shape has for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content<'a> {
    /// A chat's whole answer.
    Message(Message<'a>),
    /// An addition to a chat's answer.
    Delta(Delta<'a>),
    /// Plain text, whole or an addition.
    Text(&'a str),
}

#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// Usage as an answer or a chunk reports it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum ReportedUsage {
    /// No field: the client did not ask for it.
    Never,
    /// Null: the last chunk reports it.
    Later,
    /// Usage of all choices.
    Total(Usage),
}

impl ReportedUsage {
    fn is_never(&self) -> bool {
        matches!(self, Self::Never)
    }
}

/// Tokens of an answer, all choices together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: Details,
}

/// Prompt tokens that were not computed, since an earlier text had the same prefix.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

/// Candidates that were verified, in tokens of the target's vocabulary.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
struct Details {
    accepted_prediction_tokens: u32,
    rejected_prediction_tokens: u32,
}

impl Envelope {
    /// The envelope of an answer to the request with this id.
    pub(super) fn new(endpoint: Endpoint, api: &Arc<Api>, id: &str, created: u64) -> Self {
        let kind = match endpoint {
            Endpoint::Chat => "chatcmpl",
            Endpoint::Completions => "cmpl",
        };
        Self {
            endpoint,
            api: Arc::clone(api),
            id: format!("{kind}-{id}"),
            created,
        }
    }

    /// The whole answer.
    pub(super) fn whole<'a>(&'a self, choices: Vec<Choice<'a>>, usage: Usage) -> Answer<'a> {
        let object = match self.endpoint {
            Endpoint::Chat => "chat.completion",
            Endpoint::Completions => "text_completion",
        };
        self.around(object, choices, ReportedUsage::Total(usage))
    }

    /// A chunk of the answer.
    pub(super) fn chunk<'a>(
        &'a self,
        choices: Vec<Choice<'a>>,
        usage: ReportedUsage,
    ) -> Answer<'a> {
        let object = match self.endpoint {
            Endpoint::Chat => "chat.completion.chunk",
            Endpoint::Completions => "text_completion",
        };
        self.around(object, choices, usage)
    }

    fn around<'a>(
        &'a self,
        object: &'static str,
        choices: Vec<Choice<'a>>,
        usage: ReportedUsage,
    ) -> Answer<'a> {
        Answer {
            id: &self.id,
            object,
            created: self.created,
            model: self.api.model(),
            system_fingerprint: &self.api.system_fingerprint,
            choices,
            usage,
        }
    }

    /// Whole text of a choice.
    pub(super) fn all<'a>(&self, text: &'a str) -> Content<'a> {
        match self.endpoint {
            Endpoint::Chat => Content::Message(Message {
                role: "assistant",
                content: text,
                refusal: None,
            }),
            Endpoint::Completions => Content::Text(text),
        }
    }

    /// Addition to a choice's text; `None` in the chunk that only says why it ended.
    pub(super) fn more<'a>(&self, text: Option<&'a str>) -> Content<'a> {
        match self.endpoint {
            Endpoint::Chat => Content::Delta(Delta {
                role: None,
                content: text,
            }),
            Endpoint::Completions => Content::Text(text.unwrap_or_default()),
        }
    }

    /// First chunk of a choice, before there is any text.
    pub(super) fn opening(&self) -> Option<Content<'static>> {
        (self.endpoint == Endpoint::Chat).then_some(Content::Delta(Delta {
            role: Some("assistant"),
            content: Some(""),
        }))
    }
}

impl Usage {
    /// Adds a reply. A prompt with several choices counts once, by `counts_prompt`.
    pub(super) fn add(&mut self, spent: &Spent, counts_prompt: bool) {
        if counts_prompt {
            self.prompt_tokens += spent.prompt_tokens;
            self.prompt_tokens_details.cached_tokens += spent.cached_prompt_tokens;
        }
        self.completion_tokens += spent.completion_tokens;
        self.total_tokens = self.prompt_tokens + self.completion_tokens;
        let details = &mut self.completion_tokens_details;
        details.accepted_prediction_tokens += spent.accepted_tokens;
        details.rejected_prediction_tokens += spent.rejected_tokens;
    }
}

/// OpenAI's name of a reason; `None`: the reply is incomplete.
pub(super) fn reason(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Stop => Some("stop"),
        FinishReason::Length | FinishReason::ContextFull => Some("length"),
        FinishReason::Cancelled => None,
    }
}
