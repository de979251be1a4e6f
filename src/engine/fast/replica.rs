//! One thread's part of a step: the forward and backward pass of its images, block by block.

use std::array;
use std::ops::Range;

use aligned_vec::{AVec, avec};
use pulp::{Arch, Simd, WithSimd};

use super::convolution;
use super::shape::{planes, planes_mut};
use super::{linear, loss};
use crate::dataset::{CLASSES, PIXELS, SIDE};
use crate::engine::exact::kernels::direct::shape::{
    C1, C2, Filters, H2, K, P1, P2, PADDED, PADDING, filters,
};
use crate::libtorch::lanes;

/// Numbers of outputs of the fully connected layers, and number of inputs of the first.
const FC1: usize = 120;
const FC2: usize = 84;
const FLAT: usize = C2 * P2 * P2;

/// The range of each parameter in the flat tensor of all parameters, in definition order.
pub type ParameterRanges = [Range<usize>; 10];

/// The images and labels of a batch that one replica processes.
#[derive(Debug, Clone, Copy)]
pub struct BatchPart<'a> {
    /// N x 784 bytes.
    pub pixels: &'a [u8],
    /// N labels.
    pub labels: &'a [u8],
    /// Number of images in the whole batch, over which the loss is averaged.
    pub batch_size: usize,
}

/// One thread's gradients and buffers, which each step overwrites. Every buffer starts at a cache line.
#[derive(Debug)]
pub struct Replica {
    /// Sum of the losses of this replica's images.
    pub loss: f64,
    /// Gradients of the mean loss of the whole batch, summed over this replica's images, in the layout
    /// of the parameters.
    pub gradients: AVec<f32>,
    buffers: Buffers,
}

/// Activations of one block, and the gradients w.r.t. them.
#[derive(Debug)]
struct Buffers {
    image: AVec<f32>,
    conv1: AVec<f32>,
    pool1: AVec<f32>,
    conv2: AVec<f32>,
    pool2: AVec<f32>,
    fc1: AVec<f32>,
    fc2: AVec<f32>,
    logits: AVec<f32>,
    transposed: AVec<f32>,
    grad_conv2: AVec<f32>,
    grad_pool1: AVec<f32>,
    grad_pool2: AVec<f32>,
    grad_fc1: AVec<f32>,
    grad_fc2: AVec<f32>,
    /// Gradients w.r.t. the parameters of the convolutions, lane by lane, summed over all blocks.
    grad_weight1: AVec<f32>,
    grad_bias1: AVec<f32>,
    grad_weight2: AVec<f32>,
    grad_bias2: AVec<f32>,
}

fn zeros(count: usize, lanes: usize) -> AVec<f32> {
    avec![0.0; count * lanes]
}

impl Buffers {
    fn new(lanes: usize) -> Self {
        let of = |count| zeros(count, lanes);
        Self {
            image: of(PADDED * PADDED),
            conv1: of(C1 * SIDE * SIDE),
            pool1: of(C1 * P1 * P1),
            conv2: of(C2 * H2 * H2),
            pool2: of(FLAT),
            fc1: of(FC1),
            fc2: of(FC2),
            logits: of(CLASSES),
            transposed: of(linear::stride(FLAT, lanes)),
            grad_conv2: of(C2 * H2 * (H2 + 2)),
            grad_pool1: of(C1 * P1 * P1),
            grad_pool2: of(FLAT),
            grad_fc1: of(FC1),
            grad_fc2: of(FC2),
            grad_weight1: of(C1 * K * K),
            grad_bias1: of(C1),
            grad_weight2: of(C2 * C1 * K * K),
            grad_bias2: of(C2),
        }
    }
}

impl Replica {
    /// Allocates the buffers for a flat tensor of this many parameters.
    pub fn new(parameters: usize) -> Self {
        Self { loss: 0.0, gradients: zeros(parameters, 1), buffers: Buffers::new(lanes()) }
    }

