//! A weight matrix on the CPU and its product with rows of activations.
//!
//! Invariant: a row's result depends on that row and the weights alone, bit for bit; neither the number of rows, nor the
//! threads, nor the other rows of the pass change the order of its operations.

use std::cell::OnceCell;

use half::{bf16, f16};
use rayon::prelude::*;

use crate::activations::{Activations, ROWS, Row, Scheme};
use crate::pages::Pages;
use crate::tiles::{BLOCK, COLUMNS, SUPER, Sums, TileQ4K, TileQ6K, TileQ41, TileQ80};
#[cfg(target_arch = "x86_64")]
use crate::{
    avx2::{self, Avx2},
    avx512::{self, Vnni},
};
use crate::{float, portable};

/// `(n, k)` weights; the product with `(m, k)` activations is `(m, n)`.
pub struct Matrix {
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) tiles: Tiles,
}

/// The tiles of a matrix, column tile by column tile, along `k` within each.
pub(crate) enum Tiles {
    Q4K(Pages<TileQ4K>),
    Q6K(Pages<TileQ6K>),
    Q41(Pages<TileQ41>),
    Q80(Pages<TileQ80>),
    F32(Pages<f32>),
    F16(Pages<f16>),
    Bf16(Pages<bf16>),
}

/// Quantised tiles along `k`, for the rows from `row` on.
trait Product: Sync {
    fn sums<const R: usize>(&self, tile: usize, row: usize) -> Sums<R>;
}

/// A quantised tile with its vector kernels and its portable one.
trait Kernel: Sync + Sized {
    const INPUTS: usize;
    const SCHEME: Scheme;
    fn portable(tiles: &[Self], row: Row) -> [f32; COLUMNS];
    #[cfg(target_arch = "x86_64")]
    fn vnni<const R: usize>(by: Vnni, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R>;
    #[cfg(target_arch = "x86_64")]
    fn avx2<const R: usize>(by: Avx2, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R>;
}

/// Kernel of a product.
#[derive(Clone, Copy, Debug)]
enum By {
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable,
}

impl By {
    /// The best that this processor can run.
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let vnni = Vnni::detect().map(Self::Vnni);
            if let Some(vector) = vnni.or_else(|| Avx2::detect().map(Self::Avx2)) {
                return vector;
            }
        }
        Self::Portable
    }

    /// All that this processor can run.
    #[cfg(test)]
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::detect().map(Self::Avx2));
            all.extend(Vnni::detect().map(Self::Vnni));
        }
        all
    }
}

/// Name of the kernels in use, for logs and `Describe`.
pub fn kernels() -> &'static str {
    match By::detect() {
        #[cfg(target_arch = "x86_64")]
        By::Vnni(_) => "avx512-vnni",
        #[cfg(target_arch = "x86_64")]
        By::Avx2(_) => "avx2",
        By::Portable => "portable",
    }
}

