//! Unanswered blocks: their numbers, the credit they take up, and the part of them that a verdict keeps.

use std::collections::VecDeque;

use proto::{BaseHash, CommittedText, ProtocolError, drafter::Verdict};

/// Unanswered blocks of one session.
pub(super) struct UnansweredBlocks {
    unanswered: VecDeque<Sent>,
    /// Number of the last block sent; 0 before the first.
    last_round: u64,
    /// Number of the last block that a verdict has named.
    answered: u64,
    credit: u64,
}

/// Part of a block that verdicts refer to.
struct Sent {
    round: u64,
    base: usize,
    base_hash: BaseHash,
    text: Vec<u8>,
}

impl UnansweredBlocks {
    /// No blocks; `credit` of them may be unanswered.
    pub(super) fn new(credit: u32) -> Self {
        Self {
            unanswered: VecDeque::new(),
            last_round: 0,
            answered: 0,
            credit: u64::from(credit),
        }
    }

    /// True if another block may be sent.
    pub(super) fn has_credit(&self) -> bool {
        self.last_round - self.answered < self.credit
    }

    /// Number of the last block sent.
    pub(super) fn last_round(&self) -> u64 {
        self.last_round
    }

    /// Enters a block that is about to be sent, and gives its number.
    pub(super) fn enter(&mut self, base: usize, base_hash: BaseHash, text: Vec<u8>) -> u64 {
        self.last_round += 1;
        self.unanswered.push_back(Sent {
            round: self.last_round,
            base,
            base_hash,
            text,
        });
        self.last_round
    }

    /// Brings `committed` up to date by a verdict. Returns true if blocks remain unanswered and all that the answered ones
    /// proposed was kept, so that the others may still follow the text. On an error the two sides have lost step.
    pub(super) fn answer(
        &mut self,
        verdict: &Verdict,
        committed: &mut CommittedText,
    ) -> Result<bool, ProtocolError> {
        let proposed = self.proposed(verdict.round, committed);
        verdict.follow(committed, &proposed)?;
        self.answered = self.answered.max(verdict.round);
        self.unanswered.retain(|block| block.round > verdict.round);
        Ok(verdict.kept_bytes as usize == proposed.len() && !self.unanswered.is_empty())
    }

    /// Text that blocks up to `round` propose after the committed text: that of the last block that fits, and of those before it
    /// that it presumes to be kept.
    fn proposed(&self, round: u64, committed: &CommittedText) -> Vec<u8> {
        let mut proposed = Vec::new();
        for block in self
            .unanswered
            .iter()
            .take_while(|block| block.round <= round)
        {
            let base = block.base as u64;
            if let Some(rest) = committed.continuation(base, block.base_hash, &block.text) {
                proposed = rest.to_vec();
            } else if block.base == committed.len() + proposed.len() {
                let presumed = [committed.bytes(), &proposed].concat();
                if BaseHash::of(&presumed) == block.base_hash {
                    proposed.extend_from_slice(&block.text);
                }
            }
        }
        proposed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(round: u64, kept_bytes: u32, appended: &[u8], whole: &[u8]) -> Verdict {
        Verdict {
            round,
            kept_bytes,
            appended: appended.to_vec(),
            new_hash: BaseHash::of(whole),
            next: None,
        }
    }

    /// Blocks that follow each other from the beginning of the reply.
    fn sent(credit: u32, blocks: &[&[u8]]) -> UnansweredBlocks {
        let mut sent = UnansweredBlocks::new(credit);
        let mut text = Vec::new();
        for block in blocks {
            sent.enter(text.len(), BaseHash::of(&text), block.to_vec());
            text.extend_from_slice(block);
        }
        sent
    }

    #[test]
    fn credit_comes_back_when_a_verdict_names_the_block_or_a_later_one() {
        let mut unanswered = sent(2, &[b"ab", b"cd"]);
        assert!(!unanswered.has_credit());
        let mut committed = CommittedText::default();
        unanswered
            .answer(&verdict(0, 0, b"", b""), &mut committed)
            .unwrap();
        assert!(!unanswered.has_credit(), "round 0 answers none");
        unanswered
            .answer(&verdict(2, 4, b"e", b"abcde"), &mut committed)
            .unwrap();
        assert!(unanswered.has_credit());
        assert_eq!(committed.bytes(), b"abcde");
        assert_eq!(unanswered.enter(5, committed.hash(), b"f".to_vec()), 3);
        unanswered
            .answer(&verdict(1, 0, b"x", b"abcdex"), &mut committed)
            .unwrap();
        assert!(unanswered.has_credit(), "an old round answers none, either");
    }

    #[test]
    fn bytes_are_kept_across_blocks_that_presume_each_other() {
        let mut unanswered = sent(3, &[b"ab", b"cd", b"ef"]);
        let mut committed = CommittedText::default();
        unanswered
            .answer(&verdict(2, 3, b"x", b"abcx"), &mut committed)
            .unwrap();
        assert_eq!(committed.bytes(), b"abcx");
        let error = unanswered
            .answer(&verdict(3, 1, b"", b"abcxe"), &mut committed)
            .unwrap_err();
        assert!(
            error.to_string().starts_with("verdict.kept_bytes is 1"),
            "{error}"
        );
    }

    #[test]
    fn block_that_repeats_bytes_committed_meanwhile_is_kept_after_them() {
        let mut unanswered = sent(1, &[b"abcd"]);
        let mut committed = CommittedText::default();
        unanswered
            .answer(&verdict(0, 0, b"ab", b"ab"), &mut committed)
            .unwrap();
        assert!(!unanswered.has_credit());
        unanswered
            .answer(&verdict(1, 2, b"!", b"abcd!"), &mut committed)
            .unwrap();
        assert_eq!(committed.bytes(), b"abcd!");
        assert!(unanswered.has_credit());
    }

    #[test]
    fn hash_of_another_text_or_of_another_length_is_an_error() {
        for text in [&b"ax"[..], b"a", b"abc"] {
            let mut committed = CommittedText::default();
            let wrong = verdict(1, 2, b"", text);
            let error = sent(1, &[b"ab"])
                .answer(&wrong, &mut committed)
                .unwrap_err();
            assert!(error.to_string().starts_with("verdict.new_hash"), "{error}");
        }
    }
}
