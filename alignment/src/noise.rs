//! Noise that drafter and verifier share: a keyed hash from (seed, place in the reply, token bytes)
//! to a number, the same on both sides without a word on the wire but the seed.
//!
//! Ours rather than a library's because it is part of the wire contract: it must never change with a
//! dependency, it must be cheap enough for a whole vocabulary at every position (a multiplication
//! per eight bytes), and it has a cheap upper bound that lets [`acceptance::coupled`] skip nearly all
//! logarithms. It is not a cryptographic function and need not be: nothing that a drafter knows about
//! the noise can change what is accepted.
//!
//! # Definition
//!
//! All numbers are unsigned 64-bit, `+` and `·` wrap, `^` is exclusive or, `>>` shifts in zeros.
//!
//! ```text
//! A = 9e3779b97f4a7c15   fraction of the golden ratio, 64 bits, made odd
//! B = bf7158809cf4f3c7   fraction of e, bits 64 to 127
//! C = a784d9045190cfef   fraction of e, bits 192 to 255
//! D = 243f6a8885a308d3   fraction of pi, bits 0 to 63
//!
//! fold(x, y) = high half ^ low half of the 128-bit product x·y
//! mix(x)     = x ^= x >> 32; x = x·B; x ^= x >> 29; x = x·C; x ^= x >> 32
//!
//! key(seed)                   = mix(seed + A)
//! state(seed, offset, zeros)  = mix(mix(key ^ offset) + zeros + D)
//! token(state, bytes, rank)   = h := state
//!                               for each 8 bytes, little-endian, the last ones padded with zeros:
//!                                   h := fold(h ^ word, A)
//!                               h := fold(h ^ (number of bytes + rank · 2^32), B)
//!                               h := (h ^ (h >> 29))·D;  h ^ (h >> 32)
//! stream(state, n)            = mix(state + (n + 1)·A)
//!
//! uniform(h) = ((h >> 11) | 1) · 2^-53              strictly between 0 and 1, mean 1/2
//! gumbel(h)  = -ln(-ln(uniform(h)))
//! ```
//!
//! `offset` counts the bytes of the reply before the token (0 at the start of the reply), `zeros` the
//! tokens without bytes already emitted at that offset, `rank` distinguishes tokens with equal bytes.
//! The test vectors are in this file's tests. Logarithms may differ in the last bit between
//! machines; the hash may not.
//!
//! [`acceptance::coupled`]: crate::acceptance::coupled

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xbf71_5880_9cf4_f3c7;
const C: u64 = 0xa784_d904_5190_cfef;
const D: u64 = 0x243f_6a88_85a3_08d3;

/// The rank under which both sides key the token that ends their reply. Such tokens have no bytes and
/// cross vocabularies by role only; with a rank of their own they share their noise too. For one token
/// of a vocabulary: two with the same key would share one variate, and neither would follow its distribution.
pub const END_RANK: u32 = u32::MAX;

/// No Gumbel variate of this module is larger: -ln(-ln(1 - 2^-53)), rounded up.
pub(crate) const LARGEST_GUMBEL: f64 = 36.75;

/// The noise of one session.
#[derive(Clone, Debug)]
pub struct SharedNoise {
    key: u64,
}

/// The noise at one place of the reply, for every token that could start there.
#[derive(Clone, Debug)]
pub struct Position {
    state: u64,
}

/// A place in the reply where a token starts. Both sides count it in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Bytes of the reply before the token.
    pub offset: u64,
    /// Tokens without bytes already emitted at this offset.
    pub zero_width: u32,
}

impl SharedNoise {
    /// The noise that belongs to a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            key: mix(seed.wrapping_add(A)),
        }
    }

    /// The noise for a token that starts `offset` bytes into the reply, after `zero_width` tokens
    /// without bytes at the same offset.
    pub fn at(&self, offset: u64, zero_width: u32) -> Position {
        let place = mix(self.key ^ offset);
        let zeros = u64::from(zero_width);
        Position {
            state: mix(place.wrapping_add(zeros).wrapping_add(D)),
        }
    }

    /// The noise at a place; the same as [`SharedNoise::at`] with its two numbers.
    pub fn at_place(&self, place: Place) -> Position {
        self.at(place.offset, place.zero_width)
    }
}

impl Position {
    /// A standard Gumbel variate for the token with these bytes; `rank` distinguishes tokens with equal
    /// bytes (0 for the first, [`END_RANK`] for the one that ends a reply).
    pub fn gumbel(&self, bytes: &[u8], rank: u32) -> f64 {
        gumbel(self.hash(bytes, rank))
    }

