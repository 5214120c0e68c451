//! Tile products with AVX2, for processors without AVX-512 VNNI: `vpmaddubsw` multiplies 4 inputs of 8 columns and adds them by
//! pairs into 16 bits, which hold the sums of several such products before they have to be widened.
//!
//! A tile's sixteen columns are two halves of a register each. `portable` computes the same numbers bit for bit; tests compare them.

#![allow(
    unsafe_code,
    reason = "vector loads from references of exactly the loaded size"
)]

use core::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_loadl_epi64, _mm_loadu_si128, _mm_prefetch, _mm256_abs_epi8,
    _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps,
    _mm256_cvtepu8_epi16, _mm256_cvtepu8_epi32, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_or_si256,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_sign_epi8, _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_ps,
    _mm256_xor_si256,
};

use half::f16;

use crate::activations::{Activations, PairSums};
use crate::tiles::{COLUMNS, SixBits, Sums, TileQ4K, TileQ6K, TileQ41, TileQ80};

/// Columns of a register.
const LANES: usize = COLUMNS / 2;
/// Bytes of a register: four inputs of each of its columns.
const BYTES: usize = 4 * LANES;

/// Proof that this processor has what the kernels need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        present.then_some(Self(()))
    }
}

pub(crate) fn q4k<const R: usize>(
    _proof: Avx2,
    tiles: &[TileQ4K],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q4k_sums(tiles, acts, row) }
}

pub(crate) fn q6k<const R: usize>(
    _proof: Avx2,
    tiles: &[TileQ6K],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q6k_sums(tiles, acts, row) }
}

pub(crate) fn q41<const R: usize>(
    _proof: Avx2,
    tiles: &[TileQ41],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q41_sums(tiles, acts, row) }
}

pub(crate) fn q80<const R: usize>(
    _proof: Avx2,
    tiles: &[TileQ80],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q80_sums(tiles, acts, row) }
}

/// Bytes between what is multiplied and what is fetched for later.
const AHEAD: usize = 4096;

/// Asks for the cache lines of as many bytes as `part` has, [`AHEAD`] bytes later, where there are rows enough that the processor
/// computes for longer than the processor prefetches.
#[inline]
#[target_feature(enable = "avx2")]
fn prefetch<const R: usize, T>(part: &T) {
    if R < 3 {
        return;
    }
    for line in (0..size_of::<T>()).step_by(64) {
        let later = std::ptr::from_ref(part)
            .cast::<i8>()
            .wrapping_add(AHEAD + line);
        _mm_prefetch::<_MM_HINT_T0>(later);
    }
}

/// A half of sixty-four bytes, four for each column.
#[inline]
#[target_feature(enable = "avx2")]
fn load32(bytes: &[u8; 2 * BYTES], half: usize) -> __m256i {
    let bytes = &bytes.as_chunks::<BYTES>().0[half];
    // SAFETY: the reference covers exactly the 32 bytes that an unaligned load reads.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn load_f16(values: &[f16; COLUMNS], half: usize) -> __m256 {
    let values = &values.as_chunks::<LANES>().0[half];
    // SAFETY: 8 half floats are the 16 bytes that an unaligned load reads.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(values.as_ptr().cast()) })
}

/// Bytes as 16-bit words, two for each column.
#[inline]
#[target_feature(enable = "avx2")]
fn load_u16(values: &[u8; 2 * COLUMNS], half: usize) -> __m256i {
    let values = &values.as_chunks::<{ 2 * LANES }>().0[half];
    // SAFETY: 16 bytes are what an unaligned load reads.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(values.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_u8(values: &[u8; COLUMNS], half: usize) -> __m256 {
    let values = &values.as_chunks::<LANES>().0[half];
    // SAFETY: 8 bytes are what this load reads.
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe {
        _mm_loadl_epi64(values.as_ptr().cast())
    }))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_i8(values: &[i8; COLUMNS], half: usize) -> __m256 {
    let values = &values.as_chunks::<LANES>().0[half];
    // SAFETY: 8 bytes are what this load reads.
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe {
        _mm_loadl_epi64(values.as_ptr().cast())
    }))
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const R: usize>(sums: [[__m256; R]; 2]) -> Sums<R> {
    let mut out = [[0f32; COLUMNS]; R];
    for (half, sums) in sums.into_iter().enumerate() {
        for (out, sum) in out.iter_mut().zip(sums) {
            let out = &mut out.as_chunks_mut::<LANES>().0[half];
            // SAFETY: 8 floats are the 32 bytes that an unaligned store writes.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), sum) };
        }
    }
    out
}

