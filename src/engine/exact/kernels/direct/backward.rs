//! The backward pass of both convolutions, from `grad_pool2` to the gradients of their parameters.

use std::array;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use tch::Tensor;

use super::features::Features;
use super::grad_input::{GradInput, GradOutput};
use super::grad_weight::{self, BIAS1, FILTER1, Rows, SLOT};
use super::layout::{Hwoi, nhwc_to_nchw, oihw_to_hwoi};
use super::order::{Backward, RowPartition};
use super::shape::{C1, C2, H1, H2, K, P1, P2, PADDING, filters};
use crate::engine::exact::kernels::pool::{
    avg_pool2d_backward, relu_avg_pool2d_backward, row_backward,
};
use crate::libtorch::{convolution_backward, dispatch, filled, in_parts, values, values_mut};

/// Gradients w.r.t. the parameters of both convolutions, in the shapes of the parameters.
#[derive(Debug)]
pub struct ParameterGradients {
    /// `grad_weight` and `grad_bias` of conv1.
    pub conv1: [Tensor; 2],
    /// `grad_weight` and `grad_bias` of conv2.
    pub conv2: [Tensor; 2],
}

/// Computes the gradients with libtorch, given the images (N, 1, 28, 28), their features, `grad_pool2`
/// (N, 16, 5, 5) and the weights of conv1 and conv2.
pub fn with_libtorch(
    images: &Tensor,
    features: &Features,
    grad_pool2: &Tensor,
    weights: [&Tensor; 2],
) -> ParameterGradients {
    let conv2 = nhwc_to_nchw(&features.conv2);
    let grad_conv2 = relu_avg_pool2d_backward(grad_pool2, &conv2);
    let conv2 = convolution_backward(&grad_conv2, &features.pool1, weights[1], 0, true);
    let grad_conv1 = relu_avg_pool2d_backward(&conv2.grad_input, &features.conv1);
    let conv1 = convolution_backward(&grad_conv1, images, weights[0], PADDING as i64, false);
    ParameterGradients {
        conv1: [conv1.grad_weight, conv1.grad_bias],
        conv2: [conv2.grad_weight, conv2.grad_bias],
    }
}

/// Same as [`with_libtorch`], but computed by the kernels of this module.
pub fn direct(
    images: &Tensor,
    features: &Features,
    grad_pool2: &Tensor,
    weight2: &Tensor,
    order: Backward,
) -> ParameterGradients {
    let [conv1, pool1, conv2] =
        [&features.conv1, &features.pool1, &features.conv2].map(values::<f32>);
    let grads = FeatureGradients::new(conv2, values(grad_pool2), values(weight2), order.block);
    let grad_pool1 = values(&grads.grad_pool1);
    ParameterGradients {
        conv1: conv1_gradients(values(images), conv1, grad_pool1, order.conv1),
        conv2: conv2_gradients(pool1, grads.grad_conv2_rows(), order.conv2),
    }
}

/// Gradients w.r.t. the features.
pub struct FeatureGradients {
    /// (N, 6, 14, 14).
    pub grad_pool1: Tensor,
    /// Channels last: (N, 10, 10, 16).
    grad_conv2: Tensor,
}

impl FeatureGradients {
    /// Computes the gradients from conv2 (N, 10, 10, 16), `grad_pool2` (N, 16, 5, 5) and conv2's weight; `block` is that
    /// of [`Backward`].
    pub fn new(conv2: &[f32], grad_pool2: &[f32], weight: &[f32], block: usize) -> Self {
        let n = conv2.len() / (C2 * H2 * H2);
        let empty = |shape: [usize; 3]| {
            filled::<f32>(&[n, shape[0], shape[1], shape[2]].map(|size| size as i64), |_| {})
        };
        let (mut grad_pool1, mut grad_conv2) = (empty([C1, P1, P1]), empty([H2, H2, C2]));
        let weight = oihw_to_hwoi(filters(weight));
        let written = [values_mut::<f32>(&mut grad_pool1), values_mut(&mut grad_conv2)];
        in_parts((n, 1), written, [conv2, grad_pool2], |written, [conv2, grad_pool2]| {
            let weight = &weight;
            dispatch(FeatureGradTask { conv2, grad_pool2, weight, block, written });
        });
        Self { grad_pool1, grad_conv2 }
    }