    /// A uniform variate strictly between 0 and 1 that belongs to no token. Streams differ from each
    /// other and from every token's noise; streams 0 to 15 belong to this crate.
    pub fn uniform(&self, stream: u32) -> f64 {
        let step = (u64::from(stream) + 1).wrapping_mul(A);
        uniform(mix(self.state.wrapping_add(step)))
    }

    /// The 64 bits that [`Position::gumbel`] is made of.
    #[inline]
    pub fn hash(&self, bytes: &[u8], rank: u32) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = words.iter().fold(self.state, |hash, word| {
            fold(hash ^ u64::from_le_bytes(*word), A)
        });
        if !rest.is_empty() {
            hash = fold(hash ^ padded_word(rest), A);
        }
        let tag = (bytes.len() as u64).wrapping_add(u64::from(rank) << 32);
        let hash = fold(hash ^ tag, B);
        let hash = (hash ^ (hash >> 29)).wrapping_mul(D);
        hash ^ (hash >> 32)
    }
}

impl Place {
    /// Place of the token after one of `bytes` bytes here.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        if bytes == 0 {
            Self {
                zero_width: self.zero_width.saturating_add(1),
                ..self
            }
        } else {
            Self {
                offset: self.offset + bytes as u64,
                zero_width: 0,
            }
        }
    }
}

/// The Gumbel variate of a hash.
#[inline]
pub(crate) fn gumbel(hash: u64) -> f64 {
    -(-uniform(hash).ln()).ln()
}

/// At least the Gumbel variate of a hash, without a logarithm.
///
/// With n leading one bits in the hash, 1 - u >= 2^-(n+1). As -ln(u) >= 1 - u, the variate
/// -ln(-ln(u)) is at most (n+1)·ln 2. The margin covers rounding in both.
#[inline]
pub(crate) fn gumbel_bound(hash: u64) -> f64 {
    const MARGIN: f64 = 1e-9;
    f64::from(hash.leading_ones() + 1) * std::f64::consts::LN_2 + MARGIN
}

#[inline]
fn uniform(hash: u64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    ((hash >> 11) | 1) as f64 * STEP
}

#[inline]
fn fold(x: u64, y: u64) -> u64 {
    let product = u128::from(x) * u128::from(y);
    (product >> 64) as u64 ^ product as u64
}

#[inline]
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(B);
    let x = (x ^ (x >> 29)).wrapping_mul(C);
    x ^ (x >> 32)
}

