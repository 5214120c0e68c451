//! Tasks and the names of the known workloads: what the command line names, a workload holds, and the generated prompts fill.

use clap::ValueEnum;
use proto::{
    model::{Message, Prompt, Role},
    verifier::GrammarRule,
};

/// Prompts under one name.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) tasks: Vec<Task>,
    /// True if every reply must have all its tokens, so that the model must not end it.
    pub(super) is_endless: bool,
}

/// One prompt of a workload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    pub(super) id: String,
    /// Kind of text asked for, in workloads with several kinds.
    pub(super) kind: Option<String>,
    pub(super) prompt: Prompt,
    /// Text that the reply may resemble; empty: none.
    pub(super) prediction: String,
    /// Structure that the reply must have.
    pub(super) grammar: Option<GrammarRule>,
}

impl Task {
    /// A task of no kind, with its prompt alone.
    pub(super) fn new(id: String, prompt: Prompt) -> Self {
        Self {
            id,
            kind: None,
            prompt,
            prediction: String::new(),
            grammar: None,
        }
    }
}

/// Workloads that the command line knows by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum KnownWorkload {
    /// HumanEval: asks for the whole function, so that the reply repeats the prompt's code
    HumanevalChat,
    /// HumanEval: the reply begins with the signature, so that only the body is written
    HumanevalBodies,
    /// First turns of MT-bench, spread over its eight kinds
    MtBench,
    /// Asks to repeat a text of about 3,000 bytes word for word
    LongRepeat,
    /// HumanEval: asks for a file with one function renamed, and predicts the file
    Rename,
    /// Asks for the facts of a sentence as JSON under a schema
    Extract,
    /// Goes on with random words for the full number of tokens; with --verifier only until the model ends it
    Synthetic,
}

impl KnownWorkload {
    /// Name on the command line and in reports.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A conversation of one question.
pub(super) fn question(content: String) -> Prompt {
    Prompt::chat(vec![from_user(content)])
}

/// A user's message.
pub(super) fn from_user(content: String) -> Message {
    let role = Role::User;
    Message::new(role, content)
}
