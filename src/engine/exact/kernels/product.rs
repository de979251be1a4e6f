//! Matrix products in float64 by the crate `gemm-f64`, for scikit-learn's models. They differ from libtorch's by rounding.

#![allow(unsafe_code)]

use std::ops::Range;

use gemm_common::Parallelism;
use gemm_common::gemm::gemm_basic_generic;
use gemm_common::simd::MixedSimd;
use pulp::{Simd, WithSimd};

use crate::libtorch::{dispatch, parallel_for};

/// Minimum number of multiply-adds per thread.
const GRAIN: usize = 1 << 17;

/// Minimum number of rows or columns to divide among threads, if the other side is longer.
const SHORTEST: usize = 32;

/// A matrix in memory.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f64],
    /// Number of rows and of columns.
    shape: [usize; 2],
    /// Distance between rows and between columns.
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// A matrix with rows of this length, one after the other.
    ///
    /// # Panics
    /// If the values are not whole rows.
    pub fn new(values: &'a [f64], columns: usize) -> Self {
        assert!(values.len().is_multiple_of(columns), "rows of {columns} elements");
        Self { values, shape: [values.len() / columns, columns], strides: [columns, 1] }
    }

    /// Exchanges rows and columns.
    pub fn transpose(mut self) -> Self {
        self.shape.reverse();
        self.strides.reverse();
        self
    }

    /// Returns the rows in `range`.
    fn rows(self, range: Range<usize>) -> Self {
        let Self { values, shape: [_, columns], strides } = self;
        Self { values: &values[range.start * strides[0]..], shape: [range.len(), columns], strides }
    }
}

/// Writes `a @ b` to `c`, row by row. Multithreaded: the size of a thread's part decides how gemm-f64 adds, so rounding depends on
/// the number of threads.
///
/// # Panics
/// If the shapes do not fit.
pub fn product(a: Matrix, b: Matrix, c: &mut [f64]) {
    let ([m, k], [rows, n]) = (a.shape, b.shape);
    assert!(k == rows && c.len() == m * n, "a product of {:?} and {:?}", a.shape, b.shape);
    let to = Target { start: c.as_mut_ptr(), strides: [n, 1] };
    // A thread copies the part of a factor that it needs most often. That part is smallest where the shorter side of the result is
    // divided.
    let divides_rows = if m.min(n) >= SHORTEST { m <= n } else { m >= n };
    let (a, b, to, count) = if divides_rows {
        (a, b, to, m)
    } else {
        (b.transpose(), a.transpose(), Target { strides: [1, n], ..to }, n)
    };
    let grain = GRAIN.div_ceil((b.shape[0] * b.shape[1]).max(1));
    parallel_for(count, grain, &|start, end| {
        // SAFETY: `c` has all rows and columns of the product, is borrowed until all threads are done, and each thread writes other
        // rows.
        unsafe { write_rows(a.rows(start..end), b, to, start) }
    });
}

/// The matrix to which a product is written.
#[derive(Clone, Copy)]
struct Target {
    start: *mut f64,
    /// Distance between rows and between columns.
    strides: [usize; 2],
}

// SAFETY: each thread writes other elements.
unsafe impl Sync for Target {}

/// Writes `a @ b` to the rows of a matrix from `first` on.
///
/// SAFETY: these rows exist, and nothing else reads or writes them during the call.
unsafe fn write_rows(a: Matrix, b: Matrix, to: Target, first: usize) {
    // SAFETY: as the caller promises.
    let start = unsafe { to.start.add(first * to.strides[0]) };
    dispatch(Product { a, b, to: Target { start, ..to } });
}

/// `a @ b`, and the matrix to which it is written, which nothing else reads or writes meanwhile.
struct Product<'a> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    to: Target,
}

/// Computes a [`Product`] with the kernels of a module of [`gemm_f64::microkernel`]. The crate's own choice asks the CPU alone, and
/// not for all instructions that they use.
macro_rules! compute {
    ($product:expr, $module:ident, $simd:ident, $lanes:expr) => {{
        use gemm_f64::microkernel::$module::f64::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};

        let Product { a, b, to } = $product;
        let simd = <gemm_common::simd::$simd as MixedSimd<f64, f64, f64, f64>>::try_new();
        let ([m, k], [_, n]) = (a.shape, b.shape);
        let [to_rows, to_columns] = to.strides.map(|stride| stride as isize);
        let [a_rows, a_columns] = a.strides.map(|stride| stride as isize);
        let [b_rows, b_columns] = b.strides.map(|stride| stride as isize);
        // SAFETY: `a` and `b` have all elements of their shapes at their strides, and so has the result.
        unsafe {
            gemm_basic_generic::<_, f64, $lanes, { MR_DIV_N * $lanes }, NR, MR_DIV_N, H_M, H_N>(
                simd.expect("the vectors were detected"),
                m,
                n,
                k,
                to.start,
                to_columns,
                to_rows,
                false, // The result is overwritten.
                a.values.as_ptr(),
                a_columns,
                a_rows,
                b.values.as_ptr(),
                b_columns,
                b_rows,
                0.0,
                1.0,
                false,
                false,
                false,
                |a, b, c| a * b + c,
                &UKR,
                &H_UKR,
                false,
                Parallelism::None,
            );
        }
    }};
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match S::F64_LANES {
            #[cfg(target_arch = "x86_64")]
            8 => compute!(self, avx512f, V4, 8),
            #[cfg(target_arch = "x86_64")]
            4 => compute!(self, fma, V3, 4),
            _ => compute!(self, scalar, Scalar, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_of_products() {
        let number = |i: usize| ((i * 7919 % 1009) as f64 - 500.0) / 16.0;
        for [m, k, n] in [[1, 1, 1], [2, 3, 5], [200, 784, 64], [64, 200, 784], [33, 17, 1]] {
            let (a, b): (Vec<f64>, Vec<f64>) =
                ((0..m * k).map(number).collect(), (0..k * n).map(|i| number(i + 5)).collect());
            let mut expected = vec![0.0; m * n];
            for i in 0..m {
                for j in 0..n {
                    expected[i * n + j] = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
                }
            }
            let transposed = |values: &[f64], rows: usize, columns: usize| -> Vec<f64> {
                (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
            };
            let (a_columns, b_columns) = (transposed(&a, m, k), transposed(&b, k, n));
            for a in [Matrix::new(&a, k), Matrix::new(&a_columns, m).transpose()] {
                for b in [Matrix::new(&b, n), Matrix::new(&b_columns, k).transpose()] {
                    let mut c = vec![f64::NAN; m * n];
                    product(a, b, &mut c);
                    assert_eq!(c, expected, "{m} x {k} x {n}");
                }
            }
        }
    }
}