    /// Computes the forward and backward pass; overwrites loss and gradients.
    pub fn forward_backward(
        &mut self,
        parameters: &[f32],
        ranges: &ParameterRanges,
        batch: BatchPart,
    ) {
        Arch::new().dispatch(ForwardBackward { replica: self, parameters, ranges, batch });
    }
}

struct ForwardBackward<'a> {
    replica: &'a mut Replica,
    parameters: &'a [f32],
    ranges: &'a ParameterRanges,
    batch: BatchPart<'a>,
}

impl WithSimd for ForwardBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { replica, parameters, ranges, batch } = self;
        let Replica { loss, gradients, buffers } = replica;
        *loss = 0.0;
        gradients.fill(0.0);
        let Buffers { grad_weight1, grad_bias1, grad_weight2, grad_bias2, .. } = buffers;
        let sums = [grad_weight1, grad_bias1, grad_weight2, grad_bias2];
        sums.into_iter().for_each(|sums| sums.fill(0.0));
        let layers: [&[f32]; 10] = array::from_fn(|i| &parameters[ranges[i].clone()]);
        let blocks = batch.pixels.chunks(S::F32_LANES * PIXELS);
        for (pixels, labels) in blocks.zip(batch.labels.chunks(S::F32_LANES)) {
            load(buffers, S::F32_LANES, pixels);
            forward(simd, buffers, &layers);
            let logits = &mut buffers.logits;
            *loss += loss::cross_entropy(logits, S::F32_LANES, labels, batch.batch_size);
            backward(simd, buffers, &layers, gradients, ranges);
        }
        let Buffers { grad_weight1, grad_bias1, grad_weight2, grad_bias2, .. } = buffers;
        let sums = [grad_weight1, grad_bias1, grad_weight2, grad_bias2];
        for (range, sums) in ranges.iter().zip(sums) {
            let (sums, _) = S::as_simd_f32s(sums);
            for (sum, &lanes) in gradients[range.clone()].iter_mut().zip(sums) {
                *sum = simd.reduce_sum_f32s(lanes);
            }
        }
    }
}

/// Writes the padded, normalized pixels of a block, one image per lane; lanes without an image are 0.
#[inline(always)]
fn load(buffers: &mut Buffers, lanes: usize, pixels: &[u8]) {
    let normalized: [f32; 256] = array::from_fn(|byte| (byte as f64 / 255.0) as f32);
    let rows = buffers.image.chunks_exact_mut(PADDED * lanes).skip(PADDING).take(SIDE);
    for (y, row) in rows.enumerate() {
        let row = &mut row[PADDING * lanes..(PADDING + SIDE) * lanes];
        row.fill(0.0);
        for (lane, image) in pixels.chunks_exact(PIXELS).enumerate() {
            let bytes = &image[y * SIDE..][..SIDE];
            for (x, &byte) in row[lane..].iter_mut().step_by(lanes).zip(bytes) {
                *x = normalized[usize::from(byte)];
            }
        }
    }
}

#[inline(always)]
fn forward<S: Simd>(simd: S, buffers: &mut Buffers, layers: &[&[f32]; 10]) {
    let Buffers { image, conv1, pool1, conv2, pool2, fc1, fc2, logits, .. } = buffers;
    let [w1, b1, w2, b2, w3, b3, w4, b4, w5, b5] = *layers;
    let image = S::as_simd_f32s(image).0;
    let [conv1, pool1, conv2, pool2, fc1, fc2, logits] =
        [conv1, pool1, conv2, pool2, fc1, fc2, logits].map(|buffer| S::as_mut_simd_f32s(buffer).0);
    convolution::forward::<S, 1, C1, PADDED, SIDE, P1, C1>(
        simd,
        planes(image),
        filters(w1),
        b1.first_chunk().expect("biases"),
        planes_mut(conv1),
        planes_mut(pool1),
    );
    convolution::forward::<S, C1, C2, P1, H2, P2, 4>(
        simd,
        planes(pool1),
        filters(w2),
        b2.first_chunk().expect("biases"),
        planes_mut(conv2),
        planes_mut(pool2),
    );
    linear::forward(simd, pool2, w3, b3, fc1);
    relu(simd, fc1);
    linear::forward(simd, fc1, w4, b4, fc2);
    relu(simd, fc2);
    linear::forward(simd, fc2, w5, b5, logits);
}

