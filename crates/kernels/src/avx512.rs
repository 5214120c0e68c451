//! Tile products with AVX-512 VNNI: one `vpdpbusd` multiplies and adds 4 inputs of 16 columns.
//!
//! Written with intrinsics because the byte dot product is out of reach of automatic vectorisation, and because candle's own
//! tiles keep a second copy of the weights, inflate Q6_K to eight bits, and take other paths for one row than for several.
//! `portable` computes the same numbers bit for bit; tests compare the two.

#![allow(
    unsafe_code,
    reason = "vector loads from references of exactly the loaded size"
)]

use core::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_loadu_si256, _mm512_add_ps,
    _mm512_and_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi16,
    _mm512_cvtepu8_epi32, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32,
    _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_or_si512, _mm512_permutexvar_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setr_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_f32x4,
    _mm512_shuffle_ps, _mm512_slli_epi16, _mm512_srli_epi16, _mm512_storeu_ps,
};

use half::f16;

use crate::activations::{Activations, PairSums};
use crate::tiles::{COLUMNS, SixBits, Sums, TileQ4K, TileQ6K, TileQ41, TileQ80};

/// Proof that this processor has what the kernels need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vnni(());

impl Vnni {
    pub(crate) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        present.then_some(Self(()))
    }
}

pub(crate) fn q4k<const R: usize>(
    _proof: Vnni,
    tiles: &[TileQ4K],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q4k_sums(tiles, acts, row) }
}

pub(crate) fn q6k<const R: usize>(
    _proof: Vnni,
    tiles: &[TileQ6K],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q6k_sums(tiles, acts, row) }
}

pub(crate) fn q41<const R: usize>(
    _proof: Vnni,
    tiles: &[TileQ41],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q41_sums(tiles, acts, row) }
}

pub(crate) fn q80<const R: usize>(
    _proof: Vnni,
    tiles: &[TileQ80],
    acts: &Activations,
    row: usize,
) -> Sums<R> {
    // SAFETY: the proof says that the processor has the features.
    unsafe { q80_sums(tiles, acts, row) }
}

/// Bytes between what is multiplied and what is fetched for later.
const AHEAD: usize = 4096;

/// Asks for the cache lines of as many bytes as `part` has, [`AHEAD`] bytes later.
///
/// With one row or two the processor's own fetching keeps up, and hints only take its slots: measured, up to a third slower.
/// With more it computes for longer than the processor prefetches, and hints make eight rows a fifth cheaper.
#[inline]
#[target_feature(enable = "avx512f")]
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

#[inline]
#[target_feature(enable = "avx512f")]
fn load64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference covers exactly the 64 bytes that an unaligned load reads.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f16(values: &[f16; COLUMNS]) -> __m512 {
    // SAFETY: 16 half floats are the 32 bytes that an unaligned load reads.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(values.as_ptr().cast()) })
}

/// Bytes as 16-bit words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_u16(values: &[u8; 2 * COLUMNS]) -> __m512i {
    // SAFETY: 32 bytes are what an unaligned load reads.
    _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(values.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_u8(values: &[u8; COLUMNS]) -> __m512 {
    // SAFETY: 16 bytes are what an unaligned load reads.
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe {
        _mm_loadu_si128(values.as_ptr().cast())
    }))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_i8(values: &[i8; COLUMNS]) -> __m512 {
    // SAFETY: 16 bytes are what an unaligned load reads.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe {
        _mm_loadu_si128(values.as_ptr().cast())
    }))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store<const R: usize>(sums: [__m512; R]) -> Sums<R> {
    let mut out = [[0f32; COLUMNS]; R];
    for (out, sum) in out.iter_mut().zip(sums) {
        // SAFETY: 16 floats are the 64 bytes that an unaligned store writes.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
    }
    out
}

/// Adds 32 inputs of nibbles to the integer sums of each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn nibble_sums<const R: usize>(quants: &[u8; 256], words: &[[i32; 8]; R]) -> [__m512i; R] {
    let mask = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_si512(); R];
    for (group, bytes) in quants.as_chunks::<64>().0.iter().enumerate() {
        let bytes = load64(bytes);
        let low = _mm512_and_si512(bytes, mask);
        let high = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), mask);
        for r in 0..R {
            sums[r] = _mm512_dpbusd_epi32(sums[r], low, _mm512_set1_epi32(words[r][group]));
            sums[r] = _mm512_dpbusd_epi32(sums[r], high, _mm512_set1_epi32(words[r][group + 4]));
        }
    }
    sums
}

