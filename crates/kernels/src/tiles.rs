//! Weight tiles: 16 output columns side by side, so that one vector register holds the same position of 16 columns.
//!
//! A row-major quantised matrix makes a processor gather; these tiles are read in one forward stream, each weight byte once for
//! all activation rows. The bits per weight are those of the file (Q4_K 4.625 against 4.5, everything else equal), so decoding
//! stays bound by the same memory traffic. Within a tile, bytes are grouped in fours along `k`, the unit of one
//! byte-dot-product instruction: `[group][column][4]`.

use bytemuck::{Pod, Zeroable};
use half::f16;

/// Output columns of one tile.
pub(crate) const COLUMNS: usize = 16;
/// Inputs that one super-block of a K-quantisation covers.
pub(crate) const SUPER: usize = 256;
/// Inputs that one block of a plain quantisation covers.
pub(crate) const BLOCK: usize = 32;

/// Sums of a tile's columns for `R` rows.
pub(crate) type Sums<const R: usize> = [[f32; COLUMNS]; R];

/// Q4_K: 256 inputs of 16 columns; weight = `d * scale * q - dmin * min`, one scale and min for 32 inputs.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct TileQ4K {
    pub(crate) d: [f16; COLUMNS],
    pub(crate) dmin: [f16; COLUMNS],
    pub(crate) scales: [[u8; COLUMNS]; 8],
    /// `[pair of sub-blocks][column][2]`.
    pub(crate) mins: [[u8; 2 * COLUMNS]; 4],
    /// `[sub-block][group of 4 bytes, low nibbles 0..16, high nibbles 16..32]`.
    pub(crate) quants: [[u8; 256]; 8],
}

/// Q6_K: 256 inputs of 16 columns; weight = `d * scale * (q - 32)`, one scale for 16 inputs.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct TileQ6K {
    pub(crate) d: [f16; COLUMNS],
    pub(crate) scales: [[i8; COLUMNS]; 16],
    pub(crate) quants: [SixBits; 16],
}

/// 16 inputs of 16 columns, six bits each. The parts lie side by side: kernels wait for memory first of all, and a
/// processor prefetches one stream better than two.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct SixBits {
    /// Low four bits: `[half][column][4]`, low nibbles are groups 0 and 1, high nibbles groups 2 and 3.
    pub(crate) low: [u8; 128],
    /// High two bits of the four groups, two bits each.
    pub(crate) high: [u8; 64],
}

/// Q4_1 (and Q4_0, whose minimum is `-8 d`): 32 inputs of 16 columns; weight = `d * q + m`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct TileQ41 {
    pub(crate) d: [f16; COLUMNS],
    pub(crate) m: [f16; COLUMNS],
    pub(crate) quants: [u8; 256],
}

/// Q8_0 (and Q5_0, whose integers fit): 32 inputs of 16 columns; weight = `d * (q - 128)`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct TileQ80 {
    pub(crate) d: [f16; COLUMNS],
    pub(crate) quants: [u8; 512],
}

/// Bytes of one block in the file, by format.
pub(crate) const Q4K_BYTES: usize = 144;
pub(crate) const Q6K_BYTES: usize = 210;
pub(crate) const Q40_BYTES: usize = 18;
pub(crate) const Q41_BYTES: usize = 20;
pub(crate) const Q50_BYTES: usize = 22;
pub(crate) const Q80_BYTES: usize = 34;

