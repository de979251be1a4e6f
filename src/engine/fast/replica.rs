//! One thread's share of a step: forward and backward pass of its images, block by block.

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

/// Outputs of the fully connected layers.
const FC1: usize = 120;
const FC2: usize = 84;
const FLAT: usize = C2 * P2 * P2;

/// Where each parameter lies in the one buffer of all, in definition order.
pub type Places = [Range<usize>; 10];

/// The images that a replica learns from.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// N x 784 bytes.
    pub pixels: &'a [u8],
    /// N labels.
    pub labels: &'a [u8],
    /// Images of the whole batch, whose mean loss is the loss.
    pub batch: usize,
}

/// Memory for one thread, written anew by each step. Every buffer begins at a cache line.
#[derive(Debug)]
pub struct Replica {
    /// Sum of the losses of its images.
    pub loss: f64,
    /// Gradients of the mean loss of the whole batch, in the layout of the parameters.
    pub gradients: AVec<f32>,
    buffers: Buffers,
}

/// Activations and gradients by them, of one block.
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
    by_conv2: AVec<f32>,
    by_pool1: AVec<f32>,
    by_pool2: AVec<f32>,
    by_fc1: AVec<f32>,
    by_fc2: AVec<f32>,
    /// Gradients of the convolutions' filters and biases, lane by lane, of all blocks.
    filters1: AVec<f32>,
    bias1: AVec<f32>,
    filters2: AVec<f32>,
    bias2: AVec<f32>,
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
            by_conv2: of(C2 * H2 * (H2 + 2)),
            by_pool1: of(C1 * P1 * P1),
            by_pool2: of(FLAT),
            by_fc1: of(FC1),
            by_fc2: of(FC2),
            filters1: of(C1 * K * K),
            bias1: of(C1),
            filters2: of(C2 * C1 * K * K),
            bias2: of(C2),
        }
    }
}

impl Replica {
    /// For a model of this many parameters.
    pub fn new(parameters: usize) -> Self {
        Self { loss: 0.0, gradients: zeros(parameters, 1), buffers: Buffers::new(lanes()) }
    }

    /// Forward and backward pass; overwrites loss and gradients.
    pub fn pass(&mut self, parameters: &[f32], places: &Places, images: Images) {
        Arch::new().dispatch(Pass { replica: self, parameters, places, images });
    }
}

struct Pass<'a> {
    replica: &'a mut Replica,
    parameters: &'a [f32],
    places: &'a Places,
    images: Images<'a>,
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { replica: Replica { loss, gradients, buffers }, parameters, places, images } =
            self;
        *loss = 0.0;
        gradients.fill(0.0);
        let Buffers { filters1, bias1, filters2, bias2, .. } = buffers;
        [filters1, bias1, filters2, bias2].into_iter().for_each(|sums| sums.fill(0.0));
        let layers: [&[f32]; 10] = array::from_fn(|i| &parameters[places[i].clone()]);
        let blocks = images.pixels.chunks(S::F32_LANES * PIXELS);
        for (pixels, labels) in blocks.zip(images.labels.chunks(S::F32_LANES)) {
            load(buffers, S::F32_LANES, pixels);
            forward(simd, buffers, &layers);
            *loss += loss::cross_entropy(&mut buffers.logits, S::F32_LANES, labels, images.batch);
            backward(simd, buffers, &layers, gradients, places);
        }
        let Buffers { filters1, bias1, filters2, bias2, .. } = buffers;
        for (place, sums) in places.iter().zip([filters1, bias1, filters2, bias2]) {
            let (sums, _) = S::as_simd_f32s(sums);
            for (sum, &lanes) in gradients[place.clone()].iter_mut().zip(sums) {
                *sum = simd.reduce_sum_f32s(lanes);
            }
        }
    }
}

