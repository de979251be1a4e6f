//! The forward pass up to pool2, image by image.

use pulp::{Simd, WithSimd};
use tch::Tensor;

use super::layout::{Hwio, nchw_to_nhwc, oihw_to_hwio, pad};
use super::order::Bias;
use super::shape::{
    Aligned, C1, C2, Filters, H1, H2, K, P1, P2, PADDED, PADDING, filters, vectors, vectors_mut,
};
use crate::engine::exact::kernels::pool::{pool_planes, pool_window, relu_avg_pool2d};
use crate::engine::window::window;
use crate::libtorch::{dispatch, filled, in_parts, values, values_mut};

/// The activations up to pool2 for a batch, float32.
#[derive(Debug)]
pub struct Features {
    /// conv1 (N, 6, 28, 28), before ReLU.
    pub conv1: Tensor,
    /// pool1 (N, 6, 14, 14).
    pub pool1: Tensor,
    /// conv2 (N, 10, 10, 16), channels last, before ReLU.
    pub conv2: Tensor,
    /// pool2 (N, 16, 5, 5).
    pub pool2: Tensor,
}

/// Computes the features of images (N, 1, 28, 28) with libtorch; `[w1, b1, w2, b2]` are the weights and biases of conv1
/// and conv2.
pub fn with_libtorch(images: &Tensor, [w1, b1, w2, b2]: [&Tensor; 4]) -> Features {
    let conv1 = images.conv2d(w1, Some(b1), 1, PADDING as i64, 1, 1);
    let pool1 = relu_avg_pool2d(&conv1);
    let conv2 = pool1.conv2d(w2, Some(b2), 1, 0, 1, 1);
    let pool2 = relu_avg_pool2d(&conv2);
    Features { conv1, pool1, conv2: nchw_to_nhwc(&conv2), pool2 }
}

/// Same as [`with_libtorch`], but computed by the kernels of this module.
pub fn direct(images: &Tensor, parameters: [&Tensor; 4], bias: Bias) -> Features {
    let n = images.size()[0];
    let empty = |c: usize, h: usize| filled::<f32>(&[n, c as i64, h as i64, h as i64], |_| {});
    let [mut conv1, mut pool1] = [empty(C1, H1), empty(C1, P1)];
    let mut conv2 = filled::<f32>(&[n, H2 as i64, H2 as i64, C2 as i64], |_| {});
    let mut pool2 = empty(C2, P2);
    let written = [&mut conv1, &mut pool1, &mut conv2, &mut pool2].map(values_mut::<f32>);
    let [w1, b1, w2, b2] = parameters.map(values::<f32>);
    let weights = (filters(w1), &Aligned(oihw_to_hwio(filters(w2))));
    let biases = (b1.first_chunk().expect("biases"), b2.first_chunk().expect("biases"));
    in_parts((n as usize, 1), written, [values::<f32>(images)], |written, [images]| {
        dispatch(FeaturesTask { images, weights, biases, order: bias, written });
    });
    Features { conv1, pool1, conv2, pool2 }
}

/// The task of one thread: writes conv1, pool1, conv2 and pool2 of its images.
struct FeaturesTask<'a> {
    images: &'a [f32],
    weights: (&'a Filters<f32, C1, 1>, &'a Aligned<Hwio>),
    biases: (&'a [f32; C1], &'a [f32; C2]),
    order: Bias,
    written: [&'a mut [f32]; 4],
}

impl WithSimd for FeaturesTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { images, weights: (w1, Aligned(w2)), biases: (b1, b2), order, written } = self;
        let [conv1, pool1, conv2, pool2] = written;
        let Aligned(padded) = &mut Aligned([0.0; PADDED * PADDED]);
        let images = images.chunks_exact(H1 * H1);
        let first = conv1.chunks_exact_mut(C1 * H1 * H1).zip(pool1.chunks_exact_mut(C1 * P1 * P1));
        let conv2 = conv2.as_chunks_mut::<C2>().0.as_chunks_mut::<H2>().0;
        let second = conv2.chunks_exact_mut(H2).zip(pool2.chunks_exact_mut(C2 * P2 * P2));
        for ((image, (conv1, pool1)), (conv2, pool2)) in images.zip(first).zip(second) {
            pad(image, padded);
            convolve1::<S, 2>(simd, padded, w1, (b1, order), conv1);
            pool_planes::<H1>(pool1, conv1);
            // The sums of a tile, its weights and an input fit into the vector registers.
            match S::F32_LANES {
                16 => convolve2::<S, 2, H2, 1>(simd, pool1, w2, (b2, order), conv2),
                _ => convolve2::<S, 1, { H2 / 2 }, 2>(simd, pool1, w2, (b2, order), conv2),
            }
            pool_nhwc(pool2, conv2);
        }
    }
}

