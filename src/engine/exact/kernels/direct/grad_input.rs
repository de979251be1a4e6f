//! `grad_input` of conv2 from `grad_output`. An element is one chain of fused multiply-adds over blocks of filters, then filter
//! rows, then columns, then the filters of the block.
//!
//! oneDNN skips positions outside `grad_output`. Here, tiles read zeros at some of them. With finite weights, adding a product with 0
//! changes only -0 to 0, as does the backward pass of pooling, which comes next.

use std::slice;

use aligned_vec::{AVec, avec};
use pulp::{Simd, bytemuck};

use super::layout::Hwoi;
use super::shape::{Aligned, C1, C2, H2, K, P1, vectors};

/// `grad_output` of one image, channels last.
pub type GradOutput = [[[f32; C2]; H2]; H2];

/// Number of columns of a row of [`GradInput::grads`]: those of `grad_output`, and one of zeros on both sides, because a tile has
/// two columns.
const COLUMNS_BY_IMAGES: usize = H2 + 2;
/// Number of columns of a row of [`Padded`]: those of `grad_output` after [`MARGIN`] zeros, and zeros so that every vector load is
/// within the row.
const COLUMNS: usize = 24;
/// Number of zeros before a row of `grad_output` in [`Padded`].
const MARGIN: usize = K - 1;
/// `grad_output` of one image (16, 10, 10) with zeros around each plane: one row above and below, and columns, see
/// [`COLUMNS`].
type Padded = [[[f32; COLUMNS]; H2 + 2]; C2];

/// Computes `grad_input` of blocks of images, which have at most one image per lane.
pub struct GradInput<'a, S> {
    simd: S,
    weight: &'a Hwoi,
    /// Number of filters per block.
    block: usize,
    /// `grad_output` (10, 12, 16) with one image per lane; empty before the first block that needs it.
    grads: AVec<f32>,
    /// `grad_output` of one image.
    padded: Box<Aligned<Padded>>,
}

impl<'a, S: Simd> GradInput<'a, S> {
    #[inline(always)]
    pub fn new(simd: S, weight: &'a Hwoi, block: usize) -> Self {
        let padded = Box::new(Aligned([[[0.0; COLUMNS]; H2 + 2]; C2]));
        Self { simd, weight, block, grads: avec![], padded }
    }

    /// Writes `grad_input` (N, 6, 14, 14) of a block.
    #[inline(always)]
    pub fn write(&mut self, grad_output: &[GradOutput], grad_input: &mut [f32]) {
        debug_assert!(grad_output.len() <= S::F32_LANES);
        // For fewer images, one column per lane is faster.
        if grad_output.len() > S::F32_LANES / 2 {
            self.by_images(grad_output, grad_input);
            return;
        }
        for (from, to) in grad_output.iter().zip(grad_input.chunks_exact_mut(C1 * P1 * P1)) {
            self.by_columns(from, to);
        }
    }

    /// A vector has one image per lane. A tile is two columns of all channels, whose sums, with two gradients and a weight, fit the
    /// vector registers.
    #[inline(always)]
    fn by_images(&mut self, grad_output: &[GradOutput], grad_input: &mut [f32]) {
        let Self { simd, weight, block, ref mut grads, .. } = *self;
        grads.resize(H2 * COLUMNS_BY_IMAGES * C2 * S::F32_LANES, 0.0);
        for (y, row) in grads.chunks_exact_mut(COLUMNS_BY_IMAGES * C2 * S::F32_LANES).enumerate() {
            for (x, column) in row.chunks_exact_mut(C2 * S::F32_LANES).skip(1).take(H2).enumerate()
            {
                for (o, lanes) in column.chunks_exact_mut(S::F32_LANES).enumerate() {
                    lanes.iter_mut().zip(grad_output).for_each(|(to, image)| *to = image[y][x][o]);
                }
            }
        }
        let columns = S::as_simd_f32s(grads).0.as_chunks::<C2>().0;
        for y in 0..P1 {
            let kys = y.saturating_sub(H2 - 1)..(y + 1).min(K);
            for x in (0..P1).step_by(2) {
                // Filter columns that overlap `grad_output`.
                let kxs = (x + 1).saturating_sub(H2)..(x + 2).min(K);
                let mut sums = [[simd.splat_f32s(0.0); 2]; C1];
                for first in (0..C2).step_by(block) {
                    let filters = first..first + block;
                    for ky in kys.clone() {
                        for kx in kxs.clone() {
                            let weights = &weight[ky][kx][filters.clone()];
                            let [left, right] = [0, 1].map(|i| {
                                &columns[(y - ky) * COLUMNS_BY_IMAGES + x + i + 1 - kx]
                                    [filters.clone()]
                            });
                            sums = add_filters(simd, weights, [left, right], sums);
                        }
                    }
                }
                for (c, sums) in sums.iter().enumerate() {
                    let [left, right] = sums;
                    let left: &[f32] = bytemuck::cast_slice(slice::from_ref(left));
                    let right: &[f32] = bytemuck::cast_slice(slice::from_ref(right));
                    let start = (c * P1 + y) * P1 + x;
                    let images = grad_input.chunks_exact_mut(C1 * P1 * P1);
                    for (image, (&left, &right)) in images.zip(left.iter().zip(right)) {
                        image[start..start + 2].copy_from_slice(&[left, right]);
                    }
                }
            }
        }
    }

