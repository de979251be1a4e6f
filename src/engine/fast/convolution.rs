//! 5x5 convolutions with stride 1, fused with ReLU and 2x2 average pooling, forward and backward. All activations belong
//! to one block of images, one image per lane.

use pulp::Simd;

use super::shape::Planes;
use crate::engine::exact::kernels::direct::shape::{Filters, K, window};

/// Computes `conv = relu(conv2d(input, weight, bias))` and `pooled = avg_pool2d(conv, 2)`. The input
/// (C, W, W) is already padded. A tile is `G` filters; `G` divides O.
#[inline(always)]
pub fn forward<
    S: Simd,
    const C: usize,
    const O: usize,
    const W: usize,
    const H: usize,
    const P: usize,
    const G: usize,
>(
    simd: S,
    input: &Planes<S::f32s, C, W, W>,
    weight: &Filters<f32, O, C>,
    bias: &[f32; O],
    conv: &mut Planes<S::f32s, O, H, H>,
    pooled: &mut Planes<S::f32s, O, P, P>,
) {
    const { assert!(O.is_multiple_of(G) && W == H + K - 1 && H == 2 * P) };
    let zero = simd.splat_f32s(0.0);
    let quarter = simd.splat_f32s(0.25);
    for first in (0..O).step_by(G) {
        let weight: &Filters<f32, G, C> = window(weight, first);
        let bias: &[f32; G] = window(bias, first);
        for y in 0..P {
            for x in 0..P {
                // Loops, because a closure that is not inlined is compiled without the CPU's vector instructions.
                let mut start = [[zero; 4]; G];
                for (sums, &bias) in start.iter_mut().zip(bias) {
                    *sums = [simd.splat_f32s(bias); 4];
                }
                let sums = quad(simd, input, weight, (2 * y, 2 * x), start);
                for (o, mut sums) in sums.into_iter().enumerate() {
                    for sum in &mut sums {
                        *sum = simd.max_f32s(zero, *sum);
                    }
                    let [a, b, c, d] = sums;
                    let plane = &mut conv[first + o];
                    (plane[2 * y][2 * x], plane[2 * y][2 * x + 1]) = (a, b);
                    (plane[2 * y + 1][2 * x], plane[2 * y + 1][2 * x + 1]) = (c, d);
                    let sum = simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d));
                    pooled[first + o][y][x] = simd.mul_f32s(sum, quarter);
                }
            }
        }
    }
}

/// Adds the convolution at the four positions of the pooling window with the top left corner (y, x) to `sums`.
#[inline(always)]
fn quad<S: Simd, const C: usize, const W: usize, const G: usize>(
    simd: S,
    input: &Planes<S::f32s, C, W, W>,
    weight: &Filters<f32, G, C>,
    (y, x): (usize, usize),
    mut sums: [[S::f32s; 4]; G],
) -> [[S::f32s; 4]; G] {
    for c in 0..C {
        for ky in 0..K {
            let upper: &[S::f32s; K + 1] = window(&input[c][y + ky], x);
            let lower: &[S::f32s; K + 1] = window(&input[c][y + ky + 1], x);
            for kx in 0..K {
                let inputs = [upper[kx], upper[kx + 1], lower[kx], lower[kx + 1]];
                for (sums, weight) in sums.iter_mut().zip(weight) {
                    let weight = simd.splat_f32s(weight[c][ky][kx]);
                    for (sum, input) in sums.iter_mut().zip(inputs) {
                        *sum = simd.mul_add_f32s(weight, input, *sum);
                    }
                }
            }
        }
    }
    sums
}

/// The backward pass of ReLU and pooling: writes rows `2 * y` and `2 * y + 1` of `grad_conv`: a quarter of `grad_pooled`
/// where `conv > 0`, else 0. Columns start at index `margin`.
#[inline(always)]
pub fn relu_avg_pool2d_backward<S: Simd, const H: usize, const P: usize, const M: usize>(
    simd: S,
    conv: &[[S::f32s; H]; H],
    grad_pooled: &[[S::f32s; P]; P],
    y: usize,
    margin: usize,
    rows: &mut [[S::f32s; M]; 2],
) {
    let zero = simd.splat_f32s(0.0);
    let quarter = simd.splat_f32s(0.25);
    for (row, conv) in rows.iter_mut().zip([&conv[2 * y], &conv[2 * y + 1]]) {
        let row: &mut [S::f32s; H] =
            row[margin..].first_chunk_mut().expect("a row after the margin");
        let pairs = row.as_chunks_mut::<2>().0.iter_mut().zip(conv.as_chunks::<2>().0);
        for ((pair, conv), &grad) in pairs.zip(&grad_pooled[y]) {
            let grad = simd.mul_f32s(grad, quarter);
            for (out, &conv) in pair.iter_mut().zip(conv) {
                *out = simd.select_f32s(simd.greater_than_f32s(conv, zero), grad, zero);
            }
        }
    }
}

