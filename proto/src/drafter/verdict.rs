//! Verdicts: the outcome of blocks.

use crate::{
    BaseHash, CommittedText, ProtocolError, check, drafter::Wish, limits, wire::drafter::v1 as wire,
};

/// Outcome since the last verdict, and what is wanted next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Last block that this answers; 0 for none.
    pub round: u64,
    /// Proposed bytes kept, from the end of what was committed before.
    pub kept_bytes: u32,
    /// Bytes committed after those.
    pub appended: Vec<u8>,
    /// Hash of the committed text now.
    pub new_hash: BaseHash,
    /// Wish that replaces the former one; `None`: the former one still holds.
    pub next: Option<Wish>,
}

impl Verdict {
    /// Brings the drafter's `committed` up to date. `drafted` is what the drafter has proposed after it.
    ///
    /// On an error the two sides have lost step and the session is over.
    pub fn follow(
        &self,
        committed: &mut CommittedText,
        drafted: &[u8],
    ) -> Result<(), ProtocolError> {
        let kept = drafted.get(..self.kept_bytes as usize).ok_or_else(|| {
            let expected = format!("at most the {} bytes proposed", drafted.len());
            ProtocolError::invalid("verdict.kept_bytes", self.kept_bytes.to_string(), expected)
        })?;
        committed.append(kept)?;
        committed.append(&self.appended)?;
        if committed.hash() != self.new_hash {
            let found = self.new_hash.to_string();
            return Err(ProtocolError::invalid(
                "verdict.new_hash",
                found,
                committed.hash().to_string(),
            ));
        }
        Ok(())
    }
}

impl TryFrom<wire::Verdict> for Verdict {
    type Error = ProtocolError;

    fn try_from(verdict: wire::Verdict) -> Result<Self, ProtocolError> {
        let kept = verdict.kept_bytes;
        check::within("kept_bytes", kept, 0..=limits::MAX_BLOCK_BYTES)?;
        let appended = verdict.appended.len();
        let most = limits::MAX_APPENDED_BYTES;
        check::size("appended", appended, 0..=most, "bytes")?;
        let next = verdict.next.map(Wish::try_from).transpose();
        Ok(Self {
            round: verdict.round,
            kept_bytes: kept,
            appended: verdict.appended,
            new_hash: BaseHash(verdict.new_hash),
            next: next.map_err(|e| e.within("next"))?,
        })
    }
}

impl From<Verdict> for wire::Verdict {
    fn from(verdict: Verdict) -> Self {
        Self {
            round: verdict.round,
            kept_bytes: verdict.kept_bytes,
            appended: verdict.appended,
            new_hash: verdict.new_hash.0,
            next: verdict.next.map(Into::into),
        }
    }
}