/// The sums of 32 inputs of nibbles for each row. Eight products of two pairs are at most 8 · 2 · 15 · 128, which 16 bits hold.
#[inline]
#[target_feature(enable = "avx2")]
fn nibble_sums<const R: usize>(
    quants: &[u8; 256],
    half: usize,
    words: &[[i32; 8]; R],
) -> [__m256i; R] {
    let mask = _mm256_set1_epi8(15);
    let mut sums = [_mm256_setzero_si256(); R];
    for (group, bytes) in quants.as_chunks::<64>().0.iter().enumerate() {
        let bytes = load32(bytes, half);
        let low = _mm256_and_si256(bytes, mask);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask);
        for r in 0..R {
            let first = _mm256_maddubs_epi16(low, _mm256_set1_epi32(words[r][group]));
            let second = _mm256_maddubs_epi16(high, _mm256_set1_epi32(words[r][group + 4]));
            sums[r] = _mm256_add_epi16(sums[r], _mm256_add_epi16(first, second));
        }
    }
    let ones = _mm256_set1_epi16(1);
    for sum in &mut sums {
        *sum = _mm256_madd_epi16(*sum, ones);
    }
    sums
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q4k_sums<const R: usize>(tiles: &[TileQ4K], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows.words.as_chunks::<8>().0.iter().zip(rows.pairs);
    let mut totals = [[_mm256_setzero_ps(); R]; 2];
    for ((tile, scales), (words, row_sums)) in tiles.iter().zip(rows.scales).zip(blocks) {
        let mut products = [[_mm256_setzero_ps(); R]; 2];
        for sub in 0..8 {
            prefetch::<R, _>(&tile.quants[sub]);
            for half in 0..2 {
                let sums = nibble_sums(&tile.quants[sub], half, &words[sub]);
                let scale = load_u8(&tile.scales[sub], half);
                for r in 0..R {
                    let sum = _mm256_cvtepi32_ps(sums[r]);
                    products[half][r] = _mm256_fmadd_ps(sum, scale, products[half][r]);
                }
            }
        }
        for half in 0..2 {
            let offsets = offsets(&tile.mins, half, row_sums);
            let (d, dmin) = (load_f16(&tile.d, half), load_f16(&tile.dmin, half));
            for r in 0..R {
                let (scale, total) = (_mm256_set1_ps(scales[r]), &mut totals[half][r]);
                *total = _mm256_fmadd_ps(products[half][r], _mm256_mul_ps(d, scale), *total);
                let offset = _mm256_cvtepi32_ps(offsets[r]);
                *total = _mm256_fnmadd_ps(offset, _mm256_mul_ps(dmin, scale), *total);
            }
        }
    }
    store(totals)
}