    /// The gradient w.r.t. conv2 as rows (N * 10, 10, 16).
    pub fn grad_conv2_rows(&self) -> Rows<'_> {
        values::<f32>(&self.grad_conv2).as_chunks::<C2>().0.as_chunks::<H2>().0
    }
}

/// The task of one thread in [`FeatureGradients::new`]: writes `grad_pool1` and `grad_conv2` of its images.
struct FeatureGradTask<'a> {
    conv2: &'a [f32],
    grad_pool2: &'a [f32],
    weight: &'a Hwoi,
    block: usize,
    written: [&'a mut [f32]; 2],
}

impl WithSimd for FeatureGradTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { conv2, grad_pool2, weight, block, written: [grad_pool1, grad_conv2] } = self;
        let conv2 = conv2.as_chunks::<C2>().0.as_chunks::<H2>().0.as_chunks::<H2>().0;
        let grad_conv2 = grad_conv2.as_chunks_mut::<C2>().0.as_chunks_mut::<H2>().0;
        let grad_conv2 = grad_conv2.as_chunks_mut::<H2>().0;
        let mut grad_input = GradInput::new(simd, weight, block);
        let blocks = grad_conv2.chunks_mut(S::F32_LANES).zip(conv2.chunks(S::F32_LANES));
        let pooled = grad_pool2.chunks(S::F32_LANES * C2 * P2 * P2);
        let written = grad_pool1.chunks_mut(S::F32_LANES * C1 * P1 * P1);
        for (((grad_conv2, conv2), grad_pool2), grad_pool1) in blocks.zip(pooled).zip(written) {
            let images = conv2.iter().zip(grad_pool2.chunks_exact(C2 * P2 * P2));
            for (grad_conv2, (conv2, grad_pool2)) in grad_conv2.iter_mut().zip(images) {
                pool_backward(simd, grad_conv2, conv2, grad_pool2);
            }
            grad_input.write(grad_conv2, grad_pool1);
        }
    }
}

/// Writes the gradient w.r.t. conv2 of one image, given `grad_pool2` (16, 5, 5).
#[inline(always)]
fn pool_backward<S: Simd>(
    simd: S,
    grad_conv2: &mut GradOutput,
    conv2: &GradOutput,
    grad_pool2: &[f32],
) {
    let mut grads = [[[0.0; C2]; P2]; P2];
    for (o, plane) in grad_pool2.chunks_exact(P2 * P2).enumerate() {
        for (grads, &grad) in grads.as_flattened_mut().iter_mut().zip(plane) {
            grads[o] = avg_pool2d_backward(grad);
        }
    }
    let zero = simd.splat_f32s(0.0);
    for (y, (row, xs)) in grad_conv2.iter_mut().zip(conv2).enumerate() {
        for (x, (to, xs)) in row.iter_mut().zip(xs).enumerate() {
            let [xs, grads] = [xs, &grads[y / 2][x / 2]].map(|it| S::as_simd_f32s(it).0);
            for ((to, &x), &grad) in S::as_mut_simd_f32s(to).0.iter_mut().zip(xs).zip(grads) {
                // `relu_backward`, which the compiler does not vectorize here.
                let is_cut = simd.less_than_or_equal_f32s(x, zero);
                *to = simd.select_f32s(is_cut, zero, grad);
            }
        }
    }
}

/// `grad_weight` and `grad_bias` of conv1, given its input (N, 1, 28, 28), its output `conv1`
/// (N, 6, 28, 28) and `grad_pool1` (N, 6, 14, 14).
pub fn conv1_gradients(
    images: &[f32],
    conv1: &[f32],
    grad_pool1: &[f32],
    partition: RowPartition,
) -> [Tensor; 2] {
    let ranges = partition.ranges(conv1.len() / (C1 * H1 * H1), H1);
    let mut sums = vec![[[0.0; FILTER1]; C1]; ranges.len()];
    in_parts((ranges.len(), 1), [&mut sums], [&ranges], |[sums], [ranges]| {
        for (sums, rows) in sums.iter_mut().zip(ranges) {
            let rows = rows.clone();
            dispatch(Conv1GradTask { images, conv1, grad_pool1, rows, sums });
        }
    });
    let [mut weight, mut bias] = [vec![0.0; C1 * K * K], vec![0.0; C1]];
    let total = sum_in_order(&sums);
    let filters = weight.chunks_exact_mut(K * K).zip(&mut bias).zip(&total);
    for ((weight, bias), filter) in filters {
        *bias = filter[BIAS1];
        let slots = filter.chunks_exact(SLOT);
        weight
            .chunks_exact_mut(K)
            .zip(slots)
            .for_each(|(row, slot)| row.copy_from_slice(&slot[..K]));
    }
    [
        Tensor::from_slice(&weight).view([C1 as i64, 1, K as i64, K as i64]),
        Tensor::from_slice(&bias),
    ]
}