/// Normalised pixels within the padding, one image a lane; lanes without an image hold zeros.
#[inline(always)]
fn load(buffers: &mut Buffers, lanes: usize, pixels: &[u8]) {
    let normalised: [f32; 256] = array::from_fn(|byte| (byte as f64 / 255.0) as f32);
    let rows = buffers.image.chunks_exact_mut(PADDED * lanes).skip(PADDING).take(SIDE);
    for (y, row) in rows.enumerate() {
        let row = &mut row[PADDING * lanes..(PADDING + SIDE) * lanes];
        row.fill(0.0);
        for (lane, image) in pixels.chunks_exact(PIXELS).enumerate() {
            let bytes = &image[y * SIDE..][..SIDE];
            for (x, &byte) in row[lane..].iter_mut().step_by(lanes).zip(bytes) {
                *x = normalised[usize::from(byte)];
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

/// `logits` hold the gradient by them. Adds the parameters' gradients: those of the convolutions
/// lane by lane.
#[inline(always)]
fn backward<S: Simd>(
    simd: S,
    buffers: &mut Buffers,
    layers: &[&[f32]; 10],
    gradients: &mut [f32],
    places: &Places,
) {
    linear_backward(simd, buffers, layers, gradients, places);
    conv2_backward(simd, buffers, filters(layers[2]));
    conv1_backward(simd, buffers);
}

/// From the gradient by the logits to that by pool2.
#[inline(always)]
fn linear_backward<S: Simd>(
    simd: S,
    buffers: &mut Buffers,
    layers: &[&[f32]; 10],
    gradients: &mut [f32],
    places: &Places,
) {
    let lanes = S::F32_LANES;
    let Buffers { pool2, fc1, fc2, logits, transposed, .. } = buffers;
    let by_logits = S::as_simd_f32s(logits).0;
    let [by_fc2, by_fc1, by_pool2] =
        [&mut buffers.by_fc2, &mut buffers.by_fc1, &mut buffers.by_pool2]
            .map(|buffer| S::as_mut_simd_f32s(buffer).0);
    let [g3, g4, g5] = linear_gradients(gradients, places);

    linear::transpose(fc2, lanes, transposed);
    linear::by_parameters::<S, 2>(simd, by_logits, transposed, g5.0, g5.1);
    linear::by_input(simd, by_logits, layers[8], by_fc2);
    relu_backward(simd, S::as_simd_f32s(fc2).0, by_fc2);

    linear::transpose(fc1, lanes, transposed);
    linear::by_parameters::<S, 4>(simd, by_fc2, transposed, g4.0, g4.1);
    linear::by_input(simd, by_fc2, layers[6], by_fc1);
    relu_backward(simd, S::as_simd_f32s(fc1).0, by_fc1);

    linear::transpose(pool2, lanes, transposed);
    linear::by_parameters::<S, 4>(simd, by_fc1, transposed, g3.0, g3.1);
    linear::by_input(simd, by_fc1, layers[4], by_pool2);
}

/// From the gradient by pool2 to that by pool1.
#[inline(always)]
fn conv2_backward<S: Simd>(simd: S, buffers: &mut Buffers, weight: &Filters<f32, C2, C1>) {
    let Buffers { pool1, conv2, by_pool2, .. } = buffers;
    let by_pool2: &[[[S::f32s; P2]; P2]; C2] = planes(S::as_simd_f32s(by_pool2).0);
    let conv2: &[[[S::f32s; H2]; H2]; C2] = planes(S::as_simd_f32s(conv2).0);
    let by_conv2: &mut [[[S::f32s; H2 + 2]; H2]; C2] =
        planes_mut(S::as_mut_simd_f32s(&mut buffers.by_conv2).0);
    for ((by_conv, conv), by_pooled) in by_conv2.iter_mut().zip(conv2).zip(by_pool2) {
        for (y, rows) in by_conv.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            convolution::pool_backward(simd, conv, by_pooled, y, 1, rows);
        }
    }
    let pool1 = planes(S::as_simd_f32s(pool1).0);
    let filters2 = filters_mut(S::as_mut_simd_f32s(&mut buffers.filters2).0);
    let bias2 = S::as_mut_simd_f32s(&mut buffers.bias2).0;
    convolution::by_weight::<S, C1, C2, P1, H2, { H2 + 2 }, H2, 4>(
        simd, pool1, by_conv2, 1, 0, filters2,
    );
    convolution::by_bias(simd, by_conv2, bias2.first_chunk_mut().expect("biases"));
    let by_pool1 = S::as_mut_simd_f32s(&mut buffers.by_pool1).0;
    convolution::by_input::<S, C1, C2, P1, H2, { H2 + 2 }>(
        simd,
        by_conv2,
        weight,
        planes_mut(by_pool1),
    );
}

/// From the gradient by pool1 on, two rows of that by conv1 at a time.
#[inline(always)]
fn conv1_backward<S: Simd>(simd: S, buffers: &mut Buffers) {
    let Buffers { image, conv1, by_pool1, .. } = buffers;
    let image = planes(S::as_simd_f32s(image).0);
    let conv1: &[[[S::f32s; SIDE]; SIDE]; C1] = planes(S::as_simd_f32s(conv1).0);
    let by_pool1: &[[[S::f32s; P1]; P1]; C1] = planes(S::as_simd_f32s(by_pool1).0);
    let filters1 = filters_mut(S::as_mut_simd_f32s(&mut buffers.filters1).0);
    let bias1 = S::as_mut_simd_f32s(&mut buffers.bias1).0;
    let bias1 = bias1.first_chunk_mut().expect("biases");
    for y in 0..P1 {
        let mut by_conv1 = [[[simd.splat_f32s(0.0); SIDE]; 2]; C1];
        for (c, rows) in by_conv1.iter_mut().enumerate() {
            convolution::pool_backward(simd, &conv1[c], &by_pool1[c], y, 0, rows);
        }
        convolution::by_weight::<S, 1, C1, PADDED, 2, SIDE, SIDE, 3>(
            simd,
            image,
            &by_conv1,
            0,
            2 * y,
            filters1,
        );
        convolution::by_bias(simd, &by_conv1, bias1);
    }
}

/// Weight and bias of fc1, fc2 and fc3.
fn linear_gradients<'a>(
    gradients: &'a mut [f32],
    places: &Places,
) -> [(&'a mut [f32], &'a mut [f32]); 3] {
    let [.., w3, b3, w4, b4, w5, b5] = places.clone();
    let parts = gradients.get_disjoint_mut([w3, b3, w4, b4, w5, b5]);
    let [w3, b3, w4, b4, w5, b5] = parts.expect("parameters do not overlap");
    [(w3, b3), (w4, b4), (w5, b5)]
}

/// `relu_`, which keeps NaN.
#[inline(always)]
fn relu<S: Simd>(simd: S, xs: &mut [S::f32s]) {
    let zero = simd.splat_f32s(0.0);
    xs.iter_mut().for_each(|x| *x = simd.max_f32s(zero, *x));
}

/// Zero where ReLU gave zero.
#[inline(always)]
fn relu_backward<S: Simd>(simd: S, output: &[S::f32s], by_output: &mut [S::f32s]) {
    let zero = simd.splat_f32s(0.0);
    for (by, &output) in by_output.iter_mut().zip(output) {
        *by = simd.select_f32s(simd.greater_than_f32s(output, zero), *by, zero);
    }
}

/// As [`filters`], to be written.
#[inline(always)]
fn filters_mut<T, const O: usize, const C: usize>(weight: &mut [T]) -> &mut Filters<T, O, C> {
    let planes = weight.as_chunks_mut::<K>().0.as_chunks_mut::<K>().0.as_chunks_mut::<C>().0;
    planes.first_chunk_mut().expect("a weight of this shape")
}