/// Sums of minimum times sum of quants over a super-block: whole numbers below 2^21, which integers hold as exactly as floats,
/// two products at a time.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn offsets<const R: usize>(
    mins: &[[u8; 2 * COLUMNS]; 4],
    row_sums: &[PairSums; R],
) -> [__m512i; R] {
    let mut offsets = [_mm512_setzero_si512(); R];
    for (pair, mins) in mins.iter().enumerate() {
        let mins = load_u16(mins);
        for r in 0..R {
            let sums = _mm512_set1_epi32(row_sums[r][pair]);
            offsets[r] = _mm512_dpwssd_epi32(offsets[r], mins, sums);
        }
    }
    offsets
}

/// The same as a call. One row waits for memory; inlined, the compiler mixes its loads with the others' of the tile, the stream
/// is out of order, and one row takes three times as long.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn offsets_apart<const R: usize>(
    mins: &[[u8; 2 * COLUMNS]; 4],
    row_sums: &[PairSums; R],
) -> [__m512i; R] {
    offsets(mins, row_sums)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn q4k_sums<const R: usize>(tiles: &[TileQ4K], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows.words.as_chunks::<8>().0.iter().zip(rows.pairs);
    let mut totals = [_mm512_setzero_ps(); R];
    for ((tile, scales), (words, row_sums)) in tiles.iter().zip(rows.scales).zip(blocks) {
        // Two loops, so that the sums of only one kind occupy registers at a time.
        let mut products = [_mm512_setzero_ps(); R];
        for sub in 0..8 {
            prefetch::<R, _>(&tile.quants[sub]);
            let sums = nibble_sums(&tile.quants[sub], &words[sub]);
            let scale = load_u8(&tile.scales[sub]);
            for r in 0..R {
                products[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), scale, products[r]);
            }
        }
        let offsets = if R == 1 {
            offsets_apart(&tile.mins, row_sums)
        } else {
            offsets(&tile.mins, row_sums)
        };
        let (d, dmin) = (load_f16(&tile.d), load_f16(&tile.dmin));
        for r in 0..R {
            let scale = _mm512_set1_ps(scales[r]);
            totals[r] = _mm512_fmadd_ps(products[r], _mm512_mul_ps(d, scale), totals[r]);
            let offset = _mm512_cvtepi32_ps(offsets[r]);
            totals[r] = _mm512_fnmadd_ps(offset, _mm512_mul_ps(dmin, scale), totals[r]);
        }
    }
    store(totals)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn q6k_sums<const R: usize>(tiles: &[TileQ6K], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows
        .words
        .as_chunks::<8>()
        .0
        .iter()
        .zip(rows.sums.as_chunks::<8>().0);
    let mut totals = [_mm512_setzero_ps(); R];
    for ((tile, scales), (words, row_sums)) in tiles.iter().zip(rows.scales).zip(blocks) {
        let mut products = [_mm512_setzero_ps(); R];
        for sub in 0..16 {
            prefetch::<R, _>(&tile.quants[sub]);
            let values = six_bits(&tile.quants[sub]);
            let scale = load_i8(&tile.scales[sub]);
            for r in 0..R {
                let mut sum = _mm512_set1_epi32(row_sums[sub / 2][r].halves_by_32[sub % 2]);
                for (group, values) in values.iter().enumerate() {
                    let word = _mm512_set1_epi32(words[sub / 2][r][sub % 2 * 4 + group]);
                    sum = _mm512_dpbusd_epi32(sum, *values, word);
                }
                products[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, products[r]);
            }
        }
        let d = load_f16(&tile.d);
        for r in 0..R {
            let scale = _mm512_set1_ps(scales[r]);
            totals[r] = _mm512_fmadd_ps(products[r], _mm512_mul_ps(d, scale), totals[r]);
        }
    }
    store(totals)
}

/// The four groups of six-bit values of one sub-block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn six_bits(SixBits { low, high }: &SixBits) -> [__m512i; 4] {
    let (nibble, pair) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
    let low = low.as_chunks::<64>().0;
    let (first, second, high) = (load64(&low[0]), load64(&low[1]), load64(high));
    let join =
        |low, high| _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_and_si512(high, pair));
    [
        join(first, _mm512_slli_epi16::<4>(high)),
        join(second, _mm512_slli_epi16::<2>(high)),
        join(_mm512_srli_epi16::<4>(first), high),
        join(_mm512_srli_epi16::<4>(second), _mm512_srli_epi16::<2>(high)),
    ]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn q41_sums<const R: usize>(tiles: &[TileQ41], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows.words.iter().zip(rows.sums).zip(rows.scales);
    let mut totals = [_mm512_setzero_ps(); R];
    for (tile, ((words, row_sums), scales)) in tiles.iter().zip(blocks) {
        prefetch::<R, _>(tile);
        let sums = nibble_sums(&tile.quants, words);
        let (d, m) = (load_f16(&tile.d), load_f16(&tile.m));
        for r in 0..R {
            let scale = _mm512_set1_ps(scales[r]);
            let row_sum = _mm512_set1_ps(scales[r] * row_sums[r].whole);
            let product = _mm512_mul_ps(d, scale);
            totals[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), product, totals[r]);
            totals[r] = _mm512_fmadd_ps(m, row_sum, totals[r]);
        }
    }
    store(totals)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn q80_sums<const R: usize>(tiles: &[TileQ80], acts: &Activations, row: usize) -> Sums<R> {
    let rows = acts.group::<R>(row);
    let blocks = rows.words.iter().zip(rows.sums).zip(rows.scales);
    let mut totals = [_mm512_setzero_ps(); R];
    for (tile, ((words, row_sums), scales)) in tiles.iter().zip(blocks) {
        prefetch::<R, _>(tile);
        let mut sums = [_mm512_setzero_si512(); R];
        for r in 0..R {
            sums[r] = _mm512_set1_epi32(row_sums[r].by_128);
        }
        for (group, bytes) in tile.quants.as_chunks::<64>().0.iter().enumerate() {
            let bytes = load64(bytes);
            for r in 0..R {
                let word = _mm512_set1_epi32(words[r][group]);
                sums[r] = _mm512_dpbusd_epi32(sums[r], bytes, word);
            }
        }
        let d = load_f16(&tile.d);
        for r in 0..R {
            let d = _mm512_mul_ps(d, _mm512_set1_ps(scales[r]));
            totals[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), d, totals[r]);
        }
    }
    store(totals)
}

