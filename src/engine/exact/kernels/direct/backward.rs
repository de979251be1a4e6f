//! The gradients of [`super::features()`].

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use tch::Tensor;

use super::by_input::{self, Transposed};
use super::by_weight::{self, BIAS1, FILTER1, Rows, SLOT};
use super::features::Features;
use super::order::{self, Backward, Split};
use super::shape::{Aligned, C1, C2, H1, H2, K, P1, P2, PADDING, filters};
use crate::engine::exact::kernels::pool::{
    avg_pool2d_backward, relu_avg_pool2d_backward, relu_backward,
};
use crate::libtorch::convolution_backward;
use crate::libtorch::in_parts;
use crate::libtorch::{filled, values, values_mut};

/// Gradients by the parameters of both convolutions, in their shapes.
#[derive(Debug)]
pub struct FilterGradients {
    /// By conv1's weight and bias.
    pub conv1: [Tensor; 2],
    /// By conv2's weight and bias.
    pub conv2: [Tensor; 2],
}

/// The gradients by the parameters, given that by pool2 (N, 16, 5, 5), the images that gave
/// `features`, and both weights.
///
/// # Panics
/// For other shapes.
pub fn gradients(
    images: &Tensor,
    features: &Features,
    by_pool2: &Tensor,
    weights: [&Tensor; 2],
) -> FilterGradients {
    let n = images.size()[0] as usize;
    assert_eq!(features.conv1.numel(), n * C1 * H1 * H1, "the images' features");
    assert_eq!(by_pool2.numel(), n * C2 * P2 * P2, "the images' gradient");
    match order::backward(n as i64) {
        Some(order) => by_hand(images, features, by_pool2, weights[1], order),
        None => by_libtorch(images, features, by_pool2, weights),
    }
}

pub(super) fn by_libtorch(
    images: &Tensor,
    features: &Features,
    by_pool2: &Tensor,
    weights: [&Tensor; 2],
) -> FilterGradients {
    let conv2 = features.conv2.permute([0, 3, 1, 2]).contiguous();
    let by_conv2 = relu_avg_pool2d_backward(by_pool2, &conv2);
    let conv2 = convolution_backward(&by_conv2, &features.pool1, weights[1], 0, true);
    let by_conv1 = relu_avg_pool2d_backward(&conv2.grad_input, &features.conv1);
    let conv1 = convolution_backward(&by_conv1, images, weights[0], PADDING as i64, false);
    FilterGradients {
        conv1: [conv1.grad_weight, conv1.grad_bias],
        conv2: [conv2.grad_weight, conv2.grad_bias],
    }
}

fn by_hand(
    images: &Tensor,
    features: &Features,
    by_pool2: &Tensor,
    weight2: &Tensor,
    order: Backward,
) -> FilterGradients {
    let [conv1, pool1, conv2] =
        [&features.conv1, &features.pool1, &features.conv2].map(values::<f32>);
    let by_features = ByFeatures::new(conv2, values(by_pool2), values(weight2), order.block);
    let by_pool1 = values(&by_features.pool1);
    FilterGradients {
        conv1: filters1(values(images), conv1, by_pool1, order.conv1),
        conv2: filters2(pool1, by_features.rows(), order.conv2),
    }
}

/// Gradients by what the layers compute.
pub(super) struct ByFeatures {
    /// By pool1 (N, 6, 14, 14).
    pub pool1: Tensor,
    /// By conv2, the channels of a place together: (N, 10, 10, 16).
    conv2: Tensor,
}