/// The task of [`conv1_gradients`] for one range of rows, see [`grad_weight::conv1`].
struct Conv1GradTask<'a> {
    images: &'a [f32],
    conv1: &'a [f32],
    grad_pool1: &'a [f32],
    rows: Range<usize>,
    sums: &'a mut [[f32; FILTER1]; C1],
}

impl WithSimd for Conv1GradTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { images, conv1, grad_pool1, rows, sums } = self;
        let grad_conv1 = |row: usize| {
            let (image, y) = (row / H1, row % H1);
            // A loop, because a closure of `array::from_fn` that is not inlined is compiled without the CPU's vector
            // instructions.
            let mut rows = [[0.0; H1]; C1];
            for (c, row) in rows.iter_mut().enumerate() {
                let plane = image * C1 + c;
                let conv1 = &conv1[(plane * H1 + y) * H1..][..H1];
                let grad_pool1 = &grad_pool1[(plane * P1 + y / 2) * P1..][..P1];
                row_backward(row, conv1, grad_pool1);
            }
            rows
        };
        match S::F32_LANES {
            16 => grad_weight::conv1::<S, 3, C1>(simd, images, rows, grad_conv1, sums),
            _ => grad_weight::conv1::<S, 5, 2>(simd, images, rows, grad_conv1, sums),
        }
    }
}

/// `grad_weight` and `grad_bias` of conv2, given its input `pool1` (N, 6, 14, 14) and `grad_conv2`.
pub fn conv2_gradients(pool1: &[f32], grad_conv2: Rows, partition: RowPartition) -> [Tensor; 2] {
    let ranges = partition.ranges(grad_conv2.len() / H2, H2);
    // Task 0 computes the biases, which is fast: of two threads, the first one has one task more. The others compute one filter row
    // and group of input channels each.
    let tasks: Vec<usize> = (0..=K * C1 / GROUP).collect();
    let mut sums = vec![[[[0.0; C2]; K]; GROUP]; tasks.len()];
    in_parts((tasks.len(), 1), [&mut sums], [&tasks], |[sums], [tasks]| {
        for (sums, &index) in sums.iter_mut().zip(tasks) {
            let ranges = &ranges;
            dispatch(Conv2GradTask { pool1, grad_conv2, ranges, index, sums });
        }
    });
    let mut weight = vec![0.0; C2 * C1 * K * K];
    for (o, filter) in weight.chunks_exact_mut(C1 * K * K).enumerate() {
        for (i, row) in filter.as_chunks_mut::<K>().0.iter_mut().enumerate() {
            let (c, ky) = (i / K, i % K);
            let sums = &sums[1 + (ky * C1 + c) / GROUP][c % GROUP];
            row.iter_mut().zip(sums).for_each(|(weight, sums)| *weight = sums[o]);
        }
    }
    let bias = sums[0][0][0];
    let shape = [C2, C1, K, K].map(|size| size as i64);
    [Tensor::from_slice(&weight).view(shape), Tensor::from_slice(&bias)]
}

/// Input channels per task of [`conv2_gradients`]; it divides their number.
const GROUP: usize = 3;

/// A task of [`conv2_gradients`]: all ranges of rows, for the biases (`index` 0), or for one filter row and one group of input
/// channels.
struct Conv2GradTask<'a> {
    pool1: &'a [f32],
    grad_conv2: Rows<'a>,
    ranges: &'a [Range<usize>],
    index: usize,
    sums: &'a mut [[[f32; C2]; K]; GROUP],
}

