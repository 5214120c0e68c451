//! Answers in the shapes that OpenAI's clients expect. These have no room for rounds, methods and timings.

use std::sync::Arc;

use proto::verifier::{FinishReason, Usage as Spent};
use serde::Serialize;

use super::{
    api::Api,
    endpoint::Endpoint,
    logprobs::Logprobs,
    output::{Addition, Call, Output},
};

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
    /// Null where there are only calls.
    content: Option<&'a str>,
    refusal: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall<'a>; 1]>,
}

/// A call of a tool, or an addition to one.
#[derive(Debug, Serialize)]
pub(super) struct ToolCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
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

    /// Whole content of a choice.
    pub(super) fn all<'a>(&self, output: &'a Output) -> Content<'a> {
        let call = |call: &'a Call| ToolCall {
            index: None,
            id: Some(&call.id),
            kind: Some("function"),
            function: Function {
                name: Some(&call.name),
                arguments: &call.arguments,
            },
        };
        match self.endpoint {
            Endpoint::Chat => Content::Message(Message {
                role: "assistant",
                content: Some(output.text.as_str())
                    .filter(|text| !text.is_empty() || output.calls.is_empty()),
                refusal: None,
                reasoning_content: Some(output.reasoning.as_str()).filter(|text| !text.is_empty()),
                tool_calls: output.calls.iter().map(call).collect(),
            }),
            Endpoint::Completions => Content::Text(&output.text),
        }
    }

    /// Addition to a chat's answer, whose last call so far is `last`, with its number.
    pub(super) fn addition<'a>(
        addition: &'a Addition,
        last: Option<(usize, &'a Call)>,
    ) -> Content<'a> {
        let mut delta = Delta::default();
        match addition {
            Addition::Text(text) => delta.content = Some(text),
            Addition::Reasoning(text) => delta.reasoning_content = Some(text),
            Addition::Call(name) => {
                delta.tool_calls = Some([ToolCall {
                    index: last.map(|(index, _)| index),
                    id: last.map(|(_, call)| call.id.as_str()),
                    kind: Some("function"),
                    function: Function {
                        name: Some(name),
                        arguments: "",
                    },
                }]);
            }
            Addition::Arguments(arguments) => {
                delta.tool_calls = Some([ToolCall {
                    index: last.map(|(index, _)| index),
                    id: None,
                    kind: None,
                    function: Function {
                        name: None,
                        arguments,
                    },
                }]);
            }
        }
        Content::Delta(delta)
    }

    /// Addition to a choice's text; `None` in the chunk that only says why it ended.
    pub(super) fn more<'a>(&self, text: Option<&'a str>) -> Content<'a> {
        match self.endpoint {
            Endpoint::Chat => Content::Delta(Delta {
                content: text,
                ..Delta::default()
            }),
            Endpoint::Completions => Content::Text(text.unwrap_or_default()),
        }
    }

    /// First chunk of a choice, before there is any text.
    pub(super) fn opening(&self) -> Option<Content<'static>> {
        (self.endpoint == Endpoint::Chat).then_some(Content::Delta(Delta {
            role: Some("assistant"),
            content: Some(""),
            ..Delta::default()
        }))
    }
}

impl Usage {
    /// Usage so far of replies in progress.
    pub(super) fn so_far(prompt_tokens: u32, completion_tokens: u32) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            ..Self::default()
        }
    }

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
pub(super) fn reason(reason: FinishReason, has_calls: bool) -> Option<&'static str> {
    match reason {
        FinishReason::Stop if has_calls => Some("tool_calls"),
        FinishReason::Stop => Some("stop"),
        FinishReason::Length | FinishReason::ContextFull => Some("length"),
        FinishReason::Cancelled => None,
    }
}
