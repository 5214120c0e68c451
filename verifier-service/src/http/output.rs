//! A reply's text as a client sees it: reasoning, text, and calls of tools, as they come.

mod call;
mod calls;
mod reasoning;

use tokenizer::template::ToolSyntax;

use self::{calls::CallReader, reasoning::ReasoningReader};
use crate::verification;

/// Text ahead of a call, and after it.
pub(super) const TAGS: (&str, &str) = ("<tool_call>", "</tool_call>");
/// Control token ahead of a list of calls.
pub(super) const LIST: &str = "[TOOL_CALLS]";
/// Characters of a call's id.
const CALL_ID: usize = 9;

/// An addition to an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Addition {
    /// Reasoning ahead of the answer.
    Reasoning(String),
    /// Text of the answer.
    Text(String),
    /// The next call of a tool, by name. Its arguments follow.
    Call(String),
    /// More of the last call's arguments, which are JSON together.
    Arguments(String),
}

/// What a reply's text is read for.
#[derive(Clone, Debug, Default)]
pub(super) struct OutputForm {
    /// True if the model reasons ahead of its answer.
    pub(super) thinks: bool,
    /// True if the prompt ends within a thought.
    pub(super) opens_thought: bool,
    /// True if reasoning is left out of the answer.
    pub(super) drops_reasoning: bool,
    /// Form of calls; `None`: there are no tools.
    pub(super) calls: Option<CallForm>,
}

/// Calls of tools as they may come.
#[derive(Clone, Debug)]
pub(super) struct CallForm {
    pub(super) syntax: ToolSyntax,
    /// Names of the tools.
    pub(super) tools: Vec<String>,
    /// True if there is one call at most.
    pub(super) is_single: bool,
}

/// An answer put together.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) reasoning: String,
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
}

/// A call of a tool.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON, as far as it has come.
    pub(super) arguments: String,
}

impl Output {
    /// Adds what has come.
    pub(super) fn add(&mut self, addition: &Addition) {
        match addition {
            Addition::Reasoning(more) => self.reasoning.push_str(more),
            Addition::Text(more) => self.text.push_str(more),
            Addition::Call(name) => self.calls.push(Call {
                id: call_id(),
                name: name.clone(),
                arguments: String::new(),
            }),
            Addition::Arguments(more) => {
                if let Some(call) = self.calls.last_mut() {
                    call.arguments.push_str(more);
                }
            }
        }
    }
}

/// A new id of a call: nine letters and digits, which every family's template takes back.
pub(super) fn call_id() -> String {
    let mut id = verification::fresh_id();
    id.truncate(CALL_ID);
    id
}

/// Reader of one reply's text. Where the text is cut into parts makes no difference to what is read.
#[derive(Debug)]
pub(super) struct OutputReader {
    reasoning: Option<ReasoningReader>,
    drops_reasoning: bool,
    calls: Option<CallReader>,
    has_calls: bool,
}

impl OutputReader {
    pub(super) fn new(form: &OutputForm) -> Self {
        let reasoning = form
            .thinks
            .then(|| ReasoningReader::new(form.opens_thought));
        let calls = form.calls.as_ref().map(CallReader::new);
        Self {
            reasoning,
            drops_reasoning: form.drops_reasoning,
            calls,
            has_calls: false,
        }
    }

    /// Reads more of the text.
    pub(super) fn push(&mut self, text: &str) -> Vec<Addition> {
        let mut additions = Vec::new();
        let parts = match &mut self.reasoning {
            Some(reasoning) => reasoning.push(text),
            None => vec![Addition::Text(text.to_owned())],
        };
        self.pass_on(parts, &mut additions);
        self.merged(additions)
    }

    /// Reads the rest, at the end of the reply.
    pub(super) fn finish(&mut self) -> Vec<Addition> {
        let mut additions = Vec::new();
        if let Some(mut reasoning) = self.reasoning.take() {
            self.pass_on(reasoning.finish(), &mut additions);
        }
        if let Some(mut calls) = self.calls.take() {
            calls.finish(&mut additions);
        }
        self.merged(additions)
    }

    /// True if there was a call of a tool.
    pub(super) fn has_calls(&self) -> bool {
        self.has_calls
    }

    fn pass_on(&mut self, parts: Vec<Addition>, additions: &mut Vec<Addition>) {
        for part in parts {
            match (part, &mut self.calls) {
                (Addition::Text(text), Some(calls)) => calls.push(&text, additions),
                (Addition::Reasoning(_), _) if self.drops_reasoning => {}
                (part, _) => additions.push(part),
            }
        }
    }

    /// Additions without empty ones, neighbours of a kind as one.
    fn merged(&mut self, additions: Vec<Addition>) -> Vec<Addition> {
        let mut merged: Vec<Addition> = Vec::new();
        for addition in additions {
            self.has_calls |= matches!(addition, Addition::Call(_));
            match (merged.last_mut(), addition) {
                (
                    _,
                    Addition::Reasoning(more) | Addition::Text(more) | Addition::Arguments(more),
                ) if more.is_empty() => {}
                (Some(Addition::Reasoning(text)), Addition::Reasoning(more))
                | (Some(Addition::Text(text)), Addition::Text(more))
                | (Some(Addition::Arguments(text)), Addition::Arguments(more)) => {
                    text.push_str(&more);
                }
                (_, other) => merged.push(other),
            }
        }
        merged
    }
}

/// Length of the suffix of `text` that may be the beginning of `wanted`, in bytes.
fn begun(text: &str, wanted: &str) -> usize {
    let lengths = (1..wanted.len().min(text.len() + 1)).rev();
    let mut lengths = lengths.filter(|len| wanted.is_char_boundary(*len));
    lengths
        .find(|len| text.ends_with(&wanted[..*len]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
