//! Kernels against their definitions: candle's dequantised weights, the portable twins, and themselves in other batches.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};

use crate::matrix::{Matrix, QuantisedRows};

/// Reproducible values in [-1, 1).
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

const FORMATS: [GgmlDType; 11] = [
    GgmlDType::Q4K,
    GgmlDType::Q6K,
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q8_0,
    GgmlDType::Q5K,
    GgmlDType::Q3K,
    GgmlDType::F32,
    GgmlDType::F16,
    GgmlDType::BF16,
];

/// A packed matrix and the weights it stands for, `(n, k)`.
fn matrix(format: GgmlDType, (n, k): (usize, usize)) -> (Matrix, Vec<f32>) {
    let weights = Tensor::from_vec(noise(7, n * k), (n, k), &Device::Cpu).unwrap();
    let quantised = QTensor::quantize(&weights, format).unwrap();
    let bytes = quantised.data().unwrap();
    let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, format).unwrap();
    let dense = QTensor::new(storage, (n, k))
        .unwrap()
        .dequantize(&Device::Cpu)
        .unwrap();
    let dense = dense.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (Matrix::pack(&bytes, format, (n, k)).unwrap(), dense)
}

#[test]
fn products_agree_with_dequantised_weights() {
    let (n, k, m) = (40, 512, 5);
    let rows = noise(3, m * k);
    for format in FORMATS {
        let (matrix, dense) = matrix(format, (n, k));
        let out = matrix.multiply(&rows, &QuantisedRows::default());
        for row in 0..m {
            for column in 0..n {
                let weights = &dense[column * k..][..k];
                let exact: f64 = weights
                    .iter()
                    .zip(&rows[row * k..][..k])
                    .map(|(w, a)| f64::from(*w) * f64::from(*a))
                    .sum();
                let found = f64::from(out[row * n + column]);
                // Activations have eight bits: an error of 1/254 each, averaging out over 512.
                assert!((found - exact).abs() < 0.15, "{format:?} {found} {exact}");
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    let (n, k) = (72, 512);
    let rows = noise(11, 19 * k);
    for format in FORMATS {
        let (matrix, _) = matrix(format, (n, k));
        let single: Vec<f32> = rows
            .chunks_exact(k)
            .flat_map(|row| matrix.multiply(row, &QuantisedRows::default()))
            .collect();
        for m in 2..=19 {
            let batch = matrix.multiply(&rows[..m * k], &QuantisedRows::default());
            assert!(batch == single[..m * n], "{format:?} with {m} rows");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let (n, k) = (200, 256);
    let rows = noise(5, 3 * k);
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    let (one, two) = (pool(1), pool(2));
    for format in FORMATS {
        let (matrix, _) = matrix(format, (n, k));
        for m in [1, 3] {
            let rows = &rows[..m * k];
            let single = one.install(|| matrix.multiply(rows, &QuantisedRows::default()));
            assert!(
                single == two.install(|| matrix.multiply(rows, &QuantisedRows::default())),
                "{format:?}"
            );
        }
    }
}

#[test]
fn all_kernels_give_the_same_bits() {
    let (n, k) = (24, 512);
    for format in FORMATS {
        let (matrix, _) = matrix(format, (n, k));
        for m in 1..=13 {
            let products = matrix.multiply_by_each(&noise(13, m * k));
            for (by, product) in &products {
                assert!(
                    *product == products[0].1,
                    "{format:?} with {m} rows by {by}"
                );
            }
        }
    }
}

#[test]
fn widest_products_fit() {
    // Quants and activations as large as they get, of both signs, long runs of them alike: sixteen bits hold no more.
    let (n, k, m) = (16, 512, 5);
    let signs = |run: usize| move |at: usize| [1.0, -1.0][at / run % 2];
    for (run, rows) in [(8, 8), (24, 24), (24, 40), (40, 1000)] {
        let weights: Vec<f32> = (0..n * k).map(signs(run)).collect();
        let rows: Vec<f32> = (0..m * k).map(signs(rows)).collect();
        for format in FORMATS {
            let weights = Tensor::from_slice(&weights, (n, k), &Device::Cpu).unwrap();
            let quantised = QTensor::quantize(&weights, format).unwrap();
            let bytes = quantised.data().unwrap();
            let matrix = Matrix::pack(&bytes, format, (n, k)).unwrap();
            let products = matrix.multiply_by_each(&rows);
            assert!(products[0].1.iter().any(|sum| sum.abs() > 1.0));
            for (by, product) in &products {
                assert!(*product == products[0].1, "{format:?} by {by}");
            }
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let error = Matrix::pack(&[0; 100], GgmlDType::Q4K, (1, 256))
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "100 bytes where 144 were expected");
    let error = Matrix::pack(&[0; 144], GgmlDType::Q4K, (1, 250))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "250 inputs do not divide into blocks of 256"
    );
}