/// Computes conv1 (6, 28, 28) of a padded image. An output is one chain of fused multiply-adds over
/// filter rows, then columns. A tile is `V` vectors of a row of outputs, for all filters.
#[inline(always)]
fn convolve1<S: Simd, const V: usize>(
    simd: S,
    padded: &[f32],
    weight: &Filters<f32, C1, 1>,
    (biases, order): (&[f32; C1], Bias),
    outputs: &mut [f32],
) {
    for y in 0..H1 {
        for first in (0..H1).step_by(V * S::F32_LANES) {
            // The last vectors end at the end of the row, so elements that two vectors cover are computed twice.
            let last = H1 - S::F32_LANES;
            let mut xs = [0; V];
            for (v, x) in xs.iter_mut().enumerate() {
                *x = (first + v * S::F32_LANES).min(last);
            }
            let mut sums = [[simd.splat_f32s(0.0); V]; C1];
            if order == Bias::First {
                for (sums, &bias) in sums.iter_mut().zip(biases) {
                    *sums = [simd.splat_f32s(bias); V];
                }
            }
            for ky in 0..K {
                for kx in 0..K {
                    let row = &padded[(y + ky) * PADDED + kx..];
                    for (sums, filter) in sums.iter_mut().zip(weight) {
                        let weight = simd.splat_f32s(filter[0][ky][kx]);
                        for (sum, &x) in sums.iter_mut().zip(&xs) {
                            let [input] = *vectors::<S, 1>(row, x);
                            *sum = simd.mul_add_f32s(weight, input, *sum);
                        }
                    }
                }
            }
            for (o, (sums, &bias)) in sums.iter_mut().zip(biases).enumerate() {
                let row = &mut outputs[(o * H1 + y) * H1..][..H1];
                for (sum, &x) in sums.iter_mut().zip(&xs) {
                    if order == Bias::Last {
                        *sum = simd.add_f32s(*sum, simd.splat_f32s(bias));
                    }
                    *vectors_mut::<S, 1>(row, x) = [*sum];
                }
            }
        }
    }
}

/// Computes conv2 (10, 10, 16) of inputs (6, 14, 14). An output is one chain of fused multiply-adds over
/// filter rows, then columns, then input channels. A vector holds output channels; a tile is `R` rows, `T` columns and `V`
/// vectors.
#[inline(always)]
fn convolve2<S: Simd, const R: usize, const T: usize, const V: usize>(
    simd: S,
    inputs: &[f32],
    weight: &Hwio,
    (biases, order): (&[f32; C2], Bias),
    outputs: &mut [[[f32; C2]; H2]],
) {
    const { assert!(H2.is_multiple_of(R) && H2.is_multiple_of(T)) };
    for first in (0..C2).step_by(V * S::F32_LANES) {
        let biases = *vectors::<S, V>(biases, first);
        let initial = if order == Bias::First { biases } else { [simd.splat_f32s(0.0); V] };
        for (y, rows) in outputs.as_chunks_mut::<R>().0.iter_mut().enumerate() {
            for x in (0..H2).step_by(T) {
                let mut sums = [[initial; T]; R];
                for (ky, weight) in weight.iter().enumerate() {
                    for (kx, weight) in weight.iter().enumerate() {
                        for (c, weight) in weight.iter().enumerate() {
                            let weights = *vectors::<S, V>(weight, first);
                            for (r, sums) in sums.iter_mut().enumerate() {
                                let start = (c * P1 + y * R + r + ky) * P1 + kx + x;
                                let inputs: &[f32; T] = window(inputs, start);
                                for (sums, &input) in sums.iter_mut().zip(inputs) {
                                    let input = simd.splat_f32s(input);
                                    for (sum, &weight) in sums.iter_mut().zip(&weights) {
                                        *sum = simd.mul_add_f32s(input, weight, *sum);
                                    }
                                }
                            }
                        }
                    }
                }
                for (row, sums) in rows.iter_mut().zip(&sums) {
                    for (output, sums) in row[x..].iter_mut().zip(sums) {
                        let output = vectors_mut::<S, V>(output, first);
                        for ((output, &sum), &bias) in output.iter_mut().zip(sums).zip(&biases) {
                            let is_last = order == Bias::Last;
                            *output = if is_last { simd.add_f32s(sum, bias) } else { sum };
                        }
                    }
                }
            }
        }
    }
}

/// Applies ReLU and 2x2 average pooling to (10, 10, 16); writes (16, 5, 5).
#[inline(always)]
fn pool_nhwc(pooled: &mut [f32], xs: &[[[f32; C2]; H2]]) {
    for (y, [upper, lower]) in xs.as_chunks::<2>().0.iter().enumerate() {
        let windows = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (x, ([a, b], [c, d])) in windows.enumerate() {
            let mut means = [0.0; C2];
            for (o, mean) in means.iter_mut().enumerate() {
                *mean = pool_window([a[o], b[o], c[o], d[o]]);
            }
            for (plane, mean) in pooled.chunks_exact_mut(P2 * P2).zip(means) {
                plane[y * P2 + x] = mean;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::exact::kernels::noise::noise;

    /// The bits of all activations of one image, layer by layer.
    fn outputs(order: Bias, dispatch: impl FnOnce(FeaturesTask)) -> Vec<u32> {
        let [image, w1, w2] = [H1 * H1, C1 * K * K, C2 * C1 * K * K].map(|n| noise(&[n as i64]));
        let (b1, b2) = (noise(&[C1 as i64]), noise(&[C2 as i64]));
        let sizes = [C1 * H1 * H1, C1 * P1 * P1, C2 * H2 * H2, C2 * P2 * P2];
        let mut written = sizes.map(|size| vec![0.0; size]);
        dispatch(FeaturesTask {
            images: values(&image),
            weights: (filters(values(&w1)), &Aligned(oihw_to_hwio(filters(values(&w2))))),
            biases: (values(&b1).first_chunk().unwrap(), values(&b2).first_chunk().unwrap()),
            order,
            written: written.each_mut().map(Vec::as_mut_slice),
        });
        written.concat().into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn vectors_of_every_length_give_the_same_bits() {
        for order in [Bias::First, Bias::Last] {
            let longest = outputs(order, |task| dispatch(task));
            let single = outputs(order, |task| task.with_simd(pulp::Scalar::new()));
            assert!(longest == single, "{order:?}");
        }
    }
}
