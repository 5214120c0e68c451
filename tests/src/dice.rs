//! Seeded chance: `SplitMix64` (Steele, Lea, Flood, 2014), which takes any seed.
//!
//! Ours because the weights of tiny models, and so the texts that tests expect of them, follow from its very bits.

/// Blocks of Unicode that tokenizers treat in ways of their own, and all of it: first code point and length.
const BLOCKS: [(u32, usize); 14] = [
    (0x00, 0x80),
    (0x80, 0x180),
    (0x300, 0x70),
    (0x600, 0x100),
    (0x900, 0x180),
    (0x1100, 0x100),
    (0x2000, 0x70),
    (0x3040, 0x1c0),
    (0x4e00, 0x5200),
    (0xac00, 0x2ba4),
    (0xfb00, 0x500),
    (0x1_d400, 0x400),
    (0x1_f300, 0x700),
    (0x0, 0x11_0000),
];

/// A stream of numbers that depends on its seed alone.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// A stream for these words: texts and numbers that name a case.
    pub fn new(words: &[&str], number: u64) -> Self {
        let bytes = words.iter().flat_map(|word| word.bytes());
        // FNV-1a, so that pairs have streams of their own.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // Mixed, for streams of neighbouring seeds would be one stream, a step apart.
        Self(Self::seeded(hash.wrapping_add(number)).bits())
    }

    /// The stream of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    /// True once in `times`, on average.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, which is not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A boundary of characters in `text`, its ends included.
    pub fn cut(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        (0..=at).rfind(|at| text.is_char_boundary(*at)).unwrap_or(0)
    }

    /// A code point of some script, or of none.
    pub fn code_point(&mut self) -> char {
        let &(first, length) = self.pick(&BLOCKS);
        let code = first + self.below(length) as u32;
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}