/// One to seven bytes as a little-endian word padded with zeros. Overlapping reads instead of a copy
/// of variable length, which would cost more than the hash.
#[inline]
fn padded_word(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let first = u64::from(u32::from_le_bytes(*first));
        let last = u64::from(u32::from_le_bytes(*last));
        first | (last << (8 * (len - 4)))
    } else {
        let middle = len / 2;
        u64::from(bytes[0])
            | (u64::from(bytes[middle]) << (8 * middle))
            | (u64::from(bytes[len - 1]) << (8 * (len - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed, offset, tokens without bytes before, token bytes, rank, hash.
    type Vector = (u64, u64, u32, &'static [u8], u32, u64);

    const VECTORS: [Vector; 9] = [
        (0, 0, 0, b"", 0, 0x9e5a_ca17_4ca3_4f4b),
        (0, 0, 0, b"a", 0, 0xa614_a6b0_0799_658c),
        (1, 0, 0, b" the", 0, 0xf421_5b7c_0e7a_888d),
        (1, 0, 1, b" the", 0, 0xd259_f9de_c5e6_9e94),
        (1, 1, 0, b" the", 0, 0x2925_2d0e_c9f5_7914),
        (42, 1000, 0, b"function", 0, 0xf752_80e1_0cfe_4642),
        (42, 1000, 0, b" function", 3, 0x68cd_b146_803d_4cbf),
        (
            u64::MAX,
            1 << 40,
            7,
            "日本語日本語".as_bytes(),
            0,
            0x4606_dc26_3189_cc81,
        ),
        (7, 3, 0, b"", END_RANK, 0x0ddd_4e6b_ce1f_3042),
    ];

    #[test]
    fn hash_equals_the_vectors_of_an_independent_implementation() {
        for (seed, offset, zeros, bytes, rank, expected) in VECTORS {
            let position = SharedNoise::new(seed).at(offset, zeros);
            assert_eq!(
                position.hash(bytes, rank),
                expected,
                "seed {seed} offset {offset} bytes {bytes:?}"
            );
        }
    }

    #[test]
    fn variates_equal_the_vectors_of_an_independent_implementation() {
        let position = SharedNoise::new(42).at(1000, 0);
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        assert!(close(
            position.gumbel(b"function", 0),
            3.367_225_470_616_691
        ));
        assert!(close(position.uniform(0), 0.315_692_919_296_613_25));
        assert!(close(position.uniform(1), 0.237_500_529_392_989_38));
    }

    #[test]
    fn short_words_are_padded_with_zeros() {
        let bytes = [0x81, 0xfe, 0x03, 0x44, 0xff, 0x06, 0x97];
        for len in 1..=bytes.len() {
            let mut padded = [0; 8];
            padded[..len].copy_from_slice(&bytes[..len]);
            assert_eq!(padded_word(&bytes[..len]), u64::from_le_bytes(padded));
        }
    }

    #[test]
    fn padding_does_not_hide_trailing_zero_bytes() {
        let position = SharedNoise::new(5).at(0, 0);
        let hashes: Vec<u64> = (0..=16)
            .map(|len| position.hash(&[0; 16][..len], 0))
            .collect();
        for (i, a) in hashes.iter().enumerate() {
            assert!(!hashes[i + 1..].contains(a));
        }
    }

    /// Every bit of the hash flips for about half of the inputs whose bit `flip` changes.
    fn check_avalanche(hash: impl Fn(u64, u64) -> u64) {
        const INPUTS: u32 = 4_096;
        for flip in 0..64 {
            let mut flipped = [0_u32; 64];
            for input in 0..u64::from(INPUTS) {
                let changed = hash(input, 0) ^ hash(input, 1 << flip);
                for (bit, count) in flipped.iter_mut().enumerate() {
                    *count += (changed >> bit) as u32 & 1;
                }
            }
            for (bit, count) in flipped.iter().enumerate() {
                // Six standard deviations of a fair coin.
                let off = (f64::from(*count) - f64::from(INPUTS) / 2.0).abs();
                assert!(
                    off < 3.0 * f64::from(INPUTS).sqrt(),
                    "input {flip}, output {bit}: {count}"
                );
            }
        }
    }

    #[test]
    fn every_input_bit_moves_every_hash_bit() {
        let noise = SharedNoise::new(11);
        let position = noise.at(500, 0);
        check_avalanche(|word, flip| position.hash(&(word ^ flip).to_le_bytes(), 0));
        check_avalanche(|word, flip| {
            let long = [word ^ flip, word, word].map(u64::to_le_bytes);
            position.hash(long.as_flattened(), 0)
        });
        check_avalanche(|offset, flip| noise.at(offset ^ flip, 0).hash(b" the", 0));
        check_avalanche(|seed, flip| SharedNoise::new(seed ^ flip).at(0, 0).hash(b" the", 0));
        check_avalanche(|rank, flip| {
            let flip = (flip | flip >> 32) as u32;
            position.hash(b" the", rank as u32 ^ flip)
        });
    }

    #[test]
    fn streams_of_a_position_are_unlike_each_other_and_its_tokens() {
        let position = SharedNoise::new(2).at(9, 0);
        let mut seen: Vec<u64> = (0..16).map(|n| position.uniform(n).to_bits()).collect();
        seen.extend((0..16).map(|rank| uniform(position.hash(b"", rank)).to_bits()));
        for (i, a) in seen.iter().enumerate() {
            assert!(!seen[i + 1..].contains(a));
        }
    }

    #[test]
    fn uniform_stays_strictly_inside_and_gumbel_finite_at_the_extremes() {
        for hash in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 11) - 1] {
            assert!(uniform(hash) > 0.0 && uniform(hash) < 1.0);
            assert!(gumbel(hash).is_finite());
            assert!(gumbel(hash) <= LARGEST_GUMBEL);
        }
    }

    #[test]
    fn bound_is_never_below_the_variate() {
        let position = SharedNoise::new(3).at(0, 0);
        let drawn = (0..100_000_u32).map(|i| position.hash(&i.to_le_bytes(), 0));
        let edges = (0..64).flat_map(|bit| {
            let low = (1_u64 << bit) - 1;
            [!low, !low - 1, !(low >> 1), u64::MAX ^ (1 << bit), low]
        });
        for hash in drawn.chain(edges) {
            assert!(gumbel_bound(hash) >= gumbel(hash), "{hash:#x}");
        }
    }

    #[test]
    fn places_count_bytes_and_tokens_without_bytes() {
        let place = Place::default().after(3).after(0).after(0);
        assert_eq!((place.offset, place.zero_width), (3, 2));
        assert_eq!(
            place.after(2),
            Place {
                offset: 5,
                zero_width: 0
            }
        );
    }
}
