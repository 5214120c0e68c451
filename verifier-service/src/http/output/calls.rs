//! Calls of tools among a reply's text, in the form that the model's family writes them.

use tokenizer::template::ToolSyntax;

use super::{
    Addition, CallForm, LIST, TAGS, begun,
    call::{Ended, PartialCall},
};

/// Control token that may be ahead of a bare call.
const PYTHON: &str = "<|python_tag|>";

/// What may be between two calls of a list, and between bare ones.
const SEPARATORS: [char; 6] = [',', ';', ' ', '\n', '\t', '\r'];

/// Finds calls in a reply's text.
#[derive(Debug)]
pub(super) struct CallReader {
    syntax: ToolSyntax,
    tools: Vec<String>,
    /// True if nothing is read after one call.
    is_single: bool,
    /// True if a call counts only once it is complete: it is not what the family writes, and may be text.
    is_held: bool,
    /// True if nothing but white space has come since a call.
    follows_call: bool,
    state: State,
    /// Text that is not judged yet.
    waiting: String,
    /// Text just before what may be a call, and left out if it is one.
    ahead: String,
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
    /// After the only call.
    Over,
}

/// What a text looks like.
enum Likeness {
    /// A call of a tool begins here.
    Call,
    /// It may be the beginning of one.
    Beginning,
    Text,
}

impl CallReader {
    pub(super) fn new(form: &CallForm) -> Self {
        Self {
            syntax: form.syntax,
            tools: form.tools.clone(),
            is_single: form.is_single,
            is_held: false,
            follows_call: false,
            state: State::Start,
            waiting: String::new(),
            ahead: String::new(),
        }
    }

    pub(super) fn push(&mut self, text: &str, additions: &mut Vec<Addition>) {
        self.waiting.push_str(text);
        while self.step(additions) {}
    }

    /// The rest: a call that never was completed is text, unless its arguments have begun.
    pub(super) fn finish(&mut self, additions: &mut Vec<Addition>) {
        let mut rest = std::mem::take(&mut self.waiting);
        let is_blank = rest.trim().is_empty();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Within(call) => match call.abandoned() {
                Some(begun) => rest = std::mem::take(&mut self.ahead) + &begun,
                None => return,
            },
            State::Before => rest.insert_str(0, &self.ahead),
            State::Over => return,
            State::After if TAGS.1.starts_with(rest.trim()) => return,
            State::Text | State::After if self.follows_call && is_blank => return,
            State::Start | State::Text | State::After => {}
        }
        additions.push(Addition::Text(rest));
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
                match call.push(&text, additions) {
                    None => return false,
                    Some(Ended::Call { rest }) => {
                        self.waiting = rest;
                        self.ahead.clear();
                        self.follows_call = true;
                        self.state = if self.is_single {
                            State::Over
                        } else {
                            State::After
                        };
                    }
                    Some(Ended::Text { object, rest }) => {
                        self.waiting = rest;
                        let text = std::mem::take(&mut self.ahead) + &object;
                        additions.push(Addition::Text(text));
                        self.state = State::Text;
                    }
                }
                true
            }
            State::After => self.after(),
            State::Over => {
                self.waiting.clear();
                false
            }
        }
    }

    /// A bare call begins the reply; other calls come anywhere. Small models of every family leave out what marks a call.
    fn start(&mut self) -> bool {
        let trimmed = self.waiting.trim_start();
        let begins = trimmed.strip_prefix(PYTHON).unwrap_or(trimmed).trim_start();
        if PYTHON.starts_with(begins) {
            return false;
        }
        match self.likeness(begins) {
            Likeness::Beginning => return false,
            Likeness::Text => self.state = State::Text,
            Likeness::Call => {
                let ahead = self.waiting.len() - begins.len();
                let call = self.waiting.split_off(ahead);
                self.ahead = std::mem::replace(&mut self.waiting, call);
                self.is_held = self.syntax != ToolSyntax::Bare;
                self.syntax = ToolSyntax::Bare;
                self.begin_call();
            }
        }
        true
    }

    fn begin_call(&mut self) {
        self.state = State::Within(if self.is_held {
            PartialCall::held()
        } else {
            PartialCall::default()
        });
    }

    fn likeness(&self, text: &str) -> Likeness {
        let mut likeness = Likeness::Text;
        for tool in &self.tools {
            let name = serde_json::Value::from(tool.as_str()).to_string();
            for head in [format!("{{\"name\": {name}"), format!("{{\"name\":{name}")] {
                if text.starts_with(&head) {
                    return Likeness::Call;
                }
                if head.starts_with(text) {
                    likeness = Likeness::Beginning;
                }
            }
        }
        likeness
    }

    fn text(&mut self, additions: &mut Vec<Addition>) -> bool {
        let opening = self.opening();
        if opening.is_empty() {
            additions.push(Addition::Text(std::mem::take(&mut self.waiting)));
            return false;
        }
        let found = self.waiting.find(opening);
        let end = found.unwrap_or(self.waiting.len() - begun(&self.waiting, opening));
        // White space ahead of a call is not sent.
        let certain = self.waiting[..end].trim_end().len();
        let mut rest = self.waiting.split_off(certain);
        let text = std::mem::take(&mut self.waiting);
        self.follows_call &= text.is_empty();
        additions.push(Addition::Text(text));
        if found.is_some() {
            self.waiting = rest.split_off(end - certain + opening.len());
            self.state = State::Before;
            self.ahead = rest;
        } else {
            self.waiting = rest;
        }
        found.is_some()
    }

    fn before(&mut self, additions: &mut Vec<Addition>) -> bool {
        let ahead: &[char] = match self.syntax {
            ToolSyntax::List => &[' ', '\n', '[', ','],
            ToolSyntax::Tagged | ToolSyntax::Bare => &[' ', '\n', '\t', '\r'],
        };
        let rest = self.waiting.trim_start_matches(ahead).to_owned();
        self.ahead += &self.waiting[..self.waiting.len() - rest.len()];
        self.waiting = rest;
        if self.waiting.is_empty() {
            return false;
        }
        if self.waiting.starts_with('{') {
            self.begin_call();
        } else {
            additions.push(Addition::Text(std::mem::take(&mut self.ahead)));
            self.state = State::Text;
        }
        true
    }

    fn after(&mut self) -> bool {
        if self.syntax == ToolSyntax::Tagged {
            let rest = self.waiting.trim_start();
            if TAGS.1.starts_with(rest) && rest != TAGS.1 {
                return false;
            }
            if let Some(rest) = rest.strip_prefix(TAGS.1) {
                self.waiting = rest.to_owned();
            }
            self.state = State::Text;
            return true;
        }
        let rest = self.waiting.trim_start_matches(SEPARATORS);
        let likeness = match self.syntax {
            _ if rest.is_empty() => Likeness::Beginning,
            ToolSyntax::List if rest.starts_with('{') => Likeness::Call,
            ToolSyntax::List => Likeness::Text,
            ToolSyntax::Bare | ToolSyntax::Tagged => self.likeness(rest),
        };
        match likeness {
            Likeness::Beginning => return false,
            Likeness::Call => {
                self.waiting = rest.to_owned();
                self.begin_call();
            }
            Likeness::Text => {
                let list_end = rest
                    .strip_prefix(']')
                    .filter(|_| self.syntax == ToolSyntax::List);
                if let Some(rest) = list_end {
                    self.waiting = rest.to_owned();
                }
                self.state = State::Text;
            }
        }
        true
    }
}
