//! Reasoning between `<think>` and `</think>` at the beginning of a reply.

use super::{Addition, begun};

const OPENING: &str = "<think>";
const CLOSING: &str = "</think>";

/// Splits reasoning from the answer.
#[derive(Debug)]
pub(super) struct ReasoningReader {
    state: State,
    /// Text that is not judged yet.
    waiting: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing but white space so far.
    Start,
    /// Within the thought; nothing but white space of it so far.
    Opened,
    Thinking,
    /// After the thought; nothing but white space so far.
    Closed,
    Answering,
}

impl ReasoningReader {
    /// Reader of a reply that begins within a thought, or not.
    pub(super) fn new(opens_thought: bool) -> Self {
        Self {
            state: if opens_thought {
                State::Opened
            } else {
                State::Start
            },
            waiting: String::new(),
        }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<Addition> {
        self.waiting.push_str(text);
        let mut additions = Vec::new();
        while self.step(&mut additions) {}
        additions
    }

    /// The rest: an unfinished thought stays one.
    pub(super) fn finish(&mut self) -> Vec<Addition> {
        let rest = std::mem::take(&mut self.waiting);
        match self.state {
            State::Opened | State::Thinking => {
                vec![Addition::Reasoning(rest.trim_end().to_owned())]
            }
            State::Closed if rest.trim().is_empty() => Vec::new(),
            State::Start | State::Closed | State::Answering => vec![Addition::Text(rest)],
        }
    }

    /// Goes one step; false if more text is needed.
    fn step(&mut self, additions: &mut Vec<Addition>) -> bool {
        match self.state {
            State::Start => {
                let trimmed = self.waiting.trim_start();
                if let Some(rest) = trimmed.strip_prefix(OPENING) {
                    self.waiting = rest.to_owned();
                    self.state = State::Opened;
                } else if OPENING.starts_with(trimmed) {
                    return false;
                } else {
                    self.state = State::Answering;
                }
            }
            State::Opened | State::Closed => {
                let rest = self.waiting.trim_start();
                if rest.is_empty() {
                    return false;
                }
                self.waiting = rest.to_owned();
                self.state = if self.state == State::Opened {
                    State::Thinking
                } else {
                    State::Answering
                };
            }
            State::Thinking => {
                if let Some((thought, rest)) = self.waiting.split_once(CLOSING) {
                    additions.push(Addition::Reasoning(thought.trim_end().to_owned()));
                    self.waiting = rest.to_owned();
                    self.state = State::Closed;
                    return true;
                }
                // White space ahead of the closing tag is not sent.
                let certain = self.waiting.len() - begun(&self.waiting, CLOSING);
                let certain = self.waiting[..certain].trim_end().len();
                let rest = self.waiting.split_off(certain);
                let thought = std::mem::replace(&mut self.waiting, rest);
                additions.push(Addition::Reasoning(thought));
                return false;
            }
            State::Answering => {
                additions.push(Addition::Text(std::mem::take(&mut self.waiting)));
                return false;
            }
        }
        true
    }
}