/// The backward pass of a block: `buffers.logits` holds the gradient w.r.t. the logits. Adds to
/// `gradients`, and for the convolutions to the lane-wise sums in `buffers`.
#[inline(always)]
fn backward<S: Simd>(
    simd: S,
    buffers: &mut Buffers,
    layers: &[&[f32]; 10],
    gradients: &mut [f32],
    ranges: &ParameterRanges,
) {
    linear_backward(simd, buffers, layers, gradients, ranges);
    conv2_backward(simd, buffers, filters(layers[2]));
    conv1_backward(simd, buffers);
}

/// The backward pass from the gradient w.r.t. the logits to `grad_pool2`.
#[inline(always)]
fn linear_backward<S: Simd>(
    simd: S,
    buffers: &mut Buffers,
    layers: &[&[f32]; 10],
    gradients: &mut [f32],
    ranges: &ParameterRanges,
) {
    let lanes = S::F32_LANES;
    let Buffers { pool2, fc1, fc2, logits, transposed, .. } = buffers;
    let grad_logits = S::as_simd_f32s(logits).0;
    let [grad_fc2, grad_fc1, grad_pool2] =
        [&mut buffers.grad_fc2, &mut buffers.grad_fc1, &mut buffers.grad_pool2]
            .map(|buffer| S::as_mut_simd_f32s(buffer).0);
    let [g3, g4, g5] = linear_gradients(gradients, ranges);

    linear::transpose(fc2, lanes, transposed);
    linear::grad_parameters::<S, 2>(simd, grad_logits, transposed, g5.0, g5.1);
    linear::grad_input(simd, grad_logits, layers[8], grad_fc2);
    relu_backward(simd, S::as_simd_f32s(fc2).0, grad_fc2);

    linear::transpose(fc1, lanes, transposed);
    linear::grad_parameters::<S, 4>(simd, grad_fc2, transposed, g4.0, g4.1);
    linear::grad_input(simd, grad_fc2, layers[6], grad_fc1);
    relu_backward(simd, S::as_simd_f32s(fc1).0, grad_fc1);

    linear::transpose(pool2, lanes, transposed);
    linear::grad_parameters::<S, 4>(simd, grad_fc1, transposed, g3.0, g3.1);
    linear::grad_input(simd, grad_fc1, layers[4], grad_pool2);
}

/// The backward pass from `grad_pool2` to `grad_pool1`.
#[inline(always)]
fn conv2_backward<S: Simd>(simd: S, buffers: &mut Buffers, weight: &Filters<f32, C2, C1>) {
    let Buffers { pool1, conv2, grad_pool2, .. } = buffers;
    let grad_pool2: &[[[S::f32s; P2]; P2]; C2] = planes(S::as_simd_f32s(grad_pool2).0);
    let conv2: &[[[S::f32s; H2]; H2]; C2] = planes(S::as_simd_f32s(conv2).0);
    let grad_conv2: &mut [[[S::f32s; H2 + 2]; H2]; C2] =
        planes_mut(S::as_mut_simd_f32s(&mut buffers.grad_conv2).0);
    for ((grad_conv, conv), grad_pooled) in grad_conv2.iter_mut().zip(conv2).zip(grad_pool2) {
        for (y, rows) in grad_conv.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            convolution::relu_avg_pool2d_backward(simd, conv, grad_pooled, y, 1, rows);
        }
    }
    let pool1 = planes(S::as_simd_f32s(pool1).0);
    let grad_weight2 = filters_mut(S::as_mut_simd_f32s(&mut buffers.grad_weight2).0);
    let grad_bias2 = S::as_mut_simd_f32s(&mut buffers.grad_bias2).0;
    convolution::grad_weight::<S, C1, C2, P1, H2, { H2 + 2 }, H2, 4>(
        simd,
        pool1,
        grad_conv2,
        1,
        0,
        grad_weight2,
    );
    convolution::grad_bias(simd, grad_conv2, grad_bias2.first_chunk_mut().expect("biases"));
    let grad_pool1 = S::as_mut_simd_f32s(&mut buffers.grad_pool1).0;
    convolution::grad_input::<S, C1, C2, P1, H2, { H2 + 2 }>(
        simd,
        grad_conv2,
        weight,
        planes_mut(grad_pool1),
    );
}

