//! Tokens so far, as penalties count them.

use std::collections::{HashMap, HashSet};

/// Tokens of the prompt, and of the reply with their counts. Rolled back together with proposals.
#[derive(Clone, Debug, Default)]
pub struct History {
    prompt: HashSet<u32>,
    generated: Vec<u32>,
    counts: HashMap<u32, u32>,
}

impl History {
    /// History of a prompt without a reply.
    pub fn new(prompt: &[u32]) -> Self {
        Self {
            prompt: prompt.iter().copied().collect(),
            ..Self::default()
        }
    }

    /// Appends a token of the reply.
    pub fn push(&mut self, id: u32) {
        self.generated.push(id);
        *self.counts.entry(id).or_insert(0) += 1;
    }

    /// Forgets the tokens of the reply from number `generated` on.
    pub fn truncate(&mut self, generated: usize) {
        let kept = generated.min(self.generated.len());
        for id in self.generated.drain(kept..) {
            if let Some(count) = self.counts.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&id);
                }
            }
        }
    }

    /// Replaces the tokens of the reply from number `from` on; gives those that were there.
    pub fn replace(&mut self, from: usize, tokens: &[u32]) -> Vec<u32> {
        let old = self.generated.get(from..).unwrap_or_default().to_vec();
        self.truncate(from);
        for id in tokens {
            self.push(*id);
        }
        old
    }

    /// Tokens of the reply.
    pub fn len(&self) -> usize {
        self.generated.len()
    }

    /// True if the reply has not begun.
    pub fn is_empty(&self) -> bool {
        self.generated.is_empty()
    }

    /// Tokens of the reply and how often each is there, in no order.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u32, u32)> {
        self.counts.iter().map(|(&id, &count)| (id, count))
    }

    /// Tokens of prompt and reply, each once, in no order.
    pub(super) fn seen(&self) -> impl Iterator<Item = u32> {
        let generated = self.counts.keys().filter(|id| !self.prompt.contains(id));
        self.prompt.iter().chain(generated).copied()
    }
}