fn f16_at(bytes: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The six-bit scale and min of sub-block `sub` of a Q4_K block, as ggml packs them into 12 bytes.
fn scale_min(sub: usize, packed: &[u8]) -> (u8, u8) {
    if sub < 4 {
        (packed[sub] & 63, packed[sub + 4] & 63)
    } else {
        (
            (packed[sub + 4] & 15) | ((packed[sub - 4] >> 6) << 4),
            (packed[sub + 4] >> 4) | ((packed[sub] >> 6) << 4),
        )
    }
}

/// Puts 32 four-bit values of column `column` where the kernels expect them.
fn place_nibbles(quants: &mut [u8; 256], column: usize, value: impl Fn(usize) -> u8) {
    for group in 0..4 {
        for j in 0..4 {
            let k = group * 4 + j;
            quants[(group * COLUMNS + column) * 4 + j] = value(k) | (value(k + 16) << 4);
        }
    }
}

impl TileQ4K {
    pub(crate) const ZERO: Self = Self {
        d: [f16::ZERO; COLUMNS],
        dmin: [f16::ZERO; COLUMNS],
        scales: [[0; COLUMNS]; 8],
        mins: [[0; 2 * COLUMNS]; 4],
        quants: [[0; 256]; 8],
    };

    /// Takes one 144-byte block of the file as column `column`.
    pub(crate) fn place(&mut self, column: usize, block: &[u8]) {
        self.d[column] = f16_at(block, 0);
        self.dmin[column] = f16_at(block, 2);
        for sub in 0..8 {
            let (scale, min) = scale_min(sub, &block[4..16]);
            self.scales[sub][column] = scale;
            self.mins[sub / 2][2 * column + sub % 2] = min;
            // The file keeps sub-blocks 2c and 2c+1 in the low and high nibbles of 32 bytes.
            let bytes = &block[16 + (sub / 2) * 32..][..32];
            let shift = (sub % 2) * 4;
            place_nibbles(&mut self.quants[sub], column, |k| (bytes[k] >> shift) & 15);
        }
    }
}

impl TileQ6K {
    pub(crate) const ZERO: Self = Self {
        d: [f16::ZERO; COLUMNS],
        scales: [[0; COLUMNS]; 16],
        quants: [const {
            SixBits {
                low: [0; 128],
                high: [0; 64],
            }
        }; 16],
    };

    /// Takes one 210-byte block of the file as column `column`.
    pub(crate) fn place(&mut self, column: usize, block: &[u8]) {
        self.d[column] = f16_at(block, 208);
        let mut values = [0u8; SUPER];
        for half in 0..2 {
            let low = &block[half * 64..][..64];
            let high = &block[128 + half * 32..][..32];
            for j in 0..32 {
                let at = half * 128 + j;
                values[at] = (low[j] & 15) | ((high[j] & 3) << 4);
                values[at + 32] = (low[j + 32] & 15) | (((high[j] >> 2) & 3) << 4);
                values[at + 64] = (low[j] >> 4) | (((high[j] >> 4) & 3) << 4);
                values[at + 96] = (low[j + 32] >> 4) | (((high[j] >> 6) & 3) << 4);
            }
        }
        for sub in 0..16 {
            self.scales[sub][column] = block[192 + sub].cast_signed();
            for j in 0..4 {
                let value = |group: usize| values[sub * 16 + group * 4 + j];
                let at = column * 4 + j;
                let quants = &mut self.quants[sub];
                quants.low[at] = (value(0) & 15) | ((value(2) & 15) << 4);
                quants.low[64 + at] = (value(1) & 15) | ((value(3) & 15) << 4);
                quants.high[at] = (value(0) >> 4)
                    | ((value(1) >> 4) << 2)
                    | ((value(2) >> 4) << 4)
                    | ((value(3) >> 4) << 6);
            }
        }
    }
}

impl TileQ41 {
    pub(crate) const ZERO: Self = Self {
        d: [f16::ZERO; COLUMNS],
        m: [f16::ZERO; COLUMNS],
        quants: [0; 256],
    };

    /// Takes one 20-byte Q4_1 block of the file as column `column`.
    pub(crate) fn place(&mut self, column: usize, block: &[u8]) {
        self.d[column] = f16_at(block, 0);
        self.m[column] = f16_at(block, 2);
        self.place_quants(column, &block[4..]);
    }

    /// Takes one 18-byte Q4_0 block; exact, since `d * (q - 8) = d * q + (-8 d)` and -8 is a power of two.
    pub(crate) fn place_q40(&mut self, column: usize, block: &[u8]) {
        self.d[column] = f16_at(block, 0);
        self.m[column] = f16::from_f32(-8.0 * self.d[column].to_f32());
        self.place_quants(column, &block[2..]);
    }

    fn place_quants(&mut self, column: usize, bytes: &[u8]) {
        place_nibbles(&mut self.quants, column, |k| {
            if k < 16 {
                bytes[k] & 15
            } else {
                bytes[k - 16] >> 4
            }
        });
    }
}

impl TileQ80 {
    pub(crate) const ZERO: Self = Self {
        d: [f16::ZERO; COLUMNS],
        quants: [128; 512],
    };

    /// Takes one 34-byte Q8_0 block of the file as column `column`.
    pub(crate) fn place(&mut self, column: usize, block: &[u8]) {
        self.d[column] = f16_at(block, 0);
        self.place_integers(column, |k| block[2 + k].cast_signed());
    }

    /// Takes one 22-byte Q5_0 block; exact, since its integers -16..=15 are integers of Q8_0 with the same scale.
    pub(crate) fn place_q50(&mut self, column: usize, block: &[u8]) {
        self.d[column] = f16_at(block, 0);
        let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        let bytes = &block[6..22];
        self.place_integers(column, |k| {
            let low = if k < 16 {
                bytes[k] & 15
            } else {
                bytes[k - 16] >> 4
            };
            let bit = ((high >> k) & 1) as u8;
            (low | (bit << 4)).cast_signed() - 16
        });
    }

    fn place_integers(&mut self, column: usize, value: impl Fn(usize) -> i8) {
        for k in 0..BLOCK {
            self.quants[((k / 4) * COLUMNS + column) * 4 + k % 4] =
                value(k).cast_unsigned().wrapping_add(128);
        }
    }
}
