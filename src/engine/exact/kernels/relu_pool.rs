//! ReLU and pooling over windows of 2x2 in one pass over memory, optionally after an affine transform per channel (batch
//! norm); and the backward pass, which reads one byte per window.
//!
//! Same bits as `clamp_min` and `threshold_backward`, then `aten/src/ATen/native/cpu/MaxPoolKernel.cpp` or
//! `AvgPoolKernel.cpp` of PyTorch 2.13: of equal values, the first in row-major order is the maximum; of several NaNs,
//! the last. The sum of a mean starts from 0 and is divided by 4.

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};
use tch::Tensor;

use super::adam::Rounding;
use super::pool::relu;
use crate::engine::chain::Pool;
use crate::libtorch::{dispatch, filled, in_parts, values, values_mut};

/// `x * alpha + beta` with these factors per channel.
#[derive(Debug)]
pub struct Affine {
    /// alpha and beta of each channel.
    pub factors: Vec<[f32; 2]>,
    /// The rounding of the sum.
    pub rounding: Rounding,
}

/// The shape of a batch of planes.
#[derive(Debug, Clone, Copy)]
pub struct BatchShape {
    /// Number of images.
    pub images: usize,
    /// Planes per image.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
}

impl BatchShape {
    /// The shape of `xs` (N, C, H, W).
    pub fn of(xs: &Tensor) -> Self {
        let (n, c, h, w) = xs.size4().expect("a batch of images has four dimensions");
        let [images, channels, height, width] = [n, c, h, w].map(|size| size as usize);
        Self { images, channels, height, width }
    }

    /// Number of elements of a plane.
    pub fn area(self) -> usize {
        self.height * self.width
    }

    /// Number of windows of a plane. The last row or column of an odd number is in none.
    pub fn windows(self) -> usize {
        (self.height / 2) * (self.width / 2)
    }

    fn pooled_size(self) -> [i64; 4] {
        [self.images, self.channels, self.height / 2, self.width / 2].map(|size| size as i64)
    }
}

/// Pools `relu(affine(xs))`, `xs` (N, C, H, W). Returns the pooled values and the windows' masks,
/// both (N, C, H/2, W/2): bit i of a mask is set if element i of the window, in row-major order, gets a gradient.
pub fn forward(xs: &Tensor, affine: Option<&Affine>, pool: Pool) -> (Tensor, Tensor) {
    let planes = BatchShape::of(xs);
    let mut masks = filled::<u8>(&planes.pooled_size(), |_| {});
    let pooled = filled(&planes.pooled_size(), |pooled: &mut [f32]| {
        let written = [cast_slice_mut(pooled), values_mut::<u8>(&mut masks)];
        in_parts((planes.images, 1), written, [values(xs)], |[pooled, masks], [xs]| {
            let pooled = cast_slice_mut(pooled);
            dispatch(Forward { xs, pooled, masks, planes, affine, pool });
        });
    });
    (pooled, masks)
}

/// One thread's part of [`forward`].
struct Forward<'a> {
    xs: &'a [f32],
    pooled: &'a mut [f32],
    masks: &'a mut [u8],
    planes: BatchShape,
    affine: Option<&'a Affine>,
    pool: Pool,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { xs, pooled, masks, planes, affine, pool } = self;
        let windows = planes.windows();
        let written = pooled.chunks_exact_mut(windows).zip(masks.chunks_exact_mut(windows));
        for (i, (xs, written)) in xs.chunks_exact(planes.area()).zip(written).enumerate() {
            let factors = affine.map_or([1.0, 0.0], |it| it.factors[i % planes.channels]);
            let (plane, max) = ((xs, planes.width, factors), pool == Pool::Max);
            match (affine.map(|it| it.rounding), max) {
                (None, true) => pool_plane::<true, NONE>(plane, written),
                (None, false) => pool_plane::<false, NONE>(plane, written),
                (Some(Rounding::Fused), true) => pool_plane::<true, FUSED>(plane, written),
                (Some(Rounding::Fused), false) => pool_plane::<false, FUSED>(plane, written),
                (Some(Rounding::Separate), true) => pool_plane::<true, SEPARATE>(plane, written),
                (Some(Rounding::Separate), false) => pool_plane::<false, SEPARATE>(plane, written),
            }
        }
    }
}

