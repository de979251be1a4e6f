//! The layers up to the first fully connected one, image by image.

use std::array;

use pulp::{Arch, Simd, WithSimd};
use tch::Tensor;

use super::order::{self, Bias};
use super::shape::{
    C1, C2, Filters, H1, H2, K, P1, P2, PADDED, PADDING, filters, vectors, vectors_mut, window,
};
use crate::kernels::parallel::in_parts;
use crate::kernels::pool::{pool, relu_avg_pool2d};
use crate::kernels::values::{filled, values, values_mut};

/// What these layers compute of a batch, float32.
#[derive(Debug)]
pub struct Features {
    /// conv1 (N, 6, 28, 28), before ReLU.
    pub conv1: Tensor,
    /// Pooled (N, 6, 14, 14).
    pub pool1: Tensor,
    /// conv2 (N, 16, 10, 10), before ReLU.
    pub conv2: Tensor,
    /// Pooled (N, 16, 5, 5).
    pub pool2: Tensor,
}

/// conv1 → ReLU → pool → conv2 → ReLU → pool of images (N, 1, 28, 28), given the weights and
/// biases of both, float32.
///
/// # Panics
/// For other shapes.
pub fn features(images: &Tensor, parameters: [&Tensor; 4]) -> Features {
    assert_eq!(images.size()[1..], [1, H1 as i64, H1 as i64], "LeNet-5's images");
    let sizes = [C1 * K * K, C1, C2 * C1 * K * K, C2];
    assert_eq!(parameters.map(Tensor::numel), sizes, "LeNet-5's parameters");
    match order::forward(images.size()[0]) {
        Some(bias) => by_hand(images, parameters, bias),
        None => by_libtorch(images, parameters),
    }
}

pub(super) fn by_libtorch(images: &Tensor, [w1, b1, w2, b2]: [&Tensor; 4]) -> Features {
    let conv1 = images.conv2d(w1, Some(b1), 1, PADDING as i64, 1, 1);
    let pool1 = relu_avg_pool2d(&conv1);
    let conv2 = pool1.conv2d(w2, Some(b2), 1, 0, 1, 1);
    let pool2 = relu_avg_pool2d(&conv2);
    Features { conv1, pool1, conv2, pool2 }
}

pub(super) fn by_hand(images: &Tensor, parameters: [&Tensor; 4], bias: Bias) -> Features {
    let n = images.size()[0];
    let empty = |c: usize, h: usize| filled::<f32>(&[n, c as i64, h as i64, h as i64], |_| {});
    let [mut conv1, mut pool1] = [empty(C1, H1), empty(C1, P1)];
    let [mut conv2, mut pool2] = [empty(C2, H2), empty(C2, P2)];
    let written = [&mut conv1, &mut pool1, &mut conv2, &mut pool2].map(values_mut::<f32>);
    let parameters = parameters.map(values::<f32>);
    in_parts((n as usize, 1), written, [values::<f32>(images)], |written, [images]| {
        Arch::new().dispatch(Part { images, parameters, bias, written });
    });
    Features { conv1, pool1, conv2, pool2 }
}

/// Some images, for one thread.
struct Part<'a> {
    images: &'a [f32],
    parameters: [&'a [f32]; 4],
    bias: Bias,
    written: [&'a mut [f32]; 4],
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { images, parameters: [w1, b1, w2, b2], bias, written } = self;
        let [conv1, pool1, conv2, pool2] = written;
        let mut padded = [0.0; PADDED * (PADDED + 1)];
        // A row of outputs lies where the row of inputs does: those behind its end are of no use.
        let mut grid1 = [0.0; C1 * H1 * PADDED];
        let mut inputs2 = [0.0; C1 * P1 * P1 + 2 * LONGEST];
        let mut grid2 = [0.0; C2 * GRID2];
        let images = images.chunks_exact(H1 * H1);
        let first = conv1.chunks_exact_mut(C1 * H1 * H1).zip(pool1.chunks_exact_mut(C1 * P1 * P1));
        let second = conv2.chunks_exact_mut(C2 * H2 * H2).zip(pool2.chunks_exact_mut(C2 * P2 * P2));
        for ((image, (conv1, pool1)), (conv2, pool2)) in images.zip(first).zip(second) {
            pad(image, &mut padded);
            let b1 = b1.first_chunk().expect("biases");
            convolve::<S, 1, C1, 6, 2, { PADDED * PADDED }, PADDED>(
                simd,
                &padded,
                filters(w1),
                (b1, bias),
                &mut grid1,
            );
            cut(&grid1, H1 * PADDED, PADDED, H1, conv1);
            pool(pool1, conv1, H1);
            inputs2[..pool1.len()].copy_from_slice(pool1);
            let b2 = b2.first_chunk().expect("biases");
            convolve::<S, C1, C2, 4, 3, { P1 * P1 }, P1>(
                simd,
                &inputs2,
                filters(w2),
                (b2, bias),
                &mut grid2,
            );
            cut(&grid2, GRID2, P1, H2, conv2);
            pool(pool2, conv2, H2);
        }
    }
}

