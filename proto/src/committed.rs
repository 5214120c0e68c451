//! The committed text of a reply: what both sides must agree on, and the hash by which they notice when they do not.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::{ProtocolError, limits::MAX_COMMITTED_BYTES};

/// Low half of the XXH3-64 of the bytes of a reply up to a base. It finds faults, not forgeries: a drafter is never trusted
/// anyway, and a block of another text with the same hash is refused by what the target says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct BaseHash(pub u32);

impl BaseHash {
    /// Hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes) as u32)
    }
}

impl fmt::Display for BaseHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The bytes of a reply, with their hash kept up to date. Never longer than [`MAX_COMMITTED_BYTES`].
#[derive(Clone, Default)]
pub struct CommittedText {
    bytes: Vec<u8>,
    hasher: Xxh3Default,
}

impl CommittedText {
    /// The text of a resumed session.
    pub fn resumed(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let mut text = Self::default();
        text.append(bytes)?;
        Ok(text)
    }

    /// Adds bytes at the end, or refuses them all.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let length = self.bytes.len() + bytes.len();
        crate::check::size("committed", length, 0..=MAX_COMMITTED_BYTES, "bytes")?;
        self.bytes.extend_from_slice(bytes);
        self.hasher.update(bytes);
        Ok(())
    }

    /// Forgets every byte from `length` on. The hash is made anew, which costs about 0.1 ms for the longest text.
    pub fn truncate(&mut self, length: usize) {
        if length < self.bytes.len() {
            self.bytes.truncate(length);
            self.hasher.reset();
            self.hasher.update(&self.bytes);
        }
    }

    /// The text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Hash of the whole text.
    pub fn hash(&self) -> BaseHash {
        BaseHash(self.hasher.digest() as u32)
    }

    /// Hash of the first `length` bytes; `None` past the end.
    pub fn hash_at(&self, length: usize) -> Option<BaseHash> {
        if length == self.bytes.len() {
            return Some(self.hash());
        }
        self.bytes.get(..length).map(BaseHash::of)
    }

    /// Remainder of a block, given its base: its text after the bytes committed since. `None`: the block is stale.
    pub fn continuation<'b>(
        &self,
        base_length: u64,
        base_hash: BaseHash,
        text: &'b [u8],
    ) -> Option<&'b [u8]> {
        let base = usize::try_from(base_length).ok()?;
        if self.hash_at(base)? != base_hash {
            return None;
        }
        text.strip_prefix(&self.bytes[base..])
    }
}

impl fmt::Debug for CommittedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommittedText({} bytes, {})", self.len(), self.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_the_empty_reply_is_the_one_in_the_specification() {
        assert_eq!(CommittedText::default().hash(), BaseHash(0x38d3_94c2));
    }

    #[test]
    fn incremental_hash_equals_the_hash_of_the_whole() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let mut text = CommittedText::default();
        for chunk in bytes.chunks(37) {
            text.append(chunk).unwrap();
        }
        assert_eq!(text.hash(), BaseHash::of(&bytes));
        for length in [0, 1, 16, 239, 240, 241, 1024, 4999, 5000] {
            assert_eq!(text.hash_at(length), Some(BaseHash::of(&bytes[..length])));
        }
        assert_eq!(text.hash_at(5001), None);
    }

    #[test]
    fn truncate_then_append_equals_fresh() {
        let mut text = CommittedText::resumed(b"let x = 1;").unwrap();
        text.truncate(4);
        text.truncate(9);
        text.append(b"y").unwrap();
        assert_eq!(text.bytes(), b"let y");
        assert_eq!(text.hash(), BaseHash::of(b"let y"));
    }

    #[test]
    fn text_over_the_limit_is_refused_whole() {
        let mut text = CommittedText::resumed(&vec![b'a'; MAX_COMMITTED_BYTES]).unwrap();
        let before = text.hash();
        assert!(text.append(b"b").is_err());
        assert_eq!((text.len(), text.hash()), (MAX_COMMITTED_BYTES, before));
    }

    #[test]
    fn block_whose_start_is_already_committed_still_proposes_the_rest() {
        let text = CommittedText::resumed(b"fn main").unwrap();
        let base = BaseHash::of(b"fn ");
        assert_eq!(text.continuation(3, base, b"main() {"), Some(&b"() {"[..]));
        assert_eq!(text.continuation(3, base, b"map()"), None);
        assert_eq!(text.continuation(3, BaseHash(1), b"main()"), None);
        assert_eq!(text.continuation(8, base, b"x"), None);
        assert_eq!(text.continuation(u64::MAX, base, b"x"), None);
    }
}