/// The transforms of [`activate`].
const NONE: u8 = 0;
const FUSED: u8 = 1;
const SEPARATE: u8 = 2;

/// ReLU of a transformed element.
#[inline(always)]
fn activate<const TRANSFORM: u8>(x: f32, [alpha, beta]: [f32; 2]) -> f32 {
    relu(match TRANSFORM {
        FUSED => x.mul_add(alpha, beta),
        SEPARATE => x * alpha + beta,
        _ => x,
    })
}

/// Pools a plane with rows of `width` elements.
#[inline(always)]
fn pool_plane<const MAX: bool, const TRANSFORM: u8>(
    plane: (&[f32], usize, [f32; 2]),
    written: (&mut [f32], &mut [u8]),
) {
    match plane.1 / 2 {
        8.. => pool_rows::<MAX, TRANSFORM, 8>(plane, written),
        4..8 => pool_rows::<MAX, TRANSFORM, 4>(plane, written),
        // One window at a time would be compiled to branches, which are mispredicted often.
        2..4 => pool_rows::<MAX, TRANSFORM, 2>(plane, written),
        _ => pool_rows::<MAX, TRANSFORM, 1>(plane, written),
    }
}

/// Same as [`pool_plane`], `N` windows at once; a row has at least as many. The last `N` end at the end of the row, so
/// some windows are computed twice.
#[inline(always)]
fn pool_rows<const MAX: bool, const TRANSFORM: u8, const N: usize>(
    (xs, width, factors): (&[f32], usize, [f32; 2]),
    (pooled, masks): (&mut [f32], &mut [u8]),
) {
    let count = width / 2;
    let rows = pooled.chunks_exact_mut(count).zip(masks.chunks_exact_mut(count));
    for (xs, (pooled, masks)) in xs.chunks_exact(2 * width).zip(rows) {
        let (upper, lower) = xs.split_at(width);
        let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
        for first in (0..count).step_by(N) {
            let first = first.min(count - N);
            let windows = (*window(upper, first), *window(lower, first));
            let (of_pooled, of_masks) = pool_windows::<MAX, TRANSFORM, N>(windows, factors);
            *window_mut(pooled, first) = of_pooled;
            *window_mut(masks, first) = of_masks;
        }
    }
}

/// Pools `N` windows. Arrays, because the compiler vectorizes only if it sees that no written element is read.
#[inline(always)]
fn pool_windows<const MAX: bool, const TRANSFORM: u8, const N: usize>(
    (upper, lower): ([[f32; 2]; N], [[f32; 2]; N]),
    factors: [f32; 2],
) -> ([f32; N], [u8; N]) {
    let (mut pooled, mut masks) = ([0.0; N], [0; N]);
    for i in 0..N {
        let ([a, b], [c, d]) = (upper[i], lower[i]);
        let a = activate::<TRANSFORM>(a, factors);
        let b = activate::<TRANSFORM>(b, factors);
        let c = activate::<TRANSFORM>(c, factors);
        let d = activate::<TRANSFORM>(d, factors);
        (pooled[i], masks[i]) = if MAX { maximum(a, b, c, d) } else { mean(a, b, c, d) };
    }
    (pooled, masks)
}