/// Adds the contribution of `R` rows of `grad_output`, from row `y` on, to `grad_weight`, lane by lane. A tile is `G`
/// filters.
#[inline(always)]
pub fn grad_weight<
    S: Simd,
    const C: usize,
    const O: usize,
    const W: usize,
    const R: usize,
    const M: usize,
    const H: usize,
    const G: usize,
>(
    simd: S,
    input: &Planes<S::f32s, C, W, W>,
    grad_output: &[[[S::f32s; M]; R]; O],
    margin: usize,
    y: usize,
    grad_weight: &mut Filters<S::f32s, O, C>,
) {
    const { assert!(O.is_multiple_of(G) && W == H + K - 1 && M >= H) };
    for first in (0..O).step_by(G) {
        for c in 0..C {
            for ky in 0..K {
                // Loops, see `dots` in linear.rs.
                let mut acc = [grad_weight[first][c][ky]; G];
                for (acc, filter) in acc.iter_mut().zip(&grad_weight[first..]) {
                    *acc = filter[c][ky];
                }
                for r in 0..R {
                    let row = &input[c][y + r + ky];
                    let mut grads: [&[S::f32s; H]; G] = [window(&grad_output[first][r], margin); G];
                    for (grads, plane) in grads.iter_mut().zip(&grad_output[first..]) {
                        *grads = window(&plane[r], margin);
                    }
                    for x in 0..H {
                        let inputs: &[S::f32s; K] = window(row, x);
                        for (acc, grad) in acc.iter_mut().zip(grads) {
                            for (sum, &input) in acc.iter_mut().zip(inputs) {
                                *sum = simd.mul_add_f32s(grad[x], input, *sum);
                            }
                        }
                    }
                }
                for (o, acc) in acc.into_iter().enumerate() {
                    grad_weight[first + o][c][ky] = acc;
                }
            }
        }
    }
}

/// Adds the sum of `R` rows of `grad_output` to `grad_bias`, lane by lane.
#[inline(always)]
pub fn grad_bias<S: Simd, const O: usize, const R: usize, const M: usize>(
    simd: S,
    grad_output: &[[[S::f32s; M]; R]; O],
    grad_bias: &mut [S::f32s; O],
) {
    for (sum, rows) in grad_bias.iter_mut().zip(grad_output) {
        // Two independent sums; a row has an even number of columns.
        let mut pair = [*sum, simd.splat_f32s(0.0)];
        for values in rows.as_flattened().as_chunks::<2>().0 {
            pair = [simd.add_f32s(pair[0], values[0]), simd.add_f32s(pair[1], values[1])];
        }
        *sum = simd.add_f32s(pair[0], pair[1]);
    }
}

/// Computes `grad_input` (C, W, W). `grad_output` (O, H, M) has a column of zeros on both sides
/// (M = H + 2).
#[inline(always)]
pub fn grad_input<
    S: Simd,
    const C: usize,
    const O: usize,
    const W: usize,
    const H: usize,
    const M: usize,
>(
    simd: S,
    grad_output: &[[[S::f32s; M]; H]; O],
    weight: &Filters<f32, O, C>,
    grad_input: &mut Planes<S::f32s, C, W, W>,
) {
    const { assert!(W == H + K - 1 && M == H + 2 && W.is_multiple_of(2)) };
    for y in 0..W {
        // Filter rows and columns that overlap grad_output.
        let kys = y.saturating_sub(H - 1)..(y + 1).min(K);
        for x in (0..W).step_by(2) {
            let kxs = x.saturating_sub(H - 1)..(x + 2).min(K);
            let mut sums = [[simd.splat_f32s(0.0); 2]; C];
            for (grad_output, weight) in grad_output.iter().zip(weight) {
                for ky in kys.clone() {
                    let row = &grad_output[y - ky];
                    for kx in kxs.clone() {
                        // Index 0 of a row is the column of zeros, x - kx = -1.
                        let grads: &[S::f32s; 2] = window(row, x + 1 - kx);
                        for (sums, weight) in sums.iter_mut().zip(weight) {
                            let weight = simd.splat_f32s(weight[ky][kx]);
                            for (sum, &grad) in sums.iter_mut().zip(grads) {
                                *sum = simd.mul_add_f32s(weight, grad, *sum);
                            }
                        }
                    }
                }
            }
            for (plane, sums) in grad_input.iter_mut().zip(sums) {
                plane[y][x..x + 2].copy_from_slice(&sums);
            }
        }
    }
}