impl ByFeatures {
    /// From conv2 (N, 10, 10, 16), the gradient by pool2 (N, 16, 5, 5) and the weight.
    pub fn new(conv2: &[f32], by_pool2: &[f32], weight: &[f32], block: usize) -> Self {
        let n = conv2.len() / (C2 * H2 * H2);
        let empty = |shape: [usize; 3]| {
            filled::<f32>(&[n, shape[0], shape[1], shape[2]].map(|size| size as i64), |_| {})
        };
        let (mut pool1, mut by_conv2) = (empty([C1, P1, P1]), empty([H2, H2, C2]));
        let weight = by_input::transpose(filters(weight));
        let written = [values_mut::<f32>(&mut pool1), values_mut(&mut by_conv2)];
        in_parts((n, 1), written, [conv2, by_pool2], |written, [conv2, by_pool2]| {
            let weight = &weight;
            Arch::new().dispatch(Images { conv2, by_pool2, weight, block, written });
        });
        Self { pool1, conv2: by_conv2 }
    }

    pub fn rows(&self) -> Rows<'_> {
        values::<f32>(&self.conv2).as_chunks::<C2>().0.as_chunks::<H2>().0
    }
}

/// Some images, for one thread; see [`ByFeatures::new`].
struct Images<'a> {
    conv2: &'a [f32],
    by_pool2: &'a [f32],
    weight: &'a Transposed,
    block: usize,
    written: [&'a mut [f32]; 2],
}

impl WithSimd for Images<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { conv2, by_pool2, weight, block, written: [by_pool1, by_conv2] } = self;
        let Aligned(padded) = &mut Aligned(by_input::zeros());
        let conv2 = conv2.as_chunks::<C2>().0.as_chunks::<H2>().0.as_chunks::<H2>().0;
        let by_conv2 = by_conv2.as_chunks_mut::<C2>().0.as_chunks_mut::<H2>().0;
        let read = conv2.iter().zip(by_pool2.chunks_exact(C2 * P2 * P2));
        let written = by_pool1.chunks_exact_mut(C1 * P1 * P1).zip(by_conv2.as_chunks_mut::<H2>().0);
        for ((conv2, by_pool2), (by_pool1, by_conv2)) in read.zip(written) {
            for (y, (row, xs)) in by_conv2.iter_mut().zip(conv2).enumerate() {
                for (x, (place, xs)) in row.iter_mut().zip(xs).enumerate() {
                    let window = by_pool2[y / 2 * P2 + x / 2..].iter().step_by(P2 * P2);
                    for ((by, &x), &out) in place.iter_mut().zip(xs).zip(window) {
                        *by = relu_backward(x, avg_pool2d_backward(out));
                    }
                    for (o, &by) in place.iter().enumerate() {
                        by_input::row(padded, o, y)[x] = by;
                    }
                }
            }
            // As many rows at once as the registers hold sums for.
            match S::F32_LANES {
                16 => by_input::by_input::<S, 2>(simd, padded, weight, block, by_pool1),
                _ => by_input::by_input::<S, 1>(simd, padded, weight, block, by_pool1),
            }
        }
    }
}

/// The gradients by conv1's weight and bias.
pub(super) fn filters1(
    images: &[f32],
    conv1: &[f32],
    by_pool1: &[f32],
    split: Split,
) -> [Tensor; 2] {
    let runs = split.runs(conv1.len() / (C1 * H1 * H1), H1);
    let mut sums = vec![[[0.0; FILTER1]; C1]; runs.len()];
    in_parts((runs.len(), 1), [&mut sums], [&runs], |[sums], [runs]| {
        for (sums, rows) in sums.iter_mut().zip(runs) {
            Arch::new().dispatch(Run { images, conv1, by_pool1, rows: rows.clone(), sums });
        }
    });
    let [mut weight, mut bias] = [vec![0.0; C1 * K * K], vec![0.0; C1]];
    let total = added(sums);
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

/// A run of rows, for one thread; see [`by_weight::filters1`].
struct Run<'a> {
    images: &'a [f32],
    conv1: &'a [f32],
    by_pool1: &'a [f32],
    rows: Range<usize>,
    sums: &'a mut [[f32; FILTER1]; C1],
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { images, conv1, by_pool1, rows, sums } = self;
        let row = |at: usize| {
            let (image, y) = (at / H1, at % H1);
            std::array::from_fn(|c| {
                let plane = image * C1 + c;
                let conv = &conv1[(plane * H1 + y) * H1..][..H1];
                let by = &by_pool1[(plane * P1 + y / 2) * P1..][..P1];
                let mut row = [0.0; H1];
                crate::engine::exact::kernels::pool::row_backward(&mut row, conv, by);
                row
            })
        };
        match S::F32_LANES {
            16 => by_weight::filters1::<S, 3, C1>(simd, images, rows, row, sums),
            _ => by_weight::filters1::<S, 5, 2>(simd, images, rows, row, sums),
        }
    }
}