/// The sum of each of sixteen times sixteen numbers, in the order of `tile::sum`: halves are added to halves, of pairs of arrays at
/// a time, so that every instruction adds sixteen numbers that count.
pub(crate) fn sums(_proof: Vnni, arrays: &[[f32; 16]; 16]) -> [f32; 16] {
    // SAFETY: the proof says that the processor has the features.
    unsafe { folded(arrays) }
}

#[target_feature(enable = "avx512f")]
fn folded(arrays: &[[f32; 16]; 16]) -> [f32; 16] {
    // SAFETY: 16 floats are the 64 bytes that an unaligned load reads.
    let load = |index: usize| unsafe { _mm512_loadu_ps(arrays[index].as_ptr()) };
    // Quarters of registers are numbered from 0; each line says what quarters, then numbers, its two operands have.
    let eights: [__m512; 8] = std::array::from_fn(|pair| {
        let (one, other) = (load(2 * pair), load(2 * pair + 1));
        let first = _mm512_shuffle_f32x4::<0b01_00_01_00>(one, other);
        let second = _mm512_shuffle_f32x4::<0b11_10_11_10>(one, other);
        _mm512_add_ps(first, second)
    });
    let fours: [__m512; 4] = std::array::from_fn(|pair| {
        let (one, other) = (eights[2 * pair], eights[2 * pair + 1]);
        let first = _mm512_shuffle_f32x4::<0b10_00_10_00>(one, other);
        let second = _mm512_shuffle_f32x4::<0b11_01_11_01>(one, other);
        _mm512_add_ps(first, second)
    });
    let twos: [__m512; 2] = std::array::from_fn(|pair| {
        let (one, other) = (fours[2 * pair], fours[2 * pair + 1]);
        let first = _mm512_shuffle_ps::<0b01_00_01_00>(one, other);
        let second = _mm512_shuffle_ps::<0b11_10_11_10>(one, other);
        _mm512_add_ps(first, second)
    });
    let first = _mm512_shuffle_ps::<0b10_00_10_00>(twos[0], twos[1]);
    let second = _mm512_shuffle_ps::<0b11_01_11_01>(twos[0], twos[1]);
    // The sum of array 4 j + q is now number 4 q + j.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let [sums] = store([_mm512_permutexvar_ps(order, _mm512_add_ps(first, second))]);
    sums
}