/// The maximum of a window and its mask.
#[inline(always)]
fn maximum(a: f32, b: f32, c: f32, d: f32) -> (f32, u8) {
    let (mut max, mut bit) = (a, 1u32);
    for (x, of_x) in [(b, 2), (c, 4), (d, 8)] {
        // `|` evaluates both sides: a branch would be mispredicted often.
        let greater = (x > max) | x.is_nan();
        max = if greater { x } else { max };
        bit = if greater { of_x } else { bit };
    }
    (max, if max <= 0.0 { 0 } else { bit as u8 })
}

/// The mean of a window and its mask.
#[inline(always)]
fn mean(a: f32, b: f32, c: f32, d: f32) -> (f32, u8) {
    let mut mask = 0u32;
    for (x, bit) in [(a, 1), (b, 2), (c, 4), (d, 8)] {
        mask |= if x <= 0.0 { 0 } else { bit };
    }
    ((0.0 + a + b + c + d) / 4.0, mask as u8)
}

/// The backward pass of [`forward`] without a transform: `grad_input` (N, C, H, W), given `grad_output` and the masks,
/// both (N, C, H/2, W/2).
pub fn backward(
    grad_output: &Tensor,
    masks: &Tensor,
    [height, width]: [usize; 2],
    pool: Pool,
) -> Tensor {
    let (n, c, ..) = grad_output.size4().expect("a batch of images has four dimensions");
    filled(&[n, c, height as i64, width as i64], |grad_input: &mut [f32]| {
        let planes = BatchShape { images: n as usize, channels: c as usize, height, width };
        let read = [cast_slice(values::<f32>(grad_output)), values::<u8>(masks)];
        in_parts((planes.images, 1), [grad_input], read, |[grad_input], [grad_output, masks]| {
            let grad_output = cast_slice(grad_output);
            dispatch(Backward { grad_input, grad_output, masks, planes, pool });
        });
    })
}

/// One thread's part of [`backward`].
struct Backward<'a> {
    grad_input: &'a mut [f32],
    grad_output: &'a [f32],
    masks: &'a [u8],
    planes: BatchShape,
    pool: Pool,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grad_input, grad_output, masks, planes, pool } = self;
        let windows = planes.windows();
        let read = grad_output.chunks_exact(windows).zip(masks.chunks_exact(windows));
        for (grad_input, read) in grad_input.chunks_exact_mut(planes.area()).zip(read) {
            unpool(grad_input, read, planes.width, pool);
        }
    }
}

/// The gradients w.r.t. the elements before ReLU of a plane with rows of `width` elements, given the gradients w.r.t.
/// the pooled values and the masks.
#[inline(always)]
pub fn unpool(grad_input: &mut [f32], read: (&[f32], &[u8]), width: usize, pool: Pool) {
    match pool {
        Pool::Max => unpool_plane::<true>(grad_input, read, width),
        Pool::Average => unpool_plane::<false>(grad_input, read, width),
    }
}

/// Same as [`unpool`].
#[inline(always)]
fn unpool_plane<const MAX: bool>(grad_input: &mut [f32], read: (&[f32], &[u8]), width: usize) {
    match width / 2 {
        8.. => unpool_rows::<MAX, 8>(grad_input, read, width),
        4..8 => unpool_rows::<MAX, 4>(grad_input, read, width),
        2..4 => unpool_rows::<MAX, 2>(grad_input, read, width),
        _ => unpool_rows::<MAX, 1>(grad_input, read, width),
    }
}

/// Same as [`unpool`], `N` windows at once, as in [`pool_rows`].
#[inline(always)]
fn unpool_rows<const MAX: bool, const N: usize>(
    grad_input: &mut [f32],
    (grad_output, masks): (&[f32], &[u8]),
    width: usize,
) {
    let count = width / 2;
    let rows = grad_output.chunks_exact(count).zip(masks.chunks_exact(count));
    let mut pairs = grad_input.chunks_exact_mut(2 * width);
    for (grad_input, (grad_output, masks)) in pairs.by_ref().zip(rows) {
        let (upper, lower) = grad_input.split_at_mut(width);
        let (upper, last_of_upper) = upper.as_chunks_mut::<2>();
        let (lower, last_of_lower) = lower.as_chunks_mut::<2>();
        last_of_upper.fill(0.0);
        last_of_lower.fill(0.0);
        for first in (0..count).step_by(N) {
            let first = first.min(count - N);
            let windows = (*window(grad_output, first), *window(masks, first));
            let (of_upper, of_lower) = unpool_windows::<MAX, N>(windows);
            *window_mut(upper, first) = of_upper;
            *window_mut(lower, first) = of_lower;
        }
    }
    pairs.into_remainder().fill(0.0);
}

