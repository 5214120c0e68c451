//! Answers in the shapes that OpenAI's clients expect. What they cannot hold is not told: rounds, methods, timings.

use std::sync::Arc;

use proto::verifier::{FinishReason, Usage as Spent};
use serde::Serialize;

use super::{Api, logprobs::Logprobs};

/// Which endpoint is asked; they differ in parameters and in the shape of answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
}

impl Endpoint {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }
}

/// What all parts of an answer repeat.
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
    #[serde(skip_serializing_if = "Told::is_nothing")]
    usage: Told,
}

/// One choice of an answer, or what a chunk adds to it.
#[derive(Debug, Serialize)]
pub(super) struct Choice<'a> {
    pub(super) index: usize,
    #[serde(flatten)]
    pub(super) content: Content<'a>,
    pub(super) logprobs: Option<Logprobs>,
    pub(super) finish_reason: Option<&'static str>,
}

/// Text where each shape has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content<'a> {
    /// All of a chat's answer.
    Message(Message<'a>),
    /// More of it.
    Delta(Delta<'a>),
    /// Text as it stands, all or more of it.
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

/// What is told of the usage.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Told {
    /// Nobody asked.
    Nothing,
    /// It comes with the last chunk: null until then.
    Later,
    /// All of it.
    All(Usage),
}

impl Told {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// What an answer took, all choices together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: Details,
}

/// Of the prompts, what was not computed, since an earlier text began alike.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

/// What speculation had to do with it: candidates of the target's vocabulary, verified and accepted, or not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
struct Details {
    accepted_prediction_tokens: u32,
    rejected_prediction_tokens: u32,
}

impl Envelope {
    /// Around an answer to the request with this id.
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
        self.around(object, choices, Told::All(usage))
    }

    /// A chunk of it.
    pub(super) fn chunk<'a>(&'a self, choices: Vec<Choice<'a>>, usage: Told) -> Answer<'a> {
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
        usage: Told,
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

    /// All of a choice's text.
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

    /// More of a choice's text; none in the chunk that only says why it ended.
    pub(super) fn more<'a>(&self, text: Option<&'a str>) -> Content<'a> {
        match self.endpoint {
            Endpoint::Chat => Content::Delta(Delta {
                role: None,
                content: text,
            }),
            Endpoint::Completions => Content::Text(text.unwrap_or_default()),
        }
    }

    /// What a choice opens with, before there is any text.
    pub(super) fn opening(&self) -> Option<Content<'static>> {
        (self.endpoint == Endpoint::Chat).then_some(Content::Delta(Delta {
            role: Some("assistant"),
            content: Some(""),
        }))
    }
}

impl Usage {
    /// Adds a reply. A prompt with several choices counts once.
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

/// A reason as OpenAI names it; `None`: the reply is incomplete.
pub(super) fn reason(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Stop => Some("stop"),
        FinishReason::Length | FinishReason::ContextFull => Some("length"),
        FinishReason::Cancelled => None,
    }
}
