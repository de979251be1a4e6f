//! `grad_input` of conv2.

use pulp::Simd;

use super::layout::Hwoi;
use super::shape::{C1, C2, H2, K, P1, vectors};

/// Number of columns of a row of [`Padded`]: four zeros, the ten columns of `grad_output`, and zeros so that every vector
/// load is within the row.
const COLUMNS: usize = 24;
/// Number of zeros before a row of `grad_output`.
const MARGIN: usize = K - 1;
/// `grad_output` of one image (16, 10, 10) with zeros around each plane: one row above and below, and columns, see
/// [`COLUMNS`].
pub type Padded = [[[f32; COLUMNS]; H2 + 2]; C2];

/// A padded `grad_output` of zeros, whose rows the caller writes.
#[inline(always)]
pub fn zeros() -> Padded {
    [[[0.0; COLUMNS]; H2 + 2]; C2]
}

/// Row `y` of channel `o` of `grad_output`, without the zeros around it.
#[inline(always)]
pub fn row(padded: &mut Padded, o: usize, y: usize) -> &mut [f32; H2] {
    padded[o][y + 1][MARGIN..].first_chunk_mut().expect("ten columns")
}

/// Computes `grad_input` (6, 14, 14) of one image. An element is one chain of fused multiply-adds over
/// blocks of `block` filters, then filter rows, then columns, then the filters of the block. A tile is
/// `R` rows.
///
/// oneDNN skips positions outside `grad_output`. Here they are zeros, which do not change a sum, since no sum is -0.
#[inline(always)]
pub fn grad_input<S: Simd, const R: usize>(
    simd: S,
    grad_output: &Padded,
    weight: &Hwoi,
    block: usize,
    grad_input: &mut [f32],
) {
    const { assert!(P1.is_multiple_of(R)) };
    let lanes = S::F32_LANES;
    for y in (0..P1).step_by(R) {
        // Filter rows that overlap grad_output.
        let kys = y.saturating_sub(H2 - 1)..(y + R).min(K);
        for x in (0..P1).step_by(lanes) {
            let mut sums = [[simd.splat_f32s(0.0); R]; C1];
            for first in (0..C2).step_by(block) {
                for ky in kys.clone() {
                    for (kx, weight) in weight[ky].iter().enumerate() {
                        let filters = first..first + block;
                        for (weight, rows) in
                            weight[filters.clone()].iter().zip(&grad_output[filters])
                        {
                            let mut grads = [simd.splat_f32s(0.0); R];
                            for (r, grad) in grads.iter_mut().enumerate() {
                                [*grad] = *vectors::<S, 1>(&rows[y + r + 1 - ky], x + MARGIN - kx);
                            }
                            for (sums, &weight) in sums.iter_mut().zip(weight) {
                                let weight = simd.splat_f32s(weight);
                                for (sum, &grad) in sums.iter_mut().zip(&grads) {
                                    *sum = simd.mul_add_f32s(weight, grad, *sum);
                                }
                            }
                        }
                    }
                }
            }
            let count = lanes.min(P1 - x);
            for (plane, sums) in grad_input.chunks_exact_mut(P1 * P1).zip(sums) {
                for (r, sum) in sums.into_iter().enumerate() {
                    let row = &mut plane[(y + r) * P1 + x..][..count];
                    simd.partial_store_f32s(row, sum);
                }
            }
        }
    }
}