/// The gradients by conv2's weight and bias; `pool1` is (N, 6, 14, 14).
pub(super) fn filters2(pool1: &[f32], by_conv2: Rows, split: Split) -> [Tensor; 2] {
    let runs = split.runs(by_conv2.len() / H2, H2);
    // A row of all filters by each of their input channels, and the biases.
    let items: Vec<usize> = (0..=K * C1 / GROUP).collect();
    let mut sums = vec![[[[0.0; C2]; K]; GROUP]; items.len()];
    in_parts((items.len(), 1), [&mut sums], [&items], |[sums], [items]| {
        for (sums, &item) in sums.iter_mut().zip(items) {
            Arch::new().dispatch(Item { pool1, by_conv2, runs: &runs, item, sums });
        }
    });
    let mut weight = vec![0.0; C2 * C1 * K * K];
    for (o, filter) in weight.chunks_exact_mut(C1 * K * K).enumerate() {
        for (i, row) in filter.as_chunks_mut::<K>().0.iter_mut().enumerate() {
            let (c, ky) = (i / K, i % K);
            let sums = &sums[(ky * C1 + c) / GROUP][c % GROUP];
            row.iter_mut().zip(sums).for_each(|(weight, sums)| *weight = sums[o]);
        }
    }
    let bias = sums[items.len() - 1][0][0];
    let shape = [C2, C1, K, K].map(|size| size as i64);
    [Tensor::from_slice(&weight).view(shape), Tensor::from_slice(&bias)]
}

/// Input channels of an item; it divides their number.
const GROUP: usize = 3;

/// An item of [`filters2`].
struct Item<'a> {
    pool1: &'a [f32],
    by_conv2: Rows<'a>,
    runs: &'a [Range<usize>],
    item: usize,
    sums: &'a mut [[[f32; C2]; K]; GROUP],
}

impl WithSimd for Item<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pool1, by_conv2, runs, item, sums } = self;
        let (ky, c) = (item * GROUP / C1, item * GROUP % C1);
        for (i, rows) in runs.iter().cloned().enumerate() {
            let mut part = [[[0.0; C2]; K]; GROUP];
            if ky == K {
                by_weight::bias2(by_conv2, rows, &mut part[0][0]);
            } else {
                by_weight::filters2::<S, GROUP>(simd, pool1, by_conv2, rows, (ky, c), &mut part);
            }
            add(sums, &part, i);
        }
    }
}

/// The sum of all parts, in their order.
fn added(parts: Vec<[[f32; FILTER1]; C1]>) -> [[f32; FILTER1]; C1] {
    let mut total = [[0.0; FILTER1]; C1];
    parts.iter().enumerate().for_each(|(i, part)| add(&mut total, part, i));
    total
}

/// Adds the part of number `i`, from 0 on: the first as it is.
fn add<const N: usize, T: pulp::bytemuck::Pod>(total: &mut [T; N], part: &[T; N], i: usize) {
    let total: &mut [f32] = pulp::bytemuck::cast_slice_mut(total);
    let part: &[f32] = pulp::bytemuck::cast_slice(part);
    for (total, &part) in total.iter_mut().zip(part) {
        *total = if i == 0 { part } else { *total + part };
    }
}
