//! Calls of tools among a reply's text, in the form that the model's family writes them.

use tokenizer::template::ToolSyntax;

use super::{Addition, begun, call::PartialCall};

/// Text ahead of a call, and after it.
const TAGS: (&str, &str) = ("<tool_call>", "</tool_call>");
/// Control token ahead of a list of calls.
const LIST: &str = "[TOOL_CALLS]";
/// Control token that may be ahead of a bare call.
const PYTHON: &str = "<|python_tag|>";

/// Finds calls in a reply's text.
#[derive(Debug)]
pub(super) struct CallReader {
    syntax: ToolSyntax,
    tools: Vec<String>,
    state: State,
    /// Text that is not judged yet.
    waiting: String,
}

#[derive(Debug)]
enum State {
    /// At the beginning of the reply, before anything but white space.
    Start,
    /// Among text.
    Text,
    /// Before a call's opening brace.
    Before,
    Within(PartialCall),
    /// After a call.
    After,
}

impl CallReader {
    pub(super) fn new(syntax: ToolSyntax, tools: &[String]) -> Self {
        Self {
            syntax,
            tools: tools.to_vec(),
            state: State::Start,
            waiting: String::new(),
        }
    }

    pub(super) fn push(&mut self, text: &str, additions: &mut Vec<Addition>) {
        self.waiting.push_str(text);
        while self.step(additions) {}
    }

    /// The rest: a call that never was completed is text, unless its arguments have begun.
    pub(super) fn finish(&mut self, additions: &mut Vec<Addition>) {
        let rest = std::mem::take(&mut self.waiting);
        match std::mem::replace(&mut self.state, State::Text) {
            State::Within(call) => additions.extend(call.abandoned().map(Addition::Text)),
            State::After if rest.trim().is_empty() || TAGS.1.starts_with(rest.trim()) => {}
            State::Before => {
                let tag = self.opening();
                additions.push(Addition::Text(format!("{tag}{rest}")));
            }
            State::Start | State::Text | State::After => additions.push(Addition::Text(rest)),
        }
    }

    fn opening(&self) -> &'static str {
        match self.syntax {
            ToolSyntax::Tagged => TAGS.0,
            ToolSyntax::List => LIST,
            ToolSyntax::Bare => "",
        }
    }

    /// Goes one step; false if more text is needed.
    fn step(&mut self, additions: &mut Vec<Addition>) -> bool {
        match &mut self.state {
            State::Start => self.start(),
            State::Text => self.text(additions),
            State::Before => self.before(additions),
            State::Within(call) => {
                let text = std::mem::take(&mut self.waiting);
                let Some(rest) = call.push(&text, additions) else {
                    return false;
                };
                self.waiting = rest;
                self.state = State::After;
                true
            }
            State::After => self.after(additions),
        }
    }

    /// A bare call begins the reply; other calls come anywhere. Small models of every family leave out what marks a call.
    fn start(&mut self) -> bool {
        let trimmed = self.waiting.trim_start();
        let begins = trimmed.strip_prefix(PYTHON).unwrap_or(trimmed).trim_start();
        if PYTHON.starts_with(begins) || self.may_be_call(begins) == Some(true) {
            return false;
        }
        if self.may_be_call(begins).is_none() {
            self.waiting = begins.to_owned();
            self.syntax = ToolSyntax::Bare;
            self.state = State::Within(PartialCall::default());
        } else {
            self.state = State::Text;
        }
        true
    }

    /// `None`: a call of a known tool begins; true: it may; false: it does not.
    fn may_be_call(&self, text: &str) -> Option<bool> {
        let mut may_be = false;
        for tool in &self.tools {
            let name = serde_json::Value::from(tool.as_str()).to_string();
            for head in [format!("{{\"name\": {name}"), format!("{{\"name\":{name}")] {
                if text.starts_with(&head) {
                    return None;
                }
                may_be |= head.starts_with(text);
            }
        }
        Some(may_be)
    }

    fn text(&mut self, additions: &mut Vec<Addition>) -> bool {
        let opening = self.opening();
        if opening.is_empty() {
            additions.push(Addition::Text(std::mem::take(&mut self.waiting)));
            return false;
        }
        if let Some((text, rest)) = self.waiting.split_once(opening) {
            additions.push(Addition::Text(text.trim_end().to_owned()));
            self.waiting = rest.to_owned();
            self.state = State::Before;
            return true;
        }
        // White space ahead of a call is not sent.
        let certain = self.waiting.len() - begun(&self.waiting, opening);
        let certain = self.waiting[..certain].trim_end().len();
        let rest = self.waiting.split_off(certain);
        let text = std::mem::replace(&mut self.waiting, rest);
        additions.push(Addition::Text(text));
        false
    }

    fn before(&mut self, additions: &mut Vec<Addition>) -> bool {
        let ahead: &[char] = match self.syntax {
            ToolSyntax::List => &[' ', '\n', '[', ','],
            ToolSyntax::Tagged | ToolSyntax::Bare => &[' ', '\n', '\t', '\r'],
        };
        let rest = self.waiting.trim_start_matches(ahead);
        if rest.is_empty() {
            return false;
        }
        if rest.starts_with('{') {
            self.waiting = rest.to_owned();
            self.state = State::Within(PartialCall::default());
        } else {
            // No call follows the tag.
            additions.push(Addition::Text(self.opening().to_owned()));
            self.state = State::Text;
        }
        true
    }

    fn after(&mut self, additions: &mut Vec<Addition>) -> bool {
        let rest = self.waiting.trim_start();
        match self.syntax {
            ToolSyntax::Tagged => {
                if TAGS.1.starts_with(rest) && rest != TAGS.1 {
                    return false;
                }
                let rest = rest.strip_prefix(TAGS.1).unwrap_or(&self.waiting);
                self.waiting = rest.to_owned();
                self.state = State::Text;
            }
            ToolSyntax::List | ToolSyntax::Bare => {
                let rest = rest.trim_start_matches([',', ';', ' ', '\n']);
                if rest.is_empty() {
                    return false;
                }
                if rest.starts_with('{') {
                    self.waiting = rest.to_owned();
                    self.state = State::Within(PartialCall::default());
                    return true;
                }
                let rest = rest.strip_prefix(']').unwrap_or(rest);
                additions.push(Addition::Text(rest.to_owned()));
                self.waiting.clear();
                return false;
            }
        }
        true
    }
}
