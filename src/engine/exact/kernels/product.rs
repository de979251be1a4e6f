//! Matrix products in float64 by the crate `gemm-f64`, for scikit-learn's models: their bits are not libtorch's, which no engine
//! promises for these models.

#![allow(unsafe_code)]

use std::ops::Range;

use gemm_common::Parallelism;
use gemm_f64::gemm::f64::get_gemm_fn;

use crate::libtorch::parallel_for;

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

    /// These rows.
    fn rows(self, range: Range<usize>) -> Self {
        let Self { values, shape: [_, columns], strides } = self;
        Self { values: &values[range.start * strides[0]..], shape: [range.len(), columns], strides }
    }
}

/// Writes `a @ b` to `c`, row by row. Multithreaded.
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
    let ([m, k], [_, n]) = (a.shape, b.shape);
    let [to_rows, to_columns] = to.strides.map(|stride| stride as isize);
    let [a_rows, a_columns] = a.strides.map(|stride| stride as isize);
    let [b_rows, b_columns] = b.strides.map(|stride| stride as isize);
    // SAFETY: `a` and `b` have all elements of their shapes at their strides; the caller promises it for the result.
    unsafe {
        get_gemm_fn()(
            m,
            n,
            k,
            to.start.add(first * to.strides[0]),
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
            Parallelism::None,
        );
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
