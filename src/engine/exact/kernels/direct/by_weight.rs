//! The gradients by the filters and biases of both convolutions. Each element is a chain over all
//! images, row by row and in a row from left to right; or several, each over a run of rows, whose
//! sums are added in order.

use std::array;
use std::ops::Range;

use pulp::Simd;

use super::features::pad;
use super::shape::{Aligned, C1, C2, H1, H2, K, P1, PADDED, vectors, window};

/// Elements of the gradients of one filter of conv1, and of its bias: those of a row of the filter in
/// a slot of their own.
pub const FILTER1: usize = 6 * SLOT;
/// Elements of a slot.
pub const SLOT: usize = 8;
/// Slots of a place: one beyond the rows of the padded image, for the last vector, and so many that each place
/// begins at a line of the cache.
const SLOTS: usize = (PADDED + 1).next_multiple_of(2);
/// The element that holds the gradient by the bias: the slot's first that the row leaves free.
pub const BIAS1: usize = K;

/// conv1's part of the sums that `rows` of the gradient by its output give, (6, [`FILTER1`]). `row`
/// gives one row of that gradient, (6, 28); `V` vectors hold a filter, and `G` filters are worked on
/// at once.
#[inline(always)]
pub fn filters1<S: Simd, const V: usize, const G: usize>(
    simd: S,
    images: &[f32],
    rows: Range<usize>,
    row: impl Fn(usize) -> [[f32; H1]; C1],
    sums: &mut [[f32; FILTER1]; C1],
) {
    const { assert!(C1.is_multiple_of(G)) };
    let mut padded = [0.0; PADDED * (PADDED + 1)];
    let Aligned(taps) = &mut Aligned([[[0.0; SLOT]; SLOTS]; H1]);
    // One times the gradient is the bias's.
    taps.iter_mut().flatten().for_each(|slot| slot[BIAS1] = 1.0);
    let mut acc = [[simd.splat_f32s(0.0); V]; C1];
    let mut image = usize::MAX;
    for at in rows {
        if at / H1 != image {
            image = at / H1;
            pad(&images[image * H1 * H1..][..H1 * H1], &mut padded);
            spread(&padded, taps);
        }
        let gradients = row(at);
        for first in (0..C1).step_by(G) {
            let mut sums: [[S::f32s; V]; G] = *window(&acc, first);
            for (x, taps) in taps.iter().enumerate() {
                let taps: &[S::f32s; V] = vectors::<S, V>(taps.as_flattened(), at % H1 * SLOT);
                for (o, sums) in sums.iter_mut().enumerate() {
                    let by = simd.splat_f32s(gradients[first + o][x]);
                    for (sum, &taps) in sums.iter_mut().zip(taps) {
                        *sum = simd.mul_add_f32s(taps, by, *sum);
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

/// What each place of a row of the output takes from each row of the padded image.
#[inline(always)]
fn spread(padded: &[f32], taps: &mut [[[f32; SLOT]; SLOTS]; H1]) {
    for (x, taps) in taps.iter_mut().enumerate() {
        for (slot, row) in taps.iter_mut().zip(padded.chunks_exact(PADDED)) {
            slot[..K].copy_from_slice(window::<_, K>(row, x));
        }
    }
}

/// The gradient by conv2's output with the channels of a place together, (N, 10, 10, 16), row by row.
pub type Rows<'a> = &'a [[[f32; C2]; H2]];

/// conv2's sums over `rows` for row `ky` of the filters and the input channels from `c` on:
/// (G, 5, 16), the filters last. The input is (N, 6, 14, 14).
#[inline(always)]
pub fn filters2<S: Simd, const G: usize>(
    simd: S,
    inputs: &[f32],
    by_output: Rows,
    rows: Range<usize>,
    (ky, c): (usize, usize),
    sums: &mut [[[f32; C2]; K]; G],
) {
    for first in (0..C2).step_by(S::F32_LANES) {
        let mut acc = [[simd.splat_f32s(0.0); K]; G];
        for at in rows.clone() {
            let (image, y) = (at / H2, at % H2);
            let inputs: [&[f32; P1]; G] =
                array::from_fn(|g| window(inputs, ((image * C1 + c + g) * P1 + y + ky) * P1));
            for (x, by) in by_output[at].iter().enumerate() {
                let [by] = *vectors::<S, 1>(by, first);
                for (acc, inputs) in acc.iter_mut().zip(inputs) {
                    for (kx, acc) in acc.iter_mut().enumerate() {
                        *acc = simd.mul_add_f32s(simd.splat_f32s(inputs[x + kx]), by, *acc);
                    }
                }
            }
        }
        for (sums, acc) in sums.as_flattened_mut().iter_mut().zip(acc.as_flattened()) {
            let acc: &[f32] = pulp::bytemuck::cast_slice(std::slice::from_ref(acc));
            sums[first..first + S::F32_LANES].copy_from_slice(acc);
        }
    }
}

/// conv2's sums over `rows` for the biases.
#[inline(always)]
pub fn bias2(by_output: Rows, rows: Range<usize>, sums: &mut [f32; C2]) {
    *sums = [0.0; C2];
    for by in by_output[rows].as_flattened() {
        sums.iter_mut().zip(by).for_each(|(sum, by)| *sum += by);
    }
}
