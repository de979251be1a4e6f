//! `grad_weight` and `grad_bias` of both convolutions, over a range of rows of `grad_output`.
//!
//! An element is one chain of fused multiply-adds over images, then rows, then columns from left to
//! right. Where libtorch uses several ranges of rows, the caller adds their sums in order.

use std::ops::Range;

use pulp::Simd;

use super::layout::pad;
use super::shape::{Aligned, C1, C2, H1, H2, K, P1, PADDED, vectors, vectors_mut};
use crate::engine::window::window;

/// Number of elements of the sums of one filter of conv1 and its bias: each filter row has a slot.
pub const FILTER1: usize = 6 * SLOT;
/// Number of elements per slot: a filter row, then padding.
pub const SLOT: usize = 8;
/// Number of slots per output column: one per row of the padded image, and one more because the last vector reads past
/// them; rounded up so that each column starts at a cache line.
const SLOTS: usize = (PADDED + 1).next_multiple_of(2);
/// Index of `grad_bias` in the sums of a filter: the first free element of a slot.
pub const BIAS1: usize = K;

/// Computes the sums of conv1 over `rows` of `grad_output`: (6, [`FILTER1`]). `grad_output(i)` returns row i (6, 28). `V`
/// vectors hold a filter; a tile is `G` filters.
#[inline(always)]
pub fn conv1<S: Simd, const V: usize, const G: usize>(
    simd: S,
    images: &[f32],
    rows: Range<usize>,
    grad_output: impl Fn(usize) -> [[f32; H1]; C1],
    sums: &mut [[f32; FILTER1]; C1],
) {
    const { assert!(C1.is_multiple_of(G)) };
    let mut padded = [0.0; PADDED * (PADDED + 1)];
    let Aligned(taps) = &mut Aligned([[[0.0; SLOT]; SLOTS]; H1]);
    // The bias is a weight whose input is 1.
    taps.iter_mut().flatten().for_each(|slot| slot[BIAS1] = 1.0);
    let mut acc = [[simd.splat_f32s(0.0); V]; C1];
    let mut image = usize::MAX;
    for row in rows {
        if row / H1 != image {
            image = row / H1;
            pad(&images[image * H1 * H1..][..H1 * H1], &mut padded);
            im2col(&padded, taps);
        }
        let grad_output = grad_output(row);
        for first in (0..C1).step_by(G) {
            let mut sums: [[S::f32s; V]; G] = *window(&acc, first);
            for (x, taps) in taps.iter().enumerate() {
                let taps: &[S::f32s; V] = vectors::<S, V>(taps.as_flattened(), row % H1 * SLOT);
                for (o, sums) in sums.iter_mut().enumerate() {
                    let grad = simd.splat_f32s(grad_output[first + o][x]);
                    for (sum, &taps) in sums.iter_mut().zip(taps) {
                        *sum = simd.mul_add_f32s(taps, grad, *sum);
                    }
                }
            }
            acc[first..first + G].copy_from_slice(&sums);
        }
    }
    for (sums, acc) in sums.iter_mut().zip(&acc) {
        let acc: &[f32] = pulp::bytemuck::cast_slice(acc);
        let count = acc.len().min(FILTER1);
        sums[..count].copy_from_slice(&acc[..count]);
    }
}

/// Copies the five inputs of each output column from each row of the padded image to `taps`: (28, rows, 5).
#[inline(always)]
fn im2col(padded: &[f32], taps: &mut [[[f32; SLOT]; SLOTS]; H1]) {
    for (x, taps) in taps.iter_mut().enumerate() {
        for (slot, row) in taps.iter_mut().zip(padded.chunks_exact(PADDED)) {
            slot[..K].copy_from_slice(window::<_, K>(row, x));
        }
    }
}

/// `grad_output` of conv2 as rows, channels last: (N * 10, 10, 16).
pub type Rows<'a> = &'a [[[f32; C2]; H2]];

/// Computes the sums of conv2 over a range of rows of `grad_output`, for filter row `ky` and input channels `c..c + G`:
/// (G, 5, 16), output channels last. `inputs` is (N, 6, 14, 14). A tile is `V` vectors of output channels.
#[inline(always)]
pub fn conv2<S: Simd, const G: usize, const V: usize>(
    simd: S,
    inputs: &[f32],
    (grad_output, rows): (Rows, Range<usize>),
    (ky, c): (usize, usize),
    sums: &mut [[[f32; C2]; K]; G],
) {
    for first in (0..C2).step_by(V * S::F32_LANES) {
        let mut acc = [[[simd.splat_f32s(0.0); V]; K]; G];
        for at in rows.clone() {
            let (image, y) = (at / H2, at % H2);
            let row = |g: usize| window(inputs, ((image * C1 + c + g) * P1 + y + ky) * P1);
            let mut inputs: [&[f32; P1]; G] = [row(0); G];
            inputs.iter_mut().enumerate().skip(1).for_each(|(g, inputs)| *inputs = row(g));
            for (x, grads) in grad_output[at].iter().enumerate() {
                let grads = *vectors::<S, V>(grads, first);
                for (acc, inputs) in acc.iter_mut().zip(inputs) {
                    for (kx, acc) in acc.iter_mut().enumerate() {
                        let input = simd.splat_f32s(inputs[x + kx]);
                        for (acc, &grad) in acc.iter_mut().zip(&grads) {
                            *acc = simd.mul_add_f32s(input, grad, *acc);
                        }
                    }
                }
            }
        }
        for (sums, acc) in sums.as_flattened_mut().iter_mut().zip(acc.as_flattened()) {
            *vectors_mut::<S, V>(sums, first) = *acc;
        }
    }
}

/// Computes `grad_bias` of conv2 over `rows` of `grad_output`.
#[inline(always)]
pub fn conv2_bias(grad_output: Rows, rows: Range<usize>, sums: &mut [f32; C2]) {
    *sums = [0.0; C2];
    for grad in grad_output[rows].as_flattened() {
        sums.iter_mut().zip(grad).for_each(|(sum, grad)| *sum += grad);
    }
}
