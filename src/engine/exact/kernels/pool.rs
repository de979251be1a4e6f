//! `F.avg_pool2d(F.relu(xs), 2)` and its gradient, each in one pass over memory.
//!
//! The bits are those of `aten/src/ATen/native/cpu/AvgPoolKernel.cpp` of PyTorch 2.13: the four
//! elements of a window are added row by row, beginning with 0, and divided by 4.

use tch::Tensor;

use crate::libtorch::in_parts;
use crate::libtorch::{filled, values};

/// Images and channels that are worth a thread of their own.
const GRAIN: usize = 64;

/// `F.avg_pool2d(F.relu(xs), 2)` of `xs` (N, C, H, W), float32, H and W even: (N, C, H/2, W/2).
pub fn relu_avg_pool2d(xs: &Tensor) -> Tensor {
    let (n, c, h, w) = sizes(xs);
    filled(&[n, c, h / 2, w / 2], |pooled: &mut [f32]| {
        let planes = ((n * c) as usize, GRAIN);
        in_parts(planes, [pooled], [values(xs)], |[pooled], [xs]| {
            pool_rows(pooled, xs, w as usize)
        });
    })
}

/// Pools planes of rows of `width` values.
#[inline(always)]
fn pool_rows(pooled: &mut [f32], xs: &[f32], width: usize) {
    for (out, rows) in pooled.chunks_exact_mut(width / 2).zip(xs.chunks_exact(2 * width)) {
        let (upper, lower) = rows.split_at(width);
        let windows = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (out, (&[a, b], &[c, d])) in out.iter_mut().zip(windows) {
            *out = pool_window([a, b, c, d]);
        }
    }
}

/// The mean of a window after ReLU, its elements row by row.
#[inline(always)]
pub(super) fn pool_window(window: [f32; 4]) -> f32 {
    let [a, b, c, d] = window.map(relu);
    (0.0 + a + b + c + d) / 4.0
}

/// Pools planes of rows of `W` values.
#[inline(always)]
pub(super) fn pool<const W: usize>(pooled: &mut [f32], xs: &[f32]) {
    pool_rows(pooled, xs, W);
}

/// The gradient of [`relu_avg_pool2d`] by `xs` (N, C, H, W), given that by its output
/// (N, C, H/2, W/2).
pub fn relu_avg_pool2d_backward(output_gradient: &Tensor, xs: &Tensor) -> Tensor {
    let (n, c, h, w) = sizes(xs);
    filled(&[n, c, h, w], |gradient: &mut [f32]| {
        let planes = ((n * c) as usize, GRAIN);
        let read = [values(xs), values(output_gradient)];
        in_parts(planes, [gradient], read, |[gradient], [xs, by_output]| {
            pool_backward(gradient, xs, by_output, w as usize);
        });
    })
}

/// The gradient by planes of rows of `width` values.
#[inline(always)]
fn pool_backward(gradient: &mut [f32], xs: &[f32], by_output: &[f32], width: usize) {
    let rows = xs.chunks_exact(2 * width).zip(by_output.chunks_exact(width / 2));
    for (gradient, (xs, out)) in gradient.chunks_exact_mut(2 * width).zip(rows) {
        let (upper, lower) = gradient.split_at_mut(width);
        let (upper_xs, lower_xs) = xs.split_at(width);
        row_backward(upper, upper_xs, out);
        row_backward(lower, lower_xs, out);
    }
}

/// The gradient by one row, given that by the row of windows that it is in.
#[inline(always)]
pub(super) fn row_backward(gradient: &mut [f32], xs: &[f32], by_output: &[f32]) {
    let pairs = gradient.as_chunks_mut::<2>().0.iter_mut().zip(xs.as_chunks::<2>().0);
    for ((gradient, &[x, y]), out) in pairs.zip(by_output) {
        let share = share(*out);
        *gradient = [gate(x, share), gate(y, share)];
    }
}

fn sizes(xs: &Tensor) -> (i64, i64, i64, i64) {
    let (n, c, h, w) = xs.size4().expect("an image has four dimensions");
    assert!(h % 2 == 0 && w % 2 == 0, "a window of 2x2 does not divide {h}x{w}");
    (n, c, h, w)
}

/// `F.relu`: NaN stays NaN.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// What each element of a window has of the gradient by its mean.
#[inline(always)]
pub(super) fn share(by_output: f32) -> f32 {
    0.0 + by_output / 4.0
}

/// `threshold_backward`: the gradient where the ReLU let `x` through.
#[inline(always)]
pub(super) fn gate(x: f32, gradient: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { gradient }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Numbers of all kinds, also those that a ReLU and a sum must not lose the sign or NaN of.
    fn images(shape: &[i64]) -> Tensor {
        let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45, -1e-45, 3e38];
        let xs = Tensor::randn(shape, (Kind::Float, Device::Cpu));
        filled(shape, |all: &mut [f32]| {
            for (i, (x, &random)) in all.iter_mut().zip(values::<f32>(&xs)).enumerate() {
                *x = if i % 7 == 0 { special[i / 7 % special.len()] } else { random };
            }
        })
    }

    fn bits(tensor: &Tensor) -> Vec<u32> {
        // Any NaN is as good as any other.
        let canonical = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
        values::<f32>(tensor).iter().map(canonical).collect()
    }

    #[test]
    fn pooling_and_its_gradient_have_libtorchs_bits() {
        for shape in [[1, 1, 2, 2], [2, 3, 4, 6], [5, 6, 28, 28], [3, 16, 10, 10]] {
            let xs = images(&shape).set_requires_grad(true);
            let pooled = xs.relu().avg_pool2d(2, 2, 0, false, true, None::<i64>);
            assert_eq!(bits(&relu_avg_pool2d(&xs)), bits(&pooled.detach()), "{shape:?}");
            let gradient = images(&pooled.size());
            // The gradient of sum(pooled * gradient) by pooled is `gradient`.
            let expected = Tensor::run_backward(
                &[(&pooled * &gradient).sum(Kind::Float)],
                &[&xs],
                false,
                false,
            );
            let actual = relu_avg_pool2d_backward(&gradient, &xs);
            assert_eq!(bits(&actual), bits(&expected[0]), "{shape:?}");
        }
    }
}
