//! The messages of a conversation, and the cost of its answers.

use std::time::Duration;

use proto::model::{Message, Prompt, Role};
use proto::verifier::Generate;

use crate::request::per_second;

/// Tokens and time of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) tokens: u32,
    pub(super) proposed: u32,
    pub(super) accepted: u32,
    /// Time of the whole answer, prefill included.
    pub(super) time: Duration,
}

/// Instructions, messages and statistics.
#[derive(Debug)]
pub(super) struct Conversation {
    system: Option<String>,
    turns: Vec<Message>,
    last: Option<Spent>,
    all: Spent,
    answers: u32,
}

impl Conversation {
    pub(super) fn new(system: Option<String>) -> Self {
        Self {
            system,
            turns: Vec::new(),
            last: None,
            all: Spent::default(),
            answers: 0,
        }
    }

    pub(super) fn ask(&mut self, text: String) {
        let text = match text.strip_prefix("//") {
            Some(rest) => format!("/{rest}"),
            None => text,
        };
        self.push(Role::User, text);
    }

    /// Adds an answer. An empty answer is dropped together with its question.
    pub(super) fn answered(&mut self, text: String) {
        if text.is_empty() {
            self.turns.pop();
        } else {
            self.push(Role::Assistant, text);
        }
    }

    pub(super) fn spent(&mut self, spent: Spent) {
        self.last = Some(spent);
        self.answers += 1;
        self.all.tokens += spent.tokens;
        self.all.proposed += spent.proposed;
        self.all.accepted += spent.accepted;
        self.all.time += spent.time;
    }

    pub(super) fn reset(&mut self) {
        self.turns.clear();
    }

    pub(super) fn instruct(&mut self, system: Option<String>) {
        self.system = system;
        self.reset();
    }

    /// The request for the next answer.
    pub(super) fn request(&self) -> Generate {
        let system = self
            .system
            .clone()
            .map(|content| Message::new(Role::System, content));
        let messages = system.into_iter().chain(self.turns.iter().cloned());
        Generate::new(Prompt::chat(messages.collect()))
    }

    pub(super) fn stats(&self) -> String {
        let Some(last) = &self.last else {
            return "Nothing has been answered yet.".to_owned();
        };
        let line = |name: &str, spent: &Spent| {
            let rate = per_second(spent.tokens.into(), spent.time);
            format!(
                "{name:<12}{} tokens in {:.2} s, {rate:.1} a second; {} of {} draft tokens accepted",
                spent.tokens,
                spent.time.as_secs_f64(),
                spent.accepted,
                spent.proposed
            )
        };
        let all = format!("{} answers", self.answers);
        format!("{}\n{}", line("last answer", last), line(&all, &self.all))
    }

    fn push(&mut self, role: Role, content: String) {
        self.turns.push(Message::new(role, content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(conversation: &Conversation) -> Vec<String> {
        match conversation.request().prompt {
            Prompt::Conversation(chat) => chat.messages.into_iter().map(|m| m.content).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn history_goes_with_every_request_and_instructions_outlive_it() {
        let mut conversation = Conversation::new(Some("Be brief.".to_owned()));
        conversation.ask("One?".to_owned());
        conversation.answered("1".to_owned());
        conversation.ask("//two".to_owned());
        assert_eq!(contents(&conversation), ["Be brief.", "One?", "1", "/two"]);
        conversation.answered(String::new());
        assert_eq!(contents(&conversation), ["Be brief.", "One?", "1"]);
        conversation.reset();
        assert_eq!(contents(&conversation), ["Be brief."]);
        conversation.instruct(None);
        assert_eq!(contents(&conversation), [""; 0]);
    }
}