impl WithSimd for Conv2GradTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pool1, grad_conv2, ranges, index, sums } = self;
        for (i, rows) in ranges.iter().cloned().enumerate() {
            let mut part = [[[0.0; C2]; K]; GROUP];
            match index.checked_sub(1).map(|group| group * GROUP) {
                None => grad_weight::conv2_bias(grad_conv2, rows, &mut part[0][0]),
                Some(first) => {
                    let (rows, (ky, c)) = ((grad_conv2, rows), (first / C1, first % C1));
                    // The sums of a tile, its gradients and an input fit into the vector registers.
                    if S::F32_LANES == 16 {
                        grad_weight::conv2::<S, GROUP, 1>(simd, pool1, rows, (ky, c), &mut part);
                    } else {
                        for (i, part) in part.iter_mut().enumerate() {
                            let (rows, part) = (rows.clone(), array::from_mut(part));
                            grad_weight::conv2::<S, 1, 2>(simd, pool1, rows, (ky, c + i), part);
                        }
                    }
                }
            }
            accumulate(sums, &part, i);
        }
    }
}

/// Adds all parts, from the first to the last.
fn sum_in_order(parts: &[[[f32; FILTER1]; C1]]) -> [[f32; FILTER1]; C1] {
    let mut total = [[0.0; FILTER1]; C1];
    parts.iter().enumerate().for_each(|(i, part)| accumulate(&mut total, part, i));
    total
}

/// Adds part `i` to the total. Part 0 is copied rather than added to 0, which would turn -0 into 0.
fn accumulate<const N: usize, T: pulp::bytemuck::Pod>(total: &mut [T; N], part: &[T; N], i: usize) {
    let total: &mut [f32] = pulp::bytemuck::cast_slice_mut(total);
    let part: &[f32] = pulp::bytemuck::cast_slice(part);
    for (total, &part) in total.iter_mut().zip(part) {
        *total = if i == 0 { part } else { *total + part };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::exact::kernels::direct::layout::nchw_to_nhwc;
    use crate::engine::exact::kernels::noise::{bits, noise, with_special_values};
    use crate::libtorch::Vectors;

    #[test]
    fn vectors_of_every_length_give_the_same_bits() {
        let weight = oihw_to_hwoi(filters(values(&noise(&[(C2 * C1 * K * K) as i64]))));
        let gradients = |n: usize, block, dispatch: &dyn Fn(FeatureGradTask)| {
            let sizes = [H2 * H2 * C2, P2 * P2 * C2].map(|size| noise(&[(n * size) as i64]));
            let [conv2, grad_pool2] = sizes.each_ref().map(values);
            let mut written = [C1 * P1 * P1, H2 * H2 * C2].map(|size| vec![0.0; n * size]);
            let slices = written.each_mut().map(Vec::as_mut_slice);
            let weight = &weight;
            dispatch(FeatureGradTask { conv2, grad_pool2, weight, block, written: slices });
            written.concat().into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        let longest = Vectors::longest();
        for vectors in [Some(longest), longest.half()].into_iter().flatten() {
            let lanes = vectors.lanes();
            for n in [1, lanes / 2, lanes / 2 + 1, lanes, 2 * lanes - 1, 2 * lanes + 1] {
                for block in [8, 16] {
                    let actual = gradients(n, block, &|task| vectors.dispatch(task));
                    let single = gradients(n, block, &|task| task.with_simd(pulp::Scalar::new()));
                    assert!(actual == single, "{lanes} lanes, {n} images, block {block}");
                }
            }
        }
    }

    #[test]
    fn special_values_have_the_bits_of_pooling_and_relu() {
        let conv2 = with_special_values(&noise(&[3, C2 as i64, H2 as i64, H2 as i64]));
        let grad_pool2 = with_special_values(&noise(&[3, C2 as i64, P2 as i64, P2 as i64]));
        let weight = noise(&[(C2 * C1 * K * K) as i64]);
        let nhwc = nchw_to_nhwc(&conv2);
        let read = [&nhwc, &grad_pool2, &weight].map(values);
        let grads = FeatureGradients::new(read[0], read[1], read[2], 8);
        let expected = relu_avg_pool2d_backward(&grad_pool2, &conv2);
        assert_eq!(bits(&nhwc_to_nchw(&grads.grad_conv2)), bits(&expected));
    }
}