impl Kernel for TileQ4K {
    const INPUTS: usize = SUPER;
    const SCHEME: Scheme = Scheme::Super;
    #[inline(always)]
    fn portable(tiles: &[Self], row: Row) -> [f32; COLUMNS] {
        portable::q4k(tiles, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn vnni<const R: usize>(by: Vnni, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx512::q4k(by, tiles, acts, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn avx2<const R: usize>(by: Avx2, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx2::q4k(by, tiles, acts, row)
    }
}

impl Kernel for TileQ6K {
    const INPUTS: usize = SUPER;
    const SCHEME: Scheme = Scheme::Super;
    #[inline(always)]
    fn portable(tiles: &[Self], row: Row) -> [f32; COLUMNS] {
        portable::q6k(tiles, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn vnni<const R: usize>(by: Vnni, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx512::q6k(by, tiles, acts, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn avx2<const R: usize>(by: Avx2, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx2::q6k(by, tiles, acts, row)
    }
}

impl Kernel for TileQ41 {
    const INPUTS: usize = BLOCK;
    const SCHEME: Scheme = Scheme::Block;
    #[inline(always)]
    fn portable(tiles: &[Self], row: Row) -> [f32; COLUMNS] {
        portable::q41(tiles, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn vnni<const R: usize>(by: Vnni, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx512::q41(by, tiles, acts, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn avx2<const R: usize>(by: Avx2, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx2::q41(by, tiles, acts, row)
    }
}

impl Kernel for TileQ80 {
    const INPUTS: usize = BLOCK;
    const SCHEME: Scheme = Scheme::Block;
    #[inline(always)]
    fn portable(tiles: &[Self], row: Row) -> [f32; COLUMNS] {
        portable::q80(tiles, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn vnni<const R: usize>(by: Vnni, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx512::q80(by, tiles, acts, row)
    }
    #[cfg(target_arch = "x86_64")]
    fn avx2<const R: usize>(by: Avx2, tiles: &[Self], acts: &Activations, row: usize) -> Sums<R> {
        avx2::q80(by, tiles, acts, row)
    }
}

struct Quantised<'a, T> {
    tiles: &'a [T],
    acts: &'a Activations,
    by: By,
}

impl<T: Kernel> Product for Quantised<'_, T> {
    fn sums<const R: usize>(&self, tile: usize, row: usize) -> Sums<R> {
        let blocks = self.acts.k / T::INPUTS;
        let tiles = &self.tiles[tile * blocks..][..blocks];
        match self.by {
            #[cfg(target_arch = "x86_64")]
            By::Vnni(vnni) => T::vnni(vnni, tiles, self.acts, row),
            #[cfg(target_arch = "x86_64")]
            By::Avx2(avx2) => T::avx2(avx2, tiles, self.acts, row),
            By::Portable => pulp::Arch::new().dispatch(Portably {
                acts: self.acts,
                tiles,
                row,
            }),
        }
    }
}

/// `R` rows from `row` on by the portable kernel, which the compiler turns into vector instructions where it can.
struct Portably<'a, const R: usize, T> {
    acts: &'a Activations,
    tiles: &'a [T],
    row: usize,
}

impl<const R: usize, T: Kernel> pulp::WithSimd for Portably<'_, R, T> {
    type Output = Sums<R>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Sums<R> {
        let mut sums = [[0f32; COLUMNS]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            *sums = T::portable(self.tiles, self.acts.row(self.row + r));
        }
        sums
    }
}

struct Float<'a, W> {
    weights: &'a [W],
    rows: &'a [f32],
    k: usize,
}

impl<W: float::Weight> Product for Float<'_, W> {
    fn sums<const R: usize>(&self, tile: usize, row: usize) -> Sums<R> {
        let length = self.k * COLUMNS;
        float::sums(&self.weights[tile * length..][..length], self.rows, row)
    }
}

/// Quantised rows of activations, shared by the matrices that take the same rows. Each scheme is computed once, on first use.
#[derive(Default)]
pub struct QuantisedRows {
    by_super: OnceCell<Activations>,
    by_block: OnceCell<Activations>,
}

impl QuantisedRows {
    fn quantised(&self, rows: &[f32], k: usize, scheme: Scheme) -> &Activations {
        let cell = match scheme {
            Scheme::Super => &self.by_super,
            Scheme::Block => &self.by_block,
        };
        cell.get_or_init(|| Activations::quantise(rows, k, scheme))
    }
}

impl Matrix {
    /// Product with `rows`, `(m, k)`; the result is `(m, n)`. `shared` belongs to these rows, for every matrix.
    pub fn multiply(&self, rows: &[f32], shared: &QuantisedRows) -> Vec<f32> {
        self.multiply_by(rows, shared, By::detect())
    }

    /// The same with each of the kernels that this processor can run, and what they are.
    #[cfg(test)]
    pub(crate) fn multiply_by_each(&self, rows: &[f32]) -> Vec<(String, Vec<f32>)> {
        let product = |by| {
            (
                format!("{by:?}"),
                self.multiply_by(rows, &QuantisedRows::default(), by),
            )
        };
        By::all().into_iter().map(product).collect()
    }

    fn multiply_by(&self, rows: &[f32], shared: &QuantisedRows, by: By) -> Vec<f32> {
        match &self.tiles {
            Tiles::Q4K(tiles) => self.quantised(tiles, rows, shared, by),
            Tiles::Q6K(tiles) => self.quantised(tiles, rows, shared, by),
            Tiles::Q41(tiles) => self.quantised(tiles, rows, shared, by),
            Tiles::Q80(tiles) => self.quantised(tiles, rows, shared, by),
            Tiles::F32(weights) => self.run(
                &Float {
                    weights,
                    rows,
                    k: self.k,
                },
                rows,
            ),
            Tiles::F16(weights) => self.run(
                &Float {
                    weights,
                    rows,
                    k: self.k,
                },
                rows,
            ),
            Tiles::Bf16(weights) => self.run(
                &Float {
                    weights,
                    rows,
                    k: self.k,
                },
                rows,
            ),
        }
    }

    fn quantised<T: Kernel>(
        &self,
        tiles: &[T],
        rows: &[f32],
        shared: &QuantisedRows,
        by: By,
    ) -> Vec<f32> {
        let acts = shared.quantised(rows, self.k, T::SCHEME);
        self.run(&Quantised { tiles, acts, by }, rows)
    }

    /// Runs the tiles, split evenly over the threads of the current pool.
    fn run(&self, product: &impl Product, rows: &[f32]) -> Vec<f32> {
        let (m, n) = (rows.len() / self.k, self.n);
        let tiles = n.div_ceil(COLUMNS);
        let mut out = vec![0f32; m * n];
        let threads = rayon::current_num_threads().min(tiles);
        if threads <= 1 {
            strip(
                product,
                0..tiles,
                &mut Strip {
                    out: &mut out,
                    first: 0,
                    width: n,
                    m,
                },
            );
            return out;
        }
        let share = tiles.div_ceil(threads);
        if m == 1 {
            out.par_chunks_mut(share * COLUMNS)
                .enumerate()
                .for_each(|(i, out)| {
                    let (first, width) = (i * share * COLUMNS, out.len());
                    let range = i * share..i * share + width.div_ceil(COLUMNS);
                    strip(
                        product,
                        range,
                        &mut Strip {
                            out,
                            first,
                            width,
                            m,
                        },
                    );
                });
            return out;
        }
        let strips: Vec<(usize, usize, Vec<f32>)> = (0..tiles.div_ceil(share))
            .into_par_iter()
            .map(|i| {
                let (first, end) = (i * share * COLUMNS, ((i + 1) * share * COLUMNS).min(n));
                let width = end - first;
                let mut out = vec![0f32; m * width];
                let range = i * share..i * share + width.div_ceil(COLUMNS);
                strip(
                    product,
                    range,
                    &mut Strip {
                        out: &mut out,
                        first,
                        width,
                        m,
                    },
                );
                (first, width, out)
            })
            .collect();
        for (first, width, strip) in strips {
            for (row, values) in strip.chunks_exact(width).enumerate() {
                out[row * n + first..][..width].copy_from_slice(values);
            }
        }
        out
    }
}

/// Some columns of the result: `out` is `(m, width)` and starts at column `first`.
struct Strip<'a> {
    out: &'a mut [f32],
    first: usize,
    width: usize,
    m: usize,
}

fn strip(product: &impl Product, tiles: std::ops::Range<usize>, strip: &mut Strip) {
    for tile in tiles {
        let mut row = 0;
        while row < strip.m {
            let rows = (strip.m - row).min(ROWS);
            match rows {
                1 => strip.put(tile, row, product.sums::<1>(tile, row)),
                2 => strip.put(tile, row, product.sums::<2>(tile, row)),
                3 => strip.put(tile, row, product.sums::<3>(tile, row)),
                4 => strip.put(tile, row, product.sums::<4>(tile, row)),
                5 => strip.put(tile, row, product.sums::<5>(tile, row)),
                6 => strip.put(tile, row, product.sums::<6>(tile, row)),
                7 => strip.put(tile, row, product.sums::<7>(tile, row)),
                8 => strip.put(tile, row, product.sums::<8>(tile, row)),
                9 => strip.put(tile, row, product.sums::<9>(tile, row)),
                10 => strip.put(tile, row, product.sums::<10>(tile, row)),
                11 => strip.put(tile, row, product.sums::<11>(tile, row)),
                _ => strip.put(tile, row, product.sums::<ROWS>(tile, row)),
            }
            row += rows;
        }
    }
}

impl Strip<'_> {
    /// Writes the sums of the rows from `row` on; the last tile may be wider than the matrix.
    fn put<const R: usize>(&mut self, tile: usize, row: usize, sums: Sums<R>) {
        let column = tile * COLUMNS - self.first;
        let width = COLUMNS.min(self.width - column);
        for (r, sums) in sums.iter().enumerate() {
            let at = (row + r) * self.width + column;
            self.out[at..at + width].copy_from_slice(&sums[..width]);
        }
    }
}
