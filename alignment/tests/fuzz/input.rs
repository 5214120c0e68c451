//! Bytes as a source of decisions, so that any bytes are an input and similar ones give similar cases.

use alignment::noise::SharedNoise;

/// Reads decisions off bytes; zeros after their end.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Up to `longest` bytes.
    pub(crate) fn bytes(&mut self, longest: usize) -> &'a [u8] {
        let length = self.below(longest + 1).min(self.bytes.len());
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        taken
    }

    /// Up to `most` things.
    pub(crate) fn list<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = self.below(most + 1);
        (0..length).map(|_| one(self)).collect()
    }
}

/// The input of a number: bytes of all kinds, of few kinds, small ones, or pieces of `page`.
pub(crate) fn generated(number: u64, page: &[u8]) -> Vec<u8> {
    let place = SharedNoise::new(number).at(0, 0);
    let drawn = |i: usize| place.hash(&i.to_le_bytes(), 0);
    let length = (drawn(0) % 400) as usize;
    let kind = drawn(1) % 4;
    let byte = |i: usize| {
        let hash = drawn(i + 2);
        match kind {
            0 => hash as u8,
            1 => b"ab \xe2\x96\x81\xc4\xa0\x03\x05"[hash as usize % 10],
            2 => (hash % 7) as u8,
            // Runs of the page, with a byte of any kind now and then.
            _ if hash % 23 == 0 => (hash >> 32) as u8,
            _ => page[(drawn(2 + i / 16) as usize + i) % page.len()],
        }
    };
    (0..length).map(byte).collect()
}