/// Sums of minimum times sum of quants over a super-block: whole numbers below 2^21, which integers hold as exactly as floats,
/// two products at a time.
#[inline]
#[target_feature(enable = "avx2")]
fn offsets<const R: usize>(
    mins: &[[u8; 2 * COLUMNS]; 4],
    half: usize,
    row_sums: &[PairSums; R],
) -> [__m256i; R] {
    let mut offsets = [_mm256_setzero_si256(); R];
    for (pair, mins) in mins.iter().enumerate() {
        let mins = load_u16(mins, half);
        for r in 0..R {
            let sums = _mm256_set1_epi32(row_sums[r][pair]);
            offsets[r] = _mm256_add_epi32(offsets[r], _mm256_madd_epi16(mins, sums));
        }
    }
    offsets
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q6k_sums<const R: usize>(tiles: &[TileQ6K], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows
        .words
        .as_chunks::<8>()
        .0
        .iter()
        .zip(rows.sums.as_chunks::<8>().0);
    let ones = _mm256_set1_epi16(1);
    let mut totals = [[_mm256_setzero_ps(); R]; 2];
    for ((tile, scales), (words, row_sums)) in tiles.iter().zip(rows.scales).zip(blocks) {
        let mut products = [[_mm256_setzero_ps(); R]; 2];
        for sub in 0..16 {
            prefetch::<R, _>(&tile.quants[sub]);
            for half in 0..2 {
                let values = six_bits(&tile.quants[sub], half);
                let scale = load_i8(&tile.scales[sub], half);
                for r in 0..R {
                    let words = &words[sub / 2][r].as_chunks::<4>().0[sub % 2];
                    let product =
                        |at: usize| _mm256_maddubs_epi16(values[at], _mm256_set1_epi32(words[at]));
                    // Two products of two pairs are at most 2 · 2 · 63 · 128, which 16 bits hold; three are not.
                    let first = _mm256_add_epi16(product(0), product(1));
                    let second = _mm256_add_epi16(product(2), product(3));
                    let sums = _mm256_add_epi32(
                        _mm256_madd_epi16(first, ones),
                        _mm256_madd_epi16(second, ones),
                    );
                    let start = row_sums[sub / 2][r].halves_by_32[sub % 2];
                    let sums = _mm256_add_epi32(_mm256_set1_epi32(start), sums);
                    let sums = _mm256_cvtepi32_ps(sums);
                    products[half][r] = _mm256_fmadd_ps(sums, scale, products[half][r]);
                }
            }
        }
        for half in 0..2 {
            let d = load_f16(&tile.d, half);
            for r in 0..R {
                let d = _mm256_mul_ps(d, _mm256_set1_ps(scales[r]));
                totals[half][r] = _mm256_fmadd_ps(products[half][r], d, totals[half][r]);
            }
        }
    }
    store(totals)
}

/// The four groups of six-bit values of one sub-block.
#[inline]
#[target_feature(enable = "avx2")]
fn six_bits(SixBits { low, high }: &SixBits, half: usize) -> [__m256i; 4] {
    let (nibble, pair) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    let low = low.as_chunks::<64>().0;
    let (first, second) = (load32(&low[0], half), load32(&low[1], half));
    let high = load32(high, half);
    let join =
        |low, high| _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(high, pair));
    [
        join(first, _mm256_slli_epi16::<4>(high)),
        join(second, _mm256_slli_epi16::<2>(high)),
        join(_mm256_srli_epi16::<4>(first), high),
        join(_mm256_srli_epi16::<4>(second), _mm256_srli_epi16::<2>(high)),
    ]
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q41_sums<const R: usize>(tiles: &[TileQ41], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows.words.iter().zip(rows.sums).zip(rows.scales);
    let mut totals = [[_mm256_setzero_ps(); R]; 2];
    for (tile, ((words, row_sums), scales)) in tiles.iter().zip(blocks) {
        prefetch::<R, _>(tile);
        for half in 0..2 {
            let sums = nibble_sums(&tile.quants, half, words);
            let (d, m) = (load_f16(&tile.d, half), load_f16(&tile.m, half));
            for r in 0..R {
                let (scale, total) = (_mm256_set1_ps(scales[r]), &mut totals[half][r]);
                let row_sum = _mm256_set1_ps(scales[r] * row_sums[r].whole);
                let product = _mm256_mul_ps(d, scale);
                *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r]), product, *total);
                *total = _mm256_fmadd_ps(m, row_sum, *total);
            }
        }
    }
    store(totals)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q80_sums<const R: usize>(tiles: &[TileQ80], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows.words.iter().zip(rows.scales);
    let (ones, top) = (_mm256_set1_epi16(1), _mm256_set1_epi8(-128));
    let mut totals = [[_mm256_setzero_ps(); R]; 2];
    for (tile, (words, scales)) in tiles.iter().zip(blocks) {
        prefetch::<R, _>(tile);
        for half in 0..2 {
            let mut sums = [_mm256_setzero_si256(); R];
            for (group, bytes) in tile.quants.as_chunks::<64>().0.iter().enumerate() {
                // Quants are stored with 128 added. Two products of all eight bits would not fit into 16, so the sign goes to
                // the other factor: 2 · 128 · 127 does.
                let quants = _mm256_xor_si256(load32(bytes, half), top);
                let sizes = _mm256_abs_epi8(quants);
                for r in 0..R {
                    let signed = _mm256_sign_epi8(_mm256_set1_epi32(words[r][group]), quants);
                    let products = _mm256_maddubs_epi16(sizes, signed);
                    sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(products, ones));
                }
            }
            let d = load_f16(&tile.d, half);
            for r in 0..R {
                let d = _mm256_mul_ps(d, _mm256_set1_ps(scales[r]));
                totals[half][r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r]), d, totals[half][r]);
            }
        }
    }
    store(totals)
}
