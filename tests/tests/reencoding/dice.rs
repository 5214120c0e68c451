//! Seeded chance: `SplitMix64` (Steele, Lea, Flood, 2014), which takes any seed.

/// A stream of numbers that depends on its seed alone.
pub(crate) struct Dice(u64);

impl Dice {
    /// A stream for these words: texts and numbers that name a case.
    pub(crate) fn new(words: &[&str], number: u64) -> Self {
        let bytes = words.iter().flat_map(|word| word.bytes());
        // FNV-1a, so that pairs have streams of their own.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut dice = Self(hash ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Whether something happens that does once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, which is not empty.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A boundary of characters in `text`, its ends included.
    pub(crate) fn cut(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        (0..=at).rfind(|at| text.is_char_boundary(*at)).unwrap_or(0)
    }
}
