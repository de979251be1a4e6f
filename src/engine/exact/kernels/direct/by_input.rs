//! The gradient by the input of conv2.

use pulp::Simd;

use super::shape::{C1, C2, Filters, H2, K, P1, vectors};

/// Columns of a row of [`Padded`]: the row's ten behind four zeros, and zeros to the end of a vector.
const COLUMNS: usize = 24;
/// Zeros before a row.
const MARGIN: usize = K - 1;
/// The gradient by conv2's output of one image, within zeros; a row of zeros above and below.
pub type Padded = [[[f32; COLUMNS]; H2 + 2]; C2];

/// conv2's weight by place in the filter: (5, 5, O, C).
pub type Transposed = [[[[f32; C1]; C2]; K]; K];

/// A gradient of zeros, whose rows are to be written.
#[inline(always)]
pub fn zeros() -> Padded {
    [[[0.0; COLUMNS]; H2 + 2]; C2]
}

/// conv2's weight (O, C, 5, 5) transposed.
pub fn transpose(weight: &Filters<f32, C2, C1>) -> Transposed {
    let mut transposed = [[[[0.0; C1]; C2]; K]; K];
    for (ky, transposed) in transposed.iter_mut().enumerate() {
        for (kx, transposed) in transposed.iter_mut().enumerate() {
            for (transposed, weight) in transposed.iter_mut().zip(weight) {
                *transposed = weight.each_ref().map(|filter| filter[ky][kx]);
            }
        }
    }
    transposed
}

/// Row `y` of channel `o` of the gradient by the output, without the zeros.
#[inline(always)]
pub fn row(padded: &mut Padded, o: usize, y: usize) -> &mut [f32; H2] {
    padded[o][y + 1][MARGIN..].first_chunk_mut().expect("ten columns")
}

/// The gradient by the input, (C, 14, 14), of one image. A chain goes through `block` filters at a
/// time: row by row, and at each place through those of the block. `R` rows are worked on at once.
///
/// The zeros around the gradient stand for the places that oneDNN leaves out: they change no sum,
/// which is never -0.
#[inline(always)]
pub fn by_input<S: Simd, const R: usize>(
    simd: S,
    by_output: &Padded,
    weight: &Transposed,
    block: usize,
    by_input: &mut [f32],
) {
    const { assert!(P1.is_multiple_of(R)) };
    let lanes = S::F32_LANES;
    for y in (0..P1).step_by(R) {
        // The filter's rows that meet a row of the output.
        let kys = y.saturating_sub(H2 - 1)..(y + R).min(K);
        for x in (0..P1).step_by(lanes) {
            let mut sums = [[simd.splat_f32s(0.0); R]; C1];
            for first in (0..C2).step_by(block) {
                for ky in kys.clone() {
                    for (kx, weight) in weight[ky].iter().enumerate() {
                        let filters = first..first + block;
                        for (weight, rows) in
                            weight[filters.clone()].iter().zip(&by_output[filters])
                        {
                            for r in 0..R {
                                let row = &rows[y + r + 1 - ky];
                                let [by] = *vectors::<S, 1>(row, x + MARGIN - kx);
                                for (sums, &weight) in sums.iter_mut().zip(weight) {
                                    let weight = simd.splat_f32s(weight);
                                    sums[r] = simd.mul_add_f32s(weight, by, sums[r]);
                                }
                            }
                        }
                    }
                }
            }
            let count = lanes.min(P1 - x);
            for (plane, sums) in by_input.chunks_exact_mut(P1 * P1).zip(sums) {
                for (r, sum) in sums.into_iter().enumerate() {
                    let row = &mut plane[(y + r) * P1 + x..][..count];
                    simd.partial_store_f32s(row, sum);
                }
            }
        }
    }
}
