//! The sending half of a stream: verdicts, each with the next wish if it has changed.

use std::time::Instant;

use proto::{CommittedText, drafter::Verdict, limits::MAX_APPENDED_BYTES};

use super::Stream;
use crate::verification::drafting_peer::stream_error::StreamError;

/// Bytes that may wait for an idle drafter: about as many tokens as it reads in one pass.
const QUIET_BYTES: usize = 64;

impl Stream {
    /// Sends a verdict, as [`Self::send`] does, but to an idle drafter only every `QUIET_BYTES`: it
    /// needs no message for each token, and reads what it missed at once.
    pub(in super::super) fn send_when_due(
        &mut self,
        committed: &CommittedText,
        kept_bytes: u32,
        appended: &[u8],
    ) -> Result<(), StreamError> {
        let unsent = committed.len() - self.sent;
        let is_quiet = self.sent_wish.tokens == 0 && self.wish.tokens == 0 && kept_bytes == 0;
        if is_quiet && unsent < QUIET_BYTES {
            return Ok(());
        }
        if unsent > kept_bytes as usize + appended.len() {
            return self.catch_up(committed, self.sent);
        }
        self.send(committed, kept_bytes, appended)
    }

    /// Sends a verdict: `kept_bytes` of the last proposal are kept, then `appended` follows.
    pub(in super::super) fn send(
        &mut self,
        committed: &CommittedText,
        kept_bytes: u32,
        appended: &[u8],
    ) -> Result<(), StreamError> {
        self.answered = self.looked_at;
        self.sent = committed.len();
        let before = std::mem::replace(&mut self.sent_wish, self.wish);
        if !self.is_overdue {
            self.due_since = Instant::now();
        }
        let verdict = Verdict {
            round: self.answered,
            kept_bytes,
            appended: appended.to_vec(),
            new_hash: committed.hash(),
            next: (self.wish != before).then_some(self.wish),
        };
        self.verdicts
            .verdict(verdict)
            .map_err(|e| StreamError::of_error(&e))
    }

    /// Sends the committed text after its first `sent` bytes, which the drafter has.
    pub(in super::super) fn catch_up(
        &mut self,
        committed: &CommittedText,
        sent: usize,
    ) -> Result<(), StreamError> {
        self.sent = sent;
        let mut length = sent;
        for appended in committed.bytes()[sent..].chunks(MAX_APPENDED_BYTES) {
            length += appended.len();
            let mut until = committed.clone();
            until.truncate(length);
            self.send(&until, 0, appended)?;
        }
        Ok(())
    }
}
