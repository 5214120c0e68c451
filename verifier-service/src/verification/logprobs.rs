//! Tokens of a reply with their log probabilities, only for requests that ask for them.

use std::collections::VecDeque;

use inference::sampling::Scores;
use proto::verifier::{ScoredToken, TokenLogprob};

use super::decider::{Decision, End};
use crate::target::Target;

/// Tokens on their way to the client: each waits until the text that it completes is sent.
#[derive(Debug, Default)]
pub(super) struct ReplyTokens {
    /// Start and end of each token, in bytes of the reply.
    waiting: VecDeque<(usize, usize, TokenLogprob)>,
    /// Bytes of the reply so far.
    length: usize,
}

impl ReplyTokens {
    fn push(&mut self, bytes: usize, token: TokenLogprob) {
        let start = self.length;
        self.length += bytes;
        self.waiting.push_back((start, self.length, token));
    }

    /// Tokens whose text is within the first `sent` bytes of the reply.
    fn release(&mut self, sent: usize) -> Vec<TokenLogprob> {
        self.take_while(|_, end| end <= sent)
    }

    /// Last tokens of a reply that is cut off at `length` bytes: those that begin before, or are before it without
    /// any bytes.
    fn finish(&mut self, length: usize) -> Vec<TokenLogprob> {
        self.take_while(|start, end| start < length || end <= length)
    }

    fn take_while(&mut self, holds: impl Fn(usize, usize) -> bool) -> Vec<TokenLogprob> {
        let ready = self
            .waiting
            .partition_point(|(start, end, _)| holds(*start, *end));
        self.waiting
            .drain(..ready)
            .map(|(_, _, token)| token)
            .collect()
    }
}

impl ReplyTokens {
    /// Tokens to send after a committed round, with `released` bytes of the reply sent so far. Of the round's tokens the
    /// first `listed` are shown.
    pub(super) fn committed(
        &mut self,
        target: &Target,
        decision: &Decision,
        (listed, released): (usize, usize),
    ) -> Vec<TokenLogprob> {
        for (choice, scores) in decision.choices[..listed].iter().zip(&decision.scores) {
            let id = choice.token().0;
            let bytes = target.tokenizer().token_bytes(id).len();
            self.push(bytes, scored(target, id, scores));
        }
        match decision.end {
            Some(End::Stop { text_end, .. }) => self.finish(text_end),
            _ => self.release(released),
        }
    }
}

/// A token with its scores, as it is sent.
pub(super) fn scored(target: &Target, id: u32, scores: &Scores) -> TokenLogprob {
    let tokenizer = target.tokenizer();
    let named = |id, logprob| ScoredToken {
        bytes: tokenizer.token_bytes(id).to_vec(),
        control: tokenizer.control_name(id).map(ToOwned::to_owned),
        logprob,
        id,
    };
    let top = scores.top.iter().map(|&(id, logprob)| named(id, logprob));
    TokenLogprob {
        token: named(id, scores.chosen),
        top: top.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(lengths: &[usize]) -> ReplyTokens {
        let mut tokens = ReplyTokens::default();
        for (index, length) in lengths.iter().enumerate() {
            let token = ScoredToken {
                bytes: vec![b'x'; *length],
                control: None,
                logprob: -(index as f32),
                id: 0,
            };
            let token = TokenLogprob {
                token,
                top: Vec::new(),
            };
            tokens.push(*length, token);
        }
        tokens
    }

    fn numbers(tokens: &[TokenLogprob]) -> Vec<i32> {
        tokens.iter().map(|t| -t.token.logprob as i32).collect()
    }

    #[test]
    fn token_comes_with_the_text_that_completes_it() {
        let mut tokens = tokens(&[2, 0, 3, 1]);
        assert_eq!(numbers(&tokens.release(1)), [] as [i32; 0]);
        assert_eq!(numbers(&tokens.release(4)), [0, 1]);
        assert_eq!(numbers(&tokens.release(6)), [2, 3]);
    }

    #[test]
    fn tokens_within_a_stop_string_are_not_told() {
        for (length, expected) in [(6, vec![0, 1, 2, 3]), (5, vec![0, 1, 2]), (2, vec![0, 1])] {
            let mut tokens = tokens(&[2, 0, 3, 1]);
            assert_eq!(numbers(&tokens.finish(length)), expected, "{length}");
        }
    }
}