/// The backward pass from `grad_pool1` to conv1's parameters, two rows of `grad_conv1` at a time.
#[inline(always)]
fn conv1_backward<S: Simd>(simd: S, buffers: &mut Buffers) {
    let Buffers { image, conv1, grad_pool1, .. } = buffers;
    let image = planes(S::as_simd_f32s(image).0);
    let conv1: &[[[S::f32s; SIDE]; SIDE]; C1] = planes(S::as_simd_f32s(conv1).0);
    let grad_pool1: &[[[S::f32s; P1]; P1]; C1] = planes(S::as_simd_f32s(grad_pool1).0);
    let grad_weight1 = filters_mut(S::as_mut_simd_f32s(&mut buffers.grad_weight1).0);
    let grad_bias1 = S::as_mut_simd_f32s(&mut buffers.grad_bias1).0;
    let grad_bias1 = grad_bias1.first_chunk_mut().expect("biases");
    for y in 0..P1 {
        let mut grad_conv1 = [[[simd.splat_f32s(0.0); SIDE]; 2]; C1];
        for (c, rows) in grad_conv1.iter_mut().enumerate() {
            convolution::relu_avg_pool2d_backward(simd, &conv1[c], &grad_pool1[c], y, 0, rows);
        }
        convolution::grad_weight::<S, 1, C1, PADDED, 2, SIDE, SIDE, 3>(
            simd,
            image,
            &grad_conv1,
            0,
            2 * y,
            grad_weight1,
        );
        convolution::grad_bias(simd, &grad_conv1, grad_bias1);
    }
}

/// The parts of the gradients that are `grad_weight` and `grad_bias` of fc1, fc2 and fc3.
fn linear_gradients<'a>(
    gradients: &'a mut [f32],
    ranges: &ParameterRanges,
) -> [(&'a mut [f32], &'a mut [f32]); 3] {
    let [.., w3, b3, w4, b4, w5, b5] = ranges.clone();
    let parts = gradients.get_disjoint_mut([w3, b3, w4, b4, w5, b5]);
    let [w3, b3, w4, b4, w5, b5] = parts.expect("parameters do not overlap");
    [(w3, b3), (w4, b4), (w5, b5)]
}

/// `relu_`; NaN stays NaN.
#[inline(always)]
fn relu<S: Simd>(simd: S, xs: &mut [S::f32s]) {
    let zero = simd.splat_f32s(0.0);
    xs.iter_mut().for_each(|x| *x = simd.max_f32s(zero, *x));
}

/// `threshold_backward` in place: sets the gradient to 0 where the output of ReLU is not positive.
#[inline(always)]
fn relu_backward<S: Simd>(simd: S, output: &[S::f32s], grad_output: &mut [S::f32s]) {
    let zero = simd.splat_f32s(0.0);
    for (grad, &output) in grad_output.iter_mut().zip(output) {
        *grad = simd.select_f32s(simd.greater_than_f32s(output, zero), *grad, zero);
    }
}

/// Same as [`filters`], mutable.
#[inline(always)]
fn filters_mut<T, const O: usize, const C: usize>(weight: &mut [T]) -> &mut Filters<T, O, C> {
    let planes = weight.as_chunks_mut::<K>().0.as_chunks_mut::<K>().0.as_chunks_mut::<C>().0;
    planes.first_chunk_mut().expect("a weight of this shape")
}
