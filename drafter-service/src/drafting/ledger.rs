//! Blocks that have been sent: their numbers, how many are unanswered, and what a verdict kept of them.

use std::collections::VecDeque;

use proto::{BaseHash, CommittedText, ProtocolError, drafter::Verdict};

/// The blocks of one session.
pub(super) struct Ledger {
    unanswered: VecDeque<Sent>,
    /// Number of the last block sent; 0 before the first.
    last_round: u64,
    /// Number of the last block that a verdict has named.
    answered: u64,
    credit: u64,
}

/// A block as far as a verdict can speak of it.
struct Sent {
    round: u64,
    base: usize,
    base_hash: BaseHash,
    text: Vec<u8>,
}

impl Ledger {
    /// No blocks; `credit` of them may be unanswered.
    pub(super) fn new(credit: u32) -> Self {
        Self {
            unanswered: VecDeque::new(),
            last_round: 0,
            answered: 0,
            credit: u64::from(credit),
        }
    }

    /// Whether another block may be sent.
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

    /// Brings `committed` up to date by a verdict, and says whether all was kept that the answered blocks proposed, so that
    /// those still unanswered may be good. On an error the two sides have lost step.
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

    /// What blocks up to `round` have proposed behind the committed text: the last that fits, with those before it that it
    /// presumes to be kept.
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

    /// A ledger whose blocks follow each other from the start of the reply.
    fn ledger(credit: u32, blocks: &[&[u8]]) -> Ledger {
        let mut ledger = Ledger::new(credit);
        let mut text = Vec::new();
        for block in blocks {
            ledger.enter(text.len(), BaseHash::of(&text), block.to_vec());
            text.extend_from_slice(block);
        }
        ledger
    }

    #[test]
    fn credit_comes_back_when_a_verdict_names_the_block_or_a_later_one() {
        let mut ledger = ledger(2, &[b"ab", b"cd"]);
        assert!(!ledger.has_credit());
        let mut committed = CommittedText::default();
        ledger
            .answer(&verdict(0, 0, b"", b""), &mut committed)
            .unwrap();
        assert!(!ledger.has_credit(), "round 0 answers none");
        ledger
            .answer(&verdict(2, 4, b"e", b"abcde"), &mut committed)
            .unwrap();
        assert!(ledger.has_credit());
        assert_eq!(committed.bytes(), b"abcde");
        assert_eq!(ledger.enter(5, committed.hash(), b"f".to_vec()), 3);
        ledger
            .answer(&verdict(1, 0, b"x", b"abcdex"), &mut committed)
            .unwrap();
        assert!(ledger.has_credit(), "an old round answers none, either");
    }

    #[test]
    fn bytes_are_kept_across_blocks_that_presume_each_other() {
        let mut ledger = ledger(3, &[b"ab", b"cd", b"ef"]);
        let mut committed = CommittedText::default();
        ledger
            .answer(&verdict(2, 3, b"x", b"abcx"), &mut committed)
            .unwrap();
        assert_eq!(committed.bytes(), b"abcx");
        let error = ledger
            .answer(&verdict(3, 1, b"", b"abcxe"), &mut committed)
            .unwrap_err();
        assert!(
            error.to_string().starts_with("verdict.kept_bytes is 1"),
            "{error}"
        );
    }

    #[test]
    fn block_that_repeats_what_was_committed_meanwhile_is_kept_from_there_on() {
        let mut ledger = ledger(1, &[b"abcd"]);
        let mut committed = CommittedText::default();
        ledger
            .answer(&verdict(0, 0, b"ab", b"ab"), &mut committed)
            .unwrap();
        assert!(!ledger.has_credit());
        ledger
            .answer(&verdict(1, 2, b"!", b"abcd!"), &mut committed)
            .unwrap();
        assert_eq!(committed.bytes(), b"abcd!");
        assert!(ledger.has_credit());
    }

    #[test]
    fn hash_of_another_text_is_an_error_and_so_is_that_of_another_length() {
        for text in [&b"ax"[..], b"a", b"abc"] {
            let mut committed = CommittedText::default();
            let wrong = verdict(1, 2, b"", text);
            let error = ledger(1, &[b"ab"])
                .answer(&wrong, &mut committed)
                .unwrap_err();
            assert!(error.to_string().starts_with("verdict.new_hash"), "{error}");
        }
    }
}
