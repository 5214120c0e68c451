//! The sending half of a stream: verdicts, each with the next wish where that has changed.

use std::time::Instant;

use proto::{CommittedText, drafter::Verdict, limits::MAX_APPENDED_BYTES};

use super::Stream;
use crate::verification::drafting_peer::stream_error::StreamError;

/// Bytes of a reply that an idle drafter need not be sent yet: about as many tokens as it reads at once.
const QUIET_BYTES: usize = 64;

impl Stream {
    /// Sends a verdict, as [`Self::send`] does; to an idle drafter only now and then. It needs no message for each token, and reads
    /// what it missed in one.
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

    /// Sends what became of the reply: `kept_bytes` of the last proposal kept, then `appended`.
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

    /// Sends what was committed after the first `sent` bytes, while the stream was being opened.
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