    /// A vector has one column per lane. A tile is two rows of all channels, whose sums, with two vectors of gradients and a weight,
    /// fit the vector registers.
    #[inline(always)]
    fn by_columns(&mut self, grad_output: &GradOutput, grad_input: &mut [f32]) {
        let Self { simd, weight, block, padded: ref mut buffer, .. } = *self;
        let Aligned(padded) = &mut **buffer;
        for (y, row) in grad_output.iter().enumerate() {
            for (x, grads) in row.iter().enumerate() {
                for (plane, &grad) in padded.iter_mut().zip(grads) {
                    plane[y + 1][MARGIN + x] = grad;
                }
            }
        }
        for y in (0..P1).step_by(2) {
            // Filter rows that overlap `grad_output`.
            let kys = y.saturating_sub(H2 - 1)..(y + 2).min(K);
            for x in (0..P1).step_by(S::F32_LANES) {
                let mut sums = [[simd.splat_f32s(0.0); 2]; C1];
                for first in (0..C2).step_by(block) {
                    let filters = first..first + block;
                    for ky in kys.clone() {
                        for (kx, weight) in weight[ky].iter().enumerate() {
                            let planes = padded[filters.clone()].iter();
                            for (weight, rows) in weight[filters.clone()].iter().zip(planes) {
                                let start = x + MARGIN - kx;
                                let [upper] = *vectors::<S, 1>(&rows[y + 1 - ky], start);
                                let [lower] = *vectors::<S, 1>(&rows[y + 2 - ky], start);
                                for ([a, b], &weight) in sums.iter_mut().zip(weight) {
                                    let weight = simd.splat_f32s(weight);
                                    *a = simd.mul_add_f32s(weight, upper, *a);
                                    *b = simd.mul_add_f32s(weight, lower, *b);
                                }
                            }
                        }
                    }
                }
                let count = S::F32_LANES.min(P1 - x);
                for (plane, sums) in grad_input.chunks_exact_mut(P1 * P1).zip(sums) {
                    for (r, sum) in sums.into_iter().enumerate() {
                        let row = &mut plane[(y + r) * P1 + x..][..count];
                        simd.partial_store_f32s(row, sum);
                    }
                }
            }
        }
    }
}

/// Adds the products of filters' weights with two gradients each. Sums are passed and returned by value, so that they stay in
/// registers.
#[inline(always)]
fn add_filters<S: Simd>(
    simd: S,
    weights: &[[f32; C1]],
    [left, right]: [&[S::f32s]; 2],
    mut sums: [[S::f32s; 2]; C1],
) -> [[S::f32s; 2]; C1] {
    for ((weights, &left), &right) in weights.iter().zip(left).zip(right) {
        for ([a, b], &weight) in sums.iter_mut().zip(weights) {
            let weight = simd.splat_f32s(weight);
            *a = simd.mul_add_f32s(weight, left, *a);
            *b = simd.mul_add_f32s(weight, right, *b);
        }
    }
    sums
}