/// The gradients w.r.t. the upper and the lower elements of `N` windows.
#[inline(always)]
fn unpool_windows<const MAX: bool, const N: usize>(
    (grad_output, masks): ([f32; N], [u8; N]),
) -> ([[f32; 2]; N], [[f32; 2]; N]) {
    let (mut upper, mut lower) = ([[0.0; 2]; N], [[0.0; 2]; N]);
    for i in 0..N {
        // A sum with 0, as libtorch computes it, turns -0 into 0.
        let grad = 0.0 + if MAX { grad_output[i] } else { grad_output[i] / 4.0 };
        let mask = u32::from(masks[i]);
        upper[i] = [gradient_at::<0>(grad, mask), gradient_at::<1>(grad, mask)];
        lower[i] = [gradient_at::<2>(grad, mask), gradient_at::<3>(grad, mask)];
    }
    (upper, lower)
}

/// The gradient of element `I` of a window: `grad`, or 0 if its bit is not set.
#[inline(always)]
fn gradient_at<const I: u32>(grad: f32, mask: u32) -> f32 {
    if mask & (1 << I) == 0 { 0.0 } else { grad }
}

/// `N` consecutive elements from index `first` on.
#[inline(always)]
fn window<T, const N: usize>(slice: &[T], first: usize) -> &[T; N] {
    slice[first..].first_chunk().expect("windows within the row")
}

/// Same as [`window`], mutable.
#[inline(always)]
fn window_mut<T, const N: usize>(slice: &mut [T], first: usize) -> &mut [T; N] {
    slice[first..].first_chunk_mut().expect("windows within the row")
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::exact::kernels::noise::{bits, with_special_values};

    #[test]
    fn forward_and_backward_have_libtorchs_bits() {
        let options = (Kind::Float, Device::Cpu);
        for shape in [[1, 1, 2, 2], [2, 3, 4, 6], [5, 6, 28, 28], [37, 16, 10, 9], [64, 32, 7, 14]]
        {
            // Few values, so that windows have ties.
            let ties = Tensor::randint_low(-1, 2, shape, options);
            for xs in [with_special_values(&Tensor::randn(shape, options)), ties] {
                for pool in [Pool::Max, Pool::Average] {
                    let xs = xs.copy().set_requires_grad(true);
                    let expected = match pool {
                        Pool::Max => xs.relu().max_pool2d(2, 2, 0, 1, false),
                        Pool::Average => xs.relu().avg_pool2d(2, 2, 0, false, true, None::<i64>),
                    };
                    let (pooled, masks) = forward(&xs.detach(), None, pool);
                    assert!(bits(&expected.detach()) == bits(&pooled), "{pool:?} of {shape:?}");
                    let grad_output = with_special_values(&Tensor::randn(pooled.size(), options));
                    // The gradient of sum(expected * grad_output) w.r.t. expected is `grad_output`.
                    let loss = (&expected * &grad_output).sum(Kind::Float);
                    let expected = Tensor::run_backward(&[loss], &[&xs], false, false);
                    let actual = backward(
                        &grad_output,
                        &masks,
                        [shape[2], shape[3]].map(|size| size as usize),
                        pool,
                    );
                    assert!(bits(&expected[0]) == bits(&actual), "backward, {pool:?} of {shape:?}");
                }
            }
        }
    }
}