/// Lanes of the longest vectors.
const LONGEST: usize = 16;
/// Outputs of a filter of conv2 with those of no use: whole groups of three vectors.
const GRID2: usize = (H2 * P1).next_multiple_of(3 * LONGEST);

/// An image within a border of zeros, which `padded` has.
#[inline(always)]
pub(super) fn pad(image: &[f32], padded: &mut [f32]) {
    let rows = padded.chunks_exact_mut(PADDED).skip(PADDING);
    for (row, pixels) in rows.zip(image.chunks_exact(H1)) {
        row[PADDING..PADDING + H1].copy_from_slice(pixels);
    }
}

/// Rows of `width` values out of planes of `plane` values, whose rows lie `stride` apart.
#[inline(always)]
fn cut(grid: &[f32], plane: usize, stride: usize, width: usize, cut: &mut [f32]) {
    let planes = cut.chunks_exact_mut(width * width).zip(grid.chunks_exact(plane));
    for (cut, grid) in planes {
        for (cut, row) in cut.chunks_exact_mut(width).zip(grid.chunks(stride)) {
            cut.copy_from_slice(&row[..width]);
        }
    }
}

/// The outputs of all filters, at as many places as `outputs` has for each. The chain of an output
/// goes through the filter row by row, and at each of its places through the channels. `G` filters
/// and `V` vectors of places are worked on at once. Input planes are `PLANE` apart, rows `W`.
#[inline(always)]
fn convolve<
    S: Simd,
    const C: usize,
    const O: usize,
    const G: usize,
    const V: usize,
    const PLANE: usize,
    const W: usize,
>(
    simd: S,
    input: &[f32],
    weight: &Filters<f32, O, C>,
    (biases, order): (&[f32; O], Bias),
    outputs: &mut [f32],
) {
    const { assert!(O.is_multiple_of(G)) };
    let count = outputs.len() / O;
    for first in (0..O).step_by(G) {
        let weight: &Filters<f32, G, C> = window(weight, first);
        let biases = window::<_, G>(biases, first).map(|bias| simd.splat_f32s(bias));
        for start in (0..count).step_by(V * S::F32_LANES) {
            let mut sums = match order {
                Bias::First => biases.map(|bias| [bias; V]),
                Bias::Last => [[simd.splat_f32s(0.0); V]; G],
            };
            for ky in 0..K {
                for kx in 0..K {
                    for c in 0..C {
                        let at = c * PLANE + start + ky * W + kx;
                        let inputs: &[S::f32s; V] = vectors::<S, V>(input, at);
                        let weights: [S::f32s; G] =
                            array::from_fn(|o| simd.splat_f32s(weight[o][c][ky][kx]));
                        for (sums, weight) in sums.iter_mut().zip(weights) {
                            for (sum, &input) in sums.iter_mut().zip(inputs) {
                                *sum = simd.mul_add_f32s(weight, input, *sum);
                            }
                        }
                    }
                }
            }
            for (o, (mut sums, bias)) in sums.into_iter().zip(biases).enumerate() {
                if order == Bias::Last {
                    sums = sums.map(|sum| simd.add_f32s(sum, bias));
                }
                *vectors_mut::<S, V>(outputs, (first + o) * count + start) = sums;
            }
        }
    }
}
